build-address,undefined/lib/transport/http_stream.o: \
 lib/transport/http_stream.c lib/base/clock.h lib/base/mem.h \
 lib/transport/http_priv.h lib/base/buf.h lib/base/slice.h \
 lib/base/list.h lib/base/map.h lib/http/sse.h lib/base/blob.h \
 lib/transport/http.h include/mcpgw/transport.h include/mcpgw/types.h \
 lib/http/client.h lib/loop/loop.h lib/base/err.h lib/base/log.h
lib/base/clock.h:
lib/base/mem.h:
lib/transport/http_priv.h:
lib/base/buf.h:
lib/base/slice.h:
lib/base/list.h:
lib/base/map.h:
lib/http/sse.h:
lib/base/blob.h:
lib/transport/http.h:
include/mcpgw/transport.h:
include/mcpgw/types.h:
lib/http/client.h:
lib/loop/loop.h:
lib/base/err.h:
lib/base/log.h:
