build-thread/lib/json/member.o: lib/json/member.c include/mcpgw/types.h \
 lib/json/lex.h lib/json/scan.h lib/base/buf.h lib/base/slice.h
include/mcpgw/types.h:
lib/json/lex.h:
lib/json/scan.h:
lib/base/buf.h:
lib/base/slice.h:
