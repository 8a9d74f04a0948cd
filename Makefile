# libmcpgw and mcpgw. `make help` lists the doors; make is the only one.
VERSION  := 0.1.0
SOMAJOR  := 0
B        ?= build
SAN      ?=
CC       ?= cc
OPT      ?= -O2 -g
WARN     := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
            -Wno-format-nonliteral
PKGS     := libcurl jansson libsodium libuv
LLHTTP   := $(shell pkg-config --exists libllhttp 2>/dev/null && echo pkg || echo src)
ifeq ($(LLHTTP),pkg)
PKGS     += libllhttp
endif
prefix     ?= /usr/local
libdir     ?= $(prefix)/lib
libexecdir ?= $(prefix)/libexec
includedir ?= $(prefix)/include
mandir     ?= $(prefix)/share/man
datadir    ?= $(prefix)/share

CPPFLAGS   += -D_GNU_SOURCE -Ilib -Iinclude -Itests $(if $(filter src,$(LLHTTP)),-I/usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1)
ALL_CFLAGS  = -std=c11 $(OPT) -fPIC -fvisibility=hidden -fno-strict-aliasing $(WARN) \
              $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) $(CFLAGS)
ALL_LDFLAGS = $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread

# ---- rooms: each lists its own sources in lib/<room>/room.mk, as `<room> := name name` --------------------
ROOMS      := base json crypt loop http wire config core transport gateway api
include $(foreach r,$(ROOMS),$(wildcard lib/$(r)/room.mk)) $(wildcard cmd/mcpgw/room.mk)
LIB_SRC    := $(foreach r,$(ROOMS),$(patsubst %,lib/$(r)/%.c,$($(r))))
LIB_OBJ    := $(LIB_SRC:%.c=$(B)/%.o) $(if $(filter src,$(LLHTTP)),$(patsubst %,$(B)/llhttp/%.o,api http llhttp))
CMD_OBJ    := $(patsubst %,$(B)/cmd/mcpgw/%.o,$(cmd))

.PHONY: all help lib
all: $(B)/mcpgw $(B)/mcpgw-launch $(B)/libmcpgw.a $(B)/libmcpgw.so
lib: $(B)/libmcpgw.a $(B)/libmcpgw.so

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -MMD -MP $(ALL_CFLAGS) $(PKG_CFLAGS) -c -o $@ $<
$(B)/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -w -c -o $@ $<
$(B)/libmcpgw.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

# ---- tests in C: one program a room, tests/<room>/*.c with tests/support/*.c, linked with the static library ----
TEST_ROOMS := $(filter $(patsubst tests/%/,%,$(wildcard tests/*/)),base json crypt loop http wire config core transport gateway api oom)
TEST_BIN   := $(patsubst %,$(B)/tests/%/run,$(TEST_ROOMS))
SUPPORT    := $(patsubst %.c,$(B)/%.o,$(wildcard tests/support/*.c))
define test_room
$(B)/tests/$(1)/run: $(patsubst %.c,$(B)/%.o,$(wildcard tests/$(1)/*.c)) $(SUPPORT) $(B)/libmcpgw.a
	$$(CC) $$(ALL_LDFLAGS) -o $$@ $$(filter-out %.a,$$^) $(B)/libmcpgw.a $$(PKG_LIBS) -lcheck -lsubunit -lrt -lm
endef
$(foreach r,$(TEST_ROOMS),$(eval $(call test_room,$(r))))
.PHONY: test-%
test-%: $(B)/tests/%/run
	$<
-include $(shell find $(B) -name '*.d' 2>/dev/null)
