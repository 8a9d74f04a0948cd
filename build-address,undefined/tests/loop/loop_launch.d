build-address,undefined/tests/loop/loop_launch.o: \
 tests/loop/loop_launch.c tests/loop/loop_tests.h lib/base/mem.h \
 lib/loop/child.h lib/loop/loop.h lib/base/err.h lib/base/slice.h \
 include/mcpgw/types.h lib/base/log.h tests/support/procs.h
tests/loop/loop_tests.h:
lib/base/mem.h:
lib/loop/child.h:
lib/loop/loop.h:
lib/base/err.h:
lib/base/slice.h:
include/mcpgw/types.h:
lib/base/log.h:
tests/support/procs.h:
