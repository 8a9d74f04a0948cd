#!/usr/bin/env python3
"""libmcpgw from Python with ctypes alone: lists the tools of an MCP server and calls one, in-process.

    python3 mcpgw_demo.py build/libmcpgw.so build/examples/notes

The library comes from the first argument or MCPGW_LIB, the server's command from the rest. Nothing is
compiled: every function of <mcpgw/gateway.h> takes pointers, lengths and fixed-size integers, and results
are pulled as events, so no callback from C is needed. One thread owns a gateway at a time.
"""
import ctypes as c
import json
import os
import select
import sys
import time

OK, E_AGAIN = 0, -10
CLIENT_AUTO = 0
EVENT_REPLY, EVENT_CLOSED = 1, 4

PTR, STR, SIZE = c.c_void_p, c.c_char_p, c.c_size_t
PROTOTYPES = {  # name: (result, arguments…); as in the header
    "mcpgw_version": (STR,),
    "mcpgw_strerror": (STR, c.c_int),
    "mcpgw_config_new": (c.c_int, c.POINTER(PTR)),
    "mcpgw_config_add_stdio": (c.c_int, PTR, STR, SIZE, c.POINTER(STR), c.POINTER(STR), STR),
    "mcpgw_config_error": (STR, PTR),
    "mcpgw_config_free": (None, PTR),
    "mcpgw_gateway_new": (c.c_int, c.POINTER(PTR), PTR, PTR),
    "mcpgw_gateway_fd": (c.c_int, PTR),
    "mcpgw_gateway_timeout_ms": (c.c_int, PTR),
    "mcpgw_gateway_dispatch": (c.c_int, PTR),
    "mcpgw_gateway_next_event": (c.c_int, PTR, c.POINTER(PTR)),
    "mcpgw_gateway_free": (None, PTR),
    "mcpgw_client_open": (c.c_int, c.POINTER(PTR), PTR, STR, SIZE, c.c_uint32),
    "mcpgw_client_request": (c.c_int, PTR, STR, SIZE, STR, SIZE, c.POINTER(c.c_uint64)),
    "mcpgw_client_close": (None, PTR),
    "mcpgw_event_kind": (c.c_uint32, PTR),
    "mcpgw_event_request_id": (c.c_uint64, PTR),
    "mcpgw_event_data": (PTR, PTR),
    "mcpgw_event_len": (SIZE, PTR),
    "mcpgw_event_free": (None, PTR),
}


def load(path):
    lib = c.CDLL(path)
    for name, (result, *arguments) in PROTOTYPES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def strings(values):
    """A NULL-terminated array of C strings."""
    return (STR * (len(values) + 1))(*[v.encode() for v in values], None)


class GatewayError(Exception):
    pass


class Gateway:
    """A gateway in front of one stdio server, and a client of it."""

    def __init__(self, lib, name, argv, env):
        self.lib, self.config, self.gateway, self.client = lib, PTR(), PTR(), PTR()
        try:
            self._check(lib.mcpgw_config_new(c.byref(self.config)))
            key = name.encode()
            self._check(lib.mcpgw_config_add_stdio(self.config, key, len(key), strings(argv), strings(env), None))
            self._check(lib.mcpgw_gateway_new(c.byref(self.gateway), self.config, None))
            self._check(lib.mcpgw_client_open(c.byref(self.client), self.gateway, None, 0, CLIENT_AUTO))
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.lib.mcpgw_client_close(self.client)
        self.lib.mcpgw_gateway_free(self.gateway)
        self.lib.mcpgw_config_free(self.config)
        self.client, self.gateway, self.config = PTR(), PTR(), PTR()

    def call(self, method, params=None, timeout=30.0):
        """Sends one request and waits for its result; other events are passed over."""
        name = method.encode()
        text = None if params is None else json.dumps(params).encode()
        request_id = c.c_uint64()
        self._check(self.lib.mcpgw_client_request(self.client, name, len(name), text, len(text or b""),
                                                  c.byref(request_id)))
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for kind, reply_to, data in self._events():
                if kind == EVENT_CLOSED:
                    raise GatewayError(data.decode())
                if kind == EVENT_REPLY and reply_to == request_id.value:
                    reply = json.loads(data)
                    if "error" in reply:
                        raise GatewayError(reply["error"]["message"])
                    return reply["result"]
            self._turn(deadline - time.monotonic())
        raise TimeoutError(method)

    def _turn(self, patience):
        """One turn of the loop: fd and timeout hold only until the next call into the library."""
        wait_ms = self.lib.mcpgw_gateway_timeout_ms(self.gateway)
        wait = patience if wait_ms < 0 else min(wait_ms / 1000, patience)
        select.select([self.lib.mcpgw_gateway_fd(self.gateway)], [], [], max(wait, 0))
        self._check(self.lib.mcpgw_gateway_dispatch(self.gateway))

    def _events(self):
        event = PTR()
        while True:
            rc = self.lib.mcpgw_gateway_next_event(self.gateway, c.byref(event))
            if rc == E_AGAIN:
                return
            self._check(rc)
            data = c.string_at(self.lib.mcpgw_event_data(event), self.lib.mcpgw_event_len(event))
            found = self.lib.mcpgw_event_kind(event), self.lib.mcpgw_event_request_id(event), data
            self.lib.mcpgw_event_free(event)
            yield found

    def _check(self, rc):
        if rc != OK:
            detail = self.lib.mcpgw_config_error(self.config) if self.config else b""
            raise GatewayError((detail or self.lib.mcpgw_strerror(rc)).decode())


def main(argv):
    path = argv[1] if len(argv) > 1 else os.environ.get("MCPGW_LIB", "build/libmcpgw.so")
    command = argv[2:] or ["build/examples/notes"]
    with Gateway(load(path), "notes", command, [f"PATH={os.environ.get('PATH', '')}"]) as gateway:
        for tool in gateway.call("tools/list")["tools"]:
            print(f"{tool['name']}: {tool['description']}")
        arguments = {"text": "from Python"}
        result = gateway.call("tools/call", {"name": "add_note", "arguments": arguments})
        print("add_note said:", result["content"][0]["text"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
