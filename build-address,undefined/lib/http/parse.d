build-address,undefined/lib/http/parse.o: lib/http/parse.c \
 lib/http/parse.h lib/http/server.h lib/base/blob.h lib/base/mem.h \
 lib/base/slice.h lib/base/buf.h lib/loop/loop.h lib/base/err.h \
 include/mcpgw/types.h lib/base/log.h /usr/share/include/llhttp/llhttp.h \
 lib/http/head.h
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
lib/http/head.h:
