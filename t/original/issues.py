"""Runs the original issue scripts (t/issue-*.sh), and supplies what they expect of a machine.

They use nc and killall, fixed ports, one directory for temporary files, and the
program under test both as proxy and as memcached server. Most of them have no
verdict of their own: a script is judged here by what it prints.
"""

import os
import re
import shutil
import sys
import time
from pathlib import Path

import foreign

HERE = Path(__file__).resolve().parent

# nc that closes its sending side at the end of its input.
NC = """#!/bin/sh
exec {nc} -N "$@"
"""

# killall that also gets processes that are stopped, and returns when they have gone.
KILLALL = """#!/bin/sh
{killall} "$@"
{killall} -q -CONT "$@"
sleep 0.3
"""

# The files that scripts leave behind have fixed names, so they get a /tmp of their own. That may cover the scratch
# directory itself, in which the script is started: hence relative paths everywhere.
SHELL = 'mount -t tmpfs none /tmp && bash "$0"; cat /tmp/issue-*.log /tmp/issue-*.out2 2>/dev/null'

# Python wants the whole path of what it runs, which may be covered.
PYTHON = """#!/bin/sh
exec {python} - "$@" < "${{0%/*}}/{script}"
"""

# What is changed in the copy of a script: where it leaves to chance what it judges, and where it does not expect what
# the C program does not say.
PATCHES = {
    # Three clients start at the same moment, and one of them must be the first.
    "issue-MB-2649.sh": [(r"^(echo get a .*) &$", r"\1 &\nsleep 0.03")],
    "issue-MB-3575.sh": [
        # The program is killed after one second, when it is just about to ask the REST servers again.
        (r"^sleep 1\n\necho OK$", r"sleep 0.6\n\necho OK"),
        # The lines of start, stop and each change of configuration are new (01 §11).
        (
            r"^cut -d ' ' -f 4- (\S+)",
            r"grep -vE '[)] (moxi [^ ]+ (started|stopped): |configuration from )' \1 | cut -d ' ' -f 4-",
        ),
    ],
}

# What a script has to print (a pattern, and how often), and what it must not print.
JUDGED = {
    "issue-MB-2649.sh": ([(r"^OK expected", 4)], r"^FAIL|SKIPPED"),
    "issue-MB-2660.sh": (
        [(r"^NOT_FOUND", 1), (r"^SERVER_ERROR proxy write to downstream 127\.0\.0\.1", 3), (r"^OK - no more", 1)],
        r"^real\t0m[1-9]",
    ),
    "issue-MB-2689.sh": (
        [(r"^NOT_FOUND", 1), (r"^SERVER_ERROR proxy downstream timeout 127\.0\.0\.1", 3), (r"^OK - no more", 1)],
        r"^real\t0m[1-9]",
    ),
    # Its first timed request gets stuck, as it should; the second must not.
    "issue-MB-2811.sh": ([(r"^VERSION ", 1), (r"^real\t0m0\.[0-4]", 1), (r"^OK - no more", 1)], None),
    "issue-MB-2825.sh": (
        [(r"^NOT_FOUND", 1), (r"^SERVER_ERROR proxy downstream timeout\s*$", 2), (r"^OK - no more", 1)],
        None,
    ),
    "issue-MB-2972.sh": ([(r"^OK - got the expected SERVER_ERROR", 2), (r"^OK - got the expected END", 1)], r"^FAIL"),
    "issue-MB-2980.sh": ([(r"^OK get [13]$", 16), (r"^OK$", 1)], r"^FAIL"),
    "issue-MB-3076.sh": ([(r"^OK ", 15)], r"^FAIL"),
    "issue-MB-3113.sh": ([(r"^OK got closed conns", 1)], r"^FAIL"),
    "issue-MB-3575.sh": ([(r"^OK - issue-MB-3575 fixed", 1)], r"^FAIL"),
    "issue-conn-close.sh": ([(r"^Test case passed", 1)], r"^Test case failed"),
}

SCRIPTS = sorted(JUDGED)


def missing_tools():
    """Programs that the scripts need and this machine does not have."""
    return [name for name in ("bash", "nc", "killall") if not shutil.which(name)]


def prepare(scratch, program):
    """Builds the directory below `scratch`, which has the suite's t/, and returns it."""
    # One directory deeper: a script looks for a helper in ../labrea.
    place = scratch / "issues" / "suite"
    shutil.copytree(scratch / "t", place / "t", symlinks=True)
    shutil.copy2(program, place / "moxi")
    tools = place / "tools"
    tools.mkdir()
    for name, text in (("nc", NC), ("killall", KILLALL)):
        path = tools / name
        path.write_text(text.format(**{name: shutil.which(name)}))
        path.chmod(0o755)
    helper = scratch / "issues" / "labrea"
    helper.mkdir()
    for path, script in ((helper / "labrea", "slow.py"), (tools / "ruby", "rest_server.py")):
        shutil.copy2(HERE / script, path.parent)
        path.write_text(PYTHON.format(python=sys.executable, script=script))
        path.chmod(0o755)
    for name, changes in PATCHES.items():
        script = place / "t" / name
        for pattern, replacement in changes if script.is_file() else []:
            script.write_text(re.sub(pattern, replacement, script.read_text(), flags=re.MULTILINE))
    return place


def run(place, prefix, name, limit):
    """Runs one script: (verdict, output, seconds)."""
    if not (place / "t" / name).is_file():
        return "missing", b"", 0.0
    if not prefix or missing_tools():
        # Without a world of its own it would end every moxi of this machine.
        return "skip", b"", 0.0
    environment = {
        "PATH": f"./tools:{os.environ.get('PATH', '')}",
        "LC_ALL": "C",
        "BASHOPTS": "xpg_echo",
        "no_proxy": "*",
    }
    begun = time.monotonic()
    late, output = foreign.run(prefix + ["sh", "-c", SHELL, f"./t/{name}"], place, environment, limit)
    return ("time" if late else judge(name, output)), output, time.monotonic() - begun


def judge(name, output):
    """By what was printed."""
    text = output.decode("latin-1").replace("\r", "")
    wanted, unwanted = JUDGED[name]
    if unwanted and re.search(unwanted, text, re.MULTILINE):
        return "FAIL"
    good = all(len(re.findall(pattern, text, re.MULTILINE)) >= count for pattern, count in wanted)
    return "ok" if good else "FAIL"
