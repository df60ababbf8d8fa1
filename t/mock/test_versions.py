"""The documents of cluster managers of several generations: all of a bucket's map is found in each (05 §5.3)."""

from manager import ManagedTest, listed, store

ROWS = 1024


def server_map(names, replicas, **more):
    """A map as managers write it: all vbuckets in turn on all servers."""
    count = len(names)
    rows = [[row % count, *((row + n) % count if n < count else -1 for n in range(1, replicas + 1))]
            for row in range(ROWS)]
    return {"hashAlgorithm": "CRC", "numReplicas": replicas, "serverList": names, "vBucketMap": rows, **more}


def node(server, version, **more):
    """A node with what the web console shows of it."""
    return {
        "systemStats": {"cpu_utilization_rate": 1.5, "swap_total": 0}, "interestingStats": {"curr_items": 7},
        "uptime": "1234", "memoryTotal": 4 << 30, "memoryFree": 1 << 30, "mcdMemoryReserved": 3276,
        "clusterMembership": "active", "status": "healthy", "otpNode": "ns_1@127.0.0.1", "hostname": "127.0.0.1:8091",
        "clusterCompatibility": 1, "version": f"{version}-rel-community", "os": "x86_64-unknown-linux-gnu",
        "ports": {"proxy": 11211, "direct": server.port}, **more,
    }


def envelope(name, kind, **more):
    """What is around the map in the manager's own bucket documents."""
    place = f"/pools/default/buckets/{name}"
    return {
        "name": name, "bucketType": kind, "authType": "sasl", "saslPassword": "", "proxyPort": 0, "uri": place,
        "streamingUri": f"/pools/default/bucketsStreaming/{name}", "flushCacheUri": f"{place}/controller/doFlush",
        "stats": {"uri": f"{place}/stats", "directoryURI": f"{place}/statsDirectory"}, "replicaNumber": 1,
        "quota": {"ram": 1 << 28, "rawRAM": 1 << 28}, "basicStats": {"quotaPercentUsed": 10.25, "itemCount": 7}, **more,
    }


def terse(name, servers, **more):
    """The short document of newer managers, which names its own node by a marker."""
    place = f"/pools/default/b/{name}"
    nodes = [
        {"couchApiBase": f"http://$HOST:8092/{name}%2B0f", "hostname": "$HOST:8091", "ports": {"direct": server.port}}
        for server in servers
    ]
    return {
        "rev": 1073, "name": name, "uri": place, "streamingUri": place.replace("/b/", "/bs/"), "nodes": nodes,
        "nodesExt": [
            {"services": {"mgmt": 8091, "mgmtSSL": 18091, "kv": server.port, "kvSSL": 11207}, "thisNode": True}
            for server in servers
        ],
        "nodeLocator": "vbucket", "uuid": "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", "ddocs": {"uri": f"{place}/ddocs"},
        "bucketCapabilitiesVer": "", "bucketCapabilities": ["touch", "couchapi", "cccp", "cbhello", "nodesExt"], **more,
    }


def versions(servers):
    """Documents of one bucket by version, each on the same servers."""
    names, marked = [server.address for server in servers], [f"$HOST:{server.port}" for server in servers]
    one = server_map(names, 1)

    def nodes(version, **more):
        return [node(server, version, **more) for server in servers]

    capi = {"couchApiBase": "http://127.0.0.1:8092/a", "thisNode": True, "replication": 0.0}
    yield "1.6", envelope("a", "membase", nodes=nodes("1.6.5"), vBucketServerMap={**one, "user": "a", "password": ""})
    yield "1.8", envelope("a", "membase", nodes=nodes("1.8.1"), nodeLocator="vbucket", vBucketServerMap=one,
                          autoCompactionSettings=False)
    yield "2.0", envelope("a", "membase", nodes=nodes("2.0.1", **capi), nodeLocator="vbucket", vBucketServerMap=one,
                          bucketCapabilitiesVer="", bucketCapabilities=["touch", "couchapi"], uuid="0f", replicaIndex=True)
    yield "2.5, rebalancing", envelope(
        "a", "membase", nodes=nodes("2.5.1"), nodeLocator="vbucket",
        vBucketServerMap=server_map(names, 1, vBucketMapForward=one["vBucketMap"]),
    )
    yield "2.5, not rebalancing", envelope(
        "a", "membase", nodes=nodes("2.5.1"), nodeLocator="vbucket", vBucketServerMap={**one, "vBucketMapForward": []},
    )
    yield "2.5, warming up", envelope(
        "a", "membase", nodes=nodes("2.5.1", status="warmup"), nodeLocator="vbucket", vBucketServerMap=one,
    )
    yield "3.0", envelope("a", "membase", nodes=nodes("3.0.3"), nodeLocator="vbucket", evictionPolicy="valueOnly",
                          vBucketServerMap=one, bucketCapabilities=["touch", "couchapi", "cccp"], fastWarmupSettings=False)
    yield "3.0, short", terse("a", servers, vBucketServerMap=server_map(marked, 1))
    yield "4.1, more replicas than servers", terse("a", servers, vBucketServerMap=server_map(marked, 3))
    yield "4.6, a replica more than before", terse("a", servers, vBucketServerMap={**server_map(marked, 1), "numReplicas": 2})
    yield "4.6, a replica less than before", terse("a", servers, vBucketServerMap={**server_map(marked, 2), "numReplicas": 1})
    yield "5.5, a letter's case", terse("a", servers, vBucketServerMap={**server_map(marked, 0), "hashAlgorithm": "crc"})
    yield "6.6, other services", terse("a", servers, vBucketServerMap=server_map(marked, 1), nodes=[
        {"hostname": "query.example:8091", "ports": {}}, {"hostname": "index.example:8091", "ports": {"proxy": 11211}},
    ], nodesExt=[{"services": {"n1ql": 8093}, "hostname": "query.example"}], clusterCapabilitiesVer=[1, 0],
        clusterCapabilities={"n1ql": ["enhancedPreparedStatements"]})
    yield "7.2", terse("a", servers, vBucketServerMap=server_map(marked, 1), revEpoch=1, rev=90_000_000_000,
                       collectionsManifestUid="1f", nodes=[], nodesExt=[{
                           "services": {"kv": servers[0].port}, "hostname": "127.0.0.1", "serverGroup": "Group 1",
                           "alternateAddresses": {"external": {"hostname": "a.example", "ports": {"kv": 31000}}},
                       }], bucketCapabilities=["collections", "durableWrite", "tombstonedUserXAttrs"])


def without_map(name, servers):
    """Documents of a bucket without a map, by version."""
    nodes = [node(server, "1.8.1") for server in servers]
    yield "1.8", envelope(name, "memcached", nodes=nodes, nodeLocator="ketama", replicaNumber=0)
    sick = node(servers[0], "2.0.1", status="unhealthy", hostname="other.example:8091")
    yield "2.0, one is down", envelope(name, "memcached", nodes=[*nodes, sick], nodeLocator="ketama")
    short = terse(name, servers, nodeLocator="ketama", bucketCapabilities=["cbhello", "nodesExt"], revEpoch=1)
    yield "7.2", short
    yield "by name only", {**short, "nodes": [{**each, "hostname": "$HOST"} for each in short["nodes"]]}


class Versions(ManagedTest):
    servers = 2

    def setUp(self):
        super().setUp()
        self.exchange, self.taken = self.manager.stream(), 0

    def send(self, document):
        """Sends a document, and waits until it has been taken."""
        self.exchange.document(document)
        self.taken += 1
        self.await_true(lambda: self.tally()[0] >= self.taken, lambda: f"not taken: {document}")

    def test_buckets_with_a_map(self):
        """05 §5.3: one after the other; the connections stay, because each has the same servers in the same order."""
        client, lines = None, list(self.mocks)
        for version, document in versions(self.mocks):
            self.send(document)
            client = client or self.client()
            self.assertEqual(self.names(), ["a"], version)
            # Their vbuckets are 528 and 547 (05 §10.1).
            for place, key in enumerate(("hello", "name")):
                lines[place] = self.served(client, lines[place], store(key))
        self.assertEqual(self.tally()[:2], (self.taken, 0))

    def test_buckets_without_a_map(self):
        """05 §5.5: the nodes that are well are the servers."""
        want = ",".join(mock.address for mock in self.mocks)
        for version, document in without_map("k", self.mocks):
            self.send(document)
            self.assertEqual((self.names(), self.info("k", "config")), (["k"], want), version)

    def test_all_together(self):
        """05 §5.2: as a gateway gets them."""
        documents = dict(versions(self.mocks))
        ketama = dict(without_map("k", self.mocks))
        self.send(listed(documents["1.8"], ketama["1.8"], {**documents["7.2"], "name": "b"}))
        self.assertEqual(self.names(), ["b", "k", "a"])

    def test_buckets_that_come_and_go(self):
        """05 §5.8: a bucket that is being made, or has no server that is well, is not taken; those in use stay."""
        good = dict(versions(self.mocks))["3.0, short"]
        self.send(good)
        client, line = self.client(), self.mock
        line = self.served(client, line, store("hello"))
        names, empty = good["vBucketServerMap"]["serverList"], {"hashAlgorithm": "CRC", "numReplicas": 1}
        sick = [node(mock, "2.0.1", status="warmup") for mock in self.mocks]
        for document, text in (
            ({**good, "vBucketServerMap": {**empty, "serverList": names, "vBucketMap": []}},
             "No vBuckets available; service maybe still initializing"),
            ({**good, "vBucketServerMap": {**empty, "serverList": [], "vBucketMap": []}}, "Empty serverList"),
            ({**good, "vBucketServerMap": {"numReplicas": 1}}, "Expected array for serverList"),
            ({name: value for name, value in good.items() if name != "vBucketServerMap"},
             "Expected number <= 4 for numReplicas"),
            (envelope("a", "memcached", nodes=sick, nodeLocator="ketama"), "Empty serverList"),
            # Whatever is told again is not logged again.
            (envelope("k", "memcached", nodes=[], nodeLocator="ketama"), None),
            ({}, "Expected number <= 4 for numReplicas"),
            ({"errors": {"_": "Object Not Found"}}, None),
            ('"Object Not Found. Requested resource not found."', None),
            ({"message": "Forbidden. User needs the following permissions", "permissions": ["x"]}, None),
        ):
            self.send(document)
            if text:
                self.expect_log(self.bad(text))
            self.served(client, line, store("hello"))
        self.assertEqual(self.names(), ["a"])
        # It is deleted: the stream ends, and there is nothing any more.
        self.exchange.end()
        self.expect_log(self.empty())
        self.manager.request().answer("Object Not Found. Requested resource not found.", "404 Object Not Found")
        self.expect_log(self.lost(f"{self.manager.url()} (HTTP status 404)", received=True))
        self.served(client, line, store("hello"))
