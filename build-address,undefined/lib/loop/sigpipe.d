build-address,undefined/lib/loop/sigpipe.o: lib/loop/sigpipe.c \
 lib/loop/sigpipe.h
lib/loop/sigpipe.h:
