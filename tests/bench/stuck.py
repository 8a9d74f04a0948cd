#!/usr/bin/env python3
"""stuck: an MCP server that accepts and never answers, and the callers that wait for it.

  stuck.py serve              prints its URL; answers server/discover and lists, no call; ends when stdin does
  stuck.py hold URL N         N modern tools/call, each on a connection of its own; says "held N" once all are sent.
                              Then, a line each on stdin: "drop K" closes K of them; "count S" waits up to S seconds
                              and says how many of the rest were answered, and how: "answered=… by_name=… open=…"
"""
import json
import resource
import selectors
import socket
import sys
import time

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "stuck", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
RESULTS = {
    "server/discover": {
        "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
        "serverInfo": {"name": "stuck", "version": "1"}, "ttlMs": 60000, "cacheScope": "public",
    },
    "tools/list": {"resultType": "complete", "tools": [{"name": "wait", "inputSchema": {"type": "object"}}], "ttlMs": 60000, "cacheScope": "public"},
}


def whole(buf):
    """One request off the buffer: (body, rest), or None while it is incomplete."""
    head, found, rest = bytes(buf).partition(b"\r\n\r\n")
    if not found:
        return None
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    return (rest[:length], rest[length:]) if len(rest) >= length else None


def serve():
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    sel = selectors.DefaultSelector()
    sel.register(listener, selectors.EVENT_READ)
    sel.register(sys.stdin, selectors.EVENT_READ)
    bufs = {}
    while True:
        for key, _ in sel.select():
            if key.fileobj is sys.stdin:
                if not sys.stdin.buffer.raw.read(1):
                    return
            elif key.fileobj is listener:
                conn, _ = listener.accept()
                bufs[conn] = b""
                sel.register(conn, selectors.EVENT_READ)
            else:
                read_one(sel, bufs, key.fileobj)


def read_one(sel, bufs, conn):
    try:
        data = conn.recv(65536)
    except OSError:
        data = b""
    if not data:
        sel.unregister(conn)
        del bufs[conn]
        conn.close()
        return
    bufs[conn] += data
    got = whole(bufs[conn])
    if not got:
        return
    body, bufs[conn] = got
    message = json.loads(body)
    result = RESULTS.get(message.get("method"))
    if result is not None and "id" in message:
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text) + text)


def call(host, path, n):
    body = json.dumps({"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": "wait", "arguments": {}, "_meta": META}}).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        f"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: wait\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def hold(url, n):
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.rpartition(":")
    conns = []
    for i in range(n):
        conn = socket.create_connection((name, int(port)))
        conn.sendall(call(host, "/" + path, i + 1))
        conns.append(conn)
    print(f"held {n}", flush=True)
    for line in sys.stdin:
        verb, _, value = line.strip().partition(" ")
        if verb == "drop":
            for conn in conns[: int(value)]:
                conn.close()
            del conns[: int(value)]
            print(f"dropped {value}", flush=True)
        elif verb == "count":
            count(conns, float(value))


def count(conns, seconds):
    sel = selectors.DefaultSelector()
    got = {conn: b"" for conn in conns}
    answered = by_name = 0
    for conn in conns:
        sel.register(conn, selectors.EVENT_READ)
    end = time.monotonic() + seconds
    while got and time.monotonic() < end:
        for key, _ in sel.select(0.1):
            conn = key.fileobj
            data = conn.recv(65536)
            got[conn] += data
            named = b'"origin":"gateway","reason":"' in got[conn]
            if named or b'"result"' in got[conn] or not data:
                answered += bool(data)
                by_name += named
                sel.unregister(conn)
                del got[conn]
    print(f"answered={answered} by_name={by_name} open={len(got)}", flush=True)


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
if sys.argv[1:2] == ["serve"]:
    serve()
elif sys.argv[1:2] == ["hold"] and len(sys.argv) == 4:
    hold(sys.argv[2], int(sys.argv[3]))
else:
    sys.exit(__doc__)
