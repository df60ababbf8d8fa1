#!/usr/bin/env python3
"""Runs memccapable (Debian: libmemcached-tools), the conformance test of libmemcached, through moxi, and against moxi
as a memcached server.

    t/capable.py [-v]

Its ASCII and its binary tests. All of them must pass against moxi's own memcached
server. Then over ASCII and over binary servers, one and four of them, every one
must have the result that it has against a memcached directly.
MOXI_BIN names the program, else target/release/moxi or target/debug/moxi. Where
memccapable is not installed, that is said, and nothing is tested.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "mock"))

from harness import LIMIT, Moxi, Port, program  # noqa: E402

SERVERS = 4


class Memcached:
    """A server: memcached itself, or another program that takes the same arguments."""

    def __init__(self, name="memcached"):
        self.port = Port()
        command = [name, "-l", "127.0.0.1", "-p", str(self.port.number), "-U", "0", "-t", "1"]
        if os.getuid() == 0:
            command += ["-u", "root"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + LIMIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port.number)).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > limit:
                    self.stop()
                    sys.exit(f"{name} does not start")
                time.sleep(0.01)

    def stop(self):
        """Ends it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.port.release()


def capable(port, protocol):
    """The results by test, and what was printed."""
    command = ["memccapable", "-v", "-h", "127.0.0.1", "-p", str(port), "-t", "30", protocol]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240, check=False)
        text = done.stdout.decode("latin-1")
    except subprocess.TimeoutExpired as late:
        text = (late.stdout or b"").decode("latin-1") + "\n(time limit)"
    return dict(re.findall(r"^((?:ascii|binary)(?: \w+)+?) {2,}.*\[(\w+)\]\s*$", text, re.MULTILINE)), text


def builtin(verbose):
    """The tests of both protocols against moxi's own server: how many have passed, and how many failed."""
    passed = failed = 0
    server = Memcached(program())
    try:
        for protocol, name in (("-a", "ASCII"), ("-b", "binary")):
            got, text = capable(server.port.number, protocol)
            bad = [test for test, result in got.items() if result != "pass"]
            good = len(got) - len(bad)
            if not got:
                bad = ["(memccapable has run no test)"]
            passed += good
            failed += len(bad)
            print(f"{'not ok' if bad else 'ok'} - {name} tests, built-in server: {good} of {len(got)}")
            for test in bad:
                print(f"    {test}: {got.get(test, 'no result')}")
            if bad or verbose:
                print("    " + text.replace("\n", "\n    "), flush=True)
    finally:
        server.stop()
    return passed, failed


def main():
    if not shutil.which("memccapable"):
        print("# skipped: memccapable is not installed (Debian: apt-get install libmemcached-tools)")
        print("0 passed, 0 failed")
        return 0
    verbose = "-v" in sys.argv[1:]
    passed, failed = builtin(verbose)
    servers = [Memcached() for _ in range(SERVERS)]
    try:
        expected = {protocol: capable(servers[0].port.number, protocol)[0] for protocol in ("-a", "-b")}
        for speak in ("ascii", "binary"):
            for count in (1, SERVERS):
                cluster = ",".join(f"127.0.0.1:{server.port.number}" for server in servers[:count])
                # The machine may be busy: no time limit of moxi's is to be the reason for a difference.
                patient = ["wait_queue_timeout=0", "downstream_conn_queue_timeout=0", "downstream_timeout=60000"]
                moxi = Moxi(lambda port, cluster=cluster: (f"{port}={cluster}", []), [f"downstream_protocol={speak}", *patient])
                for protocol, wanted in expected.items():
                    got, text = capable(moxi.port.number, protocol)
                    bad = [name for name, result in wanted.items() if got.get(name) != result]
                    if not wanted:
                        bad = ["(memccapable has run no test)"]
                    passed += len(wanted) - len(bad)
                    failed += len(bad)
                    name = f"{'ASCII' if protocol == '-a' else 'binary'} tests, {count} {speak} servers"
                    print(f"{'not ok' if bad else 'ok'} - {name}: {len(wanted) - len(bad)} of {len(wanted)}")
                    for test in bad:
                        print(f"    {test}: {got.get(test, 'no result')}, directly {wanted.get(test)}")
                    if bad or verbose:
                        print("    " + text.replace("\n", "\n    "), flush=True)
                status = moxi.stop()
                if status is not None:
                    failed += 1
                    print(f"not ok - moxi has ended: {status}\n{moxi.text()}")
    finally:
        for server in servers:
            server.stop()
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
