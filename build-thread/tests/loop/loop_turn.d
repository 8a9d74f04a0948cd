build-thread/tests/loop/loop_turn.o: tests/loop/loop_turn.c \
 lib/base/clock.h tests/loop/loop_tests.h lib/base/mem.h lib/loop/child.h \
 lib/loop/loop.h lib/base/err.h lib/base/slice.h include/mcpgw/types.h \
 lib/base/log.h lib/loop/sigpipe.h tests/support/procs.h
lib/base/clock.h:
tests/loop/loop_tests.h:
lib/base/mem.h:
lib/loop/child.h:
lib/loop/loop.h:
lib/base/err.h:
lib/base/slice.h:
include/mcpgw/types.h:
lib/base/log.h:
lib/loop/sigpipe.h:
tests/support/procs.h:
