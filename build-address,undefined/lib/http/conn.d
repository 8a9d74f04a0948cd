build-address,undefined/lib/http/conn.o: lib/http/conn.c lib/http/conn.h \
 lib/base/heap.h lib/base/list.h lib/http/parse.h lib/http/server.h \
 lib/base/blob.h lib/base/mem.h lib/base/slice.h lib/base/buf.h \
 lib/loop/loop.h lib/base/err.h include/mcpgw/types.h lib/base/log.h \
 /usr/share/include/llhttp/llhttp.h
lib/http/conn.h:
lib/base/heap.h:
lib/base/list.h:
lib/http/parse.h:
lib/http/server.h:
lib/base/blob.h:
lib/base/mem.h:
lib/base/slice.h:
lib/base/buf.h:
lib/loop/loop.h:
lib/base/err.h:
include/mcpgw/types.h:
lib/base/log.h:
/usr/share/include/llhttp/llhttp.h:
