build-thread/lib/transport/http_call.o: lib/transport/http_call.c \
 lib/base/clock.h lib/transport/http_priv.h lib/base/buf.h \
 lib/base/slice.h lib/base/list.h lib/base/map.h lib/http/sse.h \
 lib/base/blob.h lib/base/mem.h lib/transport/http.h \
 include/mcpgw/transport.h include/mcpgw/types.h lib/http/client.h \
 lib/loop/loop.h lib/base/err.h lib/base/log.h
lib/base/clock.h:
lib/transport/http_priv.h:
lib/base/buf.h:
lib/base/slice.h:
lib/base/list.h:
lib/base/map.h:
lib/http/sse.h:
lib/base/blob.h:
lib/base/mem.h:
lib/transport/http.h:
include/mcpgw/transport.h:
include/mcpgw/types.h:
lib/http/client.h:
lib/loop/loop.h:
lib/base/err.h:
lib/base/log.h:
