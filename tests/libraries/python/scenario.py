"""The fixed scenario, for every library of Python.

    scenario.py LIBRARY PROTOCOL PORT

Prints one line per step: its name, and what the library made of the answer. A step that a library has no call for
is left out. Lines must be the same each time: values of cas, ages and the like are told by their kind alone.
"""

import hashlib
import importlib
import random
import sys
import time

ALL_BYTES = bytes(range(256))
# What might be taken for a part of the protocol.
TREACHEROUS = b"x\r\nEND\r\nVALUE k 0 1\r\nHD\r\n\x80\x81\x00"
# Above what memcached takes for one item, also compressed.
TOO_LARGE = random.Random(1).randbytes(1 << 20)
KEYS = {"1": "k", "250": "l" * 250, "251": "m" * 251, "utf-8": "schlüssel", "blank": "n o"}
STATISTICS = "pid uptime time version pointer_size curr_connections cmd_get cmd_set get_hits bytes curr_items evictions"


def shown(value):
    """A result in one line, without what differs from run to run."""
    if isinstance(value, Exception):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, str):
        return value if len(value) <= 300 else f"text of {len(value)}, {digest(value.encode())}"
    if isinstance(value, (bytes, bytearray)):
        return repr(bytes(value)) if len(value) <= 300 else f"{len(value)} bytes, {digest(value)}"
    if isinstance(value, dict):
        words = [f"{shown(key)} = {shown(value[key])}" for key in sorted(value)]
    elif isinstance(value, (tuple, list)):
        words = [shown(item) for item in value]
    else:
        return repr(value)
    text = f"[{', '.join(words)}]"
    return text if len(text) <= 600 else f"{len(words)} items, {digest(text.encode())}"


def digest(data):
    return hashlib.md5(data).hexdigest()[:8]


class Steps:
    """Calls an adapter's methods and prints what comes of it."""

    def __init__(self, client):
        self.client = client

    def __call__(self, name, method, *words):
        if not hasattr(self.client, method):
            return
        try:
            value = getattr(self.client, method)(*words)
        except Exception as error:  # whatever the library raises is its answer
            value = error
        print(f"{name}: {shown(value)}", flush=True)

    def all_of(self, pairs):
        """Values for gets of several keys, where the library has no call that sets them."""
        if not hasattr(self.client, "set_multi"):
            for key, value in pairs.items():
                self.client.set(key, value)


def beginnings(do):
    for number in range(10):
        do(f"set of ten {number}", "set", f"ten{number}", b"v")
    do("statistics after ten", "statistics")
    do("version", "version")
    do("get nothing", "get", "nothing")
    do("set", "set", "a", b"1")
    do("get", "get", "a")
    do("get with flags", "get_flags", "a")


def values(do):
    for name, value in (
        ("empty", b""),
        ("all bytes", ALL_BYTES),
        ("treacherous", TREACHEROUS),
        ("64k", b"k" * 65536),
        ("large", b"l" * 1_000_000),
    ):
        do(f"set {name}", "set", "value", value)
        do(f"get {name}", "get", "value")
    do("set too large", "set", "value", TOO_LARGE)
    do("get after too large", "get", "value")
    do("set after too large", "set", "value", b"small")
    do("get small", "get", "value")


def keys(do):
    for name, key in KEYS.items():
        do(f"set key {name}", "set", key, b"of " + name.encode())
        do(f"get key {name}", "get", key)


def conditions(do):
    do("add there", "add", "a", b"2")
    do("add", "add", "added", b"2")
    do("replace nothing", "replace", "nothing", b"3")
    do("replace", "replace", "a", b"3")
    do("get replaced", "get", "a")
    do("append", "append", "a", b"-after")
    do("prepend", "prepend", "a", b"before-")
    do("get longer", "get", "a")
    do("append nothing", "append", "nothing", b"x")
    do("prepend nothing", "prepend", "nothing", b"x")
    do("gets and cas", "gets_cas", "a", b"by cas")
    do("get by cas", "get", "a")
    do("cas twice", "cas_twice", "a", b"stale")
    do("cas nothing", "cas_nothing", "nothing", b"x")
    do("get kept", "get", "a")
    do("delete", "delete", "added")
    do("delete nothing", "delete", "added")
    do("get deleted", "get", "added")


def numbers(do):
    do("incr nothing", "incr", "number", 1)
    do("set number", "set", "number", b"10")
    do("incr", "incr", "number", 5)
    do("decr", "decr", "number", 3)
    do("decr below nothing", "decr", "number", 100)
    do("set highest", "set", "number", b"18446744073709551615")
    do("incr highest", "incr", "number", 2)
    do("incr with initial", "incr_initial", "initial", 1, 42)
    do("incr with initial again", "incr_initial", "initial", 1, 42)
    do("decr with initial", "decr_initial", "initial2", 1, 42)


def words(do):
    """Numbers that are none; some libraries are of no use after that."""
    do("set word", "set", "number", b"word")
    do("incr word", "incr", "number", 1)
    do("decr word", "decr", "number", 1)


def several(do):
    pairs = {f"multi{number}": b"%d" % number * (number % 7) for number in range(300)}
    do.all_of(pairs)
    do("set several", "set_multi", pairs)
    do("get several", "get_multi", list(pairs))
    do("get several, some missing", "get_multi", ["multi1", "none1", "multi2", "none2", "multi3"])
    do("get several, none there", "get_multi", ["none1", "none2"])
    do("get several, one twice", "get_multi", ["multi1", "multi1", "multi2"])
    do("gets several", "gets_multi", ["multi1", "none1", "multi2"])
    do("gat several", "gat_multi", 100, ["multi1", "none1", "multi2"])
    large = {f"big{number}": b"b" * 200_000 for number in range(20)}
    do.all_of(large)
    do("set several large", "set_multi", large)
    do("get several large", "get_multi", list(large))
    do("at once", "at_once", [f"multi{number}" for number in range(100)])
    do("add several", "add_multi", {"multi1": b"x", "madd1": b"x"})
    do("incr several", "incr_multi", ["counted1", "counted2"])
    do("delete several", "delete_multi", ["multi1", "none1", "multi2"])
    do("get several deleted", "get_multi", ["multi1", "multi2", "multi3"])


def silent(do):
    do("set silently", "set_silently", "quiet", b"7")
    do("get set silently", "get", "quiet")
    do("add silently", "add_silently", "quiet", b"8")
    do("incr silently", "incr_silently", "quiet", 3)
    do("get incremented silently", "get", "quiet")
    do("append silently", "append_silently", "quiet", b"0")
    do("get appended silently", "get", "quiet")
    do("touch silently", "touch_silently", "quiet", 100)
    do("delete silently", "delete_silently", "quiet")
    do("delete silently what is not there", "delete_silently", "quiet")
    do("get deleted silently", "get", "quiet")
    do("set too large silently", "set_silently", "quiet", TOO_LARGE)
    do("get after too large silently", "get", "quiet")


def times(do):
    do("set for 2 s", "set", "short", b"s", 2)
    do("get for 2 s", "get", "short")
    do("set for 100 s", "set", "long", b"l", 100)
    do("set until then", "set", "then", b"t", int(time.time()) + 1000)
    do("set for no time", "set", "gone", b"g", -1)
    do("get for no time", "get", "gone")
    do("set to touch", "set", "touched", b"t", 2)
    do("touch", "touch", "touched", 100)
    do("set to shorten", "set", "shortened", b"t", 100)
    do("touch shorter", "touch", "shortened", 2)
    do("touch nothing", "touch", "nothing", 2)
    do("set to gat", "set", "gat", b"g", 2)
    do("gat", "gat", 100, "gat")
    do("gat nothing", "gat", 100, "nothing")
    do("gats", "gats", 100, "gat")
    time.sleep(3.2)
    for key in ("short", "long", "then", "touched", "shortened", "gat"):
        do(f"get {key} later", "get", key)


def own(do):
    do("set", "set", "a", b"3")
    do("own", "own")


def ends(do):
    do("set", "set", "a", b"4")
    do("unknown command", "unknown")
    do("verbosity", "verbosity", 1)
    do("flush", "flush")
    do("get flushed", "get", "a")
    do("get several flushed", "get_multi", ["multi3", "multi4", "long"])
    do("set after flush", "set", "a", b"again")
    do("get after flush", "get", "a")
    do("close", "close")


def main():
    library, protocol, port = sys.argv[1:4]
    adapter = importlib.import_module(f"with_{library}").Adapter
    for part in (beginnings, values, keys, conditions, numbers, words, several, silent, times, own, ends):
        # Each part has a client of its own: some libraries are of no use after an error.
        part(Steps(adapter("127.0.0.1", int(port), protocol)))


if __name__ == "__main__":
    main()
