"""Authentication towards servers and of clients (04 §11.5, 05 §8, §9), on static sections."""

import time

from harness import (
    AUTH_ERROR, BUCKET, GETK, INTERNAL, NOOP, NOT_FOUND, SASL_AUTH, SASL_LIST, SASL_STEP, SET, SETQ, UNKNOWN,
    MockTest, req, res, u32,
)

PLAIN = b"\0TheUser\0ThePassword"
AUTH = req(SASL_AUTH, b"PLAIN", value=PLAIN)
WELCOME = res(SASL_AUTH, value=b"Authenticated")
SELECT = req(BUCKET, b"TheBucket")
REFUSED = b"SERVER_ERROR proxy write to downstream 127.0.0.1\r\n"
MISS = res(GETK, NOT_FOUND, b"k")


class Towards(MockTest):
    protocol = "binary"
    behavior = ("usr=TheUser", "pwd=ThePassword", "connect_max_errors=0", "auth_timeout=0")

    def enter(self):
        """A server connection on which moxi has introduced itself."""
        line = self.mock.accept()
        line.expect(AUTH)
        line.expect_silence()
        line.send(WELCOME)
        return line

    def test_the_first_request_of_an_ascii_client(self):
        client = self.client()
        client.send(b"get k\r\n")
        line = self.enter()
        line.expect(req(GETK, b"k"))
        line.send(MISS)
        client.expect(b"END\r\n")
        # And not again.
        self.through(client, line, b"get k\r\n", MISS, req(GETK, b"k"), b"END\r\n")
        self.through(client, line, b"set k 0 0 1\r\n1\r\n", res(SET), req(SET, b"k", u32(0, 0), b"1"), b"STORED\r\n")
        self.mock.expect_nobody()

    def test_the_first_request_of_a_binary_client(self):
        client = self.client()
        sent = req(SET, b"k", u32(0, 0), b"12345", 7)
        client.send(sent)
        line = self.enter()
        line.expect(sent)
        line.send(res(SET, opaque=7))
        client.expect(res(SET, opaque=7))
        self.through(client, line, req(GETK, b"k"), res(GETK, 0, b"k", u32(0), b"12345"))

    def test_on_every_new_connection(self):
        client = self.client()
        for _ in range(3):
            client.send(req(GETK, b"k"))
            line = self.enter()
            line.expect(req(GETK, b"k"))
            line.send(MISS)
            client.expect(MISS)
            line.close()

    def test_on_the_connection_of_a_second_try(self):
        client = self.client()
        client.send(req(GETK, b"k"))
        line = self.enter()
        line.expect(req(GETK, b"k"))
        line.close()
        line = self.enter()
        line.expect(req(GETK, b"k"))
        line.send(MISS)
        client.expect(MISS)

    def test_a_batch_waits_for_it(self):
        client = self.client()
        batch = req(SETQ, b"k", u32(0, 0), b"1", 7) + req(NOOP, opaque=9)
        client.send(batch)
        line = self.enter()
        line.expect(batch)
        line.send(res(NOOP, opaque=9))
        client.expect(res(NOOP, opaque=9))

    def test_the_reply_in_pieces(self):
        client = self.client()
        client.send(b"get k\r\n")
        line = self.mock.accept()
        line.expect(AUTH)
        line.send([WELCOME[:10], WELCOME[10:24], WELCOME[24:30], WELCOME[30:]])
        line.expect(req(GETK, b"k"))
        line.send(MISS)
        client.expect(b"END\r\n")

    def test_refused(self):
        client = self.client()
        for reply in (
            res(SASL_AUTH, AUTH_ERROR, value=b"Auth failure"),
            res(SASL_AUTH, UNKNOWN, value=b"Unknown command"),
            res(SASL_AUTH, 0x21, value=b"more"),
            res(GETK),
            b"ERROR\r\n" + bytes(30),
        ):
            with self.subTest(reply=reply):
                client.send(b"set k 0 0 1\r\n1\r\n")
                line = self.mock.accept()
                line.expect(AUTH)
                line.send(reply)
                client.expect(REFUSED)
                line.expect_closed()

    def test_refused_a_binary_client(self):
        client = self.client()
        client.send(req(GETK, b"k", opaque=4))
        line = self.mock.accept()
        line.expect(AUTH)
        line.send(res(SASL_AUTH, AUTH_ERROR, value=b"Auth failure"))
        client.expect(res(GETK, INTERNAL, value=REFUSED, opaque=4))

    def test_closed_instead(self):
        client = self.client()
        client.send(b"set k 0 0 1\r\n1\r\n")
        line = self.mock.accept()
        line.expect(AUTH)
        line.close()
        client.expect(REFUSED)
        # The next request finds a server that has come to its senses.
        client.send(b"set k 0 0 1\r\n1\r\n")
        line = self.enter()
        line.expect(req(SET, b"k", u32(0, 0), b"1"))
        line.send(res(SET))
        client.expect(b"STORED\r\n")


class Silent(MockTest):
    """A server that does not answer."""

    protocol = "binary"
    behavior = ("usr=TheUser", "pwd=ThePassword", "connect_max_errors=0", "auth_timeout=150")

    def test_auth_timeout(self):
        client = self.client()
        begun = time.monotonic()
        client.send(b"set k 0 0 1\r\n1\r\n")
        line = self.mock.accept()
        line.expect(AUTH)
        # Half an answer is none.
        line.send(WELCOME[:-1])
        client.expect(REFUSED)
        self.assertGreaterEqual(time.monotonic() - begun, 0.14)
        self.assertLess(time.monotonic() - begun, 3)
        line.expect_closed()

    def test_others_are_served_meanwhile(self):
        waiting, other = self.client(), self.client()
        waiting.send(req(GETK, b"k"))
        self.mock.accept().expect(AUTH)
        other.send(req(SASL_LIST))
        other.expect(res(SASL_LIST, value=b"PLAIN"))
        got = waiting.receive()
        self.assertEqual((got[1], int.from_bytes(got[6:8], "big")), (GETK, INTERNAL))


class Bucket(MockTest):
    protocol = "binary"
    behavior = ("bucket=TheBucket", "connect_max_errors=0", "auth_timeout=0")

    def test_it_is_chosen_first(self):
        client = self.client()
        client.send(b"get k\r\n")
        line = self.mock.accept()
        line.expect(SELECT)
        line.expect_silence()
        line.send(res(BUCKET))
        line.expect(req(GETK, b"k"))
        line.send(MISS)
        client.expect(b"END\r\n")

    def test_refused(self):
        client = self.client()
        client.send(b"set k 0 0 1\r\n1\r\n")
        line = self.mock.accept()
        line.expect(SELECT)
        line.send(res(BUCKET, NOT_FOUND, value=b"no such bucket"))
        client.expect(REFUSED)
        line.expect_closed()


class UserAndBucket(MockTest):
    protocol = "binary"
    behavior = ("usr=TheUser", "pwd=ThePassword", "bucket=TheBucket", "auth_timeout=0")

    def test_one_after_the_other(self):
        client = self.client()
        client.send(b"get k\r\n")
        line = self.mock.accept()
        line.expect(AUTH)
        line.expect_silence()
        line.send(WELCOME)
        line.expect(SELECT)
        line.expect_silence()
        line.send(res(BUCKET))
        line.expect(req(GETK, b"k"))
        line.send(MISS)
        client.expect(b"END\r\n")


class AsciiServers(MockTest):
    """They are never asked for a name."""

    behavior = ("usr=TheUser", "pwd=ThePassword", "bucket=TheBucket")

    def test_nothing_but_the_request(self):
        self.through(self.client(), None, b"get k\r\n", b"END\r\n")


class Clients(MockTest):
    protocol = "binary"
    behavior = ("usr=TheUser", "pwd=ThePassword")
    failure = staticmethod(lambda opcode: res(opcode, AUTH_ERROR, value=b"Auth failure"))

    def test_good_and_bad_ones(self):
        client = self.client()
        client.send(req(SASL_LIST, opaque=3))
        client.expect(res(SASL_LIST, value=b"PLAIN", opaque=3))
        for value in (
            b"\0TheUser\0WrongPassword",
            b"\0Nobody\0ThePassword",
            b"\0\0ThePassword",
            b"\0TheUser\0",
            b"\0TheUser",
            b"TheUser",
            b"",
            b"\0\0",
            b"\0",
            b"\0" * 3,
            b"\0TheUser\0ThePassword\0",
            b"\0TheUser\0" + b"x" * 500,
        ):
            with self.subTest(value=value):
                client.send(req(SASL_AUTH, b"PLAIN", value=value))
                client.expect(self.failure(SASL_AUTH))
        for value in (PLAIN, b"who cares" + PLAIN, PLAIN):
            client.send(req(SASL_AUTH, b"PLAIN", value=value, opaque=8))
            client.expect(res(SASL_AUTH, value=b"Authenticated", opaque=8))
        self.mock.expect_nobody()

    def test_other_mechanisms(self):
        client = self.client()
        for sent in (req(SASL_AUTH, b"CRAM-MD5"), req(SASL_AUTH, b"plain", value=PLAIN), req(SASL_STEP, b"PLAIN", value=PLAIN)):
            client.send(sent)
            client.expect(self.failure(sent[1]))

    def test_a_static_section_serves_those_without_a_name(self):
        client = self.client()
        client.send(req(GETK, b"k"))
        line = self.mock.accept()
        line.expect(AUTH)
        line.send(WELCOME)
        line.expect(req(GETK, b"k"))
        line.send(MISS)
        client.expect(MISS)


class ClientsWithoutCredentials(MockTest):
    """As a memcached without SASL, so that clients which always try can go on."""

    protocol = "binary"

    def test_unknown(self):
        client = self.client()
        for sent in (req(SASL_LIST), req(SASL_AUTH, b"PLAIN", value=PLAIN), req(SASL_STEP, b"PLAIN", value=PLAIN)):
            client.send(sent)
            client.expect(res(sent[1], UNKNOWN, value=b"Unknown command"))
        self.through(client, None, req(GETK, b"k"), MISS)
