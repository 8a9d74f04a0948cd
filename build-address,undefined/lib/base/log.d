build-address,undefined/lib/base/log.o: lib/base/log.c lib/base/log.h \
 lib/base/slice.h lib/base/buf.h lib/base/clock.h lib/base/id.h \
 include/mcpgw/types.h
lib/base/log.h:
lib/base/slice.h:
lib/base/buf.h:
lib/base/clock.h:
lib/base/id.h:
include/mcpgw/types.h:
