build-address,undefined/lib/base/buf.o: lib/base/buf.c lib/base/buf.h \
 lib/base/slice.h lib/base/id.h lib/base/mem.h include/mcpgw/types.h
lib/base/buf.h:
lib/base/slice.h:
lib/base/id.h:
lib/base/mem.h:
include/mcpgw/types.h:
