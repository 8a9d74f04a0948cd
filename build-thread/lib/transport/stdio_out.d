build-thread/lib/transport/stdio_out.o: lib/transport/stdio_out.c \
 lib/base/mem.h lib/transport/peek.h lib/base/slice.h \
 lib/transport/stdio_priv.h lib/transport/stdio.h \
 include/mcpgw/transport.h include/mcpgw/types.h lib/loop/child.h \
 lib/loop/loop.h lib/base/err.h lib/base/log.h
lib/base/mem.h:
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
