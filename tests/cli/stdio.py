"""stdio: the front for desktop agents, at the level of bytes. Prints "ok - name" and "not ok - name" lines."""
import fcntl
import http.server
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time

MCPGW, NOTES, HERE = os.environ["MCPGW"], os.environ["NOTES"], os.environ["HERE"]
ODD = ["python3", HERE + "/odd.py"]
HELLO = {"jsonrpc": "2.0", "id": 1, "method": "initialize",
         "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


with open(MCPGW, "rb") as program:
    ASAN = b"__asan_init" in program.read()  # its memory is no measure


def ok(name, condition, why=""):
    print(("ok - " if condition else "not ok - ") + name, flush=True)
    if not condition and why:
        print("#   " + str(why)[:600].replace("\n", "\n#   "), flush=True)


class Front:
    def __init__(self, command, extra=(), stderr=subprocess.DEVNULL, hello=True):
        self.p = subprocess.Popen([MCPGW, "stdio", *extra, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=stderr)
        self.buffer, self.lines, self.number = b"", [], 1
        if hello:
            self.say(HELLO)
            self.hello = self.reply(1)
            self.say(READY)

    def raw(self, data):
        self.p.stdin.write(data)
        self.p.stdin.flush()

    def say(self, message):
        self.raw(json.dumps(message).encode() + b"\n")

    def call(self, tool, arguments=None, ident=None):
        self.number += 1
        ident = ident or self.number
        self.say({"jsonrpc": "2.0", "id": ident, "method": "tools/call",
                  "params": {"name": tool, "arguments": arguments or {}}})
        return ident

    def line(self, seconds=10):
        """The next line, or None at the end and when the time is over."""
        until = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.p.stdout], [], [], left)[0]:
                return None
            got = os.read(self.p.stdout.fileno(), 1 << 16)
            if not got:
                return None
            self.buffer += got
        one, self.buffer = self.buffer.split(b"\n", 1)
        return one

    def message(self, seconds=10):
        one = self.line(seconds)
        return None if one is None else json.loads(one)

    def reply(self, ident, seconds=10):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            m = self.message(until - time.monotonic())
            if m is None:
                return None
            if m.get("id") == ident and "method" not in m:
                return m
        return None

    def end(self, seconds=8):
        """Closes stdin; what still came, and the exit code (None: it had to be killed)."""
        self.p.stdin.close()
        rest = []
        while (one := self.line(seconds)) is not None:
            rest.append(json.loads(one))
        return rest, self.wait(seconds)

    def wait(self, seconds=8):
        try:
            return self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            return None

    def rss_kib(self):
        with open("/proc/%d/status" % self.p.pid) as f:
            return next(int(l.split()[1]) for l in f if l.startswith("VmRSS"))

    def cpu(self):
        with open("/proc/%d/stat" % self.p.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def text_of(reply):
    return reply["result"]["content"][0]["text"]


def children(pid):
    found = []
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, task)) as f:
            for child in map(int, f.read().split()):
                found += [child] + children(child)
    return found


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pids, seconds):
    until = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, pids))


def plain():
    f = Front(["--", NOTES])
    ok("initialize", f.hello and f.hello["result"]["serverInfo"]["name"] == "notes", f.hello)
    ok("a call", text_of(f.reply(f.call("add_note", {"text": "x"}))) == "note 1")
    ok("an id of text", text_of(f.reply(f.call("add_note", {"text": "x"}, "a b"))) == "note 2")
    rest, code = f.end()
    ok("the end of stdin ends it with 0", rest == [] and code == 0, (rest, code))


def bad_lines():
    f = Front(["--", NOTES])
    for name, line in [("garbage", b"garbage"), ("a cut message", b'{"jsonrpc":"2.0","id":5,'), ("no UTF-8", b'{"a":"\xff\xfe"}'),
                       ("NUL bytes", b'{"jsonrpc":"2.0",\0"id":5}'), ("a number", b"7")]:
        f.raw(line + b"\n")
        m = f.message(5)
        ok(name + " is answered with an error and null", m and m["id"] is None and m["error"]["code"] in (-32700, -32600), m)
    f.raw(b"\n\r\n   \n\t\n")
    m = f.reply(f.call("add_note", {"text": "x"}))
    ok("blank lines are passed over", m and text_of(m) == "note 1", m)
    f.raw(json.dumps({"jsonrpc": "2.0", "id": 77, "method": "ping"}).encode() + b"\r\n")
    ok("lines may end in CR LF", (f.reply(77) or {}).get("result") == {})
    f.raw(b'{"jsonrpc":"2.0","id":78,"method":"ping"}{"jsonrpc":"2.0","id":79,"method":"ping"}\n')
    m = f.message(5)
    ok("two messages on a line are refused", m and "error" in m, m)
    f.raw(b'{"jsonrpc":"2.0","id":80,"method":"ping"}')
    rest, code = f.end()
    ok("a last line without its end counts", [m["id"] for m in rest] == [80] and code == 0, (rest, code))


def long_lines():
    f = Front(["--", NOTES])
    f.raw(b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"add_note","arguments":{"text":"')
    for _ in range(40):
        f.raw(b"x" * (1 << 20))
    m = f.message(10)
    ok("a line over the ceiling is answered with -31009 and null", m and m["id"] is None and m["error"]["code"] == -31009, m)
    f.raw(b'"}}}\n')
    m = f.message(10) if not m else f.reply(f.call("add_note", {"text": "x"}))
    ok("its rest is skipped, the next line counts", m and text_of(m) == "note 1", m)
    memory = f.rss_kib()
    ok("a long line's memory is given back", ASAN or memory < 60000, memory)
    answers = []
    for i in range(2):
        f.raw(b"y" * (70 << 20) + b"\n")
        f.say({"jsonrpc": "2.0", "id": 60 + i, "method": "ping"})
        answers += [f.message(10) or {} for _ in range(2)]
    answers = [m.get("error", {}).get("code", m.get("id")) for m in answers]
    ok("each such line is answered once", answers == [-31009, 60, -31009, 61], answers)
    ident = f.call("add_note", {"text": "z" * (3 << 20)})
    m = f.reply(ident)
    ok("3 MiB get an answer of their own", m and ("result" in m or "error" in m), m)
    rest, code = f.end()
    ok("nothing else came", rest == [] and code == 0, (rest[:2], code))


def no_room():
    config = {"mcpServers": {"notes": {"command": NOTES}}, "gateway": {"limits": {"memory_bytes": 1 << 20}}}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        f = Front([file.name], extra=["--ephemeral"])
        f.call("add_note", {"text": "x" * (3 << 20)}, ident="big one")
        m = f.reply("big one")
        ok("a request there is no room for is answered under its own id",
           m and m["error"]["code"] == -31006 and m["error"]["data"]["reason"] == "OVERLOADED", m)
        f.call("add_note", {"text": "milk"}, ident="next")
        m = f.reply("next")
        ok("and the next one is served", m and "result" in m, m)
        f.end()


def large_replies():
    f = Front(["--", *ODD])
    m = f.reply(f.call("flood", {"bytes": 5 << 20}), 20)
    ok("a reply of 5 MiB is one line", m and len(text_of(m)) == 5 << 20)
    f.end()


def slow_reader():
    f = Front(["--", *ODD])
    writing = threading.Thread(target=lambda: [f.call("flood", {"bytes": 200000 + i % 2 * 200000}) for i in range(300)])
    writing.start()
    time.sleep(2)
    before = f.cpu()
    time.sleep(2)
    spent = f.cpu() - before
    ok("a slow reader: no work is done meanwhile", spent < 0.3, "%.2f s of CPU in 2 s" % spent)
    memory = f.rss_kib()
    got = 0
    while got < 300 and (m := f.message(15)) is not None:
        got += "id" in m
    writing.join(10)
    ok("a slow reader: every reply comes (90 MB)", got == 300, got)
    ok("a slow reader: memory stays small", ASAN or memory < 120000, memory)
    f.end()


def deaf_client():
    f = Front(["--", NOTES])
    count = 300000
    lines = b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n' % (1000 + i) for i in range(count))
    writing = threading.Thread(target=f.raw, args=(lines,))
    writing.start()
    time.sleep(2.5)
    memory, waits = f.rss_kib(), writing.is_alive()
    ok("a client that writes and never reads has to wait", waits)
    ok("and costs little memory", ASAN or memory < 60000, memory)
    got, order = 0, True
    while got < count and (m := f.line(10)) is not None:
        order &= json.loads(m)["id"] == 1000 + got
        got += 1
    writing.join(10)
    ok("when it reads at last, all 300,000 answers are there", got == count and order, (got, order))
    f.end()


def between():
    f = Front(["--", *ODD])
    ident = f.call("flood", {"bytes": 5 << 20})
    time.sleep(1.5)  # its reply fills stdout now
    writing = threading.Thread(target=f.raw, args=(b"garbage\n" + b"y" * (33 << 20) + b"\n",))
    writing.start()
    time.sleep(1)
    got = []
    while len(got) < 3 and (one := f.line(10)) is not None:
        try:
            m = json.loads(one)
            got.append(m["error"]["code"] if "error" in m else m["id"])
        except ValueError as e:
            got.append(repr(e))
    writing.join(10)
    ok("an error never comes into the middle of a long reply", got == [ident, -32700, -31009], got)
    f.end()


def one_write():
    f = Front(["--", NOTES])
    time.sleep(0.5)
    f.p.send_signal(signal.SIGSTOP)  # so that it is one read too
    f.raw(b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n' % (2000 + i) for i in range(1400)))
    f.p.send_signal(signal.SIGCONT)
    got = 0
    while got < 1400 and f.message(5) is not None:
        got += 1
    ok("more requests in one write than may be pending", got == 1400, got)
    f.end()


def many_pending():
    f = Front(["--", NOTES])
    for i in range(100, 3100):
        f.call("add_note" if i % 2 else "list_notes", {"text": "n"} if i % 2 else {}, i)
    seen = set()
    while len(seen) < 3000 and (m := f.message(20)) is not None:
        seen.add(m.get("id"))
    ok("3,000 requests at one time, 3,000 answers", len(seen) == 3000, len(seen))
    f.end()


def cancelled_are_not_counted():
    f = Front(["--", NOTES])
    for i in range(1500):  # more than may be pending: a leak would stop the reading
        f.call("slow", {"ms": 60000}, 10000 + i)
        f.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 10000 + i}})
    m = f.reply(f.call("add_note", {"text": "x"}), 20)
    ok("1,500 cancelled calls stop nothing", m and text_of(m) == "note 1", m)
    f.end()


def end_in_a_call():
    f = Front(["--", NOTES])
    ident = f.call("slow", {"ms": 3000})
    rest, code = f.end()
    ok("a call under way at the end of stdin is answered", [m["id"] for m in rest if "result" in m] == [ident] and code == 0,
       (rest, code))
    f = Front(["--", NOTES])
    f.call("slow", {"ms": 60000})
    family = children(f.p.pid)
    f.p.stdin.close()
    began = time.monotonic()
    code = f.wait(16)
    ok("but not waited for without end", code is not None and time.monotonic() - began < 15, code)
    ok("the server is gone then", bool(family) and gone(family, 4), family)


def signals():
    for sig in (signal.SIGTERM, signal.SIGINT):
        f = Front(["--", NOTES])
        f.reply(f.call("add_note", {"text": "x"}))
        family = children(f.p.pid)
        began = time.monotonic()
        f.p.send_signal(sig)
        code = f.wait(6)
        ok("%s ends it within 2 s" % sig.name, code is not None and time.monotonic() - began < 2, (code, time.monotonic() - began))
        ok("%s leaves no server behind" % sig.name, bool(family) and gone(family, 4), family)
    f = Front(["--", NOTES])
    f.call("slow", {"ms": 60000})
    time.sleep(0.3)
    f.p.send_signal(signal.SIGTERM)
    began = time.monotonic()
    ok("SIGTERM in a call ends it within 3 s", f.wait(6) is not None and time.monotonic() - began < 3)
    f = Front(["--", NOTES])
    f.reply(f.call("add_note", {"text": "x"}))
    family = children(f.p.pid)
    f.p.kill()
    f.wait()
    ok("killed, its servers go too", bool(family) and gone(family, 6), family)


def reader_gone():
    f = Front(["--", NOTES])
    f.p.stdout.close()
    began = time.monotonic()
    code = f.wait(5)
    ok("when nobody reads any more it ends by itself", code == 6 and time.monotonic() - began < 4, code)


def server_dies():
    f = Front(["--", *ODD])
    m = f.reply(f.call("die"))
    ok("a server that dies in a call: an error", m and "error" in m, m)
    f.reply(f.call("echo"))  # may be told once that state was lost
    m = f.reply(f.call("echo", {"a": 1}), 20)
    ok("and a new one for the calls after that", m and "result" in m and json.loads(text_of(m)) == {"a": 1}, m)
    f.end()


def server_killed():
    f = Front(["--", NOTES])
    ident = f.call("slow", {"ms": 60000})
    time.sleep(0.4)
    os.kill(children(f.p.pid)[-1], signal.SIGKILL)
    m = f.reply(ident, 5)
    ok("a server killed in a call: an error at once", m and "error" in m, m)
    f.end()


def asked_back():
    f = Front(["--", *ODD], hello=False)
    f.say({**HELLO, "params": {**HELLO["params"], "capabilities": {"roots": {}}}})
    f.reply(1)
    f.say(READY)
    ident = f.call("ask")
    q = f.message()
    ok("a request of the server arrives", q and q.get("method") == "roots/list", q)
    f.say({"jsonrpc": "2.0", "id": q["id"], "result": {"roots": []}})
    m = f.reply(ident)
    ok("and its answer too", m and text_of(m) == "answer result", m)
    f.end()


class Pretty(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        m = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        results = {"initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                                  "serverInfo": {"name": "pretty", "version": "1"}},
                   "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]},
                   "tools/call": {"content": [{"type": "text", "text": "two\nlines"}]}}
        body = b""
        if "id" in m:
            reply = {"jsonrpc": "2.0", "id": m["id"]}
            if m["method"] in results:
                reply["result"] = results[m["method"]]
            else:
                reply["error"] = {"code": -32601, "message": "no"}
            body = json.dumps(reply, indent=2).replace("\n", "\r\n").encode()
        self.send_response(200 if body else 202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_DELETE = do_GET


def one_line_each():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pretty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    f = Front(["http://127.0.0.1:%d/mcp" % server.server_port], hello=False)
    f.say(HELLO)
    first = f.line()
    f.say(READY)
    f.call("t", ident=9)
    second = f.line()
    good = first and second and b"\r" not in first + second and json.loads(first)["id"] == 1
    ok("a reply written over many lines leaves as one", good and text_of(json.loads(second)) == "two\nlines", (first, second))
    f.end()
    server.shutdown()


def quiet_stdout():
    p = subprocess.run([MCPGW, "stdio", "--log-level", "debug", "--", "/nonexistent/server"], input=json.dumps(HELLO).encode() + b"\n",
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    lines = p.stdout.splitlines()
    good = len(lines) == 1 and "error" in json.loads(lines[0]) and json.loads(lines[0])["id"] == 1
    ok("a server that cannot start: one error on stdout, the rest on stderr", good and p.stderr, (p.stdout, p.stderr))


def nobody_reads_stderr():
    r, w = os.pipe()
    fcntl.fcntl(w, 1031, 4096)  # F_SETPIPE_SZ: soon full
    noisy = "seq 5000 | sed s/^/noise_noise_noise_noise/ >&2; exec " + NOTES
    f = Front(["--", "sh", "-c", noisy], ["--log-level", "debug", "--log-format", "json"], stderr=w)
    done = 0
    for i in range(600):
        f.say({"jsonrpc": "2.0", "id": 5000 + i, "method": "ping"})
        f.raw(b"garbage\n")
        if f.reply(5000 + i, 5) is None:
            break
        done += 1
    m = f.reply(f.call("add_note", {"text": "x"}))
    ok("a log that nobody reads stops nothing", done == 600 and m and text_of(m) == "note 1", (done, m))
    os.close(r)
    f.end()
    os.close(w)


def modern():
    f = Front(["--", NOTES], hello=False)
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"}}
    f.say({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
           "params": {"name": "add_note", "arguments": {"text": "x"}, "_meta": meta}})
    m = f.reply(1)
    ok("a modern request needs no initialize", m and text_of(m) == "note 1" and m["result"]["resultType"] == "complete", m)
    f.end()


def main():
    for part in (plain, bad_lines, long_lines, no_room, large_replies, slow_reader, deaf_client, between, one_write, many_pending, cancelled_are_not_counted, end_in_a_call,
                 signals, reader_gone, server_dies, server_killed, asked_back, one_line_each, quiet_stdout, nobody_reads_stderr,
                 modern):
        try:
            part()
        except Exception as e:  # a part that breaks fails, the others still run
            ok(part.__name__ + " ran to its end", False, repr(e))


main()
sys.exit(0)
