build-address,undefined/lib/loop/spawn.o: lib/loop/spawn.c \
 lib/loop/spawn.h lib/loop/child.h lib/loop/loop.h lib/base/err.h \
 lib/base/slice.h include/mcpgw/types.h lib/base/log.h lib/loop/process.h \
 lib/base/mem.h
lib/loop/spawn.h:
lib/loop/child.h:
lib/loop/loop.h:
lib/base/err.h:
lib/base/slice.h:
include/mcpgw/types.h:
lib/base/log.h:
lib/loop/process.h:
lib/base/mem.h:
