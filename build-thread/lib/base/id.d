build-thread/lib/base/id.o: lib/base/id.c lib/base/id.h lib/base/buf.h \
 lib/base/slice.h lib/base/clock.h include/mcpgw/types.h
lib/base/id.h:
lib/base/buf.h:
lib/base/slice.h:
lib/base/clock.h:
include/mcpgw/types.h:
