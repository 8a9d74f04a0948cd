build-thread/lib/api/gateway.o: lib/api/gateway.c lib/api/api.h \
 lib/base/buf.h lib/base/slice.h lib/base/err.h include/mcpgw/types.h \
 lib/config/config.h include/mcpgw/gateway.h include/mcpgw/transport.h \
 lib/base/mem.h lib/gateway/gateway.h lib/base/heap.h lib/base/map.h \
 lib/core/core.h lib/base/blob.h lib/base/list.h lib/base/log.h \
 lib/wire/build.h lib/wire/message.h lib/json/scan.h lib/wire/era.h \
 lib/wire/headers.h lib/http/client.h lib/loop/loop.h lib/http/server.h \
 lib/loop/child.h
lib/api/api.h:
lib/base/buf.h:
lib/base/slice.h:
lib/base/err.h:
include/mcpgw/types.h:
lib/config/config.h:
include/mcpgw/gateway.h:
include/mcpgw/transport.h:
lib/base/mem.h:
lib/gateway/gateway.h:
lib/base/heap.h:
lib/base/map.h:
lib/core/core.h:
lib/base/blob.h:
lib/base/list.h:
lib/base/log.h:
lib/wire/build.h:
lib/wire/message.h:
lib/json/scan.h:
lib/wire/era.h:
lib/wire/headers.h:
lib/http/client.h:
lib/loop/loop.h:
lib/http/server.h:
lib/loop/child.h:
