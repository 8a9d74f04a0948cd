build-thread/lib/gateway/link.o: lib/gateway/link.c lib/base/mem.h \
 lib/gateway/gateway.h lib/base/err.h lib/base/slice.h \
 include/mcpgw/types.h lib/base/heap.h lib/base/map.h lib/config/config.h \
 lib/core/core.h lib/base/blob.h lib/base/list.h lib/base/log.h \
 include/mcpgw/transport.h lib/wire/build.h lib/wire/message.h \
 lib/json/scan.h lib/base/buf.h lib/wire/era.h lib/wire/headers.h \
 lib/http/client.h lib/loop/loop.h lib/http/server.h lib/loop/child.h \
 include/mcpgw/gateway.h lib/transport/http.h lib/transport/stdio.h
lib/base/mem.h:
lib/gateway/gateway.h:
lib/base/err.h:
lib/base/slice.h:
include/mcpgw/types.h:
lib/base/heap.h:
lib/base/map.h:
lib/config/config.h:
lib/core/core.h:
lib/base/blob.h:
lib/base/list.h:
lib/base/log.h:
include/mcpgw/transport.h:
lib/wire/build.h:
lib/wire/message.h:
lib/json/scan.h:
lib/base/buf.h:
lib/wire/era.h:
lib/wire/headers.h:
lib/http/client.h:
lib/loop/loop.h:
lib/http/server.h:
lib/loop/child.h:
include/mcpgw/gateway.h:
lib/transport/http.h:
lib/transport/stdio.h:
