build-thread/lib/http/sse.o: lib/http/sse.c lib/http/sse.h \
 lib/base/blob.h lib/base/mem.h lib/base/slice.h lib/base/buf.h \
 include/mcpgw/types.h
lib/http/sse.h:
lib/base/blob.h:
lib/base/mem.h:
lib/base/slice.h:
lib/base/buf.h:
include/mcpgw/types.h:
