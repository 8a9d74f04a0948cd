"""children: what becomes of the processes behind a served gateway. Prints "ok - name" and "not ok - name" lines,
and "# " lines with what was measured."""
import atexit
import http.client
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

MCPGW, NOTES, HERE = os.environ["MCPGW"], os.environ["NOTES"], os.environ["HERE"]
TMP = tempfile.mkdtemp(dir=os.environ.get("TMP"))
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
with open(MCPGW, "rb") as program:
    SANITIZED = b"__asan_init" in program.read()
counter = 0


def ok(name, condition, why=""):
    print(("ok - " if condition else "not ok - ") + name, flush=True)
    if not condition and why != "":
        print("#   " + str(why)[:600].replace("\n", "\n#   "), flush=True)


def until(condition, seconds=20):
    """The last value of condition(), which is asked until it is true or the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.05)


def pids_with(mark):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().split(b"\0")
            with open("/proc/%s/stat" % pid) as f:
                state = f.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if mark.encode() in words and state != "Z" and int(pid) != os.getpid():
            found.append(int(pid))
    return found


def new_mark():
    global counter
    counter += 1
    return "child-mark-%d-%d" % (os.getpid(), counter)


class Gateway:
    def __init__(self, servers, config=None, arguments=(), **options):
        self.err = os.path.join(TMP, "err%d" % time.monotonic_ns())
        command = [MCPGW, "serve", *arguments]
        if servers is not None:
            path = os.path.join(TMP, "conf%d.json" % time.monotonic_ns())
            with open(path, "w") as f:
                json.dump({"mcpServers": servers, "gateway": dict({"listen": ["127.0.0.1:0"]}, **(config or {}))}, f)
            os.chmod(path, 0o644)
            command.append(path)
        with open(self.err, "w") as err:
            self.p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, **options)
        atexit.register(self.p.kill)  # fine when it has ended
        url = self.p.stdout.readline().decode().strip() if select.select([self.p.stdout], [], [], 20)[0] else ""
        self.port = int(url.rsplit(":", 1)[1].split("/")[0]) if url else 0

    def log(self):
        with open(self.err) as f:
            return f.read()

    def stop(self, sig=signal.SIGTERM):
        self.p.send_signal(sig)
        try:
            return self.p.wait(20)
        except subprocess.TimeoutExpired:
            self.p.kill()
            return self.p.wait()

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.p.pid))

    def rss_kib(self):
        with open("/proc/%d/status" % self.p.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def descendants(self):
        """How many processes there are below it."""
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % pid) as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(pid))
        todo, n = [self.p.pid], 0
        while todo:
            below = parents.get(todo.pop(), [])
            n += len(below)
            todo += below
        return n


class Session:
    """A legacy client."""

    def __init__(self, gateway, path="/mcp", seconds=60):
        self.http = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=seconds)
        self.path, self.id, self.number = path, None, 1
        self.hello = self.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}})
        if "result" in self.hello:
            self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def post(self, message):
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self.id:
            headers.update({"Mcp-Session-Id": self.id, "MCP-Protocol-Version": "2025-11-25"})
        self.http.request("POST", self.path, json.dumps(message), headers)
        answer = self.http.getresponse()
        self.id = answer.getheader("Mcp-Session-Id") or self.id
        body = answer.read().decode()
        if "event-stream" in (answer.getheader("Content-Type") or ""):
            data = [line[5:] for line in body.splitlines() if line.startswith("data:") and '"id"' in line]
            body = data[-1] if data else "{}"
        return json.loads(body) if body else {"status": answer.status}

    def call(self, tool, **arguments):
        self.number += 1
        return self.post({"jsonrpc": "2.0", "id": self.number, "method": "tools/call",
                          "params": {"name": tool, "arguments": arguments}})

    def end(self):
        self.http.request("DELETE", self.path, headers={"Mcp-Session-Id": self.id})
        self.http.getresponse().read()
        self.http.close()


def text_of(reply):
    return reply.get("result", {}).get("content", [{}])[0].get("text", "")


def reason_of(reply):
    return reply.get("error", {}).get("data", {}).get("reason", "")


def child(mark, **own):
    return {"command": PYTHON, "args": [TMP + "/child.py", mark], "gateway": own}


# ---- nothing piles up ------------------------------------------------------------------------------------

def one_context(gateway, faults):
    try:
        s = Session(gateway)
        reply = s.call("add_note", text="x")
        if "result" not in reply:
            faults.append(reply)
        s.end()
    except (OSError, ValueError, http.client.HTTPException) as e:
        faults.append(e)


def two_hundred_contexts():
    g, faults = Gateway({"notes": {"command": NOTES, "gateway": {"limits": {"children": 64}}}}), []
    for _ in range(20):
        one_context(g, faults)
    quiet = lambda: g.descendants() == 0
    until(quiet)
    before = (g.descendants(), g.fds(), g.rss_kib())
    started = time.monotonic()
    for _ in range(120):
        one_context(g, faults)
    for _ in range(10):  # and eight at once
        crowd = [threading.Thread(target=one_context, args=(g, faults)) for _ in range(8)]
        [t.start() for t in crowd]
        [t.join() for t in crowd]
    took = time.monotonic() - started
    until(quiet)
    until(lambda: g.fds() <= before[1], 5)
    after = (g.descendants(), g.fds(), g.rss_kib())
    print("# 200 contexts in %.1f s: processes %d -> %d, fds %d -> %d, RSS %d -> %d KiB"
          % (took, before[0], after[0], before[1], after[1], before[2], after[2]), flush=True)
    ok("200 contexts: every call was answered", not faults, faults[:2])
    ok("200 contexts: no process is left", after[0] == 0, after)
    ok("200 contexts: no descriptor is left", after[1] <= before[1], (before, after))
    ok("200 contexts: memory is back", SANITIZED or after[2] <= before[2] + 1024, (before, after))
    ok("200 contexts: it stops properly", g.stop() == 0)


# ---- all dead --------------------------------------------------------------------------------------------

def dead_with_the_gateway(sig):
    mark = new_mark()
    g = Gateway({"c": child(mark)})
    s = Session(g)
    bred = text_of(s.call("breed"))
    before = len(pids_with(mark))
    g.p.send_signal(sig)
    left = 0 if until(lambda: not pids_with(mark)) else pids_with(mark)
    g.p.wait()
    ok("%s of the gateway: grandchildren in sessions of their own that ignore TERM are dead too" % sig.name,
       bred == "bred" and before >= 3 and left == 0, (bred, before, left))
    for pid in left or ():
        os.kill(pid, signal.SIGKILL)


def launcher_killed():
    mark = new_mark()
    g = Gateway({"c": child(mark)})
    s = Session(g)
    s.call("breed")
    with open("/proc/%d/task/%d/children" % (g.p.pid, g.p.pid)) as f:
        launchers = f.read().split()
    os.kill(int(launchers[0]), signal.SIGKILL)
    ok("SIGKILL of the launcher: what made sessions of its own is dead too", len(launchers) == 1
       and until(lambda: not pids_with(mark)), (launchers, pids_with(mark)))
    ok("SIGKILL of the launcher: the gateway goes on", reason_of(s.call("pid")) == "STATE_LOST"
       and text_of(s.call("pid")).isdigit())
    g.stop()


def stopped_mid_call():
    mark = new_mark()
    g = Gateway({"c": child(mark, timeouts={"total_ms": 1500, "connect_ms": 700, "list_ms": 800})})
    s = Session(g)
    pid = int(text_of(s.call("pid")))
    s.call("breed")
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    reply = s.call("pid")
    took = time.monotonic() - started
    ok("SIGSTOP mid-call: the call ends at total_ms", reason_of(reply) == "UPSTREAM_TIMEOUT" and took < 15, (reply, took))
    ok("SIGSTOP mid-call: it answers no ping, so the whole group is killed", until(lambda: not pids_with(mark)), pids_with(mark))
    ok("SIGSTOP mid-call: the loss of state is told, then there is a fresh process",
       reason_of(s.call("pid")) == "STATE_LOST" and text_of(s.call("pid")).isdigit())
    pid = int(text_of(s.call("pid")))
    s.call("breed")
    os.kill(pid, signal.SIGSTOP)
    s.end()
    ok("SIGSTOP: the whole group is dead when its context ends", until(lambda: not pids_with(mark)), pids_with(mark))
    g.stop()


def crash_loop():
    mark = new_mark()
    g = Gateway({"c": child(mark)})
    answers, started = [], time.monotonic()
    while len(answers) < 40 and time.monotonic() < started + 20:
        s = Session(g)
        if "result" in s.hello:
            s.call("pid")  # it greets, it answers, and then it dies
        reply = s.call("die") if "result" in s.hello else s.hello
        answers.append(reason_of(reply))
        if answers[-1] == "UPSTREAM_UNAVAILABLE":
            break
    retry = reply.get("error", {}).get("data", {}).get("retry_after_ms", 0)
    print("# crash loop: %d processes died, then: %s" % (answers.count("OUTCOME_UNKNOWN"), reply.get("error", {}).get("message")))
    ok("crash loop: after five deaths no more is started for a while", answers.count("OUTCOME_UNKNOWN") == 5
       and answers[-1] == "UPSTREAM_UNAVAILABLE" and 0 < retry <= 1000, (answers, reply))
    ok("crash loop: the log has it", "upstream.crash_loop" in g.log())
    time.sleep(retry / 1000 + 0.1)
    ok("crash loop: then one may try", text_of(Session(g).call("pid")).isdigit())
    g.stop()


def killed_mid_call():
    mark = new_mark()
    g = Gateway({"c": child(mark)})
    s = Session(g)
    pid = int(text_of(s.call("pid")))
    threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()
    reply = s.call("silent")
    ok("SIGKILL mid-call: the call ends by name", reason_of(reply) == "OUTCOME_UNKNOWN", reply)
    ok("SIGKILL mid-call: the loss of state is told", reason_of(s.call("pid")) == "STATE_LOST")
    again = text_of(s.call("pid"))
    ok("SIGKILL mid-call: then there is a fresh process", again.isdigit() and int(again) != pid, again)
    g.stop()
    ok("SIGTERM of the gateway leaves nothing", until(lambda: not pids_with(mark)), pids_with(mark))


# ---- what they print -------------------------------------------------------------------------------------

def floods():
    mark = new_mark()
    g = Gateway({"c": child(mark), "notes": {"command": NOTES}})
    s, other = Session(g, "/mcp/c"), Session(g, "/mcp/notes")
    other.call("add_note", text="x")
    rss = g.rss_kib()
    for tool in ("garbage", "stderr", "chatter"):
        done, slowest, most = [], 0.0, 0
        t = threading.Thread(target=lambda: done.append(s.call(tool, megabytes=100)))
        started = time.monotonic()
        t.start()
        while t.is_alive():
            at = time.monotonic()
            other.call("add_note", text="x")
            slowest, most = max(slowest, time.monotonic() - at), max(most, g.rss_kib())
            time.sleep(0.02)
        took = time.monotonic() - started
        print("# 100 MB on %s in %.1f s: other calls took %.0f ms at most, RSS %d -> %d KiB"
              % (tool, took, slowest * 1000, rss, most), flush=True)
        ok("100 MB of %s: the reply behind it arrives" % tool, text_of(done[0]) == "after " + tool, done)
        ok("100 MB of %s: memory stays where it was" % tool, SANITIZED or most < rss + 4096, (rss, most))
        ok("100 MB of %s: others are served meanwhile" % tool, slowest < 3, slowest)
    until(lambda: "stdio.stderr" in g.log() and "more lines not shown" in g.log(), 5)
    lines = g.log().splitlines()
    print("# both floods: %d log lines" % len(lines))
    ok("floods: the log stays small and says how much it left out",
       len(lines) < 3000 and sum("more lines not shown" in line for line in lines) >= 2, len(lines))
    ok("floods: under the server's name", all('"upstream":"c"' in line for line in lines if "stdio." in line))
    started = time.monotonic()
    reply = s.call("nan")
    ok("a reply that is no JSON fails its call at once", reason_of(reply) == "UPSTREAM_PROTOCOL"
       and time.monotonic() - started < 20, reply)
    ok("and the process goes on", text_of(s.call("pid")).isdigit())
    g.stop()


# ---- limits ----------------------------------------------------------------------------------------------

def ceilings():
    mark = new_mark()
    own = {"limits": {"children": 2, "memory_bytes": 500000000, "cpu_s": 100, "files": 50}}
    if os.geteuid() == 0:
        own["user"] = "nobody"
    g = Gateway({"c": child(mark, **own)})
    a, b = Session(g), Session(g)
    about = json.loads(text_of(a.call("about")) or "{}")
    ok("limits reach the process", (about.get("memory"), about.get("cpu"), about.get("files")) == (500000000, 100, 50), about)
    b.call("pid")
    c = Session(g)
    refused = c.hello if "error" in c.hello else c.call("pid")
    ok("limits.children: one more is refused by name", reason_of(refused) == "OVERLOADED"
       and "limits.children" in refused["error"]["message"], refused)
    a.end()
    d = until(lambda: (lambda s: s if text_of(s.call("pid")).isdigit() else None)(Session(g)), 10)
    ok("limits.children: when one ends there is room", d is not None)
    if os.geteuid() == 0:
        ok("user: another uid, none of our groups, a home of its own",
           about["uid"] != 0 and 0 not in about["groups"] and about["env"].get("USER") == "nobody"
           and about["env"].get("HOME") != os.environ.get("HOME"), about)
    g.stop()
    ok("limits: all gone", until(lambda: not pids_with(mark)), pids_with(mark))


def not_root():
    if os.geteuid() != 0:
        return
    g = Gateway({"c": child(new_mark(), user="nobody")}, user=65534, group=65534)
    rc = g.p.wait(20)
    ok("user without root: refused before anything starts", rc == 3 and "needs a gateway that runs as root" in g.log(),
       (rc, g.log()))


def environments():
    env = dict(os.environ, SECRET_OF_MINE="s")
    g = Gateway({"c": child(new_mark())}, env=env)
    few = json.loads(text_of(Session(g).call("about")))["env"]
    g.stop()
    allowed = {"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"}
    ok("environment by a file: a few variables", "PATH" in few and not [
        k for k in few if k not in allowed and not k.startswith("LC_")], few)
    g = Gateway(None, arguments=["--listen", "127.0.0.1:0", "--", sys.executable, HERE + "/child.py"], env=env)
    whole = json.loads(text_of(Session(g).call("about")))["env"]
    g.stop()
    ok("environment of a command behind --: all of it", whole.get("SECRET_OF_MINE") == "s")


if __name__ == "__main__":
    shutil.copy(HERE + "/child.py", TMP)  # where another user can read it
    for directory in (TMP, os.path.dirname(TMP)):
        os.chmod(directory, 0o755)
    two_hundred_contexts()
    for sig in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGINT):
        dead_with_the_gateway(sig)
    launcher_killed()
    stopped_mid_call()
    killed_mid_call()
    crash_loop()
    floods()
    ceilings()
    not_root()
    environments()
