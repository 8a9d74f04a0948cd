# libmcpgw and mcpgw. `make help` lists the doors; make is the only one.
VERSION  := 0.1.0
SOMAJOR  := 0
B        ?= build
SAN      ?=
CC       ?= cc
OPT      ?= -O2 -g
WARN     := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
            -Wno-format-nonliteral
PKGS     := libcurl jansson libsodium libuv lmdb
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
ROOMS      := base json crypt loop store http wire config core transport gateway api
include $(foreach r,$(ROOMS),$(wildcard lib/$(r)/room.mk)) $(wildcard cmd/mcpgw/room.mk)
LIB_SRC    := $(foreach r,$(ROOMS),$(patsubst %,lib/$(r)/%.c,$($(r))))
LIB_OBJ    := $(LIB_SRC:%.c=$(B)/%.o) $(if $(filter src,$(LLHTTP)),$(patsubst %,$(B)/llhttp/%.o,api http llhttp))
CMD_OBJ    := $(patsubst %,$(B)/cmd/mcpgw/%.o,$(cmd))

.DEFAULT_GOAL := all
.PHONY: all lib
all: $(B)/mcpgw $(B)/mcpgw-launch $(B)/libmcpgw.a $(B)/libmcpgw.so
lib: $(B)/libmcpgw.a $(B)/libmcpgw.so

# V=1 shows whole commands
Q          := $(if $(V),,@)
say         = $(if $(V),,@echo '  $(1)')
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc $<)
	$(Q)$(CC) $(CPPFLAGS) -MMD -MP $(ALL_CFLAGS) $(PKG_CFLAGS) -c -o $@ $<
$(B)/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	$(call say,cc $<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -w -c -o $@ $<
$(B)/libmcpgw.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,ar $@)
	$(Q)$(AR) rcs $@ $^

$(B)/libmcpgw.so: $(LIB_OBJ) pkgconfig/mcpgw.map
	$(call say,ld $@)
	$(Q)$(CC) -shared $(ALL_LDFLAGS) -Wl,-soname,libmcpgw.so.$(SOMAJOR) -Wl,--version-script=pkgconfig/mcpgw.map \
	  $(if $(SAN),,-Wl,-z,defs) -o $@ $(LIB_OBJ) $(PKG_LIBS)
	@ln -sf libmcpgw.so $(B)/libmcpgw.so.$(SOMAJOR)
# the binary is a client of the library like any other; it carries it along
$(B)/mcpgw: $(CMD_OBJ) $(B)/libmcpgw.a
	$(call say,ld $@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(B)/mcpgw-launch: cmd/mcpgw-launch/main.c
	@mkdir -p $(@D)
	$(call say,cc $<)
	$(Q)$(CC) -std=c11 $(OPT) -D_GNU_SOURCE $(WARN) $(CFLAGS) $(LDFLAGS) -o $@ $<
$(B)/examples/notes: examples/servers/notes.c
	@mkdir -p $(@D)
	$(call say,cc $<)
	$(Q)$(CC) -std=c11 $(OPT) -D_GNU_SOURCE $(WARN) $(CFLAGS) $(LDFLAGS) -o $@ $< $(shell pkg-config --cflags --libs jansson)
$(B)/hunt/ledger: tests/hunt/ledger.c
	@mkdir -p $(@D)
	$(call say,cc $<)
	$(Q)$(CC) -std=gnu11 $(OPT) -D_GNU_SOURCE $(WARN) $(CFLAGS) $(LDFLAGS) -o $@ $< $(shell pkg-config --cflags --libs jansson) -lpthread
$(B)/cmd/mcpgw/%.o: CPPFLAGS += -DMCPGW_LIBEXEC='"$(libexecdir)/mcpgw"'

TEST_ROOMS := $(filter $(patsubst tests/%/,%,$(dir $(wildcard tests/*/main.c))),$(ROOMS) oom idem)

# ---- doors ------------------------------------------------------------------------------------------------
.PHONY: help run check check-asan check-tsan check-c fuzz-smoke lint bench conformance soak clean
help:
	@echo 'make               build/mcpgw, build/libmcpgw.a, build/libmcpgw.so'
	@echo 'make run           installs what is missing, builds, serves an example server on 127.0.0.1:8808'
	@echo 'make check         installs what is missing, runs all tests'
	@echo 'make check-asan    the C tests under AddressSanitizer and UBSan;  check-tsan: under TSan'
	@echo 'make fuzz-smoke    each fuzzer for a few seconds (clang)'
	@echo 'make lint          layers, fences, banned calls, lengths, public headers'
	@echo 'make conformance   the official suite through the gateway;  make bench: the numbers'
	@echo 'make soak          5,000 broken calls, then SOAK_S=600 s of mixed traffic with faults: memory and descriptors stay'
	@echo 'make install       DESTDIR=, prefix=;  make dist: a source archive;  make clean'

run:
	@tests/support/deps.sh build
	$(MAKE) --no-print-directory -j2 all $(B)/examples/notes
	@exec $(B)/mcpgw serve --hints --listen 127.0.0.1:8808 -- $(abspath $(B))/examples/notes

check:
	@tests/support/deps.sh build check
	$(MAKE) --no-print-directory -j2 all $(B)/examples/notes
	tests/run.sh $(B)

check-c: $(addprefix test-,$(TEST_ROOMS))
check-asan:
	$(MAKE) B=build/asan SAN=address,undefined OPT='-O1 -g' build/asan/mcpgw-launch check-c
check-tsan:
	$(MAKE) B=build/tsan SAN=thread OPT='-O1 -g' build/tsan/mcpgw-launch check-c
lint:
	tests/layers/lint.py
conformance:
	@tests/support/deps.sh build check
	$(MAKE) all
	tests/conformance/through.sh $(abspath $(B))
SOAK_S     ?= 600
soak:
	@tests/support/deps.sh build check
	$(MAKE) --no-print-directory -j2 all $(B)/examples/notes $(B)/faultproxy
	FAULT_CALLS=5000 FAULT_S=90 RIG_LIMIT_S=400 LIMIT_S=420 tests/faults/run.sh $(abspath $(B)) faults once
	$(MAKE) --no-print-directory $(B)/hunt/ledger
	timeout $$(($(SOAK_S) + 200)) tests/hunt/hunt.py $(abspath $(B)) $$(($(SOAK_S) / 3))
	SOAK_S=$(SOAK_S) RIG_LIMIT_S=$$(($(SOAK_S) * 2 + 300)) LIMIT_S=$$(($(SOAK_S) * 2 + 400)) tests/faults/run.sh $(abspath $(B)) soak
bench:
	tests/support/deps.sh build bench
	$(MAKE) all bench-tools $(B)/bench/scan_bench
	B=$(B) tests/bench/run.sh
clean:
	rm -rf $(CURDIR)/build

include pkgconfig/install.mk tests/bench/bench.mk

# ---- tests in C: one program a room, tests/<room>/*.c and tests/support/*.c with the static library ------------
SUPPORT    := $(patsubst %.c,$(B)/%.o,$(wildcard tests/support/*.c))
define test_room
$(B)/tests/$(1)/run: $(patsubst %.c,$(B)/%.o,$(wildcard tests/$(1)/*.c)) $(SUPPORT) $(B)/libmcpgw.a
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$(filter-out %.a,$$^) $(B)/libmcpgw.a $$(PKG_LIBS) -lcheck -lsubunit -lrt -lm
endef
$(foreach r,$(TEST_ROOMS),$(eval $(call test_room,$(r))))
.PHONY: test-% test-programs
test-programs: $(patsubst %,$(B)/tests/%/run,$(TEST_ROOMS)) $(B)/faultproxy $(B)/principals
test-%: $(B)/tests/%/run $(B)/mcpgw-launch $(B)/examples/notes
	CK_DEFAULT_TIMEOUT=60 MCPGW_LAUNCH=$(abspath $(B))/mcpgw-launch $<

# ---- programs of tests/faults: the fault proxy, and many callers in one process ---------------------------------
$(B)/principals: $(B)/tests/faults/principals.o $(B)/libmcpgw.a
	$(call say,ld $@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
FAULTPROXY := $(patsubst %.c,$(B)/%.o,$(wildcard tests/support/faultproxy/*.c)) $(B)/tests/bench/util.o
$(B)/faultproxy: $(FAULTPROXY)
	$(call say,ld $@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

# ---- fuzzers: libFuzzer with clang; their corpora are replayed by make check with the plain compiler ------------
FUZZERS    := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
$(B)/fuzz/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(B)/libmcpgw.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
.PHONY: replays
replays: $(addprefix $(B)/fuzz/replay_,$(FUZZERS))
FUZZ_S     ?= 20
fuzz-smoke:
	tests/support/deps.sh build fuzz
	$(MAKE) B=build/fuzz CC=clang SAN=address,undefined CFLAGS=-fsanitize=fuzzer-no-link OPT='-O1 -g' fuzz-run
.PHONY: fuzz-run
fuzz-run: $(addprefix $(B)/fuzz_,$(FUZZERS))
	@for f in $(FUZZERS); do mkdir -p $(B)/found/$$f; echo "fuzz $$f"; \
	  $(B)/fuzz_$$f -max_total_time=$(FUZZ_S) -print_final_stats=0 -verbosity=0 $(B)/found/$$f tests/fuzz/corpus/$$f || exit 1; done
$(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/libmcpgw.a
	$(CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(PKG_LIBS)
-include $(shell find $(B) -name '*.d' 2>/dev/null)
