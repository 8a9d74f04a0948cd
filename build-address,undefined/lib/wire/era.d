build-address,undefined/lib/wire/era.o: lib/wire/era.c lib/wire/era.h \
 lib/base/buf.h lib/base/slice.h
lib/wire/era.h:
lib/base/buf.h:
lib/base/slice.h:
