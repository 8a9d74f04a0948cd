build-address,undefined/lib/json/splice.o: lib/json/splice.c \
 lib/json/splice.h lib/base/blob.h lib/base/mem.h lib/base/slice.h \
 lib/json/scan.h lib/base/buf.h include/mcpgw/types.h
lib/json/splice.h:
lib/base/blob.h:
lib/base/mem.h:
lib/base/slice.h:
lib/json/scan.h:
lib/base/buf.h:
include/mcpgw/types.h:
