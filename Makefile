# make            builds the program (release)
#                 (with FEATURES=tls also for a cluster manager behind https://)
# make run        starts moxi with a memcached server inside, to try it out
# make test       everything that must pass before a change is merged
# make coverage   which lines the tests reach, in a table for docs/EVIDENCE.md; COVERAGE=-l lists those that they do not
# make attacks    others' waiting and the memory taken while somebody attacks, for docs/EVIDENCE.md
# make soak       an hour (SOAK=seconds) of half load, kills, changes of maps, upgrades; draws docs/soak.svg
# make test-clients    client libraries of eight languages, in front of memcached and of moxi; needs a network
# make test-original, make test-memcached    the suites of the C program and of memcached; SUITE=<checkout of their repository>
# make man        writes the entries of flags and -Z keys in man/moxi.1 anew, from their tables
# make install    PREFIX and DESTDIR as usual
# make deb        Debian packages of it, in target/packages; with https:// built in
# make rpm        the same for Red Hat's kind of systems
# make dist       the source with everything to build it, for rpmbuild -ta and others without a network
# make static     with as few shared libraries as can be, in target/static, for all machines that the toolchain can build for
# make test-image      the image of the Dockerfile, without an engine if none runs; for root
# make test-packages   both kinds: lint, install, run, upgrade and remove them; for root
# make clean      removes everything that was built
# make help       prints this

PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo
INSTALL ?= install
# What to build in: "tls" for https:// URLs.
FEATURES ?=

target   := $(or $(CARGO_TARGET_DIR),target)
bindir   := $(DESTDIR)$(PREFIX)/bin
mandir   := $(DESTDIR)$(PREFIX)/share/man
# The companion programs, besides moxi itself.
tools    := $(patsubst src/bin/%.rs,%,$(wildcard src/bin/*.rs))
programs := moxi $(tools)
# NAME.SECTION each.
pages    := $(notdir $(wildcard man/*.[1-9]))
installed = $(foreach page,$(pages),$(mandir)/man$(subst .,,$(suffix $(page)))/$(page))

.PHONY: all help build run test coverage test-clients test-packages test-original test-memcached bench attacks soak man install uninstall packaged static test-image deb rpm dist clean

all: build

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

build:
	@t/need cargo cc
	$(CARGO) build --release --locked $(if $(FEATURES),--features $(FEATURES))

# PORT=N for another port than 11211.
run: build
	@exec t/try $(target)/release/moxi $(PORT)

test:
	@t/need cargo cc rustfmt clippy memcached memccapable perl python3 python3-yaml mandoc unshare
	@t/check

# The original suite of the C program, which is not part of this repository:
# make test-original SUITE=<checkout of github.com/couchbase/moxi>
test-original: build
	@test -n "$(SUITE)" || { echo "usage: make test-original SUITE=<checkout of github.com/couchbase/moxi>" >&2; exit 2; }
	@t/need memcached perl python3 nc killall
	@MOXI_BIN=$(target)/release/moxi t/original/run.py $(SUITE)

# MOXI=PROGRAM for another one than that of "make"; CLIENTS="-e python aiomcache" for a part, see tests/libraries/run.py -h.
test-clients: $(if $(MOXI),,build)
	@t/need cargo cc memcached memccapable python3 unshare perl ruby node
	@MOXI=$(or $(MOXI),$(target)/release/moxi) tests/libraries/run.py $(CLIENTS)

# memcached's own suite, which is not part of this repository either:
# make test-memcached SUITE=<checkout of github.com/memcached/memcached>
test-memcached: build
	@test -n "$(SUITE)" || { echo "usage: make test-memcached SUITE=<checkout of github.com/memcached/memcached>" >&2; exit 2; }
	@t/need memcached perl python3 unshare
	@MOXI_BIN=$(target)/release/moxi t/memcached/run.py $(SUITE)

# COVERAGE="-l commands" for one folder of tests, and the lines that are not reached, see t/coverage -h.
coverage:
	@t/need cargo cc memcached memccapable perl python3 python3-yaml unshare llvm
	@t/coverage $(COVERAGE)

# moxi beside its peers, all under the same loads; BENCH=quick for a short run. See benches/README.md.
bench:
	@t/need cargo cc memcached
	@benches/run $(BENCH)

# What others wait for, and what memory is taken, while somebody attacks: the table of docs/EVIDENCE.md.
attacks:
	@t/need cargo cc memcached unshare
	MOXI_ATTACKS=full $(CARGO) test --release --locked --test attacks -- --nocapture --test-threads 1

# Half load, and all that may happen meanwhile: the figures and the chart of docs/EVIDENCE.md. See tests/soak.
soak:
	@t/need cargo cc memcached
	MOXI_SOAK=$(or $(SOAK),3600) MOXI_SOAK_CHART=docs/soak.svg $(CARGO) test --release --locked --test soak -- --nocapture

# The test that compares the page with the tables writes it then.
man:
	@t/need cargo cc
	MOXI_MAN=write $(CARGO) test --locked --test documents the_manual_page_has_the_entries_of_the_tables

# The packages have everything built in.
packaged:
	@t/need cargo cc
	$(CARGO) build --release --locked --features tls

static:
	@t/need cargo cc
	@packaging/static $(or $(FEATURES),tls)

test-image: static
	@t/need unshare memcached python3 python3-yaml
	@t/image $(target)/static/moxi-$$(uname -m)

deb: packaged
	@t/need dpkg-buildpackage dh dh_apparmor
	@packaging/deb $(target)/release

rpm: packaged dist
	@t/need rpmbuild find-debuginfo
	@packaging/rpm $(target)/release

dist:
	@t/need cargo
	@packaging/dist

test-packages: deb rpm
	@t/need lintian rpmlint mmdebstrap logrotate systemd-analyze apparmor_parser memcached python3
	@t/packages

# Does not build: "make && sudo make install" needs no Rust for root.
install:
	@test -x $(target)/release/moxi || { echo "run make first" >&2; exit 1; }
	$(INSTALL) -d $(bindir)
	for program in $(programs); do $(INSTALL) -m 755 $(target)/release/$$program $(bindir)/ || exit 1; done
	$(INSTALL) -d $(sort $(dir $(installed)))
	for page in $(installed); do $(INSTALL) -m 644 man/$${page##*/} $$page || exit 1; done

uninstall:
	rm -f $(addprefix $(bindir)/,$(programs)) $(installed)

clean:
	$(CARGO) clean
