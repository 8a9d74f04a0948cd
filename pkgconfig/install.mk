# install, uninstall, dist and the export list; included by the Makefile, which sets prefix, libdir, … and B.
#   make install DESTDIR=/tmp/root prefix=/usr
# pkgconfig/exports.txt is the one list of exported functions; `make exports` writes the version script from
# it. Both are kept in the repository; tests/abi checks that they, the headers, the library and the manual agree.
bindir       ?= $(prefix)/bin
pkgconfigdir ?= $(libdir)/pkgconfig
INSTALL      ?= install
PC            = $(B)/mcpgw.pc
MAN3         := $(sort $(wildcard man/*.3))
DIST          = $(B)/mcpgw-$(VERSION).tar.gz

# A page is installed under its own name and under every other name that its NAME section gives.
man_names = $(shell sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([a-z0-9_]*\).*/\1/p' $(1))
in_prefix = $(patsubst $(prefix)/%,$${prefix}/%,$(1))

# mcpgw knows where its launcher will be installed: another libexecdir makes that object anew.
$(B)/libexecdir: FORCE
	@mkdir -p $(@D)
	@echo '$(libexecdir)' | cmp -s - $@ || echo '$(libexecdir)' >$@
$(B)/cmd/mcpgw/target.o: $(B)/libexecdir

.PHONY: install uninstall dist exports FORCE
install: all
	$(INSTALL) -d $(addprefix '$(DESTDIR)'/,$(bindir) $(libexecdir)/mcpgw $(libdir) $(pkgconfigdir) \
	  $(includedir)/mcpgw $(mandir)/man1 $(mandir)/man3 $(mandir)/man5 $(datadir)/mcpgw)
	$(INSTALL) -m 755 $(B)/mcpgw '$(DESTDIR)$(bindir)/mcpgw'
	$(INSTALL) -m 755 $(B)/mcpgw-launch '$(DESTDIR)$(libexecdir)/mcpgw/mcpgw-launch'
	$(INSTALL) -m 644 $(B)/libmcpgw.a '$(DESTDIR)$(libdir)/libmcpgw.a'
	$(INSTALL) -m 755 $(B)/libmcpgw.so '$(DESTDIR)$(libdir)/libmcpgw.so.$(VERSION)'
	ln -sf libmcpgw.so.$(VERSION) '$(DESTDIR)$(libdir)/libmcpgw.so.$(SOMAJOR)'
	ln -sf libmcpgw.so.$(SOMAJOR) '$(DESTDIR)$(libdir)/libmcpgw.so'
	$(INSTALL) -m 644 include/mcpgw/*.h '$(DESTDIR)$(includedir)/mcpgw/'
	sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(call in_prefix,$(libdir))|' -e 's|@VERSION@|$(VERSION)|' \
	  -e 's|@includedir@|$(call in_prefix,$(includedir))|' -e 's|@libexecdir@|$(call in_prefix,$(libexecdir))|' \
	  -e 's|@PKGS@|$(PKGS)|' pkgconfig/mcpgw.pc.in >$(PC)
	$(INSTALL) -m 644 $(PC) '$(DESTDIR)$(pkgconfigdir)/mcpgw.pc'
	$(foreach s,1 3 5,$(foreach p,$(wildcard man/*.$(s)),$(INSTALL) -m 644 $(p) '$(DESTDIR)$(mandir)/man$(s)/' &&)) :
	$(foreach p,$(MAN3),$(foreach n,$(filter-out $(basename $(notdir $(p))),$(call man_names,$(p))),\
	  ln -sf $(notdir $(p)) '$(DESTDIR)$(mandir)/man3/$(n).3' &&)) :
	$(INSTALL) -m 644 cmd/mcpgw/mcpgw.schema.json '$(DESTDIR)$(datadir)/mcpgw/'

# Removes what install put there, by name; directories only when they are ours and empty.
uninstall:
	rm -f '$(DESTDIR)$(bindir)/mcpgw' '$(DESTDIR)$(libexecdir)/mcpgw/mcpgw-launch' \
	  '$(DESTDIR)$(libdir)/libmcpgw.a' '$(DESTDIR)$(libdir)/libmcpgw.so' \
	  '$(DESTDIR)$(libdir)/libmcpgw.so.$(SOMAJOR)' '$(DESTDIR)$(libdir)/libmcpgw.so.$(VERSION)' \
	  '$(DESTDIR)$(pkgconfigdir)/mcpgw.pc' '$(DESTDIR)$(datadir)/mcpgw/mcpgw.schema.json' \
	  $(foreach h,$(notdir $(wildcard include/mcpgw/*.h)),'$(DESTDIR)$(includedir)/mcpgw/$(h)') \
	  $(foreach s,1 3 5,$(foreach p,$(notdir $(wildcard man/*.$(s))),'$(DESTDIR)$(mandir)/man$(s)/$(p)')) \
	  $(foreach p,$(MAN3),$(foreach n,$(call man_names,$(p)),'$(DESTDIR)$(mandir)/man3/$(n).3'))
	for d in '$(DESTDIR)$(libexecdir)/mcpgw' '$(DESTDIR)$(datadir)/mcpgw' '$(DESTDIR)$(includedir)/mcpgw'; do \
	  if [ -d "$$d" ]; then rmdir --ignore-fail-on-non-empty "$$d"; fi; done

# What is committed, and nothing else.
dist:
	@mkdir -p $(B)
	git archive --format=tar.gz --prefix=mcpgw-$(VERSION)/ -o $(DIST) HEAD
	@echo $(DIST)

exports: pkgconfig/exports.txt
	{ echo '/* Written by `make exports` from exports.txt. */'; printf 'MCPGW_0 {\n  global:\n'; \
	  sed 's/.*/    &;/' $<; printf '  local:\n    *;\n};\n'; } >pkgconfig/mcpgw.map
