build-thread/lib/wire/build.o: lib/wire/build.c lib/wire/build.h \
 lib/wire/message.h lib/json/scan.h lib/base/buf.h lib/base/slice.h \
 lib/wire/era.h
lib/wire/build.h:
lib/wire/message.h:
lib/json/scan.h:
lib/base/buf.h:
lib/base/slice.h:
lib/wire/era.h:
