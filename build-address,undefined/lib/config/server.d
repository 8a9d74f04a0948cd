build-address,undefined/lib/config/server.o: lib/config/server.c \
 lib/base/id.h lib/base/buf.h lib/base/slice.h lib/config/build.h \
 lib/config/config.h lib/base/err.h include/mcpgw/types.h lib/json/doc.h \
 lib/json/scan.h
lib/base/id.h:
lib/base/buf.h:
lib/base/slice.h:
lib/config/build.h:
lib/config/config.h:
lib/base/err.h:
include/mcpgw/types.h:
lib/json/doc.h:
lib/json/scan.h:
