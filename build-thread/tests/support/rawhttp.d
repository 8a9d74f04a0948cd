build-thread/tests/support/rawhttp.o: tests/support/rawhttp.c \
 tests/support/rawhttp.h
tests/support/rawhttp.h:
