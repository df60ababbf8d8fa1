#!/usr/bin/env python3
"""Runs memcached's own suite through our program and against its built-in server.

    t/memcached/run.py [-j JOBS] [-a ARRANGEMENT] [-f FILE.t] [-s MEMCACHED] [-l SECONDS] [-v] CHECKOUT

CHECKOUT is a checkout of github.com/memcached/memcached. It is only read: what the suite needs is copied to a scratch
directory. MOXI_BIN names the program under test, else target/release/moxi or target/debug/moxi.

Each file is run by itself in each arrangement (server.pl), first of all against memcached, which is the measure: -s
names another one than that of the PATH. A verdict is

    ok              everything has passed
    as memcached    what fails, fails against memcached as well
    known           what else fails is in the table of known.py, with the reason
    NOT OK          something else has failed
    skip            the file has nothing to ask, as it says itself
    -               the file is not run there: known.py has the reason, or memcached itself fails most of it

The exit code is 0 only if nothing is NOT OK.
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

import foreign
import known
import tap

# The measure, and what is measured.
MEASURE = "memcached"
BUILT_IN = "built-in"
ARRANGEMENTS = [BUILT_IN, "proxy/ascii", "proxy/binary", "proxy/ascii x4", "proxy/binary x4"]

# What is changed in the copies of files: servers without debugging aids cannot move their clock, so time has to pass.
PATCHES = {
    "lib/MemcachedTest.pm": (
        r"^sub mem_move_time \{.*?^\}",
        # And a server may be up to two seconds late with a time that is a date.
        r"sub mem_move_time { my ($sock, $move) = @_; select undef, undef, undef, $move + 2; }",
    ),
    # Who answers `ERROR` to a line with a word too few takes its value for a command, and answers that as well.
    "cas.t": (
        r'^(is\(scalar) <\$sock>(, "CLIENT_ERROR bad command line format\\r\\n", "cas empty.*?\);)$',
        r"my $empty = <$sock>;\n\1 $empty\2\n<$sock> if $empty =~ /^ERROR/;",
    ),
    # A line may be longer here before it is too long (04 §2.1).
    "getset.t": (r"' ' x 2048", "' ' x 9000"),
}

# Files and sockets of /tmp have names that depend on nothing but the number of a process.
OWN_TMP = ["sh", "-c", 'mount -t tmpfs none /tmp && exec "$@"', "sh"]


def main():
    parser = argparse.ArgumentParser(description="memcached's suite against our program")
    parser.add_argument("checkout", type=Path)
    parser.add_argument("-j", "--jobs", type=int, default=2)
    parser.add_argument("-a", "--arrangement", action="append", choices=ARRANGEMENTS)
    parser.add_argument("-f", "--file", action="append")
    parser.add_argument("-s", "--server", default="memcached", help="the memcached to measure by and to stand behind")
    parser.add_argument("-l", "--limit", type=float, default=300, help="seconds for one file")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what files print")
    options = parser.parse_args()

    foreign.need(options.server, "perl")
    if not (options.checkout / "t/lib/MemcachedTest.pm").is_file():
        sys.exit(f"{options.checkout} is no checkout of memcached: it has no t/lib/MemcachedTest.pm")
    options.arrangement = options.arrangement or ARRANGEMENTS
    # Not in /tmp, which files get one of their own of.
    scratch = Path(tempfile.mkdtemp(prefix="moxi-memcached-", dir="/var/tmp"))
    foreign.leave_on_sigterm()
    try:
        prepare(scratch, options.checkout, shutil.which(options.server))
        named = [Path(name).name for name in options.file or []]
        files = named or sorted(path.name for path in (scratch / "t").glob("*.t"))
        return report(files, options, run_all(scratch, files, options))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def prepare(scratch, checkout, server):
    """Builds the directory that the suite expects to be started in."""
    shutil.copytree(checkout / "t", scratch / "t", symlinks=True)
    shutil.copy2(foreign.program(), scratch / "moxi")
    shutil.copy2(server, scratch / "memcached")
    shutil.copy2(HERE / "server.pl", scratch / "memcached-debug")
    foreign.script(scratch / "timedrun", foreign.TIMEDRUN)
    for name, (pattern, replacement) in PATCHES.items():
        path = scratch / "t" / name
        text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE | re.DOTALL)
        if not count:
            sys.exit(f"{name} of this checkout is not what this program knows: nothing there matches {pattern}")
        path.write_text(text)


def run_all(scratch, files, options):
    """The verdict of each file and arrangement, as they come."""
    prefix = foreign.namespaces()
    # On one network the suite's random ports may meet.
    jobs = options.jobs if prefix else 1
    verdicts = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(run_file, scratch, prefix, name, options) for name in files if not known.left_out(name)]
        try:
            for done in concurrent.futures.as_completed(waiting):
                name, row = done.result()
                verdicts[name] = row
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            foreign.stop_running()
            raise
    return verdicts


def run_file(scratch, prefix, name, options):
    """Runs a file in all arrangements: its name, and the verdict by arrangement."""
    measure, output, seconds = attempt(scratch, prefix, name, MEASURE, options.limit)
    verdict = "skip" if measure.skip else "fails" if measure.failures() else "ok"
    say(name, MEASURE, verdict, describe(measure.failures(), []), seconds, output, options)
    row = {MEASURE: verdict}
    for arrangement in [] if measure.skip else options.arrangement:
        is_out = any(assertions is None for assertions, _ in known.entries(name, arrangement))
        if is_out or not (measure.is_of_use or arrangement == BUILT_IN):
            row[arrangement] = "-"
            continue
        result, output, seconds = attempt(scratch, prefix, name, arrangement, options.limit)
        verdict, bad, excused = judge(name, arrangement, result, measure)
        say(name, arrangement, verdict, describe(bad, excused), seconds, output, options)
        row[arrangement] = verdict
    return name, row


def attempt(scratch, prefix, name, arrangement, limit):
    """Runs a file once: (result, output, seconds)."""
    environment = {
        "MOXI_ARRANGEMENT": arrangement,
        "MOXI_UNDER_TEST": str(scratch / "moxi"),
        "MOXI_MEMCACHED": str(scratch / "memcached"),
        "LC_ALL": "C",
    }
    begun = time.monotonic()
    command = prefix + (OWN_TMP if prefix else []) + ["perl", f"./t/{name}"]
    late, output = foreign.run(command, scratch, environment, limit)
    return tap.read(output, late), output, time.monotonic() - begun


def judge(name, arrangement, result, measure):
    """The verdict, what speaks against the program, and the reasons why the rest does not."""
    failures = result.failures(measure)
    if not failures:
        return "ok", {}, []
    also = measure.failures() if measure.is_of_use else {}
    bad, reasons = {}, []
    for number, text in failures.items():
        why = known.reason(name, arrangement, f"{number} {text}")
        if number in also:
            continue
        if why:
            reasons.append(why)
        else:
            bad[number] = text
    if bad:
        return "NOT OK", bad, reasons
    return ("known" if reasons else "as memcached"), {}, reasons


def describe(bad, reasons):
    """Why a verdict is not ok, in a line."""
    numbers = [str(number) for number in bad]
    parts = [f"fails: {', '.join(numbers[:12])}{' ...' if len(numbers) > 12 else ''}"] if numbers else []
    return "; ".join(parts + sorted(set(reasons)))


def say(name, arrangement, verdict, note, seconds, output, options):
    """Prints the result of a run."""
    word = "not ok" if verdict == "NOT OK" else "ok"
    tail = f" # {verdict}" if verdict != "ok" else ""
    text = f"{word} - {arrangement} {name} ({seconds:.1f} s){tail}{': ' + note if note else ''}"
    if verdict == "NOT OK" or options.verbose:
        text += "\n" + foreign.excerpt(output, options.verbose)
    print(text, flush=True)


def report(files, options, verdicts):
    """Prints the table, the reasons and the closing line: the exit code."""
    columns = [MEASURE, *options.arrangement]
    width = max(map(len, files))
    print("\n# " + " " * width + "".join(f"  {column:>15}" for column in columns))
    for name in files:
        if name in verdicts:
            row = verdicts[name]
            print(f"# {name:<{width}}" + "".join(f"  {row.get(column, '-'):>15}" for column in columns))
    print("#")
    for name in files:
        why = known.left_out(name)
        if why:
            print(f"# {name:<{width}}  {why}")
    ours = [row.get(column, "-") for row in verdicts.values() for column in options.arrangement]
    counts = {word: ours.count(word) for word in ("ok", "as memcached", "known", "NOT OK")}
    print("#\n# " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    print(f"{len(files) - len(verdicts)} files left out")
    print(f"{len(ours) - counts['NOT OK'] - ours.count('-')} passed, {counts['NOT OK']} failed", flush=True)
    return 1 if counts["NOT OK"] or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
