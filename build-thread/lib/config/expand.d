build-thread/lib/config/expand.o: lib/config/expand.c lib/config/build.h \
 lib/base/buf.h lib/base/slice.h lib/config/config.h lib/base/err.h \
 include/mcpgw/types.h lib/json/doc.h lib/json/scan.h
lib/config/build.h:
lib/base/buf.h:
lib/base/slice.h:
lib/config/config.h:
lib/base/err.h:
include/mcpgw/types.h:
lib/json/doc.h:
lib/json/scan.h:
