# make            builds the program (release)
#                 (with FEATURES=tls also for a cluster manager behind https://)
# make run        starts moxi with a memcached server inside, to try it out
# make test       everything that must pass before a change is merged
# make man        writes the entries of flags and -Z keys in man/moxi.1 anew, from their tables
# make install    PREFIX and DESTDIR as usual

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

.PHONY: all build run test test-original bench man install uninstall clean

all: build

build:
	@t/need cargo cc
	$(CARGO) build --release --locked $(if $(FEATURES),--features $(FEATURES))

# PORT=N for another port than 11211.
run: build
	@exec t/try $(target)/release/moxi $(PORT)

test:
	@t/need cargo cc rustfmt clippy memcached memccapable perl python3 mandoc
	@t/check

# The original suite of the C program, which is not part of this repository:
# make test-original SUITE=<checkout of github.com/couchbase/moxi>
test-original: build
	@test -n "$(SUITE)" || { echo "usage: make test-original SUITE=<checkout of github.com/couchbase/moxi>" >&2; exit 2; }
	@t/need memcached perl python3 nc killall
	@MOXI_BIN=$(target)/release/moxi t/original/run.py $(SUITE)

# moxi beside its peers, all under the same loads; BENCH=quick for a short run. See benches/README.md.
bench:
	@t/need cargo cc memcached
	@benches/run $(BENCH)

# The test that compares the page with the tables writes it then.
man:
	@t/need cargo cc
	MOXI_MAN=write $(CARGO) test --locked --test documents the_manual_page_has_the_entries_of_the_tables

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
