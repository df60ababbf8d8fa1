"""Which URL the streaming client asks when, and what is served meanwhile (05 §2.4, §6.4, §6.7)."""

import socket
import tempfile
import time

from harness import LIMIT, Moxi, Port, Server
from manager import (
    DELIMITER, NOTHING, PARTIAL, PAUSE, RESET, SET, Manager, ManagedTest, bucket, encoded, ketama, listed,
)

TEXT = "This is just a bad response that is not JSON."
REFUSED = "cannot connect: Connection refused"
TIMEOUT = "no answer in time"


class Order(ManagedTest):
    """05 §6.4: the next URL at once after a failure, a pause after the last one, then the first again."""

    paths = ("1", "2")

    def test_a_broken_stream(self):
        """05 §6.4: reset, or without its last chunk."""
        first = self.manager.stream(self.document(), path="1")
        client = self.client()
        line = self.served(client, self.mock)
        with self.at_once():
            first.reset()
            second = self.manager.stream(self.document(), path="2")
        self.expect_log(self.failed(RESET, "1"))
        self.expect_tally(2, 0, 1, 1, 0)
        with self.pause():
            second.close()
            self.expect_log(self.failed(PARTIAL, "2"))
            first = self.manager.stream(self.document(), path="1")
        self.expect_tally(3, 0, 1, 2, 0)
        with self.at_once():
            first.close()
            self.manager.request("2")
        self.expect_log(self.failed(PARTIAL, "1"))
        self.served(client, line)

    def test_a_stream_that_ends(self):
        """05 §6.4, §5.8: an empty document is counted and changes nothing; after a pause the first URL."""
        self.failing("1")
        second = self.manager.stream(self.document(), path="2")
        client = self.client()
        line = self.served(client, self.mock)
        with self.pause():
            second.end()
            self.expect_log(self.empty("2"))
            self.expect_tally(2, 1, 1, 0, 0)
            first = self.manager.request("1")
        self.served(client, line)
        # The same of one that ends with its connection.
        first.head()
        first.send(encoded(self.document()) + DELIMITER)
        self.expect_tally(3, 1, 1, 1, 0)
        with self.pause():
            first.close()
            self.expect_log(self.empty("1"))
            self.expect_tally(4, 2, 1, 1, 0)
            self.manager.request("1")
        self.served(client, line)

    def test_single_documents(self):
        """05 §6.4, §7.2: asked again once per second, each a new configuration; nobody is disturbed."""
        exchange, client, line = self.manager.request("1"), None, None
        for turn, framing in enumerate(("length", "chunked", "close")):
            with self.pause():
                exchange.answer(self.document(), framing=framing)
                client = client or self.client()
                self.expect_tally(turn + 1, 0, 1, turn, 0)
                line = self.served(client, line or self.mock)
                self.assertEqual(self.info("a", "config_ver"), str(turn + 1))
                exchange = self.manager.request("1")

    def test_not_json(self):
        """05 §6.4: such an answer leads to the next URL at once; inside of a stream it is passed over."""
        with self.at_once():
            self.manager.request("1").answer(TEXT + "\n")
            second = self.manager.request("2")
        # As it is, line for line.
        self.expect_log(self.not_json(TEXT, "1"), "")
        second.stream(TEXT)
        self.expect_log(self.not_json(TEXT, "2"))
        second.document(self.document())
        self.expect_tally(1, 0, 1, 0, 0)
        with self.pause():
            second.end()
            self.expect_log(self.empty("2"))
            self.manager.request("1")

    def test_empty_answers(self):
        """05 §6.4, §5.8: nothing and blanks are counted as failures, told once, and hide no other URL."""
        for number, body in enumerate((b"", b" \r\n\t \n")):
            exchange = self.manager.request("1")
            with self.at_once():
                exchange.answer(body)
                if number == 0:
                    self.expect_log(self.empty("1"))
                exchange = self.manager.request("2")
            if number == 0:
                exchange.answer(self.document(), framing="chunked")
                self.expect_tally(2, 1, 1, 0, 0)
        exchange.answer(" ")
        both = f"{self.manager.url('1')}|{self.manager.url('2')}"
        self.expect_log(self.empty("2"), self.lost(both, received=True))
        self.expect_tally(4, 3, 1, 0, 0)

    def test_nobody_has_anything(self):
        """05 §6.4: it is told once; what is told depends on what has come."""
        both = f"{self.manager.url('1')}|{self.manager.url('2')}"
        self.failing("1", "2")
        self.expect_log(self.lost(both))
        with self.pause():
            self.manager.request("1").close()
        stream = self.manager.stream(self.document(), path="2")
        self.expect_log(self.back("2"))
        self.expect_tally(1, 0, 1, 0, 0)
        with self.pause():
            stream.reset()
            self.expect_log(self.failed(RESET, "2"))
            # A document has come in that pass: not a word. In the next ones none comes.
            exchange = self.manager.request("1")
        # What is wrong with a URL is told again if it is something else.
        exchange.answer("", "503 Unavailable")
        self.expect_log(self.failed("HTTP status 503", "1"))
        self.failing("2")
        self.expect_log(self.lost(both, received=True))
        self.manager.request("1").answer("", "503 Unavailable")
        self.manager.stream(self.document(), path="2")
        self.expect_log(self.back("2"))

    def failing(self, *paths):
        """These are asked next, and fail."""
        for path in paths:
            self.manager.request(path).close()
            self.expect_log(self.failed(NOTHING, path))


class Down(ManagedTest):
    """A manager that is down, the only one."""

    def one_fails(self):
        """The next request fails."""
        self.manager.request().close()

    def test_pauses_grow(self):
        """One line for the way down and one for the way up, and more time each time between."""
        times = [time.monotonic()]
        self.one_fails()
        self.expect_log(self.lost(f"{self.manager.url()} ({NOTHING})"))
        exchange = self.manager.request()
        times.append(time.monotonic())
        exchange.close()
        exchange = self.manager.request()
        times.append(time.monotonic())
        self.assertGreaterEqual(times[1] - times[0], PAUSE)
        self.assertGreaterEqual(times[2] - times[1], 2 * PAUSE)
        # It is asked as often as ever.
        with self.pause():
            exchange.answer(self.document())
            self.expect_log(self.back())
            exchange = self.manager.request()
        exchange.answer(self.document())
        self.served(self.client(), self.mock)

    def test_another_reason(self):
        """It is told."""
        self.one_fails()
        self.manager.request().answer("", "404 Object Not Found")
        url = self.manager.url()
        self.expect_log(self.lost(f"{url} ({NOTHING})"), self.lost(f"{url} (HTTP status 404)"))

    def test_verbose(self):
        """With -v each failure is told."""
        self.again(options=["-v"])
        self.expect_log("moxi log, mode=1, file=(null)")
        self.one_fails()
        self.one_fails()
        url = self.manager.url()
        self.expect_log(self.lost(f"{url} ({NOTHING})"), f"REST server {url}: {NOTHING}, as before")

    def test_a_lost_stream(self):
        """That it is lost is told; that it cannot be had again is told once more, and that it is back."""
        self.manager.stream(self.document()).reset()
        self.expect_log(self.failed(RESET))
        # It is had again.
        stream = self.manager.stream(self.document())
        self.expect_tally(2, 0, 1, 1, 0)
        stream.reset()
        self.expect_log(self.failed(RESET))
        self.one_fails()
        self.manager.stream(self.document())
        self.expect_log(self.lost(f"{self.manager.url()} ({NOTHING})", received=True), self.back())

    def test_documents_that_are_refused_again(self):
        """A manager that is asked once a second is not complained of once a second."""
        bad, worse = bucket("a", self.mock, rows=[]), bucket("a", "host")
        self.manager.request().answer(self.document())
        self.client()
        for document in (bad, bad, worse, bad, self.document(), bad):
            self.manager.request().answer(document)
        self.expect_tally(7, 5, 1, 1, 0)
        later = self.bad("No vBuckets available; service maybe still initializing")
        self.expect_log(later, self.bad("missing port, server 0 of the list"), later, later)

    def test_not_json(self):
        """The same of what is no document at all."""
        for _ in range(2):
            self.manager.request().answer(TEXT)
        self.manager.request().answer(self.document())
        self.expect_log(self.not_json(TEXT), self.back())
        self.served(self.client(), self.mock)


class Spellings(ManagedTest):
    """The ways to name several URLs."""

    def test_several_urls(self):
        """05 §2.4, §2.5: with and without a key, in one line or in several, in a file."""
        with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
            for cluster in (
                "url={1}|{2}", "url={1},{2}", "{1},{2}", "{1}|{2}", "host={1}|{2}", "url = {1} | {2} ;",
                "url=http://127.0.0.1:1/,url={1}|{2}", "@url={1}|{2}\n", "@{1},{2}\n",
                "@\n# url=http://127.0.0.1:1/\nurl={1}|{2}\ndbpath=/x\n",
            ):
                def arguments(port, cluster=cluster):
                    text = cluster.replace("{1}", self.manager.url("1")).replace("{2}", self.manager.url("2"))
                    if text.startswith("@"):
                        file.seek(0)
                        file.truncate()
                        file.write(text[1:])
                        file.flush()
                        text = file.name
                    return text, [f"port_listen={port}"]
                self.arguments = arguments
                self.again()
                self.manager.request("1").reset()
                self.expect_log(self.failed(RESET, "1"))
                self.manager.request("2")

    def test_what_is_not_known(self):
        """05 §2.4: it is logged at -v, and is no reason to stop."""
        self.arguments = lambda port: (f"usr=x,dbpath=/x,url={self.manager.url()},config=y", [f"port_listen={port}"])
        self.again(options=["-v"])
        self.manager.request()
        self.expect_log("moxi log, mode=1, file=(null)", "unknown configuration key: usr")

    def test_none(self):
        """05 §2.4, §2.8, §6.7: without a URL, or without a port, moxi ends."""
        url = self.manager.url()
        for cluster, behavior, text in (
            ("url=", [], "ERROR: missing -z configuration for url/host"),
            ("auth=fred%sesame@host", [], "ERROR: missing -z configuration for url/host"),
            (f"url={url};auth=fred%sesame", [], "ERROR: missing -z configuration for url/host"),
            (url, ["port_listen=0"], "ERROR: bad port_listen in -Z: 0 is not a port from 1 to 65535"),
        ):
            self.arguments = lambda _, cluster=cluster, behavior=behavior: (cluster, behavior)
            self.again()
            self.assertEqual(self.moxi.finish(), 1)
            self.expect_log(text)


class Start(ManagedTest):
    """05 §6.7: moxi never waits for the first document."""

    def test_without_a_default_bucket(self):
        """05 §6.7: nobody listens before the first bucket; a document that brings none opens nothing."""
        exchange = self.manager.request().stream(TEXT)
        self.expect_log(self.not_json(TEXT))
        exchange.document(bucket("a"))
        self.expect_log(self.bad("Empty serverList"))
        exchange.document(listed())
        exchange.document(listed({"name": "k", "nodeLocator": "ketama"}, 5))
        self.expect_log(self.bad("Expected array for serverList or nodes"))
        self.assertTrue(self.refuses())
        exchange.document(self.document())
        self.served(self.client(), self.mock)

    def test_with_a_default_bucket(self):
        """05 §6.7: the port is open from the beginning, and everybody is turned away until there is a bucket."""
        for name, password, answer in (
            ("", "", b"SERVER_ERROR unauthorized, null bucket\r\n"),
            ("a", "", None),
            ("a", "sesame", b"SERVER_ERROR unauthorized, null bucket\r\n"),
            ("b", "", b"SERVER_ERROR unauthorized, null bucket\r\n"),
        ):
            self.again(f"default_bucket_name={name}")
            self.moxi.await_port()
            exchange = self.manager.request().stream(listed())
            self.turned_away()
            exchange.document(bucket("a"))
            self.expect_log(self.bad("Empty serverList"))
            self.turned_away()
            exchange.document(bucket("a", self.mock, saslPassword=password))
            client = self.client()
            if answer:
                self.ask(client, SET, answer)
                self.ask(client, b"get k\r\n", b"END\r\n")
            else:
                self.served(client, self.mock)
        self.mock.expect_nobody(0)

    def turned_away(self):
        """A client is let in by the kernel, and closed by moxi."""
        self.connected().expect_closed()

    def test_a_port_that_is_taken(self):
        """05 §2.8, §7.4: with the first bucket moxi wants its port, and ends if that is not to be had."""
        taken = Server()
        self.addCleanup(taken.close)
        self.arguments = lambda _: (f"url={self.manager.url()}", [f"port_listen={taken.port}"])
        self.again(options=["-l", "127.0.0.1"])
        self.manager.stream(self.document())
        self.assertEqual(self.moxi.finish(), 1)
        self.expect_log(
            f"bind(127.0.0.1:{taken.port}): Address already in use",
            f"ERROR: could not listen on port {taken.port}. Please use -Z port_listen=PORT_NUM to specify a different "
            "port number.",
        )


class Agents(ManagedTest):
    """Several agents serve their buckets on one port."""

    servers = 2

    def setUp(self):
        self.other = Manager()
        self.addCleanup(self.other.close)
        super().setUp()

    def arguments(self, port):
        cluster = f"url={self.manager.url('1')};auth=fred%sesame,url={self.other.url('2')};"
        return cluster, [f"port_listen={port}"]

    def test_each_has_its_buckets(self):
        """05 §2.4: a document is about the buckets of its own agent only, and so are its versions and failures."""
        first, second = self.manager.request("1"), self.other.request("2", "Authorization: Basic ZnJlZDpzZXNhbWU=")
        first.stream(bucket("a", self.mock))
        client = self.client()
        line = self.served(client, self.mock)
        # Halves of documents do not mix.
        second.stream()
        first.chunk(encoded(bucket("b", self.mock))[:50])
        second.chunk(encoded(bucket("c", self.mocks[1]))[:60])
        first.chunk(encoded(bucket("b", self.mock))[50:] + DELIMITER)
        self.expect_tally(2, 0, 2, 0, 1)
        second.chunk(encoded(bucket("c", self.mocks[1]))[60:] + DELIMITER)
        self.expect_tally(3, 0, 3, 0, 1)
        self.assertEqual(self.names(), ["c", "b"])
        self.ask(client, SET, b"SERVER_ERROR proxy out of downstreams\r\n")
        client = self.client()
        self.served(client, line)
        first.document(listed())
        line.expect_closed()
        self.served(self.client(), self.mocks[1])


class Unreachable(ManagedTest):
    """URLs behind which nobody is, before and after one that is good."""

    unusable = ("ftp://127.0.0.1/", "http://:1/", "http://127.0.0.1:x/")
    # Their passwords are not shown.
    written = ("ftp://127.0.0.1/", "http://:1/", "http://fred:sesame@127.0.0.1:x/")

    def setUp(self):
        # Nobody listens there.
        port = Port()
        self.addCleanup(port.release)
        self.dead = f"http://127.0.0.1:{port.number}/dead"
        super().setUp()

    def urls(self):
        return [self.dead, *self.written, self.manager.url(), self.dead]

    def test_the_next_one_at_once(self):
        """05 §6.4: a URL that cannot be used is as good as one that nobody answers; it is told at the start, and once in its turn."""
        known = [f"WARNING: not a URL of the form http://HOST:PORT/PATH: {url}" for url in self.unusable]
        refused = f"WARNING: REST server {self.dead}: {REFUSED}"
        bad = [f"WARNING: REST server {url}: not a URL of the form http://HOST:PORT/PATH" for url in self.unusable]
        exchange = self.manager.request()
        self.expect_log(*known, refused, *bad)
        exchange.stream(self.document())
        self.served(self.client(), self.mock)
        with self.pause():
            exchange.reset()
            # The same URL once more, behind the good one, stands for itself.
            self.expect_log(self.failed(RESET), refused)
            self.manager.stream(self.document())
        self.expect_tally(2, 0, 1, 1, 0)


class Deaf(ManagedTest):
    """A manager whose kernel does not even let moxi in."""

    def arguments(self, port):
        self.deaf = socket.socket()
        self.addCleanup(self.deaf.close)
        self.deaf.bind(("127.0.0.1", 0))
        self.deaf.listen(0)
        # What fits into the queue.
        self.full = socket.create_connection(self.deaf.getsockname())
        self.addCleanup(self.full.close)
        self.url = f"http://127.0.0.1:{self.deaf.getsockname()[1]}/deaf"
        return f"url={self.url}|{self.manager.url()}", [f"port_listen={port}"]

    def test_connecting_takes_five_seconds_at_most(self):
        """05 §6.4: then comes the next URL."""
        self.manager.stream(self.document())
        self.served(self.client(), self.mock)
        self.expect_log(f"WARNING: REST server {self.url}: cannot connect: connection timed out")


class Silence:
    """A moxi with an agent for each kind of silence, each with a manager of its own."""

    beginnings = (
        b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"HTTP/1.1 401 Unauthorized\r\n",
    )

    def __init__(self):
        self.managers = [Manager() for _ in self.beginnings]
        self.streaming = Manager()
        self.moxi = Moxi(self.arguments, [], opens=False)
        for manager, beginning in zip(self.managers, self.beginnings, strict=True):
            manager.request("silent").send(beginning)
            # It takes longer than anything else.
            manager.listener.settimeout(3 * LIMIT)
        self.stream = self.streaming.stream(bucket("a", "127.0.0.1:1"), path="silent")

    def arguments(self, port):
        """What moxi is given."""
        agents = [f"url={manager.url('silent')}|{manager.url('good')}" for manager in [*self.managers, self.streaming]]
        return ";".join(agents), [f"port_listen={port}"]

    def close(self):
        """Ends all of it."""
        for manager in [*self.managers, self.streaming]:
            manager.close()
        self.moxi.stop()
        self.moxi.log.close()


# What is silent for half a minute is so while the other tests run, and is looked at last.
silence = None


def setUpModule():
    """Begins the silence."""
    global silence  # noqa: PLW0603
    silence = Silence()


def tearDownModule():
    """Ends it."""
    silence.close()


class WhoSaysNothing(ManagedTest):
    """05 §6.4: an answer has half a minute to begin, and one with a length never pauses for longer. A stream may."""

    def start(self, *_):
        """It has been started."""
        return silence.moxi

    def test_silence(self):
        """05 §6.4: the next URL after a silent one, but a stream is left alone."""
        for manager in silence.managers:
            manager.request("good")
        # On a slow machine the good ones may have become silent, too.
        self.foretold = self.messages()
        want = {f"WARNING: REST server {manager.url('silent')}: {TIMEOUT}" for manager in silence.managers}
        self.assertLessEqual(want, set(self.foretold))
        # The stream that has been silent for as long is still read.
        self.expect_tally(1, 0, 1, 0, 0)
        silence.stream.document(bucket("a", "127.0.0.1:2"))
        self.expect_tally(2, 0, 1, 1, 0)
        silence.streaming.expect_nobody(0)
