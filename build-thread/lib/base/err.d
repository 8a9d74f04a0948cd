build-thread/lib/base/err.o: lib/base/err.c lib/base/err.h \
 lib/base/slice.h include/mcpgw/types.h
lib/base/err.h:
lib/base/slice.h:
include/mcpgw/types.h:
