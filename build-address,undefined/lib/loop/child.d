build-address,undefined/lib/loop/child.o: lib/loop/child.c \
 lib/loop/child.h lib/loop/loop.h lib/base/err.h lib/base/slice.h \
 include/mcpgw/types.h lib/base/log.h lib/base/clock.h lib/base/mem.h \
 lib/loop/inside.h lib/base/list.h lib/loop/spawn.h lib/loop/process.h
lib/loop/child.h:
lib/loop/loop.h:
lib/base/err.h:
lib/base/slice.h:
include/mcpgw/types.h:
lib/base/log.h:
lib/base/clock.h:
lib/base/mem.h:
lib/loop/inside.h:
lib/base/list.h:
lib/loop/spawn.h:
lib/loop/process.h:
