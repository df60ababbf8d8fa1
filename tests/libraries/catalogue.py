"""Which libraries are tried, how each is had, and what is known to differ."""

import dataclasses
import os
from pathlib import Path

import install
import suites

HERE = Path(__file__).resolve().parent

PYTHON = ["pymemcache==4.0.0", "pylibmc==1.6.3", "python-binary-memcached==0.33.0", "aiomcache==0.8.2", "emcache==1.3.3",
          "meta-memcache==4.3.0"]
# What the suites need besides.
PYTHON_SUITES = ["pytest==8.4.2", "faker==15.1.0", "zstd==1.5.7.2"]
NODE = ["memjs@1.3.2", "memcached@2.2.2"]
NODE_SUITES = ["mocha@11.7.5", "should@13.2.3"]
DEBIAN = ["php-cli", "php8.2-cli", "php8.2-memcached", "php8.2-memcache", "libcache-memcached-perl", "libcache-memcached-fast-perl",
          "libmemcached-libmemcached-perl", "ruby-dalli", "golang-1.19-go", "golang-1.19-src", "golang-github-bradfitz-gomemcache-dev"]
PHP_API = "20220829"
DALLI3 = "usr/share/rubygems-integration/all/gems/dalli-3.0.6/lib"

# Ports on which a suite expects memcached.
USUAL = [11211]


@dataclasses.dataclass
class Row:
    """One line of the table: a library in one protocol, with the fixed scenario or its own suite."""

    library: str
    protocol: str
    command: list
    what: str = "scenario"
    environment: dict = dataclasses.field(default_factory=dict)
    directory: Path = HERE
    ports: list = dataclasses.field(default_factory=lambda: list(USUAL))
    # Takes the output and gives its lines, each "NAME: RESULT".
    lines: object = str.splitlines
    limit: int = 120


def scenario(library, protocol, command, **more):
    return Row(library, protocol, [*command, protocol, str(USUAL[0])], **more)


def python(place):
    install.python(place, PYTHON + PYTHON_SUITES)
    words = [str(place / "bin/python"), str(HERE / "python/scenario.py")]
    versions = dict(package.split("==") for package in PYTHON)
    for package, module, protocols in (
        ("pymemcache", "pymemcache", ["ascii"]),
        ("pylibmc", "pylibmc", ["ascii", "binary"]),
        ("python-binary-memcached", "bmemcached", ["binary"]),
        ("aiomcache", "aiomcache", ["ascii"]),
        ("emcache", "emcache", ["ascii"]),
        ("meta-memcache", "meta_memcache", ["meta"]),
    ):
        for protocol in protocols:
            yield scenario(f"{package} {versions[package]}", protocol, [*words, module])
    yield from suites.python(Row, place)


def node(place):
    install.node(place, NODE + NODE_SUITES)
    environment = {"NODE_PATH": str(place / "node_modules")}
    words = ["node", str(HERE / "node/scenario.js")]
    yield scenario("memjs 1.3.2", "binary", [*words, "memjs"], environment=environment)
    yield scenario("memcached 2.2.2 (npm)", "ascii", [*words, "memcached"], environment=environment)
    yield from suites.node(Row, place)


def debian(place):
    """Everything that Debian has: one unpacked tree for all."""
    install.debian(place, DEBIAN)
    yield from php(place / "root")
    yield from perl(place / "root")
    yield from ruby(place / "root")
    yield from go(place)


def version(package):
    """As its makers count, without the counts of Debian."""
    return install.debian_version(package).split("-")[0].split("+")[0].split("~")[0]


def php(root):
    words = [str(root / "usr/bin/php8.2"), "-n", "-d", f"extension_dir={root}/usr/lib/php/{PHP_API}"]
    for extension in ("igbinary", "msgpack", "memcached", "memcache"):
        words += ["-d", f"extension={extension}"]
    environment = {"LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu")}
    words.append(str(HERE / "php/scenario.php"))
    for library, protocol in (("memcached", "ascii"), ("memcached", "binary"), ("memcache", "ascii")):
        name = f"php-{library} {install.run([*words[:-1], '-r', f'echo phpversion({library!r});'], env={**os.environ, **environment})}"
        yield scenario(name, protocol, [*words, library], environment=environment)


def perl(root):
    environment = {"PERL5LIB": f"{root}/usr/share/perl5:{root}/usr/lib/x86_64-linux-gnu/perl5/5.36"}
    for name, package, library, protocols in (
        ("Cache::Memcached", "libcache-memcached-perl", "cache_memcached", ["ascii"]),
        ("Cache::Memcached::Fast", "libcache-memcached-fast-perl", "cache_memcached_fast", ["ascii"]),
        ("Memcached::libmemcached", "libmemcached-libmemcached-perl", "libmemcached", ["ascii", "binary"]),
    ):
        for protocol in protocols:
            words = ["perl", str(HERE / "perl/scenario.pl"), library]
            yield scenario(f"{name} {version(package)}", protocol, words, environment=environment)


def dalli(name, protocol, library):
    words = ["ruby", str(HERE / "ruby/scenario.rb"), "dalli"]
    return scenario(name, protocol, words, environment={"RUBYLIB": str(library)})


def ruby(root):
    yield dalli("Dalli 3.0.6", "binary", root / DALLI3)


def newer_dalli(_place):
    """A checkout of it: it is in no registry that is reached everywhere."""
    checkout = os.environ.get("DALLI")
    if not checkout:
        raise install.Missing("no checkout of it; DALLI= names one of github.com/petergoldstein/dalli")
    text = (Path(checkout) / "lib/dalli/version.rb").read_text()
    number = text.split("VERSION = '")[1].split("'")[0]
    yield dalli(f"Dalli {number}", "meta", Path(checkout).resolve() / "lib")


def go(place):
    program = install.go(place, HERE / "go")
    name = "gomemcache 2014-11-09"
    yield scenario(name, "ascii", [str(program), "gomemcache"])
    yield from suites.go(Row, place, name)


def tools(_place):
    install.run(["memccat", "--version"])
    number = install.run(["memccat", "--version"]).split("libmemcached v")[1].split(")")[0]
    for protocol in ("ascii", "binary"):
        yield scenario(f"libmemcached's tools {number}", protocol, ["sh", str(HERE / "tools/scenario.sh"), "tools"])


def rust(place):
    program = str(install.rust(place, HERE / "rust"))
    for library, number, protocols in (("memcache", "0.21.0", ["ascii", "binary"]), ("async-memcached", "0.9.0", ["ascii", "meta"])):
        for protocol in protocols:
            yield scenario(f"{library} {number} (crate)", protocol, [program, library])
    yield from suites.rust(Row, place, HERE / "rust")


# By the name that chooses them; what is skipped as a whole if they cannot be had.
ECOSYSTEMS = {
    "python": (python, "libraries of PyPI"),
    "node": (node, "libraries of npm"),
    "debian": (debian, "libraries of Debian"),
    "dalli": (newer_dalli, "Dalli 5"),
    "tools": (tools, "libmemcached's tools"),
    "rust": (rust, "libraries of crates.io"),
}
