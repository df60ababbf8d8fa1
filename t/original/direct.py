"""Runs the original .t files against the program as the memcached server that it also is, without a proxy.

The suite wants to be started in the build directory, where the server is called
memcached-debug and a companion program ends what runs for too long.
"""

import re
import shutil

import foreign

# What is changed in the copy of a file: what Perl does not accept any more.
PATCHES = {
    "udp.t": (r"%\$(\w+)->\{", r"$\1->{"),
}


def prepare(scratch, program):
    """Completes the scratch directory, which has the suite already."""
    shutil.copy2(program, scratch / "memcached-debug")
    foreign.script(scratch / "timedrun", foreign.TIMEDRUN)
    for name, (pattern, replacement) in PATCHES.items():
        path = scratch / "t" / name
        if path.is_file():
            path.write_text(re.sub(pattern, replacement, path.read_text()))


def files(scratch):
    """All .t files of the suite."""
    return sorted(path.name for path in (scratch / "t").glob("*.t"))


def command(name):
    """How a file is started in the scratch directory."""
    return ["perl", f"./t/{name}"]
