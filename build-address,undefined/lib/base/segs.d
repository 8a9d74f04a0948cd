build-address,undefined/lib/base/segs.o: lib/base/segs.c lib/base/blob.h \
 lib/base/mem.h lib/base/slice.h include/mcpgw/types.h
lib/base/blob.h:
lib/base/mem.h:
lib/base/slice.h:
include/mcpgw/types.h:
