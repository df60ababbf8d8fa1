"""Binary clients of ASCII servers, which may know memcached's meta commands or not: they are asked once."""

from harness import (
    ADD, ADDQ, APPEND, APPENDQ, DECR, DELETE, DELETEQ, EXISTS, FLUSH, FLUSHQ, GAT, GATK, GATKQ, GATQ, GET, GETK, GETKQ,
    GETL, GETQ, INCR, INCRQ, INTERNAL, INVALID, NOOP, NOT_A_NUMBER, NOT_FOUND, NOT_STORED, NOT_SUPPORTED, NO_MEMORY,
    OBSERVE, PREPEND, REPLACE, SASL_LIST, SET, SETQ, STAT, TOO_LARGE, TOUCH, UNKNOWN, UNL, MockTest, count, req, res,
    u32, u64,
)

TEXTS = {
    NOT_FOUND: b"Not found",
    EXISTS: b"Data exists for key.",
    TOO_LARGE: b"Too large.",
    INVALID: b"Invalid arguments",
    NOT_STORED: b"Not stored.",
    NOT_A_NUMBER: b"Non-numeric server-side value for incr or decr",
    UNKNOWN: b"Unknown command",
    NO_MEMORY: b"Out of memory",
    NOT_SUPPORTED: b"Not supported",
    INTERNAL: b"Internal error",
}
KEEP = 0xFFFFFFFF


def refused(opcode, status, opaque=0):
    """A reply that says no."""
    return res(opcode, status, value=TEXTS[status], opaque=opaque)


class Ascii(MockTest):
    protocol = "ascii"
    # Whether the server says that it knows meta commands, and which version it has: up to 1.6.9 they were others.
    knows_meta = False
    version = b"1.6.10"

    def asked(self, line):
        """The server is asked what it understands."""
        line.expect(b"mn\r\n")
        if self.knows_meta:
            line.send(b"MN\r\n")
            line.expect(b"version\r\n")
            line.send(b"VERSION " + self.version + b"\r\n")
        else:
            line.send(b"ERROR\r\n")

    def miss(self, client, line):
        """A get that finds nothing."""
        if self.knows_meta and self.version == Ascii.version:
            line.expect(b"mg first v f c\r\n")
            line.send(b"EN\r\n")
        else:
            line.expect(b"gets first\r\n")
            line.send(b"END\r\n")
        client.expect(refused(GET, NOT_FOUND))

    def begin(self):
        """A client, and the server's connection on which it was asked."""
        client = self.client()
        client.send(req(GET, b"first"))
        line = self.mock.accept()
        self.asked(line)
        self.miss(client, line)
        return client, line

    def check(self, table):
        """Each row: what the client sends, what the server must see, what it says, what the client must get."""
        client, line = self.begin()
        for sent, seen, said, got in table:
            with self.subTest(seen=seen, said=said):
                client.send(sent)
                line.expect(seen)
                line.send(said)
                client.expect(got)
        self.mock.expect_nobody()

    def check_refusals(self, table):
        """What never reaches the server: what the client sends, and the status."""
        client, line = self.begin()
        for sent, status in table:
            with self.subTest(sent=sent):
                client.send(sent)
                client.expect(refused(sent[1], status))
        line.expect_silence()


class Meta(Ascii):
    knows_meta = True

    def test_gets(self):
        hit = res(GETK, 0, b"k", u32(5), b"ab", 7, cas=9)
        self.check([
            (req(GET, b"k", opaque=7), b"mg k v f c\r\n", b"VA 2 f5 c9\r\nab\r\n", res(GET, 0, b"", u32(5), b"ab", 7, 9)),
            (req(GETK, b"k", opaque=7), b"mg k v f c\r\n", b"VA 2 f5 c9\r\nab\r\n", hit),
            (req(GETK, b"k", opaque=7), b"mg k v f c\r\n", b"VA 0 f0 c1\r\n\r\n", res(GETK, 0, b"k", u32(0), b"", 7, 1)),
            (req(GET, b"k", opaque=7), b"mg k v f c\r\n", b"EN\r\n", refused(GET, NOT_FOUND, 7)),
            (req(GETK, b"k", opaque=7), b"mg k v f c\r\n", b"EN\r\n", res(GETK, NOT_FOUND, b"k", opaque=7)),
            (req(GAT, b"k", u32(30)), b"mg k v f c T30\r\n", b"VA 1 f0 c3\r\nx\r\n", res(GAT, 0, b"", u32(0), b"x", 0, 3)),
            (req(GATK, b"k", u32(0)), b"mg k v f c T0\r\n", b"VA 1 f0 c3\r\nx\r\n", res(GATK, 0, b"k", u32(0), b"x", 0, 3)),
        ])

    def test_storage(self):
        numbers = u32(5, 30)
        self.check([
            (req(SET, b"k", numbers, b"ab", 7), b"ms k 2 c MS F5 T30\r\nab\r\n", b"HD c9\r\n", res(SET, opaque=7, cas=9)),
            (req(SET, b"k", u32(0, 0), b""), b"ms k 0 c MS F0 T0\r\n\r\n", b"HD c9\r\n", res(SET, cas=9)),
            (req(SET, b"k", numbers, b"ab", cas=4), b"ms k 2 c MS F5 T30 C4\r\nab\r\n", b"EX\r\n", refused(SET, EXISTS)),
            (req(SET, b"k", numbers, b"ab", cas=4), b"ms k 2 c MS F5 T30 C4\r\nab\r\n", b"NF\r\n", refused(SET, NOT_FOUND)),
            (req(ADD, b"k", numbers, b"ab"), b"ms k 2 c ME F5 T30\r\nab\r\n", b"HD c9\r\n", res(ADD, cas=9)),
            (req(ADD, b"k", numbers, b"ab"), b"ms k 2 c ME F5 T30\r\nab\r\n", b"NS\r\n", refused(ADD, EXISTS)),
            (req(REPLACE, b"k", numbers, b"ab"), b"ms k 2 c MR F5 T30\r\nab\r\n", b"NS\r\n", refused(REPLACE, NOT_FOUND)),
            (req(APPEND, b"k", value=b"ab"), b"ms k 2 c MA\r\nab\r\n", b"HD c9\r\n", res(APPEND, cas=9)),
            (req(APPEND, b"k", value=b"ab"), b"ms k 2 c MA\r\nab\r\n", b"NS\r\n", refused(APPEND, NOT_STORED)),
            (req(PREPEND, b"k", value=b"ab", cas=8), b"ms k 2 c MP C8\r\nab\r\n", b"EX\r\n", refused(PREPEND, EXISTS)),
            (
                req(SET, b"k", numbers, b"ab"),
                b"ms k 2 c MS F5 T30\r\nab\r\n",
                b"SERVER_ERROR object too large for cache\r\n",
                refused(SET, TOO_LARGE),
            ),
            (
                req(SET, b"k", numbers, b"ab"),
                b"ms k 2 c MS F5 T30\r\nab\r\n",
                b"SERVER_ERROR out of memory storing object\r\n",
                refused(SET, NO_MEMORY),
            ),
            (
                req(SET, b"k", numbers, b"ab"),
                b"ms k 2 c MS F5 T30\r\nab\r\n",
                b"SERVER_ERROR something else\r\n",
                refused(SET, INTERNAL),
            ),
        ])

    def test_the_others(self):
        word = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        self.check([
            (req(DELETE, b"k"), b"md k\r\n", b"HD\r\n", res(DELETE)),
            (req(DELETE, b"k"), b"md k\r\n", b"NF\r\n", refused(DELETE, NOT_FOUND)),
            (req(DELETE, b"k", cas=6), b"md k C6\r\n", b"EX\r\n", refused(DELETE, EXISTS)),
            (req(TOUCH, b"k", u32(30)), b"mg k f c T30\r\n", b"EN\r\n", refused(TOUCH, NOT_FOUND)),
            (
                req(INCR, b"k", count(3, 8, 0)),
                b"ma k v c MI D3 J8 N0\r\n",
                b"VA 2 c9\r\n12\r\n",
                res(INCR, value=u64(12), cas=9),
            ),
            (req(DECR, b"k", count(3, 8, KEEP)), b"ma k v c MD D3\r\n", b"NF\r\n", refused(DECR, NOT_FOUND)),
            (req(INCR, b"k", count(3, 8, 60)), b"ma k v c MI D3 J8 N60\r\n", word, refused(INCR, NOT_A_NUMBER)),
            (req(FLUSH), b"flush_all\r\n", b"OK\r\n", res(FLUSH)),
            (req(FLUSH, extras=u32(9)), b"flush_all 9\r\n", b"OK\r\n", res(FLUSH)),
            (
                req(STAT, b"items", opaque=3),
                b"stats items\r\n",
                b"STAT a 1\r\nEND\r\n",
                res(STAT, 0, b"a", value=b"1", opaque=3) + res(STAT, opaque=3),
            ),
        ])

    def test_touch_succeeds(self):
        client, line = self.begin()
        client.send(req(TOUCH, b"k", u32(30), opaque=4))
        line.expect(b"mg k f c T30\r\n")
        line.send(b"HD f1 c9\r\n")
        client.expect(res(TOUCH, extras=u32(1), opaque=4, cas=9))

    def test_a_quiet_batch(self):
        client, line = self.begin()
        client.send(
            req(GETKQ, b"a", opaque=4) + req(GETQ, b"b", opaque=5) + req(SETQ, b"c", u32(1, 2), b"x", 6)
            + req(ADDQ, b"d", u32(0, 0), b"y", 7) + req(DELETEQ, b"e", opaque=8) + req(GETK, b"f", opaque=9)
        )
        line.expect(
            b"mg a v f c\r\nmg b v f c\r\nms c 1 c MS F1 T2\r\nx\r\nms d 1 c ME F0 T0\r\ny\r\nmd e\r\nmg f v f c\r\n"
        )
        line.send([b"EN\r\nVA 1 f3 c", b"4\r\nB\r\nHD c5\r\nNS\r\nNF\r\nVA 1 f0 c6\r\nF\r\n"])
        client.expect(
            res(GETQ, 0, b"", u32(3), b"B", 5, 4)
            + refused(ADDQ, EXISTS, 7)
            + refused(DELETEQ, NOT_FOUND, 8)
            + res(GETK, 0, b"f", u32(0), b"F", 9, 6)
        )

    def test_quiet_packets_alone(self):
        client, line = self.begin()
        client.send(req(GETKQ, b"a", opaque=4) + req(ADDQ, b"d", u32(0, 0), b"y", 7))
        line.expect(b"mg a v f c\r\nms d 1 c ME F0 T0\r\ny\r\n")
        line.send(b"VA 1 f3 c4\r\nB\r\nNS\r\n")
        client.expect(res(GETKQ, 0, b"a", u32(3), b"B", 4, 4) + refused(ADDQ, EXISTS, 7))

    def test_quiet_gets_and_touches(self):
        client, line = self.begin()
        client.send(req(GATQ, b"a", u32(3), opaque=4) + req(GATKQ, b"b", u32(4), opaque=5) + req(GET, b"c", opaque=6))
        line.expect(b"mg a v f c T3\r\nmg b v f c T4\r\nmg c v f c\r\n")
        line.send(b"EN\r\nVA 1 f3 c4\r\nB\r\nEN\r\n")
        client.expect(res(GATKQ, 0, b"b", u32(3), b"B", 5, 4) + refused(GET, NOT_FOUND, 6))

    def test_noop_closes_a_batch(self):
        client, line = self.begin()
        client.send(
            req(SETQ, b"c", u32(1, 2), b"x", 6) + req(APPENDQ, b"d", value=b"y", opaque=7)
            + req(INCRQ, b"e", count(1, 2, 3), opaque=8) + req(FLUSHQ, opaque=9) + req(NOOP, opaque=10)
        )
        seen = line.receive()
        requests = b"ms c 1 c MS F1 T2\r\nx\r\nms d 1 c MA\r\ny\r\nma e v c MI D1 J2 N3\r\nflush_all\r\n"
        self.assertTrue(seen.startswith(requests), seen)
        # What is sent for the NOOP itself is moxi's choice.
        self.assertEqual(seen[len(requests) :], b"version\r\n")
        line.send(b"HD c1\r\nNS\r\nVA 1 c2\r\n2\r\nOK\r\nVERSION 1.6.0\r\n")
        client.expect(refused(APPENDQ, NOT_STORED, 7) + res(NOOP, opaque=10))

    def test_keys_that_are_no_words(self):
        value = b"VA 2 f5 c9\r\nab\r\n"
        self.check([
            (req(GET, b"a b"), b"mg YSBi v f c b\r\n", value, res(GET, 0, b"", u32(5), b"ab", cas=9)),
            (req(GETK, b"\0", opaque=7), b"mg AA== v f c b\r\n", value, res(GETK, 0, b"\0", u32(5), b"ab", 7, 9)),
            (req(GETK, b"a\n", opaque=7), b"mg YQo= v f c b\r\n", b"EN\r\n", res(GETK, NOT_FOUND, b"a\n", opaque=7)),
            (req(GATK, b"\r", u32(3)), b"mg DQ== v f c T3 b\r\n", value, res(GATK, 0, b"\r", u32(5), b"ab", cas=9)),
            (req(TOUCH, b"a b", u32(3)), b"mg YSBi f c T3 b\r\n", b"EN\r\n", refused(TOUCH, NOT_FOUND)),
            (
                req(SET, b"a\r\nflush_all", u32(5, 30), b"ab"),
                b"ms YQ0KZmx1c2hfYWxs 2 c MS F5 T30 b\r\nab\r\n",
                b"HD c9\r\n",
                res(SET, cas=9),
            ),
            (req(APPEND, b"a b", value=b"x", cas=4), b"ms YSBi 1 c MA C4 b\r\nx\r\n", b"EX\r\n", refused(APPEND, EXISTS)),
            (req(DELETE, b"a b", cas=4), b"md YSBi C4 b\r\n", b"NF\r\n", refused(DELETE, NOT_FOUND)),
            (
                req(INCR, b"a b", count(3, 8, 0)),
                b"ma YSBi v c MI D3 J8 N0 b\r\n",
                b"VA 2 c9\r\n12\r\n",
                res(INCR, value=u64(12), cas=9),
            ),
            # What can stand in a line is sent as ever.
            (req(GETK, b"\t\x01\x7f\xff"), b"mg \t\x01\x7f\xff v f c\r\n", b"EN\r\n", res(GETK, NOT_FOUND, b"\t\x01\x7f\xff")),
        ])

    def test_such_keys_in_a_batch(self):
        client, line = self.begin()
        # At once: what is sent in two pieces may arrive at the server in two.
        client.send(
            req(GETKQ, b"a b", opaque=4)
            + req(SETQ, b"c", u32(1, 2), b"x", 5)
            + req(GETKQ, b"d\0", opaque=6)
            + req(ADDQ, b"\n", u32(0, 0), b"y", 7)
            + req(GETK, b"e", opaque=8)
        )
        line.expect(
            b"mg YSBi v f c b\r\nms c 1 c MS F1 T2\r\nx\r\nmg ZAA= v f c b\r\nms Cg== 1 c ME F0 T0 b\r\ny\r\nmg e v f c\r\n"
        )
        line.send(b"VA 1 f3 c4\r\nA\r\nHD c5\r\nVA 1 f0 c6\r\nD\r\nNS\r\nEN\r\n")
        client.expect(
            res(GETKQ, 0, b"a b", u32(3), b"A", 4, 4)
            + res(GETKQ, 0, b"d\0", u32(0), b"D", 6, 6)
            + refused(ADDQ, EXISTS, 7)
            + res(GETK, NOT_FOUND, b"e", opaque=8)
        )

    def test_what_never_reaches_the_server(self):
        self.check_refusals([
            (req(GET, b" " * 187), INVALID),
            (req(SET, b"\0" * 250, u32(0, 0), b"x"), INVALID),
            (req(GETL, b"a b", u32(15)), UNKNOWN),
            (req(GETL, b"k", u32(15)), UNKNOWN),
            (req(UNL, b"k", cas=5), UNKNOWN),
            (req(OBSERVE), UNKNOWN),
            (req(0x60, b"k"), UNKNOWN),
            (req(SASL_LIST), UNKNOWN),
        ])


class Classic(Ascii):
    def test_gets(self):
        value = b"VALUE k 5 2 9\r\nab\r\nEND\r\n"
        self.check([
            (req(GET, b"k", opaque=7), b"gets k\r\n", value, res(GET, 0, b"", u32(5), b"ab", 7, 9)),
            (req(GETK, b"k", opaque=7), b"gets k\r\n", value, res(GETK, 0, b"k", u32(5), b"ab", 7, 9)),
            (req(GETK, b"k", opaque=7), b"gets k\r\n", b"END\r\n", res(GETK, NOT_FOUND, b"k", opaque=7)),
            (req(GAT, b"k", u32(30)), b"gats 30 k\r\n", value, res(GAT, 0, b"", u32(5), b"ab", 0, 9)),
        ])

    def test_storage(self):
        numbers = u32(5, 30)
        self.check([
            (req(SET, b"k", numbers, b"ab", 7), b"set k 5 30 2\r\nab\r\n", b"STORED\r\n", res(SET, opaque=7)),
            (req(SET, b"k", numbers, b"ab", cas=4), b"cas k 5 30 2 4\r\nab\r\n", b"EXISTS\r\n", refused(SET, EXISTS)),
            (req(SET, b"k", numbers, b"ab", cas=4), b"cas k 5 30 2 4\r\nab\r\n", b"NOT_FOUND\r\n", refused(SET, NOT_FOUND)),
            (req(ADD, b"k", numbers, b"ab"), b"add k 5 30 2\r\nab\r\n", b"NOT_STORED\r\n", refused(ADD, EXISTS)),
            (req(REPLACE, b"k", numbers, b"ab"), b"replace k 5 30 2\r\nab\r\n", b"NOT_STORED\r\n", refused(REPLACE, NOT_FOUND)),
            (req(REPLACE, b"k", numbers, b"ab", cas=4), b"cas k 5 30 2 4\r\nab\r\n", b"STORED\r\n", res(REPLACE)),
            (req(REPLACE, b"k", numbers, b"ab", cas=4), b"cas k 5 30 2 4\r\nab\r\n", b"EXISTS\r\n", refused(REPLACE, EXISTS)),
            (req(ADD, b"k", numbers, b"ab", cas=4), b"cas k 5 30 2 4\r\nab\r\n", b"NOT_FOUND\r\n", refused(ADD, NOT_FOUND)),
            (req(APPEND, b"k", value=b"ab"), b"append k 0 0 2\r\nab\r\n", b"STORED\r\n", res(APPEND)),
            (req(PREPEND, b"k", value=b"ab"), b"prepend k 0 0 2\r\nab\r\n", b"NOT_STORED\r\n", refused(PREPEND, NOT_STORED)),
        ])

    def test_the_others(self):
        self.check([
            (req(DELETE, b"k"), b"delete k\r\n", b"DELETED\r\n", res(DELETE)),
            (req(DELETE, b"k"), b"delete k\r\n", b"NOT_FOUND\r\n", refused(DELETE, NOT_FOUND)),
            (req(TOUCH, b"k", u32(30)), b"touch k 30\r\n", b"TOUCHED\r\n", res(TOUCH, extras=u32(0))),
            (req(INCR, b"k", count(3, 8, KEEP)), b"incr k 3\r\n", b"12\r\n", res(INCR, value=u64(12))),
            (req(DECR, b"k", count(3, 8, KEEP)), b"decr k 3\r\n", b"NOT_FOUND\r\n", refused(DECR, NOT_FOUND)),
            (req(FLUSH), b"flush_all\r\n", b"OK\r\n", res(FLUSH)),
        ])

    def test_a_number_is_created(self):
        client, line = self.begin()
        client.send(req(INCR, b"k", count(3, 18, 60), opaque=5))
        line.expect(b"incr k 3\r\n")
        line.send(b"NOT_FOUND\r\n")
        line.expect(b"add k 0 60 2\r\n18\r\n")
        line.send(b"STORED\r\n")
        client.expect(res(INCR, value=u64(18), opaque=5))

    def test_what_cannot_be_said(self):
        self.check_refusals([
            (req(APPEND, b"k", value=b"ab", cas=4), NOT_SUPPORTED),
            (req(DELETE, b"k", cas=4), NOT_SUPPORTED),
            (req(GET, b"a b"), INVALID),
            (req(GETL, b"k"), UNKNOWN),
        ])

    def test_a_quiet_batch(self):
        client, line = self.begin()
        client.send(req(GETKQ, b"a", opaque=4) + req(SETQ, b"c", u32(1, 2), b"x", 6) + req(GET, b"f", opaque=9))
        line.expect(b"gets a\r\nset c 1 2 1\r\nx\r\ngets f\r\n")
        line.send(b"VALUE a 1 1 2\r\nA\r\nEND\r\nSTORED\r\nEND\r\n")
        client.expect(res(GETKQ, 0, b"a", u32(1), b"A", 4, 2) + refused(GET, NOT_FOUND, 9))


class Early(Classic):
    """memcached 1.6.0 to 1.6.9: it takes the value of the `ms` of today for commands, so it gets no meta commands."""

    knows_meta = True
    version = b"1.6.9"


class Asking(Ascii):
    def test_once_for_all_clients_and_only_for_binary_ones(self):
        first = self.client()
        line = self.through(first, None, b"get k\r\n", b"END\r\n")
        clients = [self.client() for _ in range(3)]
        for client in clients:
            client.send(req(GET, b"k"))
        line.expect(b"mn\r\n")
        line.expect_silence()
        line.send(b"MN\r\n")
        line.expect(b"version\r\n")
        line.expect_silence()
        line.send(b"VERSION 1.6.18\r\n")
        for _ in clients:
            line.expect(b"mg k v f c\r\n")
            line.send(b"EN\r\n")
        for client in clients:
            client.expect(refused(GET, NOT_FOUND))

    def test_a_server_that_closes_instead(self):
        client = self.client()
        client.send(req(SET, b"k", u32(0, 0), b"x", 3))
        line = self.mock.accept()
        line.expect(b"mn\r\n")
        line.close()
        # It is not asked again for this request.
        line = self.mock.accept()
        line.expect(b"set k 0 0 1\r\nx\r\n")
        line.send(b"STORED\r\n")
        client.expect(res(SET, opaque=3))

    def test_closing_in_a_value(self):
        self.knows_meta = True
        client, line = self.begin()
        client.send(req(GETK, b"k", opaque=3))
        line.expect(b"mg k v f c\r\n")
        line.send(b"VA 10 f0 c1\r\n01234")
        line.close()
        # It may be another server now: it is asked before it gets the same again.
        line = self.mock.accept()
        line.expect(b"mn\r\nversion\r\n")
        line.expect_silence()
        line.send(b"MN\r\nVERSION 1.6.18\r\n")
        line.expect(b"mg k v f c\r\n")
        line.send(b"VA 10 f0 c1\r\n01234")
        line.close()
        text = b"SERVER_ERROR proxy downstream closed 127.0.0.1\r\n"
        client.expect(res(GETK, INTERNAL, value=text, opaque=3))
