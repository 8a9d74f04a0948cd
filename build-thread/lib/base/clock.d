build-thread/lib/base/clock.o: lib/base/clock.c lib/base/clock.h \
 include/mcpgw/types.h
lib/base/clock.h:
include/mcpgw/types.h:
