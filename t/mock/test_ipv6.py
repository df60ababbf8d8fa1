"""Cluster managers and servers on IPv6 addresses: how documents and lists name them, and that they are reached."""

import json
import socket
import unittest

from harness import MockTest
from manager import SET, STORED, ManagedTest, bucket, store, vbuckets

LOOPBACK = "::1"


def has_ipv6():
    """Whether this machine has an IPv6 loopback."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind((LOOPBACK, 0))
    except OSError:
        return False
    return True


def marked(server):
    """A server as a manager names it that does not know by which address it is seen."""
    return f"$HOST:{server.port}"


@unittest.skipUnless(has_ipv6(), "no IPv6")
class Documents(ManagedTest):
    """The manager's URL has an IPv6 address; so have the servers."""

    servers = 2
    host = LOOPBACK

    def setUp(self):
        super().setUp()
        self.exchange = self.manager.stream()

    def expect_both(self, document):
        """Both servers are reached, each with a key of its row."""
        self.exchange.document(document)
        client = self.client()
        for server, key in zip(self.mocks, ("doctor", "foo"), strict=True):
            self.served(client, server, store(key))

    def test_server_list(self):
        """05 §5.6: the address takes the marker's place in brackets, because a port follows."""
        self.expect_both(bucket("a", *map(marked, self.mocks), rows=[[0], [1]]))

    def test_addresses_as_they_are(self):
        """Servers, and the nodes beside them, may be named by their addresses."""
        nodes = [{"hostname": "[::1]:8091", "ports": {"direct": server.port}} for server in self.mocks]
        self.expect_both({**bucket("a", *self.mocks, rows=[[0], [1]]), "nodes": nodes})

    def test_rings(self):
        """05 §5.5, §5.6: with a port behind the marker, without one, in brackets; by the address; in a list."""
        line, direct = self.mock, {"ports": {"direct": self.mock.port}}
        names = ("$HOST:8091", "$HOST", "[$HOST]:8091", "[::1]:8091", "[::1]")
        sources = [{"nodes": [{"hostname": name, **direct}]} for name in names]
        for number, source in enumerate([*sources, {"vBucketServerMap": {"serverList": [marked(self.mock)]}}]):
            name = f"k{number}"
            self.exchange.document({"name": name, "saslPassword": "", "nodeLocator": "ketama", **source})
            self.client()
            self.await_true(lambda name=name: self.names() == [name], lambda source=source: source)
            self.assertEqual(self.info(name, "config"), self.mock.address)
            line = self.served(self.client(), line)


@unittest.skipUnless(has_ipv6(), "no IPv6")
class Static(MockTest):
    """Without a manager."""

    host = LOOPBACK

    def cluster(self):
        return self.mock.address

    def expect_served(self):
        """The server is reached."""
        self.through(self.client(), None, SET, STORED)

    def test_list(self):
        """05 §2.2: `PORT=[ADDRESS]:PORT`."""
        self.expect_served()

    def test_documents(self):
        """05 §2.3: a map, and a ring."""
        nodes = [{"hostname": "[::1]:8091", "ports": {"direct": self.mock.port}}]
        for document in (vbuckets(self.mock), {"nodeLocator": "ketama", "nodes": nodes}):
            self.moxi.stop()
            self.moxi.log.close()
            self.cluster = lambda document=document: json.dumps(document)
            self.moxi = self.start()
            self.expect_served()
