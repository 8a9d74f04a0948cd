build-address,undefined/lib/loop/loop.o: lib/loop/loop.c lib/loop/loop.h \
 lib/base/err.h lib/base/slice.h include/mcpgw/types.h lib/base/log.h \
 lib/base/clock.h lib/base/mem.h lib/loop/inside.h lib/base/list.h \
 lib/loop/sigpipe.h
lib/loop/loop.h:
lib/base/err.h:
lib/base/slice.h:
include/mcpgw/types.h:
lib/base/log.h:
lib/base/clock.h:
lib/base/mem.h:
lib/loop/inside.h:
lib/base/list.h:
lib/loop/sigpipe.h:
