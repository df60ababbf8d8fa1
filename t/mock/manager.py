"""A scripted cluster manager, the documents it hands out, and a moxi that follows it (05 §5-§7).

The test takes moxi's requests one by one, and answers each piece by piece. To stall is to send nothing more: after
`accept`, after `request`, after `head`, in the middle of a document.
"""

import json
import re
import socket
import struct
import time
from contextlib import contextmanager

from harness import LIMIT, MockTest, Server, Wire

# What stands after each document of a stream.
DELIMITER = b"\n\n\n\n"
# So many seconds moxi waits after it has tried all URLs, or up to twice as many if it has lost a stream; longer and
# longer while nobody has a document.
PAUSE = 1

# What is logged of some failures.
PARTIAL = "the answer was cut off"
RESET = "connection lost: Connection reset by peer"
NOTHING = "closed without an answer"

SET = b"set k 0 0 1\r\n1\r\n"
STORED = b"STORED\r\n"
NO_SERVERS = b"SERVER_ERROR proxy out of downstreams\r\n"


def address(server):
    """A server as documents name it."""
    return server if isinstance(server, str) else server.address


def vbuckets(*servers, rows=((0,),), **more):
    """A vbucket map; all keys are on the first server unless `rows` say otherwise."""
    servers = [address(server) for server in servers]
    return {"hashAlgorithm": "CRC", "numReplicas": 0, "serverList": servers, "vBucketMap": rows, **more}


def bucket(name, *servers, rows=((0,),), **more):
    """The document of a bucket with a vbucket map. Its password is its name, and `pw-` before it."""
    document = {"name": name, "nodeLocator": "vbucket", "saslPassword": f"pw-{name}", **more}
    return {**document, "vBucketServerMap": vbuckets(*servers, rows=rows)}


def ketama(name, *servers, **more):
    """The document of a bucket with a ring."""
    nodes = [{"hostname": "127.0.0.1:8091", "ports": {"direct": server.port}} for server in servers]
    return {"name": name, "nodeLocator": "ketama", "saslPassword": f"pw-{name}", "nodes": nodes, **more}


def store(key):
    """A request to store a key; SET is that of `k`."""
    return f"set {key} 0 0 1\r\n1\r\n".encode()


def listed(*documents):
    """A list of buckets."""
    return {"buckets": list(documents)}


def encoded(document):
    """The bytes of a document, or of what a test has in its place."""
    if isinstance(document, bytes):
        return document
    return (document if isinstance(document, str) else json.dumps(document)).encode()


def chunk(body):
    """A chunk; that of no bytes is the last one."""
    body = encoded(body)
    return b"%x\r\n%s\r\n" % (len(body), body)


class Exchange(Wire):
    """A request of moxi's and the answer to it, on a connection of their own."""

    request = b""

    def receive_request(self):
        """Reads a request to its end. It has no body."""
        self.request = b""
        while not self.request.endswith(b"\r\n\r\n"):
            piece = self.receive()
            if not piece:
                raise AssertionError(f"no more than {self.request!r} came")
            self.request += piece
        return self.request

    def head(self, status="200 OK", *fields):
        """Begins the answer."""
        self.send("\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode())

    def stream(self, *documents):
        """Begins an answer without end, as a cluster manager does."""
        self.head("200 OK", "Transfer-Encoding: chunked")
        for document in documents:
            self.document(document)
        return self

    def chunk(self, body):
        """Sends a chunk."""
        self.send(chunk(body))

    def document(self, document):
        """Sends a document and its delimiter as two chunks, as a cluster manager does."""
        self.chunk(document)
        self.chunk(DELIMITER)

    def end(self):
        """Ends the stream well, and closes: what comes next comes on a connection of its own."""
        self.chunk(b"")
        self.close()

    def answer(self, body, status="200 OK", framing="length", fields=(), closes=True):
        """Sends a whole answer, its end told by Content-Length, by chunks, or by closing the connection."""
        body = encoded(body)
        if framing == "length":
            self.head(status, f"Content-Length: {len(body)}", *fields)
            self.send(body)
        elif framing == "chunked":
            self.head(status, "Transfer-Encoding: chunked", *fields)
            self.send((chunk(body) if body else b"") + chunk(b""))
        else:
            self.head(status, *fields)
            self.send(body)
        if closes:
            self.close()

    def reset(self):
        """Cuts the connection: the peer gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


class Manager(Server):
    """A cluster manager's HTTP server."""

    kind = Exchange

    @property
    def authority(self):
        """HOST:PORT of it."""
        return self.address

    def url(self, path="p"):
        """The URL of a path."""
        return f"http://{self.authority}/{path}"

    def request(self, path="p", *fields, over=None):
        """Takes the next connection, or `over` once more, and its request: it must be this one, byte for byte."""
        exchange = over or self.accept()
        exchange.receive_request()
        lines = [f"GET /{path} HTTP/1.1", f"Host: {self.authority}", *fields, "Accept: */*", "", ""]
        want = "\r\n".join(lines).encode()
        if exchange.request != want:
            raise AssertionError(f"manager got      {exchange.request!r}\n        expected {want!r}")
        return exchange

    def stream(self, *documents, path="p"):
        """Takes the next request, and begins to stream."""
        return self.request(path).stream(*documents)


class ManagedTest(MockTest):
    """A moxi that follows a scripted manager, per test. Its port opens with the first document.

    All that moxi logs must have been foretold with `expect_log`.
    """

    behavior = (
        "downstream_conn_queue_timeout=0", "downstream_timeout=0", "connect_timeout=0", "auth_timeout=0",
        "connect_max_errors=0",
    )
    opens = False
    # The paths of the URLs, all of one manager.
    paths = ("p",)

    def setUp(self):
        self.manager, self.foretold, self.watcher = Manager(self.host), [], None
        self.addCleanup(lambda: self.manager.close())
        super().setUp()

    def arguments(self, port):
        return f"url={'|'.join(self.urls())}", [f"port_listen={port}"]

    def urls(self):
        """What moxi is to ask."""
        return [self.manager.url(path) for path in self.paths]

    def tearDown(self):
        logged = self.messages()
        super().tearDown()
        self.assertEqual(logged, self.foretold)

    def again(self, *behavior, **more):
        """Another moxi and another manager in the place of those there are."""
        self.assertEqual(self.messages(), self.foretold)
        self.assertIsNone(self.moxi.stop())
        self.moxi.log.close()
        self.manager.close()
        self.manager, self.foretold, self.watcher = Manager(self.host), [], None
        self.moxi = self.start(*behavior, **more)

    def await_true(self, condition, what):
        """Waits until `condition` holds, and gives what it says then."""
        limit = time.monotonic() + LIMIT
        while True:
            result = condition()
            if result:
                return result
            if time.monotonic() > limit:
                raise AssertionError(f"{what()}; logged: {self.moxi.text()}")
            time.sleep(0.002)

    def messages(self):
        """What moxi has complained about, without what stands before each message."""
        prefix = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: \(\w+\.\d+\) ")
        lines = self.moxi.text().split("\n")[:-1]
        messages = [prefix.sub("", line, count=1) for line in lines]
        events = re.compile(r"moxi \S+ (started|stopped): |configuration from ")
        return [message for message in messages if not events.match(message)]

    def expect_log(self, *lines):
        """Requires that these lines are logged next."""
        self.foretold += lines
        count = len(self.foretold)
        self.await_true(lambda: len(self.messages()) >= count, lambda: f"these are to be logged: {lines}")
        self.assertEqual(self.messages()[:count], self.foretold)

    def failed(self, error, path="p"):
        """What is logged of one of several URLs that has failed, or of a single one that has lost its stream."""
        return f"WARNING: REST server {self.manager.url(path)}: {error}"

    def lost(self, urls, received=False):
        """What is logged when nobody has a document any more, or yet."""
        if received:
            return f"ERROR: could not contact REST server(s): {urls}; the last configuration stays in force"
        perhaps = "perhaps they are unavailable or still initializing"
        return f"WARNING: could not contact REST server(s): {urls}; {perhaps}"

    def back(self, path="p"):
        """What is logged when somebody has one again, or has one at last."""
        return f"configuration comes from REST server: {self.manager.url(path)}"

    def not_json(self, text, path="p"):
        """What is logged of an answer, or of a document, that is not JSON."""
        return f"ERROR: parse JSON failed, from REST server: {self.manager.url(path)}, {text}"

    def bad(self, text, path="p"):
        """What is logged of a document that is refused."""
        return f"ERROR: bad JSON configuration from {self.manager.url(path)}: {text}"

    def empty(self, path="p"):
        """What is logged of an answer that has ended without a document."""
        return f"ERROR: invalid, empty config from REST server {self.manager.url(path)}"

    def document(self):
        """A document that names the server."""
        return bucket("a", self.mock)

    def connected(self):
        """A connection to moxi's port."""
        wire = Wire(socket.create_connection(("127.0.0.1", self.moxi.port.number)), "client")
        self.clients.append(wire)
        return wire

    def client(self):
        """A new client, as soon as moxi lets one in."""
        def enter():
            try:
                wire = self.connected()
                wire.send(b"version\r\n")
                if wire.receive().startswith(b"VERSION "):
                    return wire
                wire.close()
            except OSError:
                pass
            return None
        return self.await_true(enter, lambda: "nobody is let in")

    def refuses(self):
        """Whether nobody listens."""
        try:
            self.connected()
        except ConnectionRefusedError:
            return True
        return False

    def statistics(self, part="stats"):
        """`stats proxy`, as a client sees it that does nothing else."""
        self.watcher = self.watcher or self.client()
        self.watcher.send(f"stats proxy {part}\r\n".encode())
        text = b""
        while not text.endswith(b"END\r\n"):
            text += self.watcher.receive()
        lines = [line.split(" ", 2)[1:] for line in text.decode().split("\r\n")[:-2]]
        return {line[0]: "".join(line[1:]) for line in lines}

    def names(self):
        """The buckets there are, the latest first."""
        return [value for name, value in self.statistics("info").items() if name.endswith(":info:name")]

    def info(self, name, item):
        """What statistics tell of a bucket."""
        return self.statistics("info")[f"{self.moxi.port.number}:{name}:info:{item}"]

    def tally(self):
        """Documents, failures, starts, updates and shutdowns so far."""
        names = ("configs", "config_fails", "proxy_starts", "proxy_existings", "proxy_shutdowns")
        statistics = self.statistics()
        return tuple(int(statistics[f"proxy_main:stats:stat_{name}"]) for name in names)

    def expect_tally(self, *numbers):
        """Waits until so many documents have been taken, and requires the other numbers to be these."""
        self.await_true(lambda: self.tally()[0] >= numbers[0], lambda: f"no {numbers[0]} documents: {self.tally()}")
        self.assertEqual(self.tally(), numbers)

    def served(self, client, place, request=SET):
        """A request of `client` goes to this server, by a new connection, or goes over this connection."""
        client.send(request)
        line = place.accept() if isinstance(place, Server) else place
        line.expect(request)
        line.send(STORED)
        client.expect(STORED)
        return line

    def ask(self, client, sent, got):
        """What moxi itself answers."""
        client.send(sent)
        client.expect(got)

    @contextmanager
    def pause(self):
        """What is done within takes as long as moxi pauses, or longer."""
        begun = time.monotonic()
        yield
        self.assertGreaterEqual(time.monotonic() - begun, PAUSE)

    @contextmanager
    def at_once(self):
        """What is done within takes less time than moxi pauses."""
        begun = time.monotonic()
        yield
        self.assertLess(time.monotonic() - begun, PAUSE)
