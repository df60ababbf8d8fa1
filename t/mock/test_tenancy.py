"""Several buckets behind one port: SASL chooses, a default bucket or none (05 §8). The buckets come over REST."""

from harness import (
    AUTH_ERROR, GETK, NOT_FOUND, SASL_AUTH, SASL_LIST, SASL_STEP, SET,
    MockTest, req, res, u32,
)
from manager import Manager, bucket, listed

DENIED = b"Auth failure"
GET = req(GETK, b"k", opaque=3)
MISS = res(GETK, NOT_FOUND, b"k", opaque=3)


def plain(user, password):
    """The packet with which somebody introduces himself, to moxi as to a server."""
    return req(SASL_AUTH, b"PLAIN", value=b"\0" + user + b"\0" + password)


class Tenancy(MockTest):
    protocol = "binary"
    behavior = ("default_bucket_name=default", "auth_timeout=0", "connect_max_errors=0")
    buckets = {"bucket0": "good0", "bucket1": "good1"}

    def setUp(self):
        self.manager = Manager()
        self.addCleanup(self.manager.close)
        super().setUp()
        buckets = [bucket(name, self.mock, saslPassword=password) for name, password in self.buckets.items()]
        self.manager.stream(listed(*buckets), path="pools/default/saslBucketsStreaming")

    def arguments(self, port):
        return f"url={self.manager.url('pools/default/saslBucketsStreaming')}", [f"port_listen={port}"]

    def client(self):
        """A client that is let in: there is a bucket now."""
        while True:
            client = super().client()
            try:
                client.send(req(SASL_LIST))
                client.expect(res(SASL_LIST, value=b"PLAIN"))
                return client
            except (OSError, AssertionError):
                client.close()

    def enter(self, client, user, password):
        """The client chooses a bucket; moxi shows the bucket's credentials to the server."""
        client.send(plain(user, password))
        client.expect(res(SASL_AUTH, value=b"Authenticated"))
        client.send(GET)
        line = self.mock.accept()
        line.expect(plain(user, password))
        line.send(res(SASL_AUTH, value=b"Authenticated"))
        line.expect(GET)
        line.send(MISS)
        client.expect(MISS)
        # And not again.
        self.through(client, line, GET, MISS)

    def refuse(self, client, user, password):
        """The client is not let in, and stays connected."""
        client.send(plain(user, password))
        client.expect(res(SASL_AUTH, AUTH_ERROR, value=DENIED))


class WithoutDefault(Tenancy):
    def test_nobody_is_served_unasked(self):
        client = self.client()
        for sent in (GET, req(SET, b"k", u32(0, 0), b"1", opaque=3)):
            client.send(sent)
            client.expect(res(sent[1], AUTH_ERROR, value=DENIED, opaque=3))
        self.mock.expect_nobody()

    def test_ascii_clients_are_told(self):
        self.client()
        client = MockTest.client(self)
        client.send(b"set k 0 0 1\r\n1\r\n")
        client.expect(b"SERVER_ERROR unauthorized, null bucket\r\n")
        client.send(b"get k\r\n")
        client.expect(b"END\r\n")
        self.mock.expect_nobody()

    def test_each_bucket_has_its_own_credentials(self):
        self.enter(self.client(), b"bucket0", b"good0")
        self.enter(self.client(), b"bucket1", b"good1")

    def test_a_client_may_move(self):
        client = self.client()
        self.enter(client, b"bucket0", b"good0")
        self.enter(client, b"bucket1", b"good1")

    def test_whatever_is_wrong_is_refused_and_can_be_tried_again(self):
        client = self.client()
        for user, password in (
            (b"bucket0", b"good"), (b"bucket0", b"good00"), (b"bucket", b"good0"), (b"bucket0", b"good1"),
            (b"", b"good0"), (b"bucket0", b""), (b"", b""),
        ):
            self.refuse(client, user, password)
        client.send(req(SASL_AUTH, b"PLAIN", value=b"\0bucket0"))
        client.expect(res(SASL_AUTH, AUTH_ERROR, value=DENIED))
        client.send(req(SASL_AUTH, b"OTHER", value=b"\0bucket0\0good0"))
        client.expect(res(SASL_AUTH, AUTH_ERROR, value=DENIED))
        client.send(req(SASL_STEP, b"PLAIN", value=b"\0bucket0\0good0"))
        client.expect(res(SASL_STEP, AUTH_ERROR, value=DENIED))
        self.enter(client, b"bucket0", b"good0")


class WithDefault(Tenancy):
    buckets = {"default": "", "bucket0": "good0"}

    def test_unasked_clients_are_in_the_default_bucket(self):
        client = self.client()
        client.send(GET)
        line = self.mock.accept()
        line.expect(plain(b"default", b""))
        line.send(res(SASL_AUTH, value=b"Authenticated"))
        line.expect(GET)
        line.send(MISS)
        client.expect(MISS)
        other = MockTest.client(self)
        self.through(other, line, b"get k\r\n", res(GETK, NOT_FOUND, b"k"), req(GETK, b"k"), b"END\r\n")

    def test_others_can_be_chosen(self):
        client = self.client()
        self.refuse(client, b"bucket1", b"good0")
        self.enter(client, b"bucket0", b"good0")
