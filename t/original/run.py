#!/usr/bin/env python3
"""Runs the original Perl and Python suites of couchbase/moxi against our program.

    t/original/run.py [-j JOBS] [-c TOPOLOGY/PROTOCOL] [-f FILE.t] [-m SUITE] [-i SCRIPT] [-l SECONDS] [-v] CHECKOUT

CHECKOUT is a checkout of github.com/couchbase/moxi. It is only read: what the
suite needs is copied to a scratch directory. MOXI_BIN names the program under
test, else target/release/moxi or target/debug/moxi.

The suite's own drivers stop at the first file that fails, and their exit codes
say little. So every file is run by itself (with the suite's t/moxi_one.pl), in
every combination of topology and server protocol, and judged by what it prints.
The files that the original drivers leave out because the C program fails them
are run, too, where they make sense for a proxy. In the combination "direct", all
files run without a proxy against the program as a memcached server. The Python suites (-m a2a and so
on; see mocks.py) follow, unless something else was chosen.

Prints a table and a closing line; the exit code is 0 only if all has passed.
"""

import argparse
import concurrent.futures
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
sys.dont_write_bytecode = True

import direct
import foreign
import issues
import mocks

# As t/moxi_all.pl runs them, and the two that it leaves out because they make
# the program a binary client of itself.
COMBINATIONS = [
    "simple/ascii",
    "chain/ascii",
    "fanout/ascii",
    "fanoutin/ascii",
    "simple/binary",
    "chain/binary",
    "fanout/binary",
    "fanoutin/binary",
]

# And without a proxy.
DIRECT = "direct"

# What t/moxi.pl calls good tests. It leaves cas.t out of the fan-outs, because
# the C program answers several keys in any order, and incrdecr.t out where
# servers speak the binary protocol, because it loses the text of an error.
GOOD = [
    "binary-get.t",
    "bogus-commands.t",
    "cas.t",
    "expirations.t",
    "flags.t",
    "incrdecr.t",
    "line-lengths.t",
    "maxconns.t",
    "multiversioning.t",
    "slab-reassign.t",
    "whitespace.t",
]

# What it leaves out altogether, though a proxy can do it.
MORE = ["flush-all.t", "getset.t", "noreply.t"]

# Tests that look at the wall clock may be unlucky once, when a second ends
# between two of their steps.
CLOCK_BOUND = {"expirations.t", "flush-all.t"}


def main():
    parser = argparse.ArgumentParser(description="the original moxi suite against our program")
    parser.add_argument("checkout", type=Path)
    parser.add_argument("-j", "--jobs", type=int, default=2)
    parser.add_argument("-c", "--combination", action="append")
    parser.add_argument("-f", "--file", action="append")
    parser.add_argument("-m", "--mock", action="append", choices=sorted(mocks.SUITES), help="only these Python suites")
    parser.add_argument("-i", "--issue", action="append", help="only these issue scripts")
    parser.add_argument("-l", "--limit", type=float, default=120, help="seconds for one file")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what passing files print")
    options = parser.parse_args()

    check_tools(options.checkout)
    combinations = options.combination or [*COMBINATIONS, DIRECT]
    suites = options.mock or ([] if options.file or options.combination or options.issue else list(mocks.SUITES))
    chosen = options.file or options.combination
    scripts = options.issue or ([] if chosen or options.mock else issues.SCRIPTS)
    if (options.mock or options.issue) and not chosen:
        combinations = []
    prefix = foreign.namespaces()
    # On one network the suite's random ports may meet.
    jobs = options.jobs if prefix else 1

    scratch = Path(tempfile.mkdtemp(prefix="moxi-original-"))
    foreign.leave_on_sigterm()
    try:
        prepare(scratch, options.checkout)
        results = {}
        named = [Path(name).name for name in options.file or []]
        todo = [
            (name, combination)
            for combination in combinations
            for name in named or (direct.files(scratch) if combination == DIRECT else sorted(GOOD + MORE))
        ]
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            waiting = {pool.submit(run_one, scratch, prefix, *item, options.limit): item for item in todo}
            try:
                for done in concurrent.futures.as_completed(waiting):
                    name, combination = waiting[done]
                    verdict, output, seconds = done.result()
                    results[name, combination] = verdict
                    number = len(results)
                    word = "ok" if verdict.startswith("ok") or verdict == "skip" else "not ok"
                    note = "" if verdict == "ok" else f" # {verdict}"
                    print(f"{word} {number} - {combination} {name} ({seconds:.1f} s){note}", flush=True)
                    if word != "ok" or options.verbose:
                        print(foreign.excerpt(output, options.verbose), flush=True)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                foreign.stop_running()
                raise
        mocked = [verdict for name in suites for verdict in run_mock(scratch, prefix, name, options)]
        mocked += [run_issue(scratch, prefix, name, options) for name in scripts]
        return report(combinations, results, mocked)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_tools(checkout):
    """Ends with a message that names what is missing."""
    foreign.need("memcached", "perl")
    for name in ("t/moxi_one.pl", "doc/protocol.txt", "memcached.spec.in"):
        if not (checkout / name).is_file():
            sys.exit(f"{checkout} is no checkout of couchbase/moxi: it has no {name}")


def prepare(scratch, checkout):
    """Builds the directory that the suite expects to be started in."""
    shutil.copytree(checkout / "t", scratch / "t", symlinks=True)
    (scratch / "doc").mkdir()
    shutil.copy2(checkout / "doc/protocol.txt", scratch / "doc")
    shutil.copy2(checkout / "memcached.spec.in", scratch)
    if (checkout / "devtools").is_dir():
        shutil.copytree(checkout / "devtools", scratch / "devtools", symlinks=True)
    for pattern in ("*.pl", "*.sh", "*.t"):
        for path in (scratch / "t").glob(pattern):
            path.chmod(path.stat().st_mode | 0o755)
    # The process must be called moxi.
    (scratch / "under-test").mkdir()
    shutil.copy2(foreign.program(), scratch / "under-test/moxi")
    direct.prepare(scratch, foreign.program())
    shutil.copy2(HERE / "moxi-with-server.pl", scratch / "moxi")
    (scratch / "moxi").chmod(0o755)


def run_mock(scratch, prefix, name, options):
    """Runs one of the Python suites and prints its results: the verdicts. By itself,
    because some of its tests are about time."""
    place = scratch / "mocks"
    if not place.is_dir():
        mocks.prepare(scratch, scratch / "under-test/moxi")
    verdicts, output, seconds = mocks.run(place, prefix, name, max(options.limit, 300))
    good = list(verdicts.values()).count("ok")
    print(f"# {name}: {good} of {len(verdicts)} ({seconds:.1f} s)")
    for test, verdict in verdicts.items():
        if verdict != "ok" or options.verbose:
            print(f"{'ok' if verdict == 'ok' else 'not ok'} - {name} {test} # {verdict}")
    if good < len(verdicts) or options.verbose:
        print(foreign.excerpt(output, options.verbose), flush=True)
    return list(verdicts.values())


def run_issue(scratch, prefix, name, options):
    """Runs one of the issue scripts (issues.py) and prints its result: the verdict. By itself, because it is about
    time."""
    place = scratch / "issues" / "suite"
    if not place.is_dir():
        issues.prepare(scratch, scratch / "under-test/moxi")
    verdict, output, seconds = issues.run(place, prefix, name, options.limit)
    if verdict == "FAIL":
        # On a busy machine what should be late may come in time, and the other way round.
        again, more, seconds = issues.run(place, prefix, name, options.limit)
        verdict, output = "ok (2nd try)" if again == "ok" else verdict, output + more
    word = "ok" if verdict.startswith("ok") or verdict == "skip" else "not ok"
    note = "" if verdict == "ok" else f" # {verdict}"
    print(f"{word} - {name} ({seconds:.1f} s){note}", flush=True)
    if word != "ok" or options.verbose:
        print(foreign.excerpt(output, options.verbose), flush=True)
    return verdict


def run_one(scratch, prefix, name, combination, limit):
    """Runs one file in one combination: (verdict, output, seconds)."""
    begun = time.monotonic()
    verdict, output = attempt(scratch, prefix, name, combination, limit)
    # The suite gives a program two seconds to start, and gives up for good then.
    is_unlucky = name in CLOCK_BOUND or b"Failed to startup/connect" in output
    if verdict == "FAIL" and is_unlucky:
        again, more = attempt(scratch, prefix, name, combination, limit)
        if again == "ok":
            verdict = "ok (2nd try)"
        output += more
    return verdict, output, time.monotonic() - begun


def attempt(scratch, prefix, name, combination, limit):
    if not (scratch / "t" / name).is_file():
        return "missing", b""
    if combination == DIRECT:
        command = direct.command(name)
    else:
        topology, protocol = combination.split("/")
        command = ["./t/moxi_one.pl", f"./t/{name}", topology, protocol, "libvbucket"]
    environment = {"MOXI_UNDER_TEST": str(scratch / "under-test/moxi"), "LC_ALL": "C"}
    late, output = foreign.run(prefix + command, scratch, environment, limit)
    return ("time" if late else judge(output)), output


def judge(output):
    """By what was printed: a plan, as many results, and none of them bad."""
    lines = output.splitlines()
    if any(re.match(rb"not ok|fail ", line) for line in lines):
        return "FAIL"
    plan = None
    for line in lines:
        found = re.match(rb"1\.\.(\d+)(.*)", line)
        if found:
            plan = int(found[1])
            if plan == 0:
                return "skip" if b"skip" in found[2].lower() else "FAIL"
    if plan is None:
        return "FAIL"
    passed = sum(1 for line in lines if re.match(rb"ok\b", line))
    return "ok" if passed == plan else "FAIL"


def report(combinations, results, mocked):
    files = sorted({name for name, _ in results})
    width = max((len(name) for name in files), default=0)
    print()
    if files:
        print("# " + " " * width + "".join(f"  {combination:>14}" for combination in combinations))
    for name in files:
        row = "".join(f"  {results.get((name, combination), '-'):>14}" for combination in combinations)
        print(f"# {name:<{width}}{row}")
    verdicts = list(results.values()) + mocked
    skipped = verdicts.count("skip")
    passed = sum(1 for verdict in verdicts if verdict.startswith("ok"))
    failed = len(verdicts) - passed - skipped
    print("#")
    if skipped:
        print(f"# {skipped} skipped by the files themselves")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
