build-address,undefined/lib/core/leg.o: lib/core/leg.c lib/core/brain.h \
 lib/base/clock.h lib/base/err.h lib/base/slice.h include/mcpgw/types.h \
 lib/base/heap.h lib/base/id.h lib/base/buf.h lib/base/map.h \
 lib/core/core.h lib/base/blob.h lib/base/mem.h lib/base/list.h \
 lib/base/log.h lib/config/config.h include/mcpgw/transport.h \
 lib/wire/build.h lib/wire/message.h lib/json/scan.h lib/wire/era.h \
 lib/wire/headers.h lib/json/splice.h
lib/core/brain.h:
lib/base/clock.h:
lib/base/err.h:
lib/base/slice.h:
include/mcpgw/types.h:
lib/base/heap.h:
lib/base/id.h:
lib/base/buf.h:
lib/base/map.h:
lib/core/core.h:
lib/base/blob.h:
lib/base/mem.h:
lib/base/list.h:
lib/base/log.h:
lib/config/config.h:
include/mcpgw/transport.h:
lib/wire/build.h:
lib/wire/message.h:
lib/json/scan.h:
lib/wire/era.h:
lib/wire/headers.h:
lib/json/splice.h:
