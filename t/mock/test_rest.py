"""The streaming client: what it asks, and how it reads the answers (05 §6.2, §6.3, §6.5)."""

import base64

from manager import DELIMITER, NOTHING, PARTIAL, RESET, Exchange, Manager, ManagedTest, bucket, chunk, encoded, listed

WEIRD = "the answer is not HTTP"
TEXT = "This is just a bad response that is not JSON."


def basic(user, password):
    """The field with which moxi introduces itself."""
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class Requests(ManagedTest):
    def test_bytes(self):
        """05 §6.2: no other fields, whatever the path; a query stays, a fragment does not."""
        for path in ("p", "", "pools/default/bucketsStreaming/default", "p?moxi=1&a=b", "p?x=/%20=="):
            self.paths = (path,)
            self.again()
            self.manager.request(path)
        self.paths = ("p#part",)
        self.again()
        self.manager.request("p")

    def test_credentials(self):
        """05 §2.4, §6.2: of the agent, else of -Z, else of the environment; the URL's own before all."""
        env = {"MOXI_SASL_PLAIN_USR": "env", "MOXI_SASL_PLAIN_PWD": "envpw"}
        told = ("env: MOXI_SASL_PLAIN_USR (3)", "env: MOXI_SASL_PLAIN_PWD (5)")
        base = ("usr=base", "pwd=basepw")
        for cluster, behavior, variables, want, log in (
            ("url={}", (), {}, [], ()),
            ("auth=fred%se%same:,url={}", base, env, [basic("fred", "se%same:")], told),
            ("apikey=fred%,url={}", base, {}, [basic("fred", "")], ()),
            ("auth=fred:sesame@host,url={}", (), {}, [basic("fred@host", "sesame")], ()),
            ("auth=,url={}", base, {}, [], ()),
            ("url={}", base, env, [basic("base", "basepw")], told),
            ("url={}", (), env, [basic("env", "envpw")], told),
            ("url={}", ("pwd=basepw",), {}, [], ()),
            ("auth=fred%sesame,url={@}", base, {}, [basic("joe", "op@en")], ()),
        ):
            self.arguments = lambda port, cluster=cluster: (self.spelt(cluster), [f"port_listen={port}"])
            self.again(*behavior, variables=variables)
            self.manager.request("p", *want)
            self.expect_log(*log)

    def spelt(self, cluster):
        """The cluster text with the URL in it, with or without credentials of its own."""
        url = self.manager.url()
        return cluster.replace("{@}", url.replace("//", "//joe:op%40en@")).replace("{}", url)

    def test_proxies(self):
        """05 §6.2, §6.8: the environment's proxies, by libcurl's rules."""
        proxy = Manager()
        self.addCleanup(proxy.close)
        through, own = proxy.authority, f"joe:open@{proxy.authority}"
        keep, named = ["Proxy-Connection: Keep-Alive"], ["Proxy-" + basic("joe", "open")]
        for variables, fields in (
            ({"http_proxy": through}, []), ({"http_proxy": f"http://{own}/"}, named), ({"all_proxy": own}, named),
            ({"ALL_PROXY": through}, []), ({"http_proxy": through, "all_proxy": "127.0.0.1:1"}, []),
            ({"http_proxy": through, "no_proxy": "other,127.0.0"}, []),
            ({"HTTP_PROXY": through}, None), ({"http_proxy": ""}, None), ({"https_proxy": through}, None),
            ({"http_proxy": through, "no_proxy": "*"}, None),
            ({"http_proxy": through, "NO_PROXY": "b,127.0.0.1"}, None),
        ):
            self.again(variables=variables)
            if fields is None:
                self.manager.request()
                proxy.expect_nobody(0)
                continue
            exchange = proxy.accept()
            request = exchange.receive_request()
            lines = [f"GET {self.manager.url()} HTTP/1.1", f"Host: {self.manager.authority}", *fields, "Accept: */*"]
            self.assertEqual(request, "\r\n".join([*lines, *keep, "", ""]).encode())
            exchange.stream(self.document())
            self.served(self.client(), self.mock)
            self.manager.expect_nobody(0)


class Framing(ManagedTest):
    """05 §6.3: where documents begin and end."""

    servers = 2

    def setUp(self):
        super().setUp()
        self.exchange = self.manager.stream(self.document())
        self.taken = 1
        self.expect_tally(1, 0, 1, 0, 0)

    def expect_taken(self):
        """One more document has been taken."""
        self.taken += 1
        self.expect_tally(self.taken, 0, 1, self.taken - 1, 0)

    def test_a_delimiter_cut_at_every_place(self):
        """05 §6.3: a document is complete with the last byte of its delimiter, and not before."""
        body = encoded(self.document())
        for first in range(5):
            for second in range(first, 5):
                pieces = [body + b"\n" * first, b"\n" * (second - first), b"\n" * (4 - second)]
                for piece in filter(None, pieces):
                    # The question gives moxi the time to read the piece before.
                    self.assertEqual(self.tally()[0], self.taken)
                    self.exchange.chunk(piece)
                self.expect_taken()

    def test_chunks_cut_at_every_place(self):
        """05 §6.3: so may be the lines between chunks; they are read as HTTP has them."""
        body = encoded(self.document())
        whole = b"00%X;name=\"value\"\r\n%s\r\n2 \r\n\n\n\r\n2;x\r\n\n\n\r\n" % (len(body), body)
        for byte in whole:
            self.exchange.send(bytes([byte]))
        self.expect_taken()
        self.exchange.send([chunk(body)[:2], chunk(body)[2:-1], b"\n" + chunk(DELIMITER)])
        self.expect_taken()

    def test_the_newest_document_wins(self):
        """05 §6.3: of several that come at once the last complete one is in force; what is begun after it waits."""
        old, new = encoded(self.document()), encoded(bucket("a", self.mocks[1]))
        client = self.client()
        line = self.served(client, self.mock)
        self.exchange.chunk(old + DELIMITER + new + DELIMITER + old[:20])
        line.expect_closed()
        line = self.served(client, self.mocks[1])
        self.exchange.chunk(old[20:] + DELIMITER)
        line.expect_closed()
        self.served(client, self.mock)

    def test_delimiters_alone_are_no_documents(self):
        """05 §6.3."""
        for _ in range(3):
            self.exchange.chunk(DELIMITER)
        self.exchange.chunk(b"\n\n\n\n\n\n" + encoded(self.document()) + b"\n\n\n\n\n\n")
        self.expect_taken()

    def test_what_was_begun_is_forgotten(self):
        """05 §6.3: after a failure the next answer begins anew."""
        self.exchange.chunk(encoded(self.document())[:30])
        self.exchange.close()
        self.expect_log(self.failed(PARTIAL))
        self.exchange = self.manager.stream(self.document())
        self.expect_taken()

    def test_bodies_that_end(self):
        """05 §6.3: what follows the last delimiter is a document, too; if that is nothing, it is an empty one."""
        self.exchange.reset()
        self.expect_log(self.failed(RESET))
        client, line, places = self.client(), self.mock, [self.mocks[1], self.mock]
        line = self.served(client, line)
        for framing in ("length", "chunked", "close"):
            old, new = (encoded(bucket("a", place)) for place in reversed(places))
            self.manager.request().answer(old + DELIMITER + new, framing=framing)
            line.expect_closed()
            line = self.served(client, places[0])
            places.reverse()
        self.manager.request().answer(encoded(bucket("a", places[0])) + DELIMITER)
        self.expect_log(self.empty())
        line.expect_closed()
        self.served(client, places[0])


class Failures(ManagedTest):
    """05 §6.4, §6.5: answers of no use, each followed by the next URL at once. Each class of them takes one pass."""

    paths = tuple("123456789")

    def fail_all(self, failures):
        """One URL after the other fails; the one after them is good, and nobody has been let in before."""
        remaining = list(self.paths)
        for fail, error in failures:
            path = remaining.pop(0)
            with self.at_once():
                fail(self.manager.request(path))
                self.expect_log(self.failed(error, path))
        self.assertTrue(self.refuses())
        exchange = self.manager.request(remaining[0])
        exchange.answer(self.document())
        self.served(self.client(), self.mock)
        self.expect_tally(1, 0, 1, 0, 0)

    def test_status(self):
        """05 §6.2, §6.5, §5.8: such a document is never used, nor one of a redirection's target."""
        statuses = (301, 302, 307, 400, 403, 404, 500, 503)
        other = Manager()
        self.addCleanup(other.close)
        for body, framing in (
            (self.document(), "length"), (encoded(self.document()) + DELIMITER, "chunked"),
            ("", "length"), ("", "chunked"), ("404 not found", "close"),
        ):
            def fail(status, body=body, framing=framing):
                fields = [f"Location: {other.url()}"] if status < 400 else []
                return lambda exchange: exchange.answer(body, f"{status} Status", framing, fields)
            self.fail_all([(fail(status), f"HTTP status {status}") for status in statuses])
            self.again()
        other.expect_nobody(0)

    def test_without_body(self):
        """05 §6.5: there are others that are not 200."""
        for status, fields in (("204 No Content", []), ("304 Not Modified", ["Content-Length: 9"])):
            def fail(exchange, status=status, fields=fields):
                exchange.head(status, *fields)
                exchange.close()
            self.fail_all([(fail, f"HTTP status {status[:3]}")])
            self.again()
        self.fail_all([
            (lambda exchange, status=status: exchange.answer(self.document(), status),
             f"HTTP status {status[:3]}") for status in ("201 Created", "206 Partial Content")
        ])

    def test_transport(self):
        """05 §6.4: nothing, a reset, no HTTP, a part of the head, of the body, of a chunk, bad framing."""
        def raw(data):
            """Answers with these bytes, and closes."""
            def send(exchange):
                exchange.send(data)
                exchange.close()
            return send

        ok, body = b"HTTP/1.1 200 OK\r\n", encoded(self.document())
        chunked = ok + b"Transfer-Encoding: chunked\r\n\r\n"
        self.fail_all([
            (Exchange.close, NOTHING),
            (Exchange.reset, RESET),
            (raw(b"no http at all\r\n\r\n"), WEIRD),
            (raw(ok + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + body), WEIRD),
            (raw(ok), PARTIAL),
            (raw(ok + b"Content-Length: 999\r\n\r\n" + body), PARTIAL),
            (raw(chunked + chunk(body)), PARTIAL),
            (raw(chunked + b"xyz\r\n" + body), "the answer is not framed as HTTP has it"),
        ])

    def test_word_before_the_answer(self):
        """05 §6.5: a status of 100 and more is not the answer's."""
        exchange = self.manager.request("1")
        exchange.head("100 Continue")
        exchange.head("103 Early Hints", "Link: <x>")
        exchange.stream(self.document())
        self.served(self.client(), self.mock)


class Kept(ManagedTest):
    """05 §6.2: one request after the other over one connection, as long as the server keeps it open."""

    def test_whole_answers(self):
        """With their length before them, or in chunks; anything else closes the connection."""
        document = bucket("a", self.mock)
        exchange = self.manager.request()
        exchange.answer(document, closes=False)
        self.manager.request(over=exchange)
        exchange.answer(document, framing="chunked", closes=False)
        self.manager.request(over=exchange)
        exchange.answer(document, closes=False, fields=["Connection: close"])
        exchange.expect_closed()
        exchange = self.manager.request()
        exchange.stream(document).chunk(b"")
        self.expect_log(self.empty())
        self.manager.request(over=exchange)
        self.expect_tally(5, 1, 1, 3, 0)

    def test_a_server_that_has_had_enough(self):
        """The request goes over another connection at once, and nobody complains."""
        told = False
        for cut in (Exchange.close, Exchange.reset):
            exchange = self.manager.request()
            exchange.answer(bucket("a", self.mock), closes=False)
            if told:
                self.expect_log(self.back())
            self.manager.request(over=exchange)
            with self.at_once():
                cut(exchange)
                exchange = self.manager.request()
            # It is used from now on, and its failure is one.
            exchange.answer(bucket("a", self.mock), closes=False)
            self.manager.request(over=exchange)
            exchange.send(b"HTTP/1.1 200 OK")
            exchange.close()
            self.expect_log(self.lost(f"{self.manager.url()} ({PARTIAL})", received=True))
            told = True

    def test_another_server(self):
        """What leads to one server is not used for another, but stays."""
        other = Manager()
        self.addCleanup(other.close)
        self.urls = lambda: [self.manager.url(), other.url()]
        self.again()
        exchange = self.manager.request()
        exchange.answer(bucket("a", self.mock), closes=False)
        self.manager.request(over=exchange)
        exchange.answer(TEXT, closes=False)
        self.expect_log(f"ERROR: parse JSON failed, from REST server: {self.manager.url()}, {TEXT}")
        other.request().reset()
        both = f"{self.manager.url()}|{other.url()}"
        self.expect_log(f"WARNING: REST server {other.url()}: {RESET}", self.lost(both, received=True))
        self.manager.request(over=exchange)


UNKNOWN = "HTTP status 401, user or password is not accepted"


class Unauthorized(ManagedTest):
    """05 §6.5: a wrong password ends moxi before it has served anybody, and only if no URL has anything better."""

    paths = ("1", "2")

    def deny(self, path, body="", framing="length"):
        """The next request is refused."""
        self.manager.request(path).answer(body, "401 Unauthorized", framing)

    def expect_end(self):
        """moxi ends, and asks nobody any more."""
        self.assertEqual(self.moxi.finish(), 1)
        self.expect_log("ERROR: Authentication failure")
        self.manager.expect_nobody(0)

    def test_a_single_url(self):
        """05 §6.5: whatever the body; with one line."""
        self.paths = ("1",)
        for body, framing in (
            ("", "length"), (TEXT, "length"), (self.document(), "chunked"), (self.document(), "close"),
            (encoded(self.document()) + DELIMITER, "chunked"),
        ):
            self.again()
            self.deny("1", body, framing)
            self.expect_end()

    def test_several_urls(self):
        """All of them, or some while nothing else is left to try."""
        self.deny("1")
        self.deny("2")
        self.expect_log(self.failed(UNKNOWN, "1"), self.failed(UNKNOWN, "2"))
        self.expect_end()
        self.again()
        self.deny("1")
        self.manager.request("2").reset()
        self.expect_log(self.failed(UNKNOWN, "1"), self.failed(RESET, "2"))
        self.expect_end()

    def test_after_others(self):
        """A manager that was down when moxi began may be the first to say so."""
        self.paths = ("1",)
        self.again()
        self.manager.request("1").reset()
        self.expect_log(self.lost(f"{self.manager.url('1')} ({RESET})"))
        self.deny("1")
        self.expect_end()

    def test_before_a_good_one(self):
        """It is a failed URL."""
        with self.at_once():
            self.deny("1")
            stream = self.manager.stream(self.document(), path="2")
        self.expect_log(self.failed(UNKNOWN, "1"))
        line = self.served(self.client(), self.mock)
        stream.reset()
        self.expect_log(self.failed(RESET, "2"))
        self.deny("1")
        self.manager.stream(self.document(), path="2")
        self.served(self.client(), line)

    def test_later(self):
        """It is told once, nobody is cut, and all URLs are asked again."""
        self.manager.request("1").reset()
        self.expect_log(self.failed(RESET, "1"))
        stream = self.manager.stream(self.document(), path="2")
        client = self.client()
        line = self.served(client, self.mock)
        stream.reset()
        self.expect_log(self.failed(RESET, "2"))
        for turn in range(2):
            self.deny("1")
            self.deny("2")
            if turn == 0:
                both = f"{self.manager.url('1')}|{self.manager.url('2')}"
                self.expect_log(
                    self.failed(UNKNOWN, "1"), self.failed(UNKNOWN, "2"), self.lost(both, received=True),
                )
            self.served(client, line)
            self.served(self.client(), line)
        self.deny("1")
        self.manager.stream(bucket("a", self.mock, rev=1), path="2")
        self.expect_log(self.back("2"))
        self.served(client, line)

    def test_without_a_bucket(self):
        """Also if all buckets have been removed meanwhile, and if none was ever fit for use."""
        for document in (listed(), bucket("a", self.mock, rows=[])):
            self.again()
            self.manager.request("1").answer(document)
            if document != listed():
                self.expect_log(self.bad("No vBuckets available; service maybe still initializing", "1"))
            for path in self.paths:
                self.deny(path)
            both = f"{self.manager.url('1')}|{self.manager.url('2')}"
            self.expect_log(self.failed(UNKNOWN, "1"), self.failed(UNKNOWN, "2"), self.lost(both, received=True))
            self.manager.request("1").answer(self.document())
            self.expect_log(self.back("1"))
            self.served(self.client(), self.mock)


class UnauthorizedBeside(ManagedTest):
    """Another agent has clients to serve."""

    def setUp(self):
        self.other = Manager()
        self.addCleanup(self.other.close)
        super().setUp()

    def arguments(self, port):
        return f"url={self.manager.url()};url={self.other.url()}", [f"port_listen={port}"]

    def test_nobody_is_cut(self):
        """It is told once; the agent's buckets come when it is let in."""
        self.manager.stream(self.document())
        client = self.client()
        line = self.served(client, self.mock)
        exchange = self.other.request()
        for turn in range(2):
            exchange.answer("", "401 Unauthorized")
            exchange = self.other.request()
            if turn == 0:
                self.expect_log(f"ERROR: Authentication failure, from REST server(s): {self.other.url()}")
            self.served(client, line)
        exchange.answer(bucket("b", self.mock))
        self.expect_log(f"configuration comes from REST server: {self.other.url()}")
        self.await_true(lambda: self.names() == ["b", "a"], lambda: "no second bucket")


class Verbose(ManagedTest):
    options = ("-v",)

    def test_what_is_received(self):
        """05 §6.6: each document is reported, of use or not."""
        self.expect_log("moxi log, mode=1, file=(null)")
        exchange = self.manager.stream(self.document())
        self.expect_log("configuration received")
        exchange.document(TEXT)
        self.expect_log("configuration received", self.not_json(TEXT))
