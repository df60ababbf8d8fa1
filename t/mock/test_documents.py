"""What moxi makes of each document: its shapes, its checks, and what stays in force (05 §5)."""

import json

from harness import Server
from manager import SET, ManagedTest, address, bucket, encoded, ketama, listed, store, vbuckets

MISSING = object()
LATER = "No vBuckets available; service maybe still initializing"


class Documents(ManagedTest):
    """The documents come in one stream; they are counted, so that each is known to have been taken."""

    servers = 2

    def setUp(self):
        super().setUp()
        self.exchange = self.manager.request().stream()
        # Documents taken, and those of them that were of no use.
        self.taken = self.refused = 0
        # What was logged of the last one.
        self.told = ()

    def send(self, document, *told):
        """Sends a document, and waits until it has been taken. This is told of it, unless it was of the one before."""
        self.exchange.document(document)
        self.taken += 1
        self.await_true(lambda: self.tally()[0] >= self.taken, lambda: f"not taken: {document}")
        self.assertEqual(self.tally()[:2], (self.taken, self.refused), document)
        self.tell(*told)

    def tell(self, *told):
        """Requires that this is logged if it is news."""
        if told != self.told:
            self.expect_log(*told)
        self.told = told

    def refuse(self, document, text):
        """Sends a document that is refused for this reason."""
        self.refused += 1
        self.send(document, self.bad(text))

    def listed_servers(self, name):
        """The addresses of a bucket's servers, as statistics tell them."""
        shown, prefix = self.statistics("behaviors"), f"{self.moxi.port.number}:{name}:behavior-"
        count = sum(line.startswith(prefix) and line.endswith(":host") for line in shown)
        return [f"{shown[f'{prefix}{index}:host']}:{shown[f'{prefix}{index}:port']}" for index in range(count)]


class Shapes(Documents):
    def test_of_one_bucket(self):
        """05 §5.2: with a name or without one, in an envelope or bare."""
        for document, name in (
            (bucket("a", self.mock), "a"),
            (bucket("", self.mock), ""),
            ({"vBucketServerMap": vbuckets(self.mock)}, "default"),
            (vbuckets(self.mock), "default"),
            ({"name": 5, "vBucketServerMap": vbuckets(self.mock)}, "default"),
            ({"vBucketServerMap": 5, **vbuckets(self.mock)}, "default"),
            (ketama("k", self.mock), "k"),
        ):
            self.send(document)
            self.assertEqual(self.names(), [name], document)

    def test_of_a_list(self):
        """05 §5.2: the default bucket comes first, the others in their order."""
        unnamed = {"vBucketServerMap": vbuckets(self.mock)}
        self.send(listed(bucket("b", self.mock), ketama("c", self.mock), unnamed, bucket("a", self.mock)))
        self.assertEqual(self.names(), ["a", "c", "b", "default"])

    def test_that_are_no_lists(self):
        """05 §5.2: whatever is not a list is one bucket document."""
        self.send(bucket("a", self.mock))
        text = "Expected number <= 4 for numReplicas"
        for document in ({"name": "default", "buckets": {"uri": "/x"}}, [bucket("a", self.mock)], 404, "null"):
            self.refuse(document, text)
        self.refuse(b'"text"', text)
        self.assertEqual(self.names(), ["a"])

    def test_elements_that_are_no_objects_are_skipped(self):
        """05 §5.2."""
        self.send(listed(5, bucket("a", self.mock), None, [bucket("b", self.mock)], "c"))
        self.assertEqual(self.names(), ["a"])

    def test_json_as_it_is_read(self):
        """05 §5.1: names without regard to case, fractions cut off, nothing after the first value."""
        server = address(self.mock)
        for text in (
            f'{{"NAME":"a","vbucketSERVERmap":{{"NUMREPLICAS":0,"serverlist":["{server}"],"VBUCKETMAP":[[0]]}}}}',
            f'{{"name":"a","numReplicas":0.9,"serverList":["{server}"],"vBucketMap":[[0.9],[-0.9]]}}',
            f'{{"name":"a","numReplicas":0,"serverList":["{server}"],"vBucketMap":[[0]]}} {{"name":"b"}} trailing',
            f'\r\n\t {{ "name" :\n"a" , "numReplicas":0,\n\n"serverList":["{server}"],"vBucketMap":[[0]]}}',
            f'{{"name":"\\u0061","numReplicas":0,"serverList":["{server}"],"vBucketMap":[[0]],"x":"\\ud83d\\ude00 é"}}',
        ):
            self.send(text)
            self.assertEqual(self.names(), ["a"], text)
            self.assertEqual(self.listed_servers("a"), [server])

    def test_what_nobody_reads(self):
        """05 §5.3: such members may be anything."""
        ignored = (
            "hashAlgorithm", "user", "password", "bucketType", "authType", "proxyPort", "uri", "streamingUri",
            "flushCacheUri", "stats", "basicStats", "replicaNumber", "bucketCapabilities", "rev", "nodesExt", "others",
        )
        for value in (None, 5, "text", [], {"a": [1]}):
            more = dict.fromkeys(ignored, value)
            document = {"name": "a", **more, "vBucketServerMap": {**vbuckets(self.mock), **more}}
            self.send(document)
            self.assertEqual(self.listed_servers("a"), [address(self.mock)])

    def test_large(self):
        """05 §5.7: a document may be as large as it likes, and come in any number of pieces."""
        servers = [f"127.0.0.1:{port}" for port in range(1, 101)]
        rows = [[row % 100, (row + 1) % 100, -1, 7, 99] for row in range(32768)]
        document = {**vbuckets(*servers, rows=rows, numReplicas=4), "pad": "x" * (1 << 20)}
        body = encoded(document) + b"\n\n\n\n"
        for begin in range(0, len(body), 60_000):
            self.exchange.chunk(body[begin:begin + 60_000])
        self.taken += 1
        self.expect_tally(1, 0, 1, 0, 0)
        self.assertEqual(self.listed_servers("default"), servers)


class Vbuckets(Documents):
    def test_checks_and_their_order(self):
        """05 §5.4: each row of the table; of several faults the first one is told."""
        server_map = {"numReplicas": MISSING, "serverList": MISSING, "vBucketMap": MISSING, "vBucketMapForward": 5}
        outer = {"name": "a", "nodeLocator": 5, "nodes": 5}

        def document():
            """The document as it is so far."""
            whole, inner = (
                {name: value for name, value in part.items() if value is not MISSING} for part in (outer, server_map)
            )
            return {**whole, "vBucketServerMap": inner}

        replicas = "Expected number <= 4 for numReplicas"
        servers = "Expected array for serverList"
        rows = "Expected array of arrays each with numReplicas + 1 ints for vBucketMap"
        index = "Server ID must be >= -1 and < num_servers"
        count = "Number of vBuckets must be a power of two > 0 and <= 65536"
        forward = "Expected array for vBucketMapForward"
        names = [address(mock) for mock in self.mocks]
        for place, name, right, refused in (
            (outer, "nodeLocator", "vbucket", [("Expected string for nodeLocator", [5, None, [], {}, True])]),
            (server_map, "numReplicas", 1, [(replicas, [MISSING, "1", None, [], 5, 1e9])]),
            (server_map, "serverList", names, [
                (servers, [MISSING, {}, None, "127.0.0.1:1"]),
                ("Empty serverList", [[]]),
                ("Expected array of strings for serverList", [[5], [names[0], None], [{"hostname": "127.0.0.1"}]]),
            ]),
            (outer, "nodes", MISSING, [
                ("Expected array for nodes", [5, {}, "n"]),
                ("Expected json object for nodes array item", [[5], [{}, "127.0.0.1:1"], [[]]]),
            ]),
            (server_map, "vBucketMap", [[0, 1], [1, -1]], [
                ("Expected array for vBucketMap", [MISSING, {}, None, 5]),
                (LATER, [[]]),
                (count, [[[0, 1]] * 3, [[0, 1]] * 6, [5] * 5]),
                (rows, [[5], [[]], [{}], [[0, 1], []]]),
                (index, [[["0", 0]], [[0, None]], [[-2, 0]], [[0, 2]], [[0, 1], [1, 2]]]),
            ]),
            (server_map, "vBucketMapForward", [[1, 0], [0, 0], "beyond"], [
                (forward, [5, {}, "x"]),
                (rows, [[5], [[0, 1], []]]),
                (index, [[["0", 0]], [[0, 1], [2, 0]], [[-2, 0]]]),
            ]),
        ):
            for text, wrong in refused:
                for value in wrong:
                    place[name] = value
                    self.refuse_before_any(document(), text)
            place[name] = right
        self.assertTrue(self.refuses())
        self.exchange.document(document())
        self.assertEqual(self.names(), ["a"])

    def test_rows_of_any_length(self):
        """What is missing of a row while a raised number of replicas is being worked off is nobody; more is ignored."""
        servers = (*self.mocks, "127.0.0.1:1")
        for replicas, rows, forward in (
            (2, [[0, 1], [1]], [[1], [0, 1]]), (1, [[0, 1, 2, 9, "x"], [1, 0, None]], [[1, 2, 0], [0, 1, 2]]),
            (0, [[0, 1], [1, 2]], [[1, 2]]), (4, [[0], [1]], [[0]]), (1, [[0], [1]], []), (1, [[0], [1]], None),
        ):
            self.send({"name": "a", **vbuckets(*servers, rows=rows, numReplicas=replicas, vBucketMapForward=forward)})
            self.assertEqual(self.names(), ["a"])
        client = self.client()
        for key, place in (("doctor", 0), ("foo", 1)):
            self.served(client, self.mocks[place], store(key))

    def refuse_before_any(self, document, text):
        """Sends a document that is refused; there is no bucket yet to ask how many have been."""
        self.exchange.document(document)
        self.tell(self.bad(text))

    def test_addresses(self):
        """05 §5.4: every server needs a host and a port, and together at most 248 bytes."""
        self.send(bucket("a", self.mock))
        longest = "h" * 244 + ":111"
        for server, text in (
            ("host", "missing port"), ("host:", "could not parse port"), ("host:x", "could not parse port"),
            ("host:0", "could not parse port"), ("host:-1", "could not parse port"), ("", "unknown server"),
            ("h" + longest, "unknown server"),
        ):
            self.refuse(bucket("a", server), f"{text}, server 0 of the list")
            self.refuse(bucket("a", self.mock, server), f"{text}, server 1 of the list")
            self.refuse(listed(bucket("a", server, self.mock)), f"{text}, server 0 of the list")
        self.assertEqual(self.listed_servers("a"), [address(self.mock)])
        self.send(bucket("a", self.mock, longest))
        self.assertEqual(self.listed_servers("a"), [address(self.mock), longest])

    def test_nodes_say_nothing(self):
        """05 §5.3, §5.4: beside a map, nodes that are useless or sick are no fault."""
        nodes = [
            {}, {"hostname": "127.0.0.1:8091"}, {"hostname": "other:1", "ports": {"direct": 5}}, {"ports": {}},
            {"hostname": "127.0.0.1:8091", "ports": {"direct": self.mock.port}, "status": "unhealthy"},
            {"hostname": 5, "couchApiBase": 5, "thisNode": 5, "ports": {"direct": self.mock.port}},
        ]
        self.send({**bucket("a", self.mock), "nodes": nodes})
        self.assertEqual(self.listed_servers("a"), [address(self.mock)])
        self.send({**bucket("a", self.mock), "nodes": []})

    def test_a_server_twice_shares_connections(self):
        """05 §5.4."""
        self.send(bucket("a", self.mock, self.mock, rows=[[0], [1]]))
        client = self.client()
        # One of the keys is in each of the rows (05 §10.1).
        line = self.served(client, self.mock, store("foo"))
        self.served(client, line, store("doctor"))

    def test_without_a_master(self):
        """05 §10.1: a row may name no server; then there is none for its keys."""
        self.send(bucket("a", self.mock, rows=[[-1]]))
        client = self.client()
        for request in (SET, b"get k\r\n"):
            self.ask(client, request, b"SERVER_ERROR proxy write to downstream\r\n")

    def test_four_replicas_at_most(self):
        """05 §5.7."""
        for replicas in range(5):
            document = {"name": "a", **vbuckets(self.mock, rows=[[0] * (replicas + 1)], numReplicas=replicas)}
            self.send(document)
            self.send({**document, "numReplicas": replicas + 0.9})
        self.refuse({**document, "numReplicas": 5}, "Expected number <= 4 for numReplicas")

    def test_the_host_marker(self):
        """05 §5.6: it is the host of the document's URL, once in each text."""
        port = self.mock.port
        self.send(bucket("a", f"$HOST:{port}", "$HOST$HOST:2"))
        self.assertEqual(self.listed_servers("a"), [f"127.0.0.1:{port}", "127.0.0.1$HOST:2"])
        self.served(self.client(), self.mock)
        nodes = [{"hostname": "$HOST:8091", "ports": {"direct": port}}]
        for document in (
            {"name": "a", "nodeLocator": "ketama", "nodes": nodes},
            {"name": "a", "nodeLocator": "ketama", "vBucketServerMap": {"serverList": [f"$HOST:{port}"]}},
        ):
            self.send(document)
            self.assertEqual(self.info("a", "config"), f"127.0.0.1:{port}")


class Ketama(Documents):
    behavior = (*Documents.behavior, "mcs_opts=distribution:modula")

    def node(self, place, **more):
        """A node."""
        return {"hostname": f"127.0.0.{place}:8091", "ports": {"direct": place, "proxy": 9}, **more}

    def test_where_servers_come_from(self):
        """05 §5.5: a server list wins over nodes; those that are not healthy are left out; the order stays."""
        nodes = [self.node(3, status="healthy"), self.node(1, status="warmup"), self.node(2, status=7), self.node(1)]
        of_nodes = "127.0.0.3:3,127.0.0.2:2,127.0.0.1:1"
        for server_map, want in (
            (MISSING, of_nodes), ({}, of_nodes), ({"serverList": 5}, of_nodes), (5, of_nodes),
            ({"serverList": ["127.0.0.9:9", "127.0.0.8:8"]}, "127.0.0.9:9,127.0.0.8:8"),
            ({"serverList": [self.node(5), "127.0.0.4:4"], "vBucketMap": []}, "127.0.0.5:5,127.0.0.4:4"),
        ):
            document = {"name": "k", "nodeLocator": "ketama", "nodes": nodes, "vBucketServerMap": server_map}
            if server_map is MISSING:
                del document["vBucketServerMap"]
            self.send(document)
            self.assertEqual(self.info("k", "config"), want)
            self.assertEqual(self.listed_servers("k"), want.split(","))

    def test_fractions_and_names(self):
        """05 §5.1, §5.5: names of members without regard to case, fractions of ports cut off."""
        nodes = [{"hostname": "127.0.0.1", "ports": {"direct": 7.9}}, {"HOSTNAME": "x:1", "PORTS": {"DIRECT": 8}}]
        self.send({"name": "k", "NodeLocator": "ketama", "Nodes": nodes})
        self.assertEqual(self.info("k", "config"), "127.0.0.1:7,x:8")

    def test_refusals(self):
        """05 §5.5: one bad element refuses the bucket; an empty list and none are refused as well."""
        self.send(ketama("k", self.mock))
        good, bad_port = self.node(1), "could not parse port"
        for nodes, text in (
            (MISSING, "Expected array for serverList or nodes"), (5, "Expected array for serverList or nodes"),
            ([], "Empty serverList"), ([self.node(1, status="unhealthy")], "Empty serverList"),
            ([good, 5], "Expected object for nodes array item"), ([None], "Expected object for nodes array item"),
            ([{"ports": {"direct": 1}}], "Expected string for node's hostname"),
            ([good, {"hostname": 5}], "Expected string for node's hostname"),
            ([{"hostname": "a"}], "Expected json object for node's ports"),
            ([{"hostname": "a", "ports": 5}], "Expected json object for node's ports"),
            ([{"hostname": "a", "ports": {"proxy": 1}}], "Expected number for node's direct port"),
            ([{"hostname": "a", "ports": {"direct": "1"}}], "Expected number for node's direct port"),
            ([good, {"hostname": "a", "ports": {"direct": 0}}], f"{bad_port}, server 1 of the list"),
            ([{"hostname": "a", "ports": {"direct": -1}}], f"{bad_port}, server 0 of the list"),
            (["a"], "missing port, server 0 of the list"), ([good, "a:0"], f"{bad_port}, server 1 of the list"),
            (["a" * 247 + ":1"], "unknown server, server 0 of the list"),
        ):
            document = {"name": "k", "nodeLocator": "ketama"}
            self.refuse(document if nodes is MISSING else {**document, "nodes": nodes}, text)
        self.refuse({"name": "k", "nodeLocator": "ketama", "vBucketServerMap": {"serverList": []}}, "Empty serverList")
        self.assertEqual(self.info("k", "config"), address(self.mock))

    def test_hashed_like_a_server_list(self):
        """05 §5.5, §10.2: mcs_opts counts, and servers keep their places. Keys and places are those of example E."""
        third = Server()
        self.addCleanup(third.close)
        places = sorted([*self.mocks, third], key=address, reverse=True)
        self.send(ketama("k", *places))
        client, lines = self.client(), {}
        for key, place in (("foo", 0), ("b", 2), ("hello", 0), ("key_1", 0), ("00000000", 0)):
            lines[place] = self.served(client, lines.get(place) or places[place], store(key))

    def test_errors_are_misses(self):
        """05 §2.3, §7.7: a get that fails is a miss, because the locator is not vbucket."""
        self.send(ketama("k", self.mock))
        client = self.client()
        line = self.served(client, self.mock)
        client.send(b"get k\r\n")
        line.expect(b"get k\r\n")
        line.close()
        # It is tried once more.
        line = self.mock.accept()
        line.expect(b"get k\r\n")
        line.close()
        client.expect(b"END\r\n")


class Weighted(Documents):
    behavior = (*Documents.behavior, "downstream_weight=3")

    def test_weights_are_shown(self):
        """05 §5.5: every server has the weight of -Z."""
        self.send(ketama("k", *self.mocks))
        self.assertEqual(self.info("k", "config"), ",".join(f"{address(mock)}:3" for mock in self.mocks))


class Unusual(Documents):
    """05 §5.8, row by row. Whatever cannot be used leaves all as it is."""

    def setUp(self):
        super().setUp()
        self.send(listed(bucket("a", self.mock), bucket("b", self.mocks[1])))
        self.inside = self.client()
        self.line = self.served(self.inside, self.mock)

    def expect_unchanged(self):
        """Both buckets are still there; who is served is served over the same connection."""
        self.assertEqual(self.names(), ["b", "a"])
        self.served(self.inside, self.line)
        self.assertEqual(self.info("a", "config_ver"), "1")

    def test_not_json(self):
        """05 §5.8: it is logged as it is, and never taken; the stream goes on."""
        for text in ("This is just a bad response", '{"buckets":[', "<html>", "{]", "nul"):
            self.exchange.document(text)
            self.expect_log(self.not_json(text))
            self.expect_unchanged()
            self.assertEqual(self.tally(), (1, 0, 2, 0, 0))
        self.exchange.document('{"name":"a","saslPassword":"sesame"')
        shown = '{"name":"a","saslPassword":"XXXXXX"'
        self.expect_log(self.not_json(shown))

    def test_refused(self):
        """05 §5.8: no vbuckets yet, an unknown locator, a server without port, a ketama fault, an error page."""
        for document, text in (
            (bucket("a", self.mock, rows=[]), LATER),
            ({"name": "a", "nodeLocator": "other"}, "Expected vbucket or ketama for nodeLocator"),
            (bucket("a", "host"), "missing port, server 0 of the list"),
            ({"name": "a", "nodeLocator": "ketama", "nodes": [5]}, "Expected object for nodes array item"),
            ({"name": "c"}, "Expected number <= 4 for numReplicas"),
            ("404 not found", "Expected number <= 4 for numReplicas"),
        ):
            self.refuse(document, text)
            self.expect_unchanged()
        self.assertEqual(self.tally(), (7, 6, 2, 0, 0))

    def test_refused_in_a_list(self):
        """05 §5.8: that bucket stays as it was, the others are taken, and only those that are absent go."""
        self.send(listed(bucket("a", self.mock), bucket("b", self.mocks[1]), bucket("c", self.mock)))
        self.refuse(listed(bucket("a", self.mocks[1], rows=[]), bucket("b", self.mock)), LATER)
        self.assertEqual(self.names(), ["b", "a"])
        self.assertEqual(self.listed_servers("a") + self.listed_servers("b"), [address(self.mock)] * 2)
        self.served(self.inside, self.line)
        self.assertEqual([self.info(name, "config_ver") for name in "ab"], ["2", "3"])

    def test_an_empty_list(self):
        """05 §5.8: all buckets are shut down, without a word."""
        self.send(listed())
        self.assertEqual(self.names(), [])
        self.line.expect_closed()
        self.assertEqual(self.tally(), (2, 0, 2, 0, 2))

    def test_a_list_of_no_buckets(self):
        """05 §5.8: elements that are no objects are no list of all the buckets there are."""
        self.send({"buckets": [5, None]})
        self.assertEqual(self.names(), ["b", "a"])
        self.served(self.inside, self.line)

    def test_renamed(self):
        """05 §5.8: the old name is shut down, the new one starts."""
        self.send(listed(bucket("c", self.mock), bucket("b", self.mocks[1])))
        self.assertEqual(self.names(), ["c", "b"])
        self.assertEqual(self.tally(), (2, 0, 3, 1, 1))

    def test_twice(self):
        """05 §5.8: of two documents for one bucket the last one counts, and that is logged."""
        b = bucket("b", self.mock)
        twice = f'WARNING: bucket "a" is there twice, the last one counts, from {self.manager.url()}'
        self.send(listed(bucket("a", self.mock), b, bucket("a", self.mocks[1])), twice)
        self.assertEqual(self.names(), ["b", "a"])
        self.assertEqual(self.listed_servers("a"), [address(self.mocks[1])])
        # A bad one does not count.
        self.refused += 1
        bad = self.bad("Expected number <= 4 for numReplicas")
        self.send(listed(bucket("a", self.mocks[1]), b, {"name": "a"}), twice, bad)
        self.assertEqual(self.listed_servers("a"), [address(self.mocks[1])])


class Texts(Documents):
    def test_of_single_documents(self):
        """05 §5.9: as it came, in one line, even what follows it; the password is masked everywhere."""
        document = json.dumps(bucket("a", self.mock, saslPassword="sesame"), indent=1)
        self.send(f"\n {document} {{more}}")
        want = document.replace("\n", "").replace("sesame", "XXXXXX") + " {more}"
        self.assertEqual(self.info("a", "config"), want)
        self.assertEqual(self.statistics("config")[f"{self.moxi.port.number}:a:config"], want)

    def test_of_elements(self):
        """05 §5.9: printed anew, with tabs."""
        self.send(listed({
            "name": "a", "numReplicas": 0, "saslPassword": "sesame", "serverList": ["127.0.0.1:1", "127.0.0.1:2"],
            "vBucketMap": [[0], [1]], "x": {"y": {"z": True}, "zz": None},
        }))
        want = (
            '{\t"name":\t"a",\t"numReplicas":\t0,\t"saslPassword":\t"XXXXXX",\t"serverList":\t["127.0.0.1:1", '
            '"127.0.0.1:2"],\t"vBucketMap":\t[[0], [1]],\t"x":\t{\t\t"y":\t{\t\t\t"z":\ttrue\t\t},\t\t"zz":\tnull\t}}'
        )
        self.assertEqual(self.info("a", "config"), want)
        self.assertEqual(self.statistics("config")[f"{self.moxi.port.number}:a:config"], want)
