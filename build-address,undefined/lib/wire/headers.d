build-address,undefined/lib/wire/headers.o: lib/wire/headers.c \
 lib/wire/headers.h lib/wire/message.h lib/json/scan.h lib/base/buf.h \
 lib/base/slice.h lib/wire/era.h lib/base/id.h include/mcpgw/types.h
lib/wire/headers.h:
lib/wire/message.h:
lib/json/scan.h:
lib/base/buf.h:
lib/base/slice.h:
lib/wire/era.h:
lib/base/id.h:
include/mcpgw/types.h:
