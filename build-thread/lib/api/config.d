build-thread/lib/api/config.o: lib/api/config.c lib/api/api.h \
 lib/base/buf.h lib/base/slice.h lib/base/err.h include/mcpgw/types.h \
 lib/config/config.h include/mcpgw/gateway.h include/mcpgw/transport.h \
 lib/base/mem.h
lib/api/api.h:
lib/base/buf.h:
lib/base/slice.h:
lib/base/err.h:
include/mcpgw/types.h:
lib/config/config.h:
include/mcpgw/gateway.h:
include/mcpgw/transport.h:
lib/base/mem.h:
