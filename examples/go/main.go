// An MCP gateway inside a Go program: lists the tools of a server and calls one, in-process.
//
//	CGO_CFLAGS="$(pkg-config --cflags mcpgw)" CGO_LDFLAGS="$(pkg-config --libs-only-L mcpgw)" go build
//	./go /path/to/notes
//
// One goroutine owns the gateway and waits in mcpgw_gateway_wait; the others hand it calls through a channel
// and ring mcpgw_gateway_wakeup, the one function that may be called from any thread. The goroutine need
// not be locked to a thread: a gateway may migrate as long as one thread at a time uses it.
package main

// #cgo LDFLAGS: -lmcpgw
// #include <mcpgw/mcpgw.h>
// #include <stdlib.h>
import "C"

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"
)

// Call is one request on its way to the owner; its reply comes on done.
type call struct {
	method, params string
	done           chan reply
}

type reply struct {
	result json.RawMessage
	err    error
}

// Gateway fronts one stdio server and is a client of it.
type Gateway struct {
	calls   chan call
	quit    chan struct{}
	ended   chan struct{}
	gateway *C.mcpgw_gateway
	client  *C.mcpgw_client
}

func failure(rc C.int) error {
	if rc == C.MCPGW_OK {
		return nil
	}
	return errors.New(C.GoString(C.mcpgw_strerror(rc)))
}

// cStrings makes a NULL-terminated array of C strings in C memory; the second result frees it.
func cStrings(values []string) (**C.char, func()) {
	size := C.size_t(len(values)+1) * C.size_t(unsafe.Sizeof((*C.char)(nil)))
	array := (**C.char)(C.calloc(1, size))
	slots := unsafe.Slice(array, len(values)+1)
	for i, v := range values {
		slots[i] = C.CString(v)
	}
	return array, func() {
		for _, s := range slots {
			C.free(unsafe.Pointer(s))
		}
		C.free(unsafe.Pointer(array))
	}
}

// Open starts a gateway in front of the server that argv starts. Close ends both.
func Open(name string, argv []string) (*Gateway, error) {
	var config *C.mcpgw_config
	g := &Gateway{calls: make(chan call, 16), quit: make(chan struct{}), ended: make(chan struct{})}
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	cArgv, freeArgv := cStrings(argv)
	defer freeArgv()
	cEnv, freeEnv := cStrings([]string{"PATH=" + os.Getenv("PATH")})
	defer freeEnv()

	rc := C.mcpgw_config_new(&config)
	if rc == C.MCPGW_OK {
		defer C.mcpgw_config_free(config)
		rc = C.mcpgw_config_add_stdio(config, cName, C.size_t(len(name)), cArgv, cEnv, nil)
	}
	if rc == C.MCPGW_OK {
		rc = C.mcpgw_gateway_new(&g.gateway, config, nil)
	}
	if rc == C.MCPGW_OK {
		rc = C.mcpgw_client_open(&g.client, g.gateway, nil, 0, C.MCPGW_CLIENT_AUTO)
	}
	if rc != C.MCPGW_OK {
		C.mcpgw_gateway_free(g.gateway)
		return nil, failure(rc)
	}
	go g.own()
	return g, nil
}

// Call sends one request and waits for its result. Any goroutine.
func (g *Gateway) Call(method, params string) (json.RawMessage, error) {
	done := make(chan reply, 1)
	select {
	case g.calls <- call{method, params, done}:
	case <-g.ended:
		return nil, errors.New("the gateway has ended")
	}
	C.mcpgw_gateway_wakeup(g.gateway)
	select {
	case r := <-done:
		return r.result, r.err
	case <-time.After(30 * time.Second):
		return nil, errors.New(method + ": no reply in 30 seconds")
	case <-g.ended:
		return nil, errors.New("the gateway has ended")
	}
}

// Close ends the gateway and its server. Once, when no Call is under way.
func (g *Gateway) Close() {
	close(g.quit)
	C.mcpgw_gateway_wakeup(g.gateway)
	<-g.ended
	C.mcpgw_client_close(g.client)
	C.mcpgw_gateway_free(g.gateway)
}

// own is the owner: the only goroutine that uses the gateway until Close.
func (g *Gateway) own() {
	defer close(g.ended)
	waiting := map[uint64]chan reply{}
	for {
		for more := true; more; {
			select {
			case c := <-g.calls:
				g.start(c, waiting)
			case <-g.quit:
				return
			default:
				more = false
			}
		}
		if rc := C.mcpgw_gateway_wait(g.gateway, -1); rc != C.MCPGW_OK && rc != C.MCPGW_E_AGAIN {
			return
		}
		if !g.events(waiting) {
			return
		}
	}
}

func (g *Gateway) start(c call, waiting map[uint64]chan reply) {
	var id C.uint64_t
	method, params := C.CString(c.method), C.CString(c.params)
	rc := C.mcpgw_client_request(g.client, method, C.size_t(len(c.method)), params, C.size_t(len(c.params)), &id)
	C.free(unsafe.Pointer(method))
	C.free(unsafe.Pointer(params))
	if rc != C.MCPGW_OK {
		c.done <- reply{err: failure(rc)}
		return
	}
	waiting[uint64(id)] = c.done
}

// events hands out what has come; false: the client cannot go on.
func (g *Gateway) events(waiting map[uint64]chan reply) bool {
	var event *C.mcpgw_event
	for C.mcpgw_gateway_next_event(g.gateway, &event) == C.MCPGW_OK {
		kind, id := C.mcpgw_event_kind(event), uint64(C.mcpgw_event_request_id(event))
		data := C.GoBytes(unsafe.Pointer(C.mcpgw_event_data(event)), C.int(C.mcpgw_event_len(event)))
		C.mcpgw_event_free(event)
		switch kind {
		case C.MCPGW_EVENT_REPLY:
			if done := waiting[id]; done != nil {
				delete(waiting, id)
				done <- parse(data)
			}
		case C.MCPGW_EVENT_CLOSED:
			for _, done := range waiting {
				done <- reply{err: errors.New(string(data))}
			}
			return false
		}
	}
	return true
}

func parse(data []byte) reply {
	var m struct {
		Result json.RawMessage
		Error  *struct{ Message string }
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return reply{err: err}
	}
	if m.Error != nil {
		return reply{err: errors.New(m.Error.Message)}
	}
	return reply{result: m.Result}
}

func run(argv []string) error {
	g, err := Open("notes", argv)
	if err != nil {
		return err
	}
	defer g.Close()
	tools, err := g.Call("tools/list", "{}")
	if err != nil {
		return err
	}
	fmt.Printf("tools: %s\n", tools)
	result, err := g.Call("tools/call", `{"name":"add_note","arguments":{"text":"from Go"}}`)
	if err != nil {
		return err
	}
	fmt.Printf("add_note: %s\n", result)
	return nil
}

func main() {
	argv := os.Args[1:]
	if len(argv) == 0 {
		argv = []string{"build/examples/notes"}
	}
	if err := run(argv); err != nil {
		fmt.Fprintln(os.Stderr, "mcpgw:", err)
		os.Exit(1)
	}
}
