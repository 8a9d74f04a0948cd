#!/usr/bin/env python3
"""hunt.py BUILD [SECONDS] [CLIENTS]: the duplicate hunt. Clients send calls with idempotency keys through a real mcpgw
to ledger servers (stdio and HTTP, both eras) and repeat each until they have an answer, while the gateway and the
servers are killed, connections are cut at every stage, and the disk is full now and then. Afterwards the ledger is
counted: no key has two effects, no acknowledged one has none, whoever saw a success sees the same bytes again, and
what is not known is said to be so. Prints calls, faults, duplicates and lost acknowledgements.

HUNT_SEED repeats the choices of a run. HUNT_WITHOUT_KEYS=1 sends no keys: then there are duplicates, and it is a
failure to find none (a hunt that cannot find one proves nothing)."""

import faulthandler
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

faulthandler.register(signal.SIGUSR1)
BUILD = os.path.abspath(sys.argv[1])
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 30
CLIENTS = int(sys.argv[3]) if len(sys.argv) > 3 else 50
WITHOUT_KEYS = bool(os.environ.get("HUNT_WITHOUT_KEYS"))
SEED = int(os.environ.get("HUNT_SEED", "0")) or int(time.time())
NS = "io.modelcontextprotocol/"
SERVER_FAULTS = ["die_before", "die_after", "cut_before", "cut_after", "cut_mid", "idle"]
CLIENT_CUTS = ["before", "mid_send", "after_send", "mid_reply", "after_reply"]
UNKNOWN, CONFLICT = -31004, -31005
PATIENCE_S = 15  # a client then gives up; how it ended must be right all the same


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class World:
    """What is shared: processes, counters, what each key has seen."""

    def __init__(self, work):
        self.work, self.lock = work, threading.Lock()
        self.port, self.ledger_port = free_port(), free_port()
        self.ledger = os.path.join(work, "ledger")
        self.state = os.path.join(work, "state")
        self.gateway = self.server = None
        self.n = dict.fromkeys(["attempts", "replays_checked", "gateway_kills", "server_kills", "full_disks", "server_faults",
                                "cuts", "transport_errors", "refused", "joined_or_replayed"], 0)
        self.acked, self.unknown, self.unanswered, self.refusals, self.bad = {}, {}, [], {}, []
        self.stop, self.calm = threading.Event(), threading.Event()
        self.log_tail = []
        self.config = os.path.join(work, "mcp.json")
        gateway = {"breaker": {"enabled": False}, "timeouts": {"total_ms": 8000, "connect_ms": 3000}}
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump({"mcpServers": {
                "s": {"command": f"{BUILD}/hunt/ledger", "args": [self.ledger], "gateway": gateway},
                "h": {"type": "http", "url": f"http://127.0.0.1:{self.ledger_port}/mcp", "gateway": gateway}},
                "gateway": {"listen": [f"127.0.0.1:{self.port}"], "state_dir": self.state}}, f)

    def count(self, name, n=1):
        with self.lock:
            self.n[name] += n

    def fail(self, text):
        with self.lock:
            self.bad.append(text)

    def drain(self, pipe):
        for line in pipe:
            self.log_tail = self.log_tail[-40:] + [line]

    def start_gateway(self):
        for _ in range(100):
            p = subprocess.Popen([f"{BUILD}/mcpgw", "serve", self.config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
            threading.Thread(target=self.drain, args=(p.stderr,), daemon=True).start()
            if p.stdout.readline():
                self.gateway = p
                return
            p.wait()
            time.sleep(0.05)
        raise SystemExit("the gateway does not start: " + repr(self.log_tail[-5:]))

    def start_server(self):
        for _ in range(100):
            p = subprocess.Popen([f"{BUILD}/hunt/ledger", self.ledger, "--http", str(self.ledger_port)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
            if p.stdout.readline():
                self.server = p
                return
            p.wait()
            time.sleep(0.05)
        raise SystemExit("the ledger server does not start")

    def revive_server(self):
        """The faults die_before and die_after end the HTTP server too."""
        if self.server.poll() is not None:
            self.start_server()

    def end(self):
        for p in (self.gateway, self.server):
            if p:
                p.send_signal(signal.SIGTERM if p is self.gateway else signal.SIGKILL)
        for p in (self.gateway, self.server):
            try:
                p.wait(15)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


class Lost(Exception):
    """The connection ended before a whole reply was there."""


class Client(threading.Thread):
    def __init__(self, world, n):
        super().__init__(daemon=True)
        self.w, self.n, self.rng = world, n, random.Random(SEED * 1000 + n)
        self.modern = n % 2 == 0
        self.path = "/mcp/h" if n % 4 < 2 else "/mcp/s"
        self.sock, self.session, self.ids = None, None, 0

    # ---- one exchange -------------------------------------------------------------------------------------------

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def post(self, body, headers=(), cut=None):
        """Status, headers and JSON body of the answer. cut: where the client's connection ends instead."""
        text = json.dumps(body).encode()
        head = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json",
                "Accept: application/json, text/event-stream", f"Content-Length: {len(text)}", *headers]
        data = "\r\n".join(head).encode() + b"\r\n\r\n" + text
        try:
            if cut == "before":
                self.close()
                raise Lost
            if not self.sock:
                self.sock = socket.create_connection(("127.0.0.1", self.w.port), timeout=15)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if cut == "mid_send":
                self.sock.sendall(data[: self.rng.randrange(1, len(data))])
                self.close()
                raise Lost
            self.sock.sendall(data)
            if cut == "after_send":
                time.sleep(self.rng.random() * 0.01)
                self.close()
                raise Lost
            return self.read(cut)
        except OSError as e:
            self.close()
            raise Lost from e

    def read(self, cut):
        buf = b""
        while b"\r\n\r\n" not in buf:
            got = self.sock.recv(65536)
            if not got or cut == "mid_reply":
                self.close()
                raise Lost
            buf += got
        head, _, rest = buf.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        status = int(lines[0].split()[1])
        headers = {k.lower(): v.strip() for k, _, v in (l.partition(":") for l in lines[1:])}
        body = self.chunked(rest) if "chunked" in headers.get("transfer-encoding", "") else self.sized(rest, int(headers.get("content-length", 0)))
        if cut == "after_reply":
            self.close()
            raise Lost
        return status, headers, body

    def more(self):
        got = self.sock.recv(65536)
        if not got:
            self.close()
            raise Lost
        return got

    def sized(self, rest, n):
        while len(rest) < n:
            rest += self.more()
        return rest

    def chunked(self, rest):
        out = b""
        while True:
            while b"\r\n" not in rest:
                rest += self.more()
            size, _, rest = rest.partition(b"\r\n")
            n = int(size, 16)
            while len(rest) < n + 2:
                rest += self.more()
            out, rest = out + rest[:n], rest[n + 2:]
            if n == 0:
                break
        data = re.findall(rb"^data: ?(.*)$", out, re.M)  # an event stream: its last event is the reply
        return data[-1].rstrip(b"\r") if data else b""

    # ---- sessions and calls ----------------------------------------------------------------------------------------

    def initialize(self):
        _, headers, _ = self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "hunt", "version": "1"}}})
        self.session = headers.get("mcp-session-id")
        if self.session:
            self.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, [f"Mcp-Session-Id: {self.session}"])

    def call(self, key, args, cut=None):
        self.ids += 1
        params = {"name": "effect", "arguments": args}
        headers = [] if WITHOUT_KEYS else [f'Idempotency-Key: "{key}"']
        if self.modern:
            params["_meta"] = {NS + "protocolVersion": "2026-07-28", NS + "clientCapabilities": {}}
            headers += ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: effect"]
        else:
            if not self.session:
                self.initialize()
            headers.append(f"Mcp-Session-Id: {self.session}")
        status, _, body = self.post({"jsonrpc": "2.0", "id": self.ids, "method": "tools/call", "params": params}, headers, cut)
        self.w.count("attempts")
        if status == 404:
            self.session = None
            raise Lost
        try:
            reply = json.loads(body)
        except ValueError:
            if status != 200:
                raise Lost from None
            self.w.fail(f"{key}: not JSON: {status} {body[:200]}")
            raise Lost from None
        return reply

    def settle(self, key, args, until):
        """Repeats the call until there is an answer: ("ack", bytes), ("unknown", None) or None when time is up."""
        pause = 0.005
        while time.time() < until:
            cut = self.rng.choice(CLIENT_CUTS) if not self.w.calm.is_set() and self.rng.random() < 0.08 else None
            if cut:
                self.w.count("cuts")
            try:
                reply = self.call(key, args, cut)
                error = reply.get("error")
                if not error:
                    result = reply["result"]
                    meta = result.get("_meta", {})
                    if meta.pop("dev.mcpgw/replayed", None):
                        self.w.count("joined_or_replayed")
                    meta.pop("dev.mcpgw/context", None)
                    if not meta:
                        result.pop("_meta", None)
                    return "ack", json.dumps(result)
                if error["code"] == UNKNOWN and not WITHOUT_KEYS:
                    return "unknown", None
                if error["code"] == CONFLICT:
                    self.w.fail(f"{key}: a conflict that is none: {error}")
                self.w.count("refused")
                with self.w.lock:
                    why = f"{error['code']} {error['message'][:60]}"
                    self.w.refusals[why] = self.w.refusals.get(why, 0) + 1
                if error["code"] == -31008:
                    self.session = None
            except Lost:
                self.w.count("transport_errors")
            time.sleep(pause * self.rng.random())
            pause = min(pause * 2, 0.5)
        return None

    def run(self):
        k = 0
        while not self.w.stop.is_set():
            k += 1
            key = f"c{self.n}-{k}"
            args = {"id": key}
            # a stdio server that dies again and again is held back, which is right, but no fun for the rest
            if self.rng.random() < (0.06 if self.path == "/mcp/h" else 0.01):
                args["fault"] = self.rng.choice(SERVER_FAULTS)
                self.w.count("server_faults")
            self.one(key, args)

    def one(self, key, args):
        got = self.settle(key, args, time.time() + PATIENCE_S)
        if not got:
            with self.w.lock:
                self.w.unanswered.append(key)
            return
        kind, value = got
        with self.w.lock:
            (self.w.acked if kind == "ack" else self.w.unknown)[key] = (args, value, self.path)
        if self.rng.random() < 0.3 and not WITHOUT_KEYS:
            again = self.settle(key, args, time.time() + PATIENCE_S)
            self.w.count("replays_checked")
            if again and again != got:
                self.w.fail(f"{key}: first {got}, then {again}")


# ---- what goes wrong around the clients --------------------------------------------------------------------------------


def kill_child(w, rng):
    """One of the stdio servers, as the gateway's launcher started it."""
    wanted, pids = f"{BUILD}/hunt/ledger\0{w.ledger}\0".encode(), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read() == wanted:
                    pids.append(int(pid))
        except OSError:
            continue
    if pids:
        try:
            os.kill(rng.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return
        w.count("server_kills")


def fill_disk(w):
    """No file of the gateway's may grow for a while: its writes fail as they do on a full disk."""
    try:
        pid = w.gateway.pid
        old = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        size = os.path.getsize(os.path.join(w.state, "store", "data.mdb"))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, old[1]))
        w.count("full_disks")
        time.sleep(0.4)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, old)
    except (OSError, ProcessLookupError):
        pass


def chaos(w, seconds):
    rng, end = random.Random(SEED), time.time() + seconds
    while time.time() < end:
        time.sleep(0.3 + rng.random() * 0.9)
        w.revive_server()
        what = rng.random()
        if what < 0.35:
            w.gateway.send_signal(signal.SIGKILL)
            w.gateway.wait()
            w.count("gateway_kills")
            w.start_gateway()
        elif what < 0.6:
            w.server.kill()
            w.server.wait()
            w.count("server_kills")
            w.start_server()
        elif what < 0.8:
            kill_child(w, rng)
        else:
            fill_disk(w)


# ---- the count -----------------------------------------------------------------------------------------------------------


def effects_of(w):
    effects = {}
    with open(w.ledger, encoding="utf-8") as f:
        for line in f:
            effects[line.strip()] = effects.get(line.strip(), 0) + 1
    return effects


def ask_again(w):
    """In peace: a sample of what was acknowledged gives the same bytes, what was unknown is not run."""
    rng, before = random.Random(SEED + 1), effects_of(w)
    wrong = asked = 0
    for known in (w.acked, w.unknown):
        for key in rng.sample(sorted(known), min(120, len(known))):
            if len(w.bad) > 5:
                break
            args, value, path = known[key]
            c = Client(w, 9999)
            # what was asked in one era is answered in the other, and without its server: that may be held back still
            c.path, c.modern = path, True
            got = c.settle(key, args, time.time() + 10)
            c.close()
            asked += 1
            if got != (("ack", value) if known is w.acked else ("unknown", None)):
                wrong += 1
                w.fail(f"{key}: afterwards {got}, was {value or 'unknown'}")
    if effects_of(w) != before:
        w.fail("asking again had effects")
    return asked, wrong


def ten_at_once(w):
    """Ten gateways on stdio, one state directory, one key each of the same: what they answered, and how often it ran."""
    meta = {NS + "protocolVersion": "2026-07-28", NS + "clientCapabilities": {}, "dev.mcpgw/idempotency-key": "ten"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "h__effect", "arguments": {"id": "ten"}, "_meta": meta}}
    gateways = [subprocess.Popen([f"{BUILD}/mcpgw", "stdio", w.config], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True) for _ in range(10)]
    for g in gateways:
        g.stdin.write(json.dumps(call) + "\n")
        g.stdin.flush()
    said = []
    for g in gateways:
        reply = json.loads(g.stdout.readline())
        said.append(reply.get("result", {}).get("structuredContent", reply.get("error")))
        g.stdin.close()
    for g in gateways:
        g.wait(30)
    return effects_of(w).get("ten", 0), said


def report_without_keys(w):
    duplicates = sum(n > 1 for n in effects_of(w).values())
    print(f"# hunt without keys: {len(w.acked)} calls, {w.n['gateway_kills']} gateway_kills, {duplicates} duplicates found")
    print("ok - without keys the hunt finds duplicates" if duplicates else "not ok - without keys the hunt finds duplicates")
    print(f"{int(duplicates > 0)} passed, {int(duplicates == 0)} failed")
    return 0 if duplicates else 1


def hunt(work):
    w = World(work)
    w.start_server()
    w.start_gateway()
    clients = [Client(w, n) for n in range(CLIENTS)]
    for c in clients:
        c.start()
    chaos(w, SECONDS)
    w.calm.set()
    w.stop.set()
    for c in clients:
        while c.is_alive():
            w.revive_server()
            c.join(0.2)
    w.revive_server()
    if WITHOUT_KEYS:
        w.end()
        return report_without_keys(w)
    asked, wrong = ask_again(w)
    ten, said = ten_at_once(w)
    w.end()
    effects = effects_of(w)
    known = len(w.acked) + len(w.unknown)
    duplicates = {k: n for k, n in effects.items() if n > 1}
    lost = [k for k in w.acked if not effects.get(k)]
    ran = sum(1 for k in w.unknown if effects.get(k))
    check = subprocess.run([f"{BUILD}/mcpgw", "store", "check", w.state], capture_output=True, text=True, check=False)
    print(f"# hunt: seed {SEED}, {CLIENTS} clients, {known} calls in {w.n['attempts']} attempts; {len(w.acked)} acknowledged, "
          f"{len(w.unknown)} unknown ({ran} of them ran); {len(w.unanswered)} given up; {w.n['joined_or_replayed']} joined or replayed")
    for why, n in sorted(w.refusals.items(), key=lambda x: -x[1])[:4]:
        print(f"# refused {n} times: {why}")
    print("# faults: " + ", ".join(f"{w.n[k]} {k}" for k in ("gateway_kills", "server_kills", "full_disks", "server_faults", "cuts")) +
          f"; {w.n['transport_errors']} lost connections, {w.n['refused']} refusals")
    print(f"# duplicates {len(duplicates)}, lost acknowledgements {len(lost)}, {w.n['replays_checked'] + asked} repetitions compared, {wrong} wrong")
    tests = [
        ("no key has two effects", not duplicates, duplicates),
        ("no acknowledged call is without its effect", not lost, lost[:5]),
        ("who saw an answer sees the same again", not w.bad, w.bad[:5]),
        ("ten gateways on one state directory: one effect, one answer", ten == 1 and all(s == said[0] for s in said), (ten, said)),
        ("calls were made and acknowledged", len(w.acked) >= 50, len(w.acked)),
        ("hardly anybody had to give up", len(w.unanswered) * 20 <= known, (len(w.unanswered), w.refusals)),
        ("things went wrong on purpose", all(w.n[k] for k in ("gateway_kills", "server_kills", "server_faults", "cuts")), w.n),
        ("the store is sound", check.returncode == 0, check.stdout + check.stderr),
    ]
    for name, ok, why in tests:
        print(f"{'ok' if ok else 'not ok'} - {name}" + ("" if ok else f"\n# {why}"))
    bad = sum(not ok for _, ok, _ in tests)
    print(f"{len(tests) - bad} passed, {bad} failed")
    return 1 if bad else 0


def main():
    work = tempfile.mkdtemp(prefix="mcpgw-hunt-")
    try:
        return hunt(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
