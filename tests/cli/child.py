"""An MCP server on stdio (legacy) that misbehaves as its tools are told. argv[1]: a word to be found by."""
import json
import os
import resource
import subprocess
import sys
import time

MARK = sys.argv[1] if len(sys.argv) > 1 else "x"
STUBBORN = "import signal,time\nfor s in (1,2,3,15): signal.signal(s,signal.SIG_IGN)\nwhile True: time.sleep(1000)"


def send(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def text_result(ident, text):
    send(json.dumps({"jsonrpc": "2.0", "id": ident, "result": {"content": [{"type": "text", "text": text}]}}))


def flood(fd, megabytes):
    block = b"here is what I am doing now, line by line\n" * 1560  # 64 KiB
    for _ in range(megabytes * 16):
        os.write(fd, block)


def call(ident, name, arguments):
    if name == "breed":  # as npx does: a grandchild; this one makes a session of its own and ignores TERM
        subprocess.Popen([sys.executable, "-c", STUBBORN, MARK], start_new_session=True, stdin=subprocess.DEVNULL)
        subprocess.Popen([sys.executable, "-c", STUBBORN, MARK])
        time.sleep(0.3)
        text_result(ident, "bred")
    elif name == "garbage":
        flood(1, arguments["megabytes"])
        text_result(ident, "after garbage")
    elif name == "stderr":
        flood(2, arguments["megabytes"])
        text_result(ident, "after stderr")
    elif name == "chatter":  # every line of it is a proper message
        line = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"%s"}}\n' % (b"x" * 900)
        for _ in range(arguments["megabytes"] * 16):
            os.write(1, line * 66)
        text_result(ident, "after chatter")
    elif name == "nan":
        send('{"jsonrpc":"2.0","id":%s,"result":{"structuredContent":{"x":NaN},"content":[]}}' % json.dumps(ident))
    elif name == "silent":
        pass
    elif name == "die":
        os._exit(3)
    elif name == "about":
        text_result(ident, json.dumps({
            "uid": os.getuid(), "groups": os.getgroups(), "env": dict(os.environ),
            "memory": resource.getrlimit(resource.RLIMIT_DATA)[0], "cpu": resource.getrlimit(resource.RLIMIT_CPU)[0],
            "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}))
    else:
        text_result(ident, "%d" % os.getpid())


for line in sys.stdin:
    message = json.loads(line)
    ident, method, params = message.get("id"), message.get("method"), message.get("params", {})
    if method == "initialize":
        send(json.dumps({"jsonrpc": "2.0", "id": ident, "result": {
            "protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "child", "version": "1"}}}))
    elif method == "tools/list":
        send(json.dumps({"jsonrpc": "2.0", "id": ident, "result": {"tools": [
            {"name": n, "inputSchema": {"type": "object"}} for n in
            ("breed", "garbage", "stderr", "chatter", "nan", "silent", "die", "about", "pid")]}}))
    elif method == "tools/call":
        call(ident, params["name"], params.get("arguments", {}))
    elif ident is not None and method:
        send(json.dumps({"jsonrpc": "2.0", "id": ident, "result": {}}))
