build-thread/lib/transport/peek.o: lib/transport/peek.c \
 lib/transport/peek.h lib/base/slice.h
lib/transport/peek.h:
lib/base/slice.h:
