build-thread/lib/json/scan.o: lib/json/scan.c lib/json/lex.h \
 lib/json/scan.h lib/base/buf.h lib/base/slice.h include/mcpgw/types.h
lib/json/lex.h:
lib/json/scan.h:
lib/base/buf.h:
lib/base/slice.h:
include/mcpgw/types.h:
