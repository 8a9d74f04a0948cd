build-thread/lib/transport/memory.o: lib/transport/memory.c \
 lib/transport/memory.h include/mcpgw/transport.h include/mcpgw/types.h \
 lib/base/mem.h
lib/transport/memory.h:
include/mcpgw/transport.h:
include/mcpgw/types.h:
lib/base/mem.h:
