"""What of memcached's suite is not about a proxy, or not about the built-in server, and why."""

import fnmatch
import re

# Files (a pattern) that are run nowhere, and why.
LEFT_OUT = [
    ("proxy*.t", "memcached's own proxy and its configuration in Lua"),
    ("ssl_*.t", "the certificates of a server; moxi has none for clients"),
    ("*extstore*.t", "items that a server keeps on disk"),
    ("ascii-auth*.t", "a server's own users by -Y; moxi sends its own user to servers, and binary ones only (04 §11.5)"),
    ("binary-sasl.t", "a server's own users by -S; moxi sends its own user to servers (04 §11.5)"),
    ("conn-limits.t", "how much memory the connections of a server may take (-o read_buf_mem_limit)"),
    ("lru-crawler.t", "orders to the crawler of one server"),
    ("lru-maintainer.t", "which of its lists a server has an item in"),
    ("slabs*.t", "orders to move memory between the classes of one server"),
    ("restart.t", "a server that keeps its memory over a restart (-e)"),
    ("shutdown.t", "ends one server (-A)"),
    ("watcher*.t", "the log of one server, by a connection that watches it"),
    ("stats-conns.t", "the connections of one server"),
    ("misbehave.t", "the system calls that a server has given up"),
    ("line-lengths.t", "the lines of memcached's documentation"),
    ("whitespace.t", "the blanks in memcached's sources"),
    ("issue_140.t", "the suite skips it"),
    ("issue_260.t", "the suite skips it"),
    ("refhang.t", "the suite skips it"),
    ("slabhang.t", "the suite skips it"),
]

BUILTIN = "built-in"
PROXY = "proxy/*"
BINARY = "proxy/binary*"
FOUR = "* x4"

# Why a group of statistics is not what a file wants.
SUMS = "four servers: statistics are the sum of theirs (06 §2.3), and keys spread over four memories"
OLDER = "the built-in server has the statistics of memcached 1.4.1 (02 §13)"

WORDS = "`ERROR`, as by memcached 1.6.18; newer ones say `CLIENT_ERROR bad command line format` (02 §5)"
SHARE = "a server that is full of its share of the other keys (-m 48) answers NOT_STORED, also when asked directly"
IDLE = "moxi has `-Z client_idle_timeout` instead, and counts in `stats proxy`"

# Files, arrangements (patterns), the assertions that may fail (a regular expression for number, description, and what was
# got and expected; None: the file is not run there), and why.
KNOWN = [
    ("00-startup.t", "*", r"maximum connections 0", "-c 0 asks for nothing, as ever (01 §2)"),
    ("00-startup.t", PROXY, r"(auto|ascii) works", "`stats settings` are the servers', whose clients moxi is"),
    ("64bit.t", FOUR, r"", SUMS),
    ("binary.t", PROXY, r"^\d+  got: 'NULL'", "`stats settings` are the servers'"),
    ("binary.t", BUILTIN, r"^\d+  got: 'yes' expected: undef|^\d+  got: undef expected: 'yes'", OLDER),
    ("binary.t", FOUR, r"Stats not updated", SUMS),
    ("cas.t", "*", r"cas empty.* got: 'ERROR", WORDS),
    ("cas.t", FOUR, r"foo1 != foo2", "each server counts its CAS ids by itself"),
    ("chunked-items.t", FOUR, r"(append|prepend) large string|(append|prepend)er ==", SHARE),
    ("daemonize.t", PROXY, r"same pid as file", "the process of `stats` is the server's"),
    ("dash-M.t", BUILTIN, r"recorded store failures", OLDER),
    ("dash-M.t", "proxy/binary", r"recorded store failures", "memcached counts it for ASCII clients alone"),
    ("dash-M.t", FOUR, r"", SUMS),
    ("dyn-maxbytes.t", BUILTIN, r"total_malloced reduced", "classes keep the memory that they have (02 §12.3)"),
    ("dyn-maxbytes.t", "proxy/binary", None, "packets have no cache_memlimit"),
    ("dyn-maxbytes.t", FOUR, None, SUMS),
    ("evictions.t", FOUR, r"check evicted", SUMS),
    ("flush-all.t", BUILTIN, r"^2[3-6] |the end", "there is no -F (01 §2), so the file ends there"),
    ("flush-all.t", BINARY, r"flush_all was not allowed", "the packet tells no more than that it is not allowed"),
    ("getset.t", "*", r"close if no get found in 2k", "moxi says why before it closes (02 §3, 04 §2.1)"),
    ("idle-timeout.t", "*", r"check stats|check disconnected", IDLE),
    ("issue_14.t", FOUR, r"Memory grows", SUMS),
    ("issue_163.t", BUILTIN, r"reclaimed", OLDER),
    ("issue_183.t", BUILTIN, r"reclaimed", OLDER),
    ("issue_22.t", FOUR, r"", SUMS),
    ("issue_42.t", BUILTIN, r"Check allocated size", OLDER),
    ("issue_61.t", PROXY, r"yields", "`conn_yields` are the servers', who see a few of moxi's connections"),
    ("issue_67.t", PROXY, None, "ports of a proxy are said in -z (01 §6.2)"),
    ("issue_67.t", BUILTIN, r"", "with -p 0 there is nothing to serve: the start is refused (01 §5), and the file ends"),
    ("item_size_max.t", BUILTIN, None, "there is no -I (02 §1)"),
    ("lru.t", FOUR, r"", SUMS),
    ("maxconns.t", "*", r"rejected connections", "further clients wait instead of being refused (01 §13)"),
    ("metaget.t", "*", r"error from blank command got: 'ERROR", WORDS),
    ("stats.t", BUILTIN, None, "there is no -I (02 §1)"),
    ("stats.t", "proxy/ascii*", r"^\d+  got: 'NULL'", "`stats settings` are the servers'"),
    ("stats.t", "proxy/ascii x4", r"cmd_flush", SUMS),
    ("stats.t", BINARY, None, "packets have no cachedump (06 §1), whose end the file waits for"),
    ("stats-detail.t", PROXY, None, "there is no `stats detail` on proxied ports (06 §1)"),
    ("strtol-testing.t", "*", r"^2 ", "orders to move memory between the classes of one server"),
    ("udp.t", PROXY, None, "proxied ports are not for UDP"),
]


def left_out(name):
    """Why the file is run nowhere."""
    return next((why for pattern, why in LEFT_OUT if fnmatch.fnmatchcase(name, pattern)), None)


def entries(name, arrangement):
    """What is known of a file there: (assertions, reason) each."""
    return [
        (assertions, why)
        for files, arrangements, assertions, why in KNOWN
        if fnmatch.fnmatchcase(name, files) and fnmatch.fnmatchcase(arrangement, arrangements)
    ]


def reason(name, arrangement, assertion):
    """Why an assertion may fail there."""
    for assertions, why in entries(name, arrangement):
        if assertions is None or re.search(assertions, assertion):
            return why
    return None
