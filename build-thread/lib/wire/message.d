build-thread/lib/wire/message.o: lib/wire/message.c lib/wire/message.h \
 lib/json/scan.h lib/base/buf.h lib/base/slice.h lib/wire/era.h \
 include/mcpgw/types.h
lib/wire/message.h:
lib/json/scan.h:
lib/base/buf.h:
lib/base/slice.h:
lib/wire/era.h:
include/mcpgw/types.h:
