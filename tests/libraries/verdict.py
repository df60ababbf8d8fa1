"""Compares what came of a row in front of memcached with what came of it elsewhere, and says so in a table."""

import collections
import difflib
import re

SAME = "same"

# What differs and must: which library, protocol and kind, in which arrangements, what moxi's line (or, if it has none,
# memcached's) is, and the section of the contract that says so. The first three are patterns to be found.
OLDER = "old"
BINARY = " binary scenario$"
EXPLAINED = [
    # Lists of keys are asked for, which the binary protocol has not.
    ("^pymemcache .* own suite", "binary", "::test_misc", "04 §2"),
    ("^libmemcached's tools .* ascii", "binary", "^dump: ", "04 §2"),
    ("^async-memcached .* ascii", "binary", "^dump of keys: ", "04 §2"),
    # What such servers cannot do exactly is refused, which each library tells in its own way.
    ("^async-memcached .* meta", OLDER, "unsupported flag . with these servers", "04 §20.3"),
    ("^meta-memcache .* meta", OLDER, "MemcacheServerError: Memcache error$", "04 §20.3"),
    ("^Dalli .* meta", OLDER, "Dalli::DalliError: Response error: CLIENT_ERROR$", "04 §20.3"),
    ("^memcache .* own suite", OLDER, "^(test_exp_|test_memcache|test_async_memcache)", "04 §20.3"),
    # Binary clients of servers without meta commands: keys that are no words, a delete under a CAS id, the id of what was
    # stored. libmemcached gives up a server that has refused a key.
    (BINARY, "old", "^[sg]et key blank: ", "04 §10"),
    ("^python-binary-memcached .* scenario", "old", "^own: MemcachedException: Code: 131 ", "04 §10"),
    ("^python-binary-memcached .* own suite", "old", r"::BinaryMemcachedTests::|::test\w*(Cas|CAS)\w*: ", "04 §10"),
    ("^pylibmc .* own suite", "old", "::test_(utf8_encoding|zerokey): FAILED", "04 §10"),
    ("^Dalli 3.* binary", "old", r"^[a-z0-9 -]+: (0|\[0, )|^delete by cas: .*Not supported", "04 §10"),
    # Newer meta commands than those of the memcached beside it.
    ("^memcache .* own suite", "built-in", "::(byte_streams|exp_cas_flow|verbs_roundtrip): ok", "02 §6.1"),
    # Dalli asks for the CAS id of each value that it stores, so that there nothing is.
    ("^Dalli .* meta", "old", "", "04 §20.3"),
    # And what follows from that: these look at what was not stored, not made stale.
    ("^async-memcached .* meta", OLDER, "^(add there|get stale|get stale again): ", "04 §20.3"),
]


def lines(row, said):
    """What is compared of a run."""
    found = row.lines(said["out"])
    if said["code"] == "time over" or (row.what == "scenario" and said["code"] != 0):
        last = (said["err"].strip().splitlines() or [""])[-1]
        found.append(f"ended: {said['code']} {last}")
    return found


def differences(expected, found):
    """Pairs of lines, one of which may be None: those of one name where both have it."""
    pairs = []
    for kind, at, until, other, end in difflib.SequenceMatcher(None, expected, found, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        right = found[other:end]
        for line in expected[at:until]:
            same = next((each for each in right if name(each) == name(line)), None)
            if same is not None:
                right.remove(same)
            pairs.append((line, same))
        pairs += [(None, line) for line in right]
    return pairs


def name(line):
    return line.partition(": ")[0]


def explanation(row, arrangement, pair):
    """Why two lines differ, if that is known."""
    line = pair[0] if pair[1] is None else pair[1]
    for names, where, what, why in EXPLAINED:
        if (
            re.search(names, f"{row.library} {row.protocol} {row.what}")
            and re.search(where, arrangement)
            and re.search(what, line)
        ):
            return why
    return None


class Cell:
    """A row in one arrangement."""

    def __init__(self, row, arrangement, expected, found):
        self.row, self.arrangement = row, arrangement
        self.pairs = [(pair, explanation(row, arrangement, pair)) for pair in differences(expected, found)]

    def unexplained(self):
        return [pair for pair, why in self.pairs if why is None]

    def told(self):
        """What the table has of it."""
        left = len(self.unexplained())
        if left:
            return f"{left} differ"
        reasons = collections.Counter(why for _, why in self.pairs)
        return ", ".join([SAME] + [f"but {count}: {why}" for why, count in sorted(reasons.items())])


def table(head, rows):
    """Rows of words as a table of Markdown, which is one of text as well."""
    widths = [max(len(str(row[place])) for row in [head, *rows]) for place in range(len(head))]
    line = lambda words: "| " + " | ".join(str(word).ljust(width) for word, width in zip(words, widths)) + " |"
    return "\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])
