"""One document after the other: what becomes of buckets, clients and connections (05 §7)."""

import zlib

from harness import AUTH_ERROR, GETK, INTERNAL, NOT_FOUND, SASL_AUTH, req, res
from manager import NO_SERVERS, SET, STORED, ManagedTest, bucket, ketama, listed, store, vbuckets

GET = req(GETK, b"k", opaque=3)
MISS = res(GETK, NOT_FOUND, b"k", opaque=3)
MOVED = 7
GRANTED = res(SASL_AUTH, value=b"Authenticated")
DENIED = res(SASL_AUTH, AUTH_ERROR, value=b"Auth failure")


def plain(user, password):
    """The packet with which somebody introduces himself."""
    return req(SASL_AUTH, b"PLAIN", value=f"\0{user}\0{password}".encode())


def key_of(row, rows=2):
    """A key whose vbucket is in this row."""
    names = (f"key{number}" for number in range(100))
    return next(name for name in names if (zlib.crc32(name.encode()) >> 16 & 0x7FFF) % rows == row)


class Reconfigure(ManagedTest):
    """The documents come in one stream."""

    servers = 3

    def setUp(self):
        super().setUp()
        self.follow()

    def follow(self, *fields):
        """Begins to stream."""
        self.stream, self.taken = self.manager.request("p", *fields).stream(), 0

    def send(self, document, tally=None):
        """Sends a document and waits until it has been taken; `tally`: starts, updates and shutdowns so far."""
        self.stream.document(document)
        self.taken += 1
        self.await_true(lambda: self.tally()[0] >= self.taken, lambda: f"not taken: {document}")
        self.assertEqual(self.tally()[:2], (self.taken, 0))
        if tally:
            self.assertEqual(self.tally()[2:], tally)

    def versions(self):
        """The buckets with their versions, the latest first."""
        return {name: self.info(name, "config_ver") for name in self.names()}


class Counters(Reconfigure):
    def test_versions_and_counters(self):
        """05 §7.1, §7.2, §7.4: every bucket that a document configures gets its version, changed or not."""
        one, two, three = self.mocks
        a, b, c = bucket("a", one), bucket("b", two), ketama("c", three)
        for document, tally, versions in (
            (listed(a), (1, 0, 0), {"a": "1"}),
            (listed(a, b), (2, 1, 0), {"b": "2", "a": "2"}),
            (listed(a, b), (2, 3, 0), {"b": "3", "a": "3"}),
            # The latest is searched and shown first.
            (listed(c, a, b), (3, 5, 0), {"c": "4", "b": "4", "a": "4"}),
            (listed(bucket("a", two), b, c), (3, 8, 0), {"c": "5", "b": "5", "a": "5"}),
            (listed(a, c), (3, 10, 1), {"c": "6", "a": "6"}),
        ):
            self.send(document, tally)
            self.assertEqual(list(self.versions().items()), list(versions.items()))
        shown = self.statistics()
        self.assertEqual(shown["proxy_main:stats:stat_proxy_start_fails"], "0")
        self.assertEqual(shown[f"{self.moxi.port.number}:a:stats:listening_failed"], "0")

    def test_a_bucket_comes_back(self):
        """05 §7.1: it is the same one then, not a new one."""
        a, b = bucket("a", self.mock), bucket("b", self.mocks[1])
        self.send(listed(a, b), (2, 0, 0))
        self.send(listed(b), (2, 1, 1))
        self.send(listed(bucket("a", self.mocks[2]), b), (2, 3, 1))
        # Where it was.
        self.assertEqual(list(self.versions().items()), [("b", "3"), ("a", "3")])

    def test_the_null_bucket(self):
        """05 §7.2: it has version 0, is not shown, and is never shut down."""
        self.again("default_bucket_name=")
        self.follow()
        self.send(listed(bucket("a", self.mock)))
        tally = self.tally()
        self.send(listed(bucket("a", self.mock)))
        self.assertEqual(self.tally()[4], tally[4])
        self.assertEqual(self.versions(), {"a": "2"})
        self.ask(self.client(), SET, b"SERVER_ERROR unauthorized, null bucket\r\n")


class Connections(Reconfigure):
    """05 §7.6, row by row. The client stays; do its connections to the servers?"""

    def test_rows(self):
        """05 §7.6: the same document, other members, rows, servers: whoever is in the new one keeps its connection."""
        one, two, three = self.mocks
        base = bucket("a", one, two, rows=[[0], [0]])
        replicas = vbuckets(three, two, one, rows=[[2, 0], [1, 0]], numReplicas=1)
        client, keys, lines = None, [key_of(0), key_of(1)], {}
        for what, document, places, gone in (
            ("first", base, (one, one), ()),
            ("the same", base, (one, one), ()),
            ("other members", {**base, "uuid": "1", "nodes": [{"hostname": "127.0.0.1:8091"}]}, (one, one), ()),
            ("without envelope", {"name": "a", "saslPassword": "pw-a", **base["vBucketServerMap"]}, (one, one), ()),
            ("in a list", listed(base), (one, one), ()),
            ("another row", bucket("a", one, two, rows=[[0], [1]]), (one, two), ()),
            ("rows change places", bucket("a", one, two, rows=[[1], [0]]), (two, one), ()),
            ("servers change places", bucket("a", two, one, rows=[[1], [0]]), (one, two), ()),
            ("more rows", bucket("a", two, one, rows=[[1], [0], [1], [0]]), (one, two), ()),
            ("a server more", bucket("a", three, two, one, rows=[[2], [0]]), (one, three), ()),
            ("replicas", {"name": "a", "saslPassword": "pw-a", "vBucketServerMap": replicas}, (one, two), ()),
            ("a server less", bucket("a", two, one, rows=[[1], [0]]), (one, two), (three,)),
            ("a server back", bucket("a", two, three, one, rows=[[1], [0]]), (three, two), ()),
            ("two less", bucket("a", two), (two, two), (three, one)),
            ("a ring", ketama("a", two), (two, two), ()),
            ("another one", ketama("a", one), (one, one), (two,)),
            ("a map", bucket("a", one, two, rows=[[1], [0]]), (two, one), ()),
        ):
            try:
                self.send(document)
                client = client or self.client()
                for place in gone:
                    lines.pop(place).expect_closed()
                for key, place in zip(keys, places, strict=True):
                    lines[place] = self.served(client, lines.get(place) or place, store(key))
            except AssertionError as error:
                raise AssertionError(f"{what}: {error}") from error
        self.assertEqual(self.tally()[2:], (1, self.taken - 1, 0))
        for place in self.mocks:
            place.expect_nobody(0)

    def test_servers_of_two_buckets(self):
        """05 §7.6: a bucket that goes takes nobody else's connections along."""
        self.send(listed(bucket("a", self.mock), bucket("b", self.mock, self.mocks[1])))
        client = self.client()
        line = self.served(client, self.mock)
        self.send(listed(bucket("a", self.mock)))
        self.served(client, line)
        line.expect_silence()


class Flight(Reconfigure):
    """05 §7.6: what is on its way is finished where it is."""

    def begin(self, document, *mocks):
        """A client whose request has got to the servers."""
        self.send(document)
        client, lines = self.client(), []
        client.send(SET if len(mocks) == 1 else b"get key0 key1 key2 key3 key4 key5\r\n")
        for mock in mocks:
            line = mock.accept()
            lines.append((line, line.receive()))
        return client, lines

    def test_the_server_goes(self):
        """05 §7.6: its connection is closed after its last answer, and not before."""
        for document in (listed(bucket("a", self.mocks[1])), ketama("a", self.mocks[1]), listed(), ):
            client, [(line, request)] = self.begin(bucket("a", self.mock), self.mock)
            self.assertEqual(request, SET)
            self.send(document)
            line.expect_silence()
            line.send(STORED)
            client.expect(STORED)
            line.expect_closed()

    def test_the_map_changes(self):
        """05 §7.6: the old server answers; the next request goes to the new one."""
        client, [(line, _)] = self.begin(bucket("a", *self.mocks[:2]), self.mock)
        self.send(bucket("a", *self.mocks[:2], rows=[[1]]))
        line.send(STORED)
        client.expect(STORED)
        other = self.served(client, self.mocks[1])
        line.expect_silence()
        self.send(bucket("a", *self.mocks[:2]))
        self.served(client, line)
        other.expect_silence()

    def test_several_servers(self):
        """05 §7.6: a get of several keys is answered by all it has been sent to."""
        document = bucket("a", *self.mocks[:2], rows=[[0], [1]])
        client, lines = self.begin(document, *self.mocks[:2])
        self.send(bucket("a", self.mocks[2]))
        values = b""
        for line, request in lines:
            found = b"".join(b"VALUE %s 0 1\r\n1\r\n" % key for key in request.split()[1:])
            line.send(found + b"END\r\n")
            values += found
        got = b""
        while not got.endswith(b"END\r\n"):
            got += client.receive()
        self.assertEqual(sorted(got.split(b"VALUE")), sorted((values + b"END\r\n").split(b"VALUE")))
        self.assertEqual(values.count(b"VALUE"), 6)
        for line, _ in lines:
            line.expect_closed()
        self.served(client, self.mocks[2])

    def test_who_waits(self):
        """05 §7.6: a request that waits for its turn goes where the new configuration has it."""
        client, [(line, _)] = self.begin(bucket("a", self.mock), self.mock)
        waiting = self.client()
        waiting.send(SET)
        self.send(bucket("a", self.mocks[1]))
        self.mocks[1].expect_nobody()
        line.send(STORED)
        client.expect(STORED)
        line.expect_closed()
        line = self.mocks[1].accept()
        line.expect(SET)
        line.send(STORED)
        waiting.expect(STORED)


class Removal(Reconfigure):
    def test_its_clients(self):
        """05 §7.7: they stay, are told, and are served again when it is back; new ones begin in a live bucket."""
        a, b = bucket("a", self.mock), bucket("b", self.mocks[1])
        self.send(listed(a, b))
        client = self.client()
        line = self.served(client, self.mock)
        self.send(listed(b))
        line.expect_closed()
        for request, answer in (
            (SET, NO_SERVERS), (b"add k 0 0 1\r\n1\r\n", NO_SERVERS), (b"delete k\r\n", NO_SERVERS),
            (b"incr k 1\r\n", NO_SERVERS), (b"get k\r\n", b"END\r\n"), (b"gets k l\r\n", b"END\r\n"),
        ):
            self.ask(client, request, answer)
        client.send(b"version\r\n")
        self.assertRegex(client.receive(), rb"^VERSION [^ ]+\r\n$")
        self.served(self.client(), self.mocks[1])
        self.send(listed(b, bucket("a", self.mocks[2])))
        self.served(client, self.mocks[2])

    def test_the_last_one(self):
        """05 §7.7: without any bucket new clients are turned away, but the port stays open."""
        self.send(bucket("a", self.mock))
        client = self.client()
        line = self.served(client, self.mock)
        for round in range(2):
            self.send(listed())
            line.expect_closed()
            self.ask(client, SET, NO_SERVERS)
            for _ in range(2):
                self.connected().expect_closed()
            self.send(bucket("a", self.mocks[round]))
            line = self.served(client, self.mocks[round])
            self.served(self.client(), line)

    def test_renamed(self):
        """05 §7.5: new clients begin in the new one, those of the old one are in none."""
        self.send(bucket("a", self.mock))
        client = self.client()
        line = self.served(client, self.mock)
        self.send(bucket("b", self.mock))
        self.ask(client, SET, NO_SERVERS)
        self.served(self.client(), line)

    def test_the_first_live_one(self):
        """05 §7.5: it is the one that was configured first of those there are; a default bucket comes first."""
        place = {"default": self.mock, "a": self.mocks[1], "b": self.mocks[2]}
        lines = {}
        for names, first in (("b a", "b"), ("a", "a"), ("a default", "a"), ("default", "default"), ("b a", "b")):
            self.send(listed(*(bucket(name, place[name]) for name in names.split())))
            for name in set(lines) - set(names.split()):
                lines.pop(name).expect_closed()
            lines[first] = self.served(self.client(), lines.get(first) or place[first])


class FrontCache(Reconfigure):
    behavior = (*Reconfigure.behavior, "front_cache_lifespan=100000", "front_cache_spec=k")

    def test_it_is_emptied(self):
        """05 §7.3: with each document that changes the bucket."""
        client, line = None, self.mock
        for turn in range(3):
            self.send(bucket("a", self.mock, rev=turn))
            client = client or self.client()
            client.send(b"get k\r\n")
            line = line.accept() if turn == 0 else line
            line.expect(b"get k\r\n")
            value = b"VALUE k 0 1\r\n%d\r\nEND\r\n" % turn
            line.send(value)
            client.expect(value)
            self.ask(client, b"get k\r\n", value)


class Binary(Reconfigure):
    protocol = "binary"

    def authenticated(self, line, password, request=GET):
        """moxi introduces itself, then comes the request."""
        line.expect(plain("a", password))
        line.send(GRANTED)
        line.expect(request)
        return line

    def test_another_password(self):
        """05 §7.6: new connections with the new one; the old ones are closed."""
        self.send(bucket("a", self.mock, saslPassword="old"))
        client = self.client_of_packets()
        client.send(GET)
        line = self.authenticated(self.mock.accept(), "old")
        line.send(MISS)
        client.expect(MISS)
        self.send(bucket("a", self.mock, saslPassword="new"))
        line.expect_closed()
        client.send(GET)
        line = self.authenticated(self.mock.accept(), "new")
        # In the middle of a request, too.
        self.send(bucket("a", self.mock, saslPassword="newer"))
        line.expect_silence()
        line.send(MISS)
        client.expect(MISS)
        line.expect_closed()
        client.send(GET)
        self.authenticated(self.mock.accept(), "newer").send(MISS)
        client.expect(MISS)

    def client_of_packets(self):
        """A client of which moxi knows nothing yet; somebody has been let in before."""
        self.client()
        return self.connected()

    def test_a_removed_bucket(self):
        """05 §7.7: packets get an internal error."""
        self.send(bucket("a", self.mock))
        client = self.client_of_packets()
        client.send(GET)
        self.authenticated(self.mock.accept(), "pw-a").send(MISS)
        client.expect(MISS)
        self.send(listed())
        self.ask(client, GET, res(GETK, INTERNAL, value=NO_SERVERS, opaque=3))

    def test_who_introduces_himself(self):
        """05 §7.6, §8.4: whoever is in stays in; from now on the new password counts, and a dead bucket has none."""
        self.again("default_bucket_name=", "usr=root", "pwd=rootpw")
        self.follow("Authorization: Basic cm9vdDpyb290cHc=")
        self.send(bucket("a", self.mock, saslPassword="old"))
        client, other = self.client_of_packets(), self.connected()
        self.ask(client, plain("a", "old"), GRANTED)
        self.send(bucket("a", self.mock, saslPassword="new"))
        client.send(GET)
        self.authenticated(self.mock.accept(), "new").send(MISS)
        client.expect(MISS)
        for user, password, answer in (("a", "old", DENIED), ("root", "rootpw", DENIED), ("a", "new", GRANTED)):
            self.ask(other, plain(user, password), answer)
        self.send(listed(bucket("b", self.mocks[1])))
        for user, password in (("a", "new"), ("a", ""), ("root", "rootpw"), ("", "rootpw")):
            self.ask(other, plain(user, password), DENIED)

    def test_nobody_waits_for_one_that_hangs(self):
        """05 §7.8: while a server is silent in the middle of an introduction, the new configuration serves others."""
        self.again("downstream_max=0")
        self.follow()
        self.send(bucket("a", self.mock))
        client = self.client_of_packets()
        client.send(GET)
        hanging = self.mock.accept()
        hanging.expect(plain("a", "pw-a"))
        self.send(bucket("a", self.mocks[1]))
        other = self.connected()
        other.send(GET)
        self.authenticated(self.mocks[1].accept(), "pw-a").send(MISS)
        other.expect(MISS)
        hanging.send(GRANTED)
        hanging.expect(GET)
        hanging.send(MISS)
        client.expect(MISS)
        hanging.expect_closed()

    def test_what_was_learned_is_forgotten(self):
        """05 §7.6, §11.2: a master learned from a refusal counts until the next map."""
        one, two, three = self.mocks
        client, line = None, None
        for forward, learned in (([[2]], three), (None, two)):
            servers = vbuckets(one, two, three)
            if forward:
                servers["vBucketMapForward"] = forward
            self.send({"name": "", "vBucketServerMap": servers})
            client = client or self.client_of_packets()
            client.send(GET)
            line = line or one.accept()
            line.expect(GET)
            line.send(res(GETK, MOVED, opaque=3))
            other = learned.accept()
            other.expect(GET)
            other.send(MISS)
            client.expect(MISS)
            self.through(client, other, GET, MISS)
            self.send({"name": "", "rev": 5, "vBucketServerMap": servers})
            self.through(client, line, GET, MISS)


class StartBuckets(Reconfigure):
    """05 §8.2."""

    def test_where_new_clients_begin(self):
        """05 §8.2: each row; a missing password is an empty one."""
        named, first, nobody = self.mock, self.mocks[1], None
        empty = bucket("default", named, saslPassword="")
        missing = {"name": "default", "vBucketServerMap": vbuckets(named)}
        other = bucket("bucket0", first)
        for behavior, documents, place in (
            ([], [other], first), ([], [other, empty], named), (["default_bucket_name="], [empty], nobody),
            (["default_bucket_name=default"], [other, empty], named),
            (["default_bucket_name=default"], [other], nobody),
            (["default_bucket_name=bucket0"], [other, empty], nobody),
            (["default_bucket_name=default", "pwd=base"], [missing], named),
        ):
            self.again(*behavior)
            self.follow()
            self.send(listed(*documents))
            if place:
                self.served(self.client(), place)
            else:
                self.ask(self.client(), SET, b"SERVER_ERROR unauthorized, null bucket\r\n")
