build-thread/lib/wire/params.o: lib/wire/params.c lib/base/mem.h \
 include/mcpgw/types.h lib/wire/headers.h lib/wire/message.h \
 lib/json/scan.h lib/base/buf.h lib/base/slice.h lib/wire/era.h
lib/base/mem.h:
include/mcpgw/types.h:
lib/wire/headers.h:
lib/wire/message.h:
lib/json/scan.h:
lib/base/buf.h:
lib/base/slice.h:
lib/wire/era.h:
