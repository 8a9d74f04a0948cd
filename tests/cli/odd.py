"""An MCP server on stdio (legacy) that does odd things, byte by byte as told. ODD_LOG: a file it notes in."""
import json
import os
import sys
import time

LOG = os.environ.get("ODD_LOG")
KINDS = ('{"name":"kinds","description":"red \\u001b[31m alert\\tand\\nmore","inputSchema":{"type":"object","properties":{'
         '"a":{"type":"string"},"b":{"type":"integer"},"c":{"type":"array","items":{"type":"string"}},'
         '"d":{"type":["number","null"]},"e":{"enum":[1,2]},"f":{}},"required":["a"]}}')
EXACT = '{"content":[ ],"structuredContent":{"n" : 0.10000000000000000001,"big":18446744073709551616,"s":"\\u00e9\\/"}}'
PLAIN = ["exact", "esc", "flood", "ask", "die", "sleep", "env", "echo"]


def note(text):
    if LOG:
        with open(LOG, "a") as f:
            f.write(text + "\n")


def send(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def result(ident, text):
    send('{"jsonrpc":"2.0","id":%s,"result":%s}' % (json.dumps(ident), text))


def text_result(ident, text):
    result(ident, json.dumps({"content": [{"type": "text", "text": text}]}))


def ask(ident):
    send('{"jsonrpc":"2.0","id":"q1","method":"roots/list"}')
    for line in sys.stdin:
        answer = json.loads(line)
        if answer.get("id") == "q1" and "method" not in answer:
            text_result(ident, "answer %s" % answer.get("error", {}).get("code", "result"))
            return


def call(ident, params):
    name, arguments = params["name"], params.get("arguments", {})
    if name == "exact":
        result(ident, EXACT)
    elif name == "esc":
        text_result(ident, "one \x1b[31mred\x07\ntwo\tend")
    elif name == "flood":
        text_result(ident, "x" * arguments["bytes"])
    elif name == "ask":
        ask(ident)
    elif name == "die":
        os._exit(3)
    elif name == "env":
        text_result(ident, os.environ.get("ODD_VALUE", "none"))
    elif name == "echo":
        text_result(ident, json.dumps(arguments))
    elif name == "sleep":
        note("sleeping")  # answered never: only a cancellation ends it
    else:
        send('{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"what?\\nno \\u001b[1m tool"}}' % json.dumps(ident))


def main():
    for line in sys.stdin:
        m = json.loads(line)
        method, ident = m.get("method"), m.get("id")
        if method == "initialize":
            result(ident, json.dumps({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                                      "serverInfo": {"name": "odd", "version": "1"}}))
        elif method == "tools/list":
            plain = ",".join('{"name":"%s","inputSchema":{"type":"object"}}' % n for n in PLAIN)
            result(ident, '{"tools":[%s,%s]}' % (KINDS, plain))
        elif method == "tools/call":
            call(ident, m["params"])
        elif method == "notifications/cancelled":
            note("cancelled")
        elif ident is not None and method == "ping":
            result(ident, "{}")
        elif ident is not None and method:
            send('{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}' % json.dumps(ident))
    note("eof")


main()
