#!/usr/bin/env python3
"""One run of a scenario or a suite against one arrangement, in a network of its own.

    unshare --net --pid --fork --kill-child cell.py ORDER

ORDER is a file with JSON: which arrangement, which program is moxi, on which ports clients expect somebody, the command,
its directory and environment, and how long it may take. Prints what came of it as JSON. run.py starts this; nothing else does.

In a network of one's own each port is free, so that suites find their servers where they expect them, several runs go
on at the same time, and whatever is left behind ends with this process.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time

# For a program to accept connections. Generous: the machine may be busy.
PATIENCE = 60
# Where memcached is when clients reach it through moxi: ten ports for each port of clients. An old one is so much higher.
BEHIND = 31000
OLD = 1000
OLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "older.py")
SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def loopback():
    """Brings up lo, which a new network has down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def start(words):
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)


def memcached(port):
    return start(["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-c", "1024", "-t", "2"])


def await_port(port, program):
    """Until somebody answers there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if program.poll() is not None:
            raise SystemExit(f"{program.args[0]} ended with {program.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as conn:
                conn.sendall(b"version\r\n")
                if conn.recv(100).startswith(b"VERSION "):
                    return
        except OSError:
            pass
        time.sleep(0.01)
    raise SystemExit(f"nobody answers on port {port}")


def serve(order):
    """Starts what the arrangement has."""
    arrangement, ports = order["arrangement"], order["ports"]
    if arrangement["kind"] == "memcached":
        for port in ports:
            await_port(port, memcached(port))
        return
    if arrangement["kind"] == "built-in":
        for port in ports:
            await_port(port, start([order["moxi"], "-u", "root", "-p", str(port)] + arrangement["flags"]))
        return
    sections = []
    for number, port in enumerate(ports):
        servers = [BEHIND + 10 * number + server for server in range(arrangement["servers"])]
        for server in servers:
            await_port(server, memcached(server))
        if arrangement.get("old"):
            for server in servers:
                await_port(server + OLD, start([sys.executable, OLDER, str(server + OLD), str(server)]))
            servers = [server + OLD for server in servers]
        sections.append(f"{port}=" + ",".join(f"127.0.0.1:{server}" for server in servers))
    moxi = start([order["moxi"], "-u", "root", "-z", ";".join(sections)] + arrangement["flags"])
    for port in ports:
        await_port(port, moxi)


def main():
    with open(sys.argv[1]) as file:
        order = json.load(file)
    loopback()
    serve(order)
    try:
        done = subprocess.run(
            order["command"],
            cwd=order["directory"],
            env={**os.environ, **order["environment"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=order["limit"],
            check=False,
        )
        code, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        code, out, err = "time over", late.stdout or b"", late.stderr or b""
    said = {"code": code, "out": out.decode("utf-8", "backslashreplace"), "err": err.decode("utf-8", "backslashreplace")}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
