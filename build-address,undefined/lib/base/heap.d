build-address,undefined/lib/base/heap.o: lib/base/heap.c lib/base/heap.h \
 lib/base/mem.h include/mcpgw/types.h
lib/base/heap.h:
lib/base/mem.h:
include/mcpgw/types.h:
