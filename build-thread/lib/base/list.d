build-thread/lib/base/list.o: lib/base/list.c lib/base/list.h
lib/base/list.h:
