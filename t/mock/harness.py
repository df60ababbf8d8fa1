"""What the mock suites share: scripted servers, clients, packets, and moxi itself.

A server here is a socket of the test's: what arrives on it is compared byte for
byte, what is said on it stands in the test. A request must come in one piece,
and so must a reply: simple peers call recv once.
"""

import errno
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# After so many seconds something that was waited for counts as never coming. A
# test that passes never waits for it.
LIMIT = 15
# So long a connection must stay silent to be called silent.
SILENCE = 0.03

# Binary opcodes.
GET, SET, ADD, REPLACE, DELETE, INCR, DECR, QUIT, FLUSH = range(0x00, 0x09)
GETQ, NOOP, VERSION, GETK, GETKQ, APPEND, PREPEND, STAT = range(0x09, 0x11)
SETQ, ADDQ, REPLACEQ, DELETEQ, INCRQ, DECRQ, QUITQ, FLUSHQ, APPENDQ, PREPENDQ = range(0x11, 0x1B)
VERBOSITY, TOUCH, GAT, GATQ, HELLO, SASL_LIST, SASL_AUTH, SASL_STEP, GATK, GATKQ = range(0x1B, 0x25)
BUCKET, SELECT_BUCKET, OBSERVE, GETL, UNL = 0x2A, 0x89, 0x92, 0x94, 0x95

# Binary status numbers.
OK, NOT_FOUND, EXISTS, TOO_LARGE, INVALID, NOT_STORED, NOT_A_NUMBER = range(0, 7)
AUTH_ERROR, UNKNOWN, NO_MEMORY, NOT_SUPPORTED, INTERNAL, BUSY = 0x20, 0x81, 0x82, 0x83, 0x84, 0x85


def packet(magic, opcode, status, key, extras, value, opaque, cas):
    """A packet of the binary protocol."""
    lengths = (len(key), len(extras), 0, status, len(extras) + len(key) + len(value))
    return struct.pack(">BBHBBHIIQ", magic, opcode, *lengths, opaque, cas) + extras + key + value


def req(opcode, key=b"", extras=b"", value=b"", opaque=0, cas=0, vbucket=0):
    """A request."""
    return packet(0x80, opcode, vbucket, key, extras, value, opaque, cas)


def res(opcode, status=0, key=b"", extras=b"", value=b"", opaque=0, cas=0):
    """A reply."""
    return packet(0x81, opcode, status, key, extras, value, opaque, cas)


def u32(*numbers):
    """Numbers of 32 bits, as extras have them."""
    return struct.pack(f">{len(numbers)}I", *numbers)


def count(delta, initial, expiry):
    """The extras of incr and decr."""
    return struct.pack(">QQI", delta, initial, expiry)


def u64(number):
    """A number of 64 bits."""
    return struct.pack(">Q", number)


class Wire:
    """One end of a connection."""

    def __init__(self, connection, name):
        self.socket, self.name = connection, name
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(LIMIT)

    def send(self, data):
        """Sends bytes, or several pieces of them with a moment between."""
        pieces = [data] if isinstance(data, bytes) else data
        for index, piece in enumerate(pieces):
            if index:
                time.sleep(0.005)
            self.socket.sendall(piece)

    def expect(self, data):
        """Requires exactly these bytes, in one piece."""
        got = self.receive()
        if got != data:
            raise AssertionError(f"{self.name} got      {got!r}\n{' ' * len(self.name)} expected {data!r}")

    def receive(self):
        """What one recv returns."""
        try:
            return self.socket.recv(1 << 20)
        except TimeoutError:
            raise AssertionError(f"{self.name}: nothing came") from None
        except ConnectionResetError:
            return b""

    def expect_closed(self):
        """Requires that the peer closes, without another byte."""
        self.expect(b"")

    def expect_silence(self, seconds=SILENCE):
        """Requires that nothing comes for a while."""
        if select.select([self.socket], [], [], seconds)[0]:
            raise AssertionError(f"{self.name}: expected silence, got {self.receive()!r}")

    def close(self):
        """Closes it."""
        self.socket.close()


class Server:
    """A listening socket whose connections the test takes one by one."""

    # What its connections are.
    kind = Wire

    def __init__(self, host="127.0.0.1"):
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, 0))
        self.listener.listen(16)
        self.listener.settimeout(LIMIT)
        self.port = self.listener.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.connections = []

    def accept(self):
        """Takes the next connection."""
        try:
            connection, _ = self.listener.accept()
        except TimeoutError:
            raise AssertionError("nobody connected to the server") from None
        wire = self.kind(connection, "server")
        self.connections.append(wire)
        return wire

    def expect_nobody(self, seconds=SILENCE):
        """Requires that nobody connects for a while."""
        if select.select([self.listener], [], [], seconds)[0]:
            raise AssertionError("an unexpected connection to the server")

    def close(self):
        """Closes it with all its connections."""
        self.listener.close()
        for connection in self.connections:
            connection.close()


class Port:
    """A port that no other test takes meanwhile: it stands for an abstract unix socket of its name, which only one
    process on the machine can have, and which ends with it. See tests/support/src/ports.rs."""

    FIRST, COUNT = 20_000, 12_000

    def __init__(self):
        start = os.getpid() * 37 + time.monotonic_ns() // 1000
        for step in range(self.COUNT):
            number = self.FIRST + (start + step) % self.COUNT
            claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                claim.bind(f"\0moxi-test-port-{number}")
            except OSError as error:
                claim.close()
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            if self.is_free(number):
                self.number, self.claim = number, claim
                return
            claim.close()
        raise RuntimeError("no free port")

    @staticmethod
    def is_free(number):
        """Whether nobody listens."""
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            try:
                with socket.socket(family) as probe:
                    if family == socket.AF_INET6:
                        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((address, number))
            except OSError as error:
                # There may be no IPv6.
                if family == socket.AF_INET or error.errno == errno.EADDRINUSE:
                    return False
        return True

    def release(self):
        """Gives it back."""
        self.claim.close()


def program():
    """The program under test."""
    named = os.environ.get("MOXI_BIN")
    places = [named] if named else [ROOT / "target/release/moxi", ROOT / "target/debug/moxi"]
    for place in places:
        found = shutil.which(str(place))
        if found:
            return found
    raise SystemExit(f"no moxi at {' or '.join(map(str, places))}: build it first")


def environment():
    """The environment without what changes where moxi asks, and as whom."""
    return {
        name: value for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("MOXI_SASL_PLAIN_")
    }


class Moxi:
    """A running moxi with one worker. With `opens` its port is waited for."""

    def __init__(self, arguments, behavior, options=(), opens=True, variables=()):
        self.port = Port()
        cluster, additions = arguments(self.port.number)
        behavior = behavior + additions
        command = [program(), "-z", cluster, "-p", "0", "-U", "0", "-t", "1"]
        if os.getuid() == 0:
            command += ["-u", "root"]
        command += ["-Z", ",".join(behavior), *options]
        self.log = tempfile.TemporaryFile()
        self.is_over = False
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment() | dict(variables),
            # In the background a shell has SIGINT ignored; then one that comes before moxi is ready would be lost.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        if opens:
            self.await_port()

    def await_port(self):
        """Waits until somebody listens."""
        limit = time.monotonic() + LIMIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port.number)).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > limit:
                    self.stop()
                    raise AssertionError(f"moxi did not start: {self.text()}") from None
                time.sleep(0.005)

    def text(self):
        """What it has written. The position in the file is moxi's, too: it must stay."""
        log = self.log.fileno()
        return os.pread(log, os.fstat(log).st_size, 0).decode("utf-8", "replace")

    def finish(self):
        """Waits until it ends by itself, and gives its exit status."""
        try:
            status = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"moxi does not end: {self.text()}") from None
        self.is_over = True
        return status

    def stop(self):
        """Ends it; that it has ended before is a failure, unless `finish` has seen it."""
        status = None if self.is_over else self.process.poll()
        if status is None and not self.is_over:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                status = "does not end on SIGINT"
        self.port.release()
        return status


class MockTest(unittest.TestCase):
    """A moxi in front of one scripted server (more with `servers`), per test."""

    # ascii or binary: what moxi speaks to the servers.
    protocol = "ascii"
    # Additions to -Z.
    behavior = ()
    servers = 1
    # The address of the scripted servers.
    host = "127.0.0.1"
    # Options besides -z and -Z.
    options = ()
    # Whether the port is open from the beginning.
    opens = True

    def setUp(self):
        self.mocks = [Server(self.host) for _ in range(self.servers)]
        self.mock = self.mocks[0]
        self.clients = []
        self.moxi = self.start()

    def start(self, *behavior, options=(), variables=()):
        """Starts moxi."""
        settings = ["downstream_max=1", "downstream_conn_max=1", f"downstream_protocol={self.protocol}"]
        settings += ["wait_queue_timeout=0", "join_gets=0", *self.behavior, *behavior]
        return Moxi(self.arguments, settings, [*self.options, *options], self.opens, variables)

    def arguments(self, port):
        """What moxi is given for -z, and what is added to -Z, to listen on `port`."""
        return f"{port}={self.cluster()}", []

    def cluster(self):
        """One vbucket, so that vbucket numbers and opaques are zero."""
        names = ",".join(f'"{mock.address}"' for mock in self.mocks)
        rows = ",".join(f"[{index}]" for index in range(self.servers))
        return f'{{"hashAlgorithm":"CRC","numReplicas":0,"serverList":[{names}],"vBucketMap":[{rows}]}}'

    def tearDown(self):
        for client in self.clients:
            client.close()
        for mock in self.mocks:
            mock.close()
        status = self.moxi.stop()
        text = self.moxi.text()
        self.moxi.log.close()
        self.assertIsNone(status, f"moxi has ended: {text}")

    def client(self):
        """A new client."""
        wire = Wire(socket.create_connection(("127.0.0.1", self.moxi.port.number)), "client")
        self.clients.append(wire)
        return wire

    def through(self, client, line, request, reply=None, sent=None, got=None):
        """One exchange: the client sends `request`, the server must see it (or `sent`) and answers `reply`, which
        the client must get (or `got`). Returns the server's connection, the next one if `line` is none."""
        client.send(request)
        line = line or self.mock.accept()
        line.expect(sent if sent is not None else request)
        if reply is not None:
            line.send(reply)
            client.expect(got if got is not None else reply)
        return line
