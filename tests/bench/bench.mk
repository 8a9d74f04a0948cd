# The programs of `make bench`, in $(B)/bench; the Makefile includes this file.
BENCH_TOOLS := $(patsubst %,$(B)/bench/%,upstream curlproxy load idle cold contexts store_bench)
.PHONY: bench-tools
bench-tools: $(BENCH_TOOLS)
$(B)/bench/contexts $(B)/bench/store_bench: $(B)/libmcpgw.a
$(BENCH_TOOLS): $(B)/bench/%: $(B)/tests/bench/%.o $(B)/tests/bench/util.o
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter-out %.a,$^) $(filter %.a,$^) $(if $(filter curlproxy,$*),$(shell pkg-config --libs libcurl))$(if $(filter contexts store_bench,$*),$(PKG_LIBS))
# The scanner beside jansson; not a part of bench-tools, so that these build without the library.
$(B)/bench/scan_bench: $(B)/tests/bench/scan_bench.o $(B)/libmcpgw.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
