build-address,undefined/lib/http/client.o: lib/http/client.c \
 lib/http/client_priv.h lib/base/buf.h lib/base/slice.h lib/base/heap.h \
 lib/base/list.h lib/base/map.h lib/http/client.h lib/base/blob.h \
 lib/base/mem.h lib/loop/loop.h lib/base/err.h include/mcpgw/types.h \
 lib/base/log.h
lib/http/client_priv.h:
lib/base/buf.h:
lib/base/slice.h:
lib/base/heap.h:
lib/base/list.h:
lib/base/map.h:
lib/http/client.h:
lib/base/blob.h:
lib/base/mem.h:
lib/loop/loop.h:
lib/base/err.h:
include/mcpgw/types.h:
lib/base/log.h:
