"""The libraries' own suites, as they are published, run with their own runners.

What a suite says of each of its tests is compared with what it says in front of memcached: some of its tests need what is
not there, such as TLS, and fail everywhere.
"""

import os
import re

import install

# A suite that flushes everything between its tests bears no other beside it.
ONE_AT_A_TIME = "--test-threads=1"
# Seconds after which a program of tests goes no further.
HANGING = 60


def by_pattern(pattern):
    """Lines of an output that name a test and its result, sorted."""
    compiled = re.compile(pattern, re.M)

    def lines(text):
        return sorted(f"{match['name']}: {match['result']}" for match in compiled.finditer(text))

    return lines


PYTEST = by_pattern(r"^(?P<result>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (?P<name>\S+)")
TAP = by_pattern(r"^(?P<result>ok|not ok) \d+ (?P<name>.*?)\s*$")
CARGO_TEST = re.compile(r"^program (?P<program>\S+)$|^test (?P<name>\S+) \.\.\. (?P<result>ok|FAILED|ignored)", re.M)
GO = by_pattern(r"^\s*--- (?P<result>PASS|FAIL|SKIP): (?P<name>\S+)")


def cargo(text):
    """The same of several programs of tests, each under its name."""
    found, program = [], ""
    for match in CARGO_TEST.finditer(text):
        if match["program"]:
            program = match["program"]
        else:
            found.append(f"{program}::{match['name']}: {match['result']}")
    return sorted(found)


def python(row, place):
    pytest = [str(place / "bin/python"), "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-o", "addopts="]

    def suite(package, protocol, words, environment=None):
        name = package.replace("==", " ")
        return row(
            name, protocol, pytest + words, "own suite", environment or {},
            install.python_source(place, package), lines=PYTEST, limit=600,
        )

    options = ["-m", "unit or integration", "--server=127.0.0.1", "--port=11211", "pymemcache/test"]
    yield suite("pymemcache==4.0.0", "ascii", options)
    yield suite("pylibmc==1.6.3", "ascii, binary", ["tests"])
    yield binary(suite, install.python_source(place, "python-binary-memcached==0.33.0"))


def binary(suite, source):
    """Its suite wants a second server at a unix socket, which a proxy has not: it gets one at a port instead."""
    for path in (source / "test").glob("*.py"):
        if path.name != "test_server_parsing.py":
            path.write_text(path.read_text().replace("/tmp/memcached.sock", "127.0.0.1:11212"))
    # Two files start memcached themselves, one needs what was not published with it.
    left_out = [f"--ignore=test/test_{name}.py" for name in ("tls", "sasl_integration", "ipv6")]
    row = suite("python-binary-memcached==0.33.0", "binary", [*left_out, "test"], {"MEMCACHED_HOST": "127.0.0.1"})
    row.ports = [11211, 11212, 5000]
    return row


def node(row, place):
    source = place / "node_modules/memcached"
    # Its tests of connections are about servers that are not there, and about how soon that is noticed.
    files = sorted(str(path) for path in (source / "test").glob("*.test.js") if "connections" not in path.name)
    mocha = ["node", str(place / "node_modules/mocha/bin/mocha.js"), "--exit", "--require", "should", "--timeout", "30000", "--reporter", "tap"]
    yield row(
        "memcached 2.2.2 (npm)", "ascii", mocha + files, "own suite", {"MEMCACHED__HOST": "127.0.0.1"},
        source, [11211, 11212, 11213], TAP, 600,
    )


def go(row, place, name):
    environment = install.go_environment(place)
    changed = {key: value for key, value in environment.items() if os.environ.get(key) != value}
    program = place / "go-suite"
    # Its other test starts memcached itself; the long form waits for a second of an expiry of two, and fails now and then.
    only = ["-test.v", "-test.short", "-test.run", "TestLocalhost"]
    tested = "github.com/bradfitz/gomemcache/memcache"
    install.run([place / "root/usr/lib/go-1.19/bin/go", "test", "-c", "-o", str(program), tested], env=environment)
    yield row(name, "ascii", [str(program), *only], "own suite", changed, place, lines=GO, limit=300)


def rust(row, place, scenarios):
    """memcache's. That of async-memcached wants a newer memcached than Debian has."""
    source = install.crate(place, scenarios, "memcache")
    programs = install.rust_tests(place, source, ["--no-default-features", "--features", "tokio,serde_json"])
    # Nobody serves UDP here, for which one test would wait for ever, as another does for a loader that nothing has asked.
    each = f'echo; echo "program ${{program##*/}}"; timeout {HANGING} "$program" {ONE_AT_A_TIME} --skip udp_test'
    each = f"for program; do {each}; done | sed 's/^\\(program .*\\)-[0-9a-f]*$/\\1/'"
    words = ["sh", "-c", each, "sh", *programs]
    ports = [12345, 12346, 12347, 12348, 12349]
    yield row("memcache 0.21.0 (crate)", "all three", words, "own suite", {}, source, ports, cargo, 300)
