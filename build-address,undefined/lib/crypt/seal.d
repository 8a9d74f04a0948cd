build-address,undefined/lib/crypt/seal.o: lib/crypt/seal.c \
 lib/crypt/seal.h lib/base/buf.h lib/base/slice.h lib/base/clock.h \
 lib/base/id.h lib/base/mem.h include/mcpgw/types.h
lib/crypt/seal.h:
lib/base/buf.h:
lib/base/slice.h:
lib/base/clock.h:
lib/base/id.h:
lib/base/mem.h:
include/mcpgw/types.h:
