build-address,undefined/lib/config/keys.o: lib/config/keys.c \
 lib/base/log.h lib/base/slice.h lib/config/build.h lib/base/buf.h \
 lib/config/config.h lib/base/err.h include/mcpgw/types.h lib/json/doc.h \
 lib/json/scan.h
lib/base/log.h:
lib/base/slice.h:
lib/config/build.h:
lib/base/buf.h:
lib/config/config.h:
lib/base/err.h:
include/mcpgw/types.h:
lib/json/doc.h:
lib/json/scan.h:
