build-thread/lib/api/version.o: lib/api/version.c include/mcpgw/version.h \
 include/mcpgw/types.h lib/base/err.h lib/base/slice.h
include/mcpgw/version.h:
include/mcpgw/types.h:
lib/base/err.h:
lib/base/slice.h:
