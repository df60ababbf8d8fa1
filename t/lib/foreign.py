"""What it takes to run a suite that is not this repository's: the program under test, a network and processes of its
own for each file, an end in any case, and a verdict by what was printed. For t/original and t/memcached."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Runs a command, and ends it after so many seconds. The command takes the place of this script, so that signals
# reach it.
TIMEDRUN = """#!/usr/bin/perl
alarm shift @ARGV;
exec { $ARGV[0] } @ARGV;
die "cannot run $ARGV[0]: $!\\n";
"""

# The commands under way.
running = set()


def need(*tools):
    """Ends with a message that names what is missing."""
    for tool in tools:
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing (Debian: apt-get install {tool})")


def program():
    """The program under test."""
    named = os.environ.get("MOXI_BIN")
    places = [Path(named)] if named else [ROOT / "target/release/moxi", ROOT / "target/debug/moxi"]
    for place in places:
        if os.access(place, os.X_OK):
            return place.resolve()
    sys.exit(f"no moxi at {' or '.join(map(str, places))}: build it first")


def script(place, text):
    """Writes a program."""
    place.write_text(text)
    place.chmod(0o755)


def leave_on_sigterm():
    """Leaves by an exception when told to stop, so that clean-ups are done."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))


def namespaces():
    """How to start a command on a network, and among processes, of its own: suites take ports where they like and may
    leave processes behind."""
    own = ["unshare", "-n", "-p", "-m", "--fork", "--kill-child", "--mount-proc"]
    if not shutil.which("unshare"):
        return []
    for prefix in (own, own[:1] + ["-r"] + own[1:]):
        try:
            check = subprocess.run(
                prefix + [sys.executable, str(HERE / "loopback.py"), "true"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=20,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if check.returncode == 0:
            return prefix + [sys.executable, str(HERE / "loopback.py")]
    return []


def run(command, place, environment, limit):
    """Runs a command in the directory `place`, with more in its environment: (whether it took too long, its output)."""
    # A file and not a pipe: a child that stays behind would hold a pipe open.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=place,
            env=dict(os.environ, **environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running.add(process)
        late = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            kill_session(process)
            process.wait()
            running.discard(process)
        log.seek(0)
        return late, log.read()


def stop_running():
    """Ends what is under way."""
    for process in list(running):
        kill_session(process)


def kill_session(process):
    """Ends the process and all that it has started: suites put servers into process groups of their own, but they all
    stay in one session."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # Behind the name: state, parent, group, session.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == process.pid:
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, IndexError, ValueError):
            continue


def excerpt(output, everything):
    """What a file printed, without the results that are good. A file that dies has its whole text in the middle of its
    last words."""
    text = re.sub(rb"[^\n\x20-\x7e]", b"?", output).decode("ascii")
    lines = [line for line in text.splitlines() if everything or not line.startswith("ok")]
    if not everything and len(lines) > 30:
        lines = lines[:15] + [f"({len(lines) - 30} lines between)"] + lines[-15:]
    return "\n".join("    " + (line if len(line) < 300 else line[:300] + "...") for line in lines)
