build-address,undefined/lib/transport/stdio.o: lib/transport/stdio.c \
 lib/transport/stdio.h include/mcpgw/transport.h include/mcpgw/types.h \
 lib/loop/child.h lib/loop/loop.h lib/base/err.h lib/base/slice.h \
 lib/base/log.h lib/base/mem.h lib/transport/stdio_priv.h
lib/transport/stdio.h:
include/mcpgw/transport.h:
include/mcpgw/types.h:
lib/loop/child.h:
lib/loop/loop.h:
lib/base/err.h:
lib/base/slice.h:
lib/base/log.h:
lib/base/mem.h:
lib/transport/stdio_priv.h:
