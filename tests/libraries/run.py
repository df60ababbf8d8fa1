#!/usr/bin/env python3
"""Tries client libraries on moxi: each does the same in front of memcached and in front of moxi, and what the library
made of the answers is compared.

    tests/libraries/run.py [-e ECOSYSTEM]... [-j JOBS] [-k DIRECTORY] [-o FILE] [-v] [PATTERN]...

ECOSYSTEM is python, node, debian, dalli, tools or rust; PATTERN chooses rows by their library, protocol and kind
(`scenario`, `own suite`); all of them by default. MOXI names the program, else target/release/moxi. DALLI names a checkout of github.com/petergoldstein/dalli, which is only read.

Libraries come from PyPI, npm, crates.io and Debian's archive into a scratch directory, or into the one of -k, where they
stay and are used again. Needs root, or a system where anybody may make a network of one's own. -o: the table as a file.
-v: what each library said, too.

Prints the table, what differs, and a closing line; the exit code is 0 only if all is as in front of memcached, or
differs as the contract says.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

import catalogue
import install
import verdict

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

MEMCACHED = "memcached"
# How many differences of a cell are told without -v.
TOLD = 10
ARRANGEMENTS = {MEMCACHED: {"kind": "memcached"}}
for protocol in ("ascii", "binary"):
    for servers in (1, 3):
        flags = ["-Z", f"downstream_protocol={protocol}"]
        ARRANGEMENTS[f"{servers} {protocol}"] = {"kind": "proxy", "servers": servers, "flags": flags}
# Servers that know no meta commands.
ARRANGEMENTS["3 old ascii"] = {**ARRANGEMENTS["3 ascii"], "old": True}
ARRANGEMENTS["built-in"] = {"kind": "built-in", "flags": []}


def alone():
    """The words that give a command a network of its own, and end all it has started with it."""
    words = ["unshare", "--net", "--pid", "--fork", "--kill-child"]
    return words if os.geteuid() == 0 else [*words, "--user", "--map-root-user"]


def run_cell(moxi, row, arrangement):
    """One row in one arrangement: what cell.py says of it."""
    order = {
        "arrangement": ARRANGEMENTS[arrangement],
        "moxi": str(moxi),
        "ports": row.ports,
        "command": row.command,
        "directory": str(row.directory),
        "environment": row.environment,
        "limit": row.limit,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(order, file)
        file.flush()
        words = [*alone(), sys.executable, str(HERE / "cell.py"), file.name]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"code": "not run", "out": "", "err": done.stderr.decode("utf-8", "replace")}


def run_row(pool, moxi, row):
    """The cells of a row, and how many lines there were in front of memcached."""
    jobs = {name: pool.submit(run_cell, moxi, row, name) for name in ARRANGEMENTS}
    said = {name: job.result() for name, job in jobs.items()}
    expected = verdict.lines(row, said[MEMCACHED])
    cells = {
        name: verdict.Cell(row, name, expected, verdict.lines(row, said[name])) for name in ARRANGEMENTS if name != MEMCACHED
    }
    return said, expected, cells


def rows(place, options, skipped):
    """Every row that was asked for; what cannot be had is added to the skipped ones."""
    for name, (make, what) in catalogue.ECOSYSTEMS.items():
        if options.e and name not in options.e:
            continue
        try:
            for row in make(place / name):
                words = f"{row.library} {row.protocol} {row.what}"
                if not options.patterns or any(re.search(pattern, words, re.I) for pattern in options.patterns):
                    yield row
        except install.Missing as reason:
            skipped.append((what, reason))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-e", action="append", choices=catalogue.ECOSYSTEMS, metavar="ECOSYSTEM")
    parser.add_argument("-j", type=int, default=6, metavar="JOBS")
    parser.add_argument("-k", type=Path, metavar="DIRECTORY")
    parser.add_argument("-o", type=Path, metavar="FILE")
    parser.add_argument("-v", action="store_true")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    return parser.parse_args()


def tell(row, said, cells, verbose):
    """What the table has no room for."""
    title = f"{row.library}, {row.protocol}, {row.what}"
    if verbose:
        print(f"\n=== {title}, in front of memcached\n{said[MEMCACHED]['out']}{said[MEMCACHED]['err']}")
    for name, cell in cells.items():
        pairs = cell.unexplained()
        for pair in pairs if verbose else pairs[:TOLD]:
            print(f"--- {title}, {name}\n    memcached  {pair[0]}\n    moxi       {pair[1]}", flush=True)


def main():
    options = arguments()
    moxi = Path(os.environ.get("MOXI") or ROOT / "target/release/moxi").resolve()
    if not os.access(moxi, os.X_OK):
        sys.exit(f"{moxi} is not there; run make, or name another program with MOXI=")
    skipped, lines, counts = [], [], {"passed": 0, "failed": 0}
    with tempfile.TemporaryDirectory(prefix="moxi-libraries-") as scratch, concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        place = options.k.resolve() if options.k else Path(scratch)
        for row in rows(place, options, skipped):
            said, expected, cells = run_row(pool, moxi, row)
            tell(row, said, cells, options.v)
            if not expected:
                skipped.append((f"{row.library}, {row.what}", said[MEMCACHED]["err"].strip()[-300:] or "said nothing"))
                continue
            lines.append([row.library, row.protocol, row.what, len(expected), *(cell.told() for cell in cells.values())])
            print(" | ".join(map(str, lines[-1])), flush=True)
            for cell in cells.values():
                counts["failed" if cell.unexplained() else "passed"] += 1
    text = verdict.table(["library", "protocol", "what", "lines", *list(ARRANGEMENTS)[1:]], lines)
    print(f"\n{text}\n")
    if options.o:
        options.o.write_text(text + "\n")
    for what, reason in skipped:
        print(f"skipped: {what}: {reason}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {len(skipped)} skipped")
    return 0 if counts["passed"] and not counts["failed"] else 1


if __name__ == "__main__":
    sys.exit(main())
