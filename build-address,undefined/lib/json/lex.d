build-address,undefined/lib/json/lex.o: lib/json/lex.c lib/json/lex.h \
 lib/json/scan.h lib/base/buf.h lib/base/slice.h
lib/json/lex.h:
lib/json/scan.h:
lib/base/buf.h:
lib/base/slice.h:
