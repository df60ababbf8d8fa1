"""Runs the original Python suites, which play a memcached server on a socket.

The suite's own t/moxi_mock.pl starts moxi and the tests. It wants Python 2 under
the name python; where there is none, the Python files are converted (python3.py)
in the scratch directory. It wants ruby, too, for a cluster's REST interface; that
is rest_server.py.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import foreign
import python3


def with_rest(suite, behavior, *document):
    """The arguments of a suite whose configuration comes by REST, as in t/moxi_all.pl: here without the third one."""
    patient = (
        "downstream_timeout=0,downstream_conn_queue_timeout=0,wait_queue_timeout=0,connect_timeout=5000,"
        "auth_timeout=0,connect_max_errors=0,connect_retry_interval=0,"
    )
    url = "url=http://127.0.0.1:4567/pools/default/buckets/default"
    return [suite, "binary", url, f"{behavior},port_listen=11333,{patient}", " ".join(["./t/rest_mock.rb", *document])]


# Name, what t/moxi_mock.pl is given besides the options of the test program, and how many tests there are.
SUITES = {
    "a2a": (["ascii", "ascii"], 19),
    "a2b": (["ascii", "binary"], 27),
    "b2b": (["binary", "binary"], 19),
    "auth": (with_rest("moxi_mock_auth", "usr=TheUser,pwd=ThePassword"), 4),
    "multitenancy": (
        with_rest("moxi_multitenancy", "default_bucket_name=default", "./t/moxi_multitenancy_rest.cfg"),
        8,
    ),
    "multitenancy_default": (
        with_rest("moxi_multitenancy_default", "default_bucket_name=default", "./t/moxi_multitenancy_rest_default.cfg"),
        4,
    ),
}

FILES = [
    "moxi_mock_server.py",
    "memcacheConstants.py",
    "moxi_mock_a2a.py",
    "moxi_mock_a2b.py",
    "moxi_mock_b2b.py",
    "moxi_mock_auth.py",
    "moxi_multitenancy.py",
    "moxi_multitenancy_default.py",
]


def prepare(scratch, program):
    """Builds the directory below `scratch`, which has the suite's t/, and returns it."""
    place = scratch / "mocks"
    shutil.copytree(scratch / "t", place / "t", symlinks=True)
    shutil.copy2(program, place / "moxi")
    tools = place / "tools"
    tools.mkdir()
    python = python2()
    if python is None:
        python3.convert_files(place / "t", FILES)
        python = sys.executable
    (tools / "python").symlink_to(python)
    (tools / "ruby").symlink_to(Path(__file__).resolve().parent / "rest_server.py")
    return place


def python2():
    """A Python 2.7 that works, or nothing. PYTHON2 may name it."""
    for name in (os.environ.get("PYTHON2"), "python2.7", "python2"):
        path = name and shutil.which(name)
        if path:
            check = [path, "-c", "import sys; print(sys.version_info[:2] == (2, 7) and sys.executable)"]
            result = subprocess.run(check, capture_output=True, text=True, check=False)
            if result.returncode == 0 and result.stdout.startswith("/"):
                return result.stdout.strip()
    return None


def run(place, prefix, name, limit):
    """Runs one suite: (results by test, what was printed, seconds)."""
    arguments, expected = SUITES[name]
    environment = {
        "PATH": f"{place}/tools:{os.environ.get('PATH', '')}",
        "LC_ALL": "C.UTF-8",
        "PYTHONIOENCODING": "latin-1",
        # An HTTP proxy of the machine must not be asked for what is on the machine itself.
        "no_proxy": "*",
    }
    begun = time.monotonic()
    command = prefix + ["./t/moxi_mock.pl", *arguments[:2], "-v", *arguments[2:]]
    _, output = foreign.run(command, place, environment, limit)
    return judge(output, expected), output, time.monotonic() - begun


def judge(output, expected):
    """The verdict of every test, as unittest prints them. One that is missing counts as failed."""
    # A test's name, and its verdict on that line or, behind other output, on a later one.
    results, name = {}, None
    for line in output.decode("latin-1").splitlines():
        found = re.match(r"(test\w+) \(", line)
        if found:
            name = found[1]
        found = name and re.search(r"(?:^|\.\.\. |\s)(ok|FAIL|ERROR)$", line)
        if found:
            results[name] = found[1]
            name = None
    for number in range(len(results), expected):
        results[f"(test {number + 1} of {expected})"] = "missing"
    return results
