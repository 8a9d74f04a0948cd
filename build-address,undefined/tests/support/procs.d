build-address,undefined/tests/support/procs.o: tests/support/procs.c \
 tests/support/procs.h
tests/support/procs.h:
