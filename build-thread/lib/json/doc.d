build-thread/lib/json/doc.o: lib/json/doc.c lib/json/doc.h lib/base/err.h \
 lib/base/slice.h include/mcpgw/types.h lib/json/scan.h lib/base/buf.h \
 lib/base/mem.h
lib/json/doc.h:
lib/base/err.h:
lib/base/slice.h:
include/mcpgw/types.h:
lib/json/scan.h:
lib/base/buf.h:
lib/base/mem.h:
