build-address,undefined/lib/transport/stdio_in.o: \
 lib/transport/stdio_in.c lib/base/clock.h lib/transport/peek.h \
 lib/base/slice.h lib/transport/stdio_priv.h lib/transport/stdio.h \
 include/mcpgw/transport.h include/mcpgw/types.h lib/loop/child.h \
 lib/loop/loop.h lib/base/err.h lib/base/log.h
lib/base/clock.h:
lib/transport/peek.h:
lib/base/slice.h:
lib/transport/stdio_priv.h:
lib/transport/stdio.h:
include/mcpgw/transport.h:
include/mcpgw/types.h:
lib/loop/child.h:
lib/loop/loop.h:
lib/base/err.h:
lib/base/log.h:
