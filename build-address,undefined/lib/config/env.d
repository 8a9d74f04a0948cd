build-address,undefined/lib/config/env.o: lib/config/env.c lib/base/mem.h \
 lib/config/build.h lib/base/buf.h lib/base/slice.h lib/config/config.h \
 lib/base/err.h include/mcpgw/types.h lib/json/doc.h lib/json/scan.h
lib/base/mem.h:
lib/config/build.h:
lib/base/buf.h:
lib/base/slice.h:
lib/config/config.h:
lib/base/err.h:
include/mcpgw/types.h:
lib/json/doc.h:
lib/json/scan.h:
