build-thread/lib/base/mem.o: lib/base/mem.c lib/base/mem.h \
 include/mcpgw/types.h
lib/base/mem.h:
include/mcpgw/types.h:
