build-thread/lib/loop/process.o: lib/loop/process.c lib/loop/process.h \
 lib/base/mem.h
lib/loop/process.h:
lib/base/mem.h:
