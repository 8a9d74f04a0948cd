build-thread/lib/base/map.o: lib/base/map.c lib/base/map.h \
 lib/base/slice.h lib/base/mem.h include/mcpgw/types.h
lib/base/map.h:
lib/base/slice.h:
lib/base/mem.h:
include/mcpgw/types.h:
