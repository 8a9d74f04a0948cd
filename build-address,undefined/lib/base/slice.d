build-address,undefined/lib/base/slice.o: lib/base/slice.c \
 lib/base/slice.h include/mcpgw/types.h
lib/base/slice.h:
include/mcpgw/types.h:
