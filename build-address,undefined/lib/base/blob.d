build-address,undefined/lib/base/blob.o: lib/base/blob.c lib/base/blob.h \
 lib/base/mem.h lib/base/slice.h include/mcpgw/types.h
lib/base/blob.h:
lib/base/mem.h:
lib/base/slice.h:
include/mcpgw/types.h:
