"""Binary clients of binary servers (04 §8, §9): what a client sends is passed on byte for byte."""

from harness import (
    ADD, ADDQ, APPEND, APPENDQ, DECR, DECRQ, DELETE, DELETEQ, EXISTS, FLUSH, FLUSHQ, GAT, GATK, GATKQ, GATQ, GET, GETK,
    GETKQ, GETL, GETQ, HELLO, INCR, INCRQ, INTERNAL, INVALID, NOOP, NOT_FOUND, NOT_STORED, PREPEND, PREPENDQ, QUIT,
    QUITQ, REPLACE, REPLACEQ, SASL_AUTH, SASL_LIST, SELECT_BUCKET, SET, SETQ, STAT, TOUCH, UNKNOWN, UNL, VERBOSITY,
    VERSION, MockTest, count, req, res, u32, u64,
)


def packets(data):
    """The packets in some bytes, their vbucket field set to zero."""
    found = []
    while data:
        length = 24 + int.from_bytes(data[8:12], "big")
        found.append(data[:6] + b"\0\0" + data[8:length])
        data = data[length:]
    return found


class Binary(MockTest):
    protocol = "binary"


class Commands(Binary):
    def test_requests_and_replies_pass_unchanged(self):
        client, line = self.client(), None
        both = u32(7, 30)
        for sent, replies in (
            (req(GET, b"k", opaque=1), [res(GET, extras=u32(7), value=b"v", opaque=1, cas=5), res(GET, NOT_FOUND, opaque=1)]),
            (req(GETK, b"k", opaque=2), [res(GETK, 0, b"k", u32(7), b"", 2), res(GETK, NOT_FOUND, b"k", opaque=2)]),
            (req(SET, b"k", both, b"v", 0xFFFFFFFF), [res(SET, opaque=0xFFFFFFFF, cas=1 << 63)]),
            (req(SET, b"k", both, b"v", 3, cas=99), [res(SET, EXISTS, value=b"text", opaque=3)]),
            (req(SET, b"k", u32(1234, 4321), b"", 4), [res(SET, opaque=4)]),
            (req(ADD, b"k", both, b"v", 5), [res(ADD, opaque=5), res(ADD, EXISTS, value=b"Data exists", opaque=5)]),
            (req(REPLACE, b"k", both, b"v", 6), [res(REPLACE, NOT_FOUND, opaque=6)]),
            (req(APPEND, b"k", value=b"v", opaque=7), [res(APPEND, NOT_STORED, opaque=7)]),
            (req(PREPEND, b"k", value=b"v", opaque=8), [res(PREPEND, opaque=8)]),
            (req(DELETE, b"k", opaque=9, cas=3), [res(DELETE, opaque=9)]),
            (req(INCR, b"k", count(1, 2, 3), opaque=10), [res(INCR, value=u64(2), opaque=10, cas=8)]),
            (req(DECR, b"k", count(1, 2, 0xFFFFFFFF), opaque=11), [res(DECR, NOT_FOUND, opaque=11)]),
            (req(TOUCH, b"k", u32(30), opaque=12), [res(TOUCH, opaque=12)]),
            (req(GAT, b"k", u32(30), opaque=13), [res(GAT, extras=u32(1), value=b"v", opaque=13)]),
            (req(GATK, b"k", u32(30), opaque=14), [res(GATK, NOT_FOUND, b"k", opaque=14)]),
            (req(GETL, b"k", u32(15), opaque=15), [res(GETL, extras=u32(1), value=b"v", opaque=15, cas=6)]),
            (req(UNL, b"k", opaque=16, cas=6), [res(UNL, opaque=16)]),
            (req(0x93, b"k", opaque=17), [res(0x93, 0x86, value=b"what it says", opaque=17)]),
        ):
            for reply in replies:
                with self.subTest(sent=sent, reply=reply):
                    line = self.through(client, line, sent, reply)

    def test_what_is_answered_here(self):
        client = self.client()
        client.send(req(VERSION, opaque=1))
        got = client.receive()
        self.assertEqual(got[:24], res(VERSION, value=got[24:], opaque=1)[:24])
        self.assertTrue(got[24:])
        client.send(req(HELLO, b"agent", value=b"\0\1", opaque=2))
        client.expect(res(HELLO, opaque=2))
        client.send(req(VERBOSITY, extras=u32(0), opaque=3))
        client.expect(res(VERBOSITY, opaque=3))
        client.send(req(SELECT_BUCKET, b"another", opaque=4))
        client.expect(res(SELECT_BUCKET, NOT_FOUND, value=b"Not found", opaque=4))
        self.mock.expect_nobody()

    def test_quit(self):
        client = self.client()
        line = self.through(client, None, req(GETK, b"k"), res(GETK, NOT_FOUND, b"k"))
        client.send(req(QUIT, opaque=6))
        client.expect(res(QUIT, opaque=6))
        client.expect_closed()
        client = self.client()
        client.send(req(QUITQ))
        client.expect_closed()
        line.expect_silence()

    def test_flush_and_noop(self):
        client, line = self.client(), None
        for sent in (req(FLUSH, opaque=1), req(FLUSH, extras=u32(0), opaque=2), req(FLUSH, extras=u32(1234)), req(NOOP, opaque=3)):
            line = self.through(client, line, sent, res(sent[1], opaque=int.from_bytes(sent[12:16], "big")))

    def test_stat(self):
        client = self.client()
        line = self.through(client, None, req(STAT, b"items", opaque=3))
        line.send(res(STAT, 0, b"a:one", value=b"1", opaque=3) + res(STAT, 0, b"two", value=b"x y", opaque=3))
        line.send(res(STAT, opaque=3))
        got = client.receive()
        end = res(STAT, opaque=3)
        self.assertTrue(got.endswith(end))
        self.assertIn(res(STAT, 0, b"a:one", value=b"1", opaque=3), got)
        self.assertIn(res(STAT, 0, b"two", value=b"x y", opaque=3), got)

    def test_wrong_shapes_end_the_client(self):
        for sent in (req(GET), req(SET, b"k", b"1234", b"v"), req(INCR, b"k", u32(1)), req(GETQ), req(NOOP, b"k")):
            client = self.client()
            client.send(sent + req(NOOP))
            client.expect(res(sent[1], INVALID, value=b"Invalid arguments"))
            client.expect_closed()
        self.mock.expect_nobody()

    def test_sasl_without_credentials(self):
        client = self.client()
        for sent in (req(SASL_LIST, opaque=1), req(SASL_AUTH, b"PLAIN", value=b"\0someone\0secret", opaque=1)):
            client.send(sent)
            client.expect(res(sent[1], UNKNOWN, value=b"Unknown command", opaque=1))
        self.through(client, None, req(GETK, b"k"), res(GETK, NOT_FOUND, b"k"))


class Quiet(Binary):
    def batch(self):
        return req(GETKQ, b"val0", opaque=4) + req(GETKQ, b"val1", opaque=13)

    def test_what_closes_them(self):
        client, line = self.client(), None
        hit0 = res(GETKQ, 0, b"val0", u32(567), b"0123456789", 4)
        hit1 = res(GETKQ, 0, b"val1", u32(0), b"", 13)
        for pieces in ([], [hit0], [hit1], [hit0, hit1], [hit1, hit0]):
            client.send(self.batch() + req(NOOP, opaque=9))
            line = line or self.mock.accept()
            line.expect(self.batch() + req(NOOP, opaque=9))
            line.send(pieces + [res(NOOP, opaque=9)])
            client.expect(b"".join(pieces) + res(NOOP, opaque=9))

    def test_nothing_closes_them(self):
        client, line = self.client(), None
        hit = res(GETKQ, 0, b"val1", u32(0), b"0123456789", 13)
        for pieces in ([], [hit]):
            client.send(self.batch())
            line = line or self.mock.accept()
            line.expect(self.batch() + req(NOOP))
            line.send(pieces + [res(NOOP)])
            if pieces:
                client.expect(b"".join(pieces))
            client.send(req(NOOP, opaque=9))
            line.expect(req(NOOP, opaque=9))
            line.send(res(NOOP, opaque=9))
            client.expect(res(NOOP, opaque=9))

    def test_each_of_them(self):
        client, line = self.client(), None
        both = u32(0, 0)
        batch = [
            req(GETQ, b"k", opaque=1),
            req(SETQ, b"k", both, b"1", 2),
            req(ADDQ, b"k", both, b"1", 3),
            req(REPLACEQ, b"k", both, b"1", 4),
            req(APPENDQ, b"k", value=b"1", opaque=5),
            req(PREPENDQ, b"k", value=b"1", opaque=6),
            req(INCRQ, b"k", count(1, 2, 3), opaque=7),
            req(DECRQ, b"k", count(1, 2, 3), opaque=8),
            req(GATQ, b"k", u32(1), opaque=9),
            req(GATKQ, b"k", u32(1), opaque=10),
            req(DELETEQ, b"k", opaque=11),
            req(FLUSHQ, opaque=12),
            req(FLUSHQ, extras=u32(5), opaque=13),
        ]
        for closing, reply in (
            (req(NOOP, opaque=99), res(NOOP, opaque=99)),
            (req(GET, b"k", opaque=99), res(GET, NOT_FOUND, opaque=99)),
            (req(SET, b"k", both, b"2", 99), res(SET, opaque=99, cas=7)),
            (req(FLUSH, opaque=99), res(FLUSH, opaque=99)),
        ):
            sent = b"".join(batch) + closing
            errors = res(ADDQ, EXISTS, value=b"text", opaque=3) + res(DELETEQ, NOT_FOUND, opaque=11)
            for before in (b"", errors):
                line = self.through(client, line, sent, before + reply)

    def test_what_is_answered_here_waits_for_them(self):
        client = self.client()
        client.send(self.batch() + req(VERSION))
        line = self.mock.accept()
        line.expect(self.batch() + req(NOOP))
        hit = res(GETKQ, 0, b"val1", u32(0), b"0123456789", 13)
        line.send(hit + res(NOOP))
        got = client.receive()
        self.assertTrue(got.startswith(hit + b"\x81\x0b"), got)

    def test_the_whole_batch_is_sent_again(self):
        client = self.client()
        sent = self.batch() + req(SETQ, b"k", u32(0, 0), b"1", 7) + req(NOOP, opaque=9)
        client.send(sent)
        line = self.mock.accept()
        line.expect(sent)
        line.close()
        line = self.mock.accept()
        line.expect(sent)
        line.send(res(NOOP, opaque=9))
        client.expect(res(NOOP, opaque=9))

    def test_a_connection_that_has_died_meanwhile(self):
        client = self.client()
        for _ in range(3):
            client.send(self.batch() + req(NOOP))
            line = self.mock.accept()
            line.expect(self.batch() + req(NOOP))
            line.send(res(NOOP))
            client.expect(res(NOOP))
            line.close()


class SeveralServers(Binary):
    servers = 4

    def test_quiet_packets_go_where_they_belong(self):
        """Every server gets its own and one that is answered; all are awaited."""
        client = self.client()
        keys = [b"key%d" % number for number in range(24)]
        client.send(b"".join(req(GETQ, key, opaque=index) for index, key in enumerate(keys)) + req(NOOP, opaque=99))
        lines = [mock.accept() for mock in self.mocks]
        seen = [packets(line.receive()) for line in lines]
        for sent in seen:
            self.assertEqual(sent.pop(), req(NOOP, opaque=99))
        wanted = [req(GETQ, key, opaque=index) for index, key in enumerate(keys)]
        self.assertEqual(sorted(sum(seen, [])), sorted(wanted))
        for line in lines[1:]:
            line.send(res(NOOP, opaque=99))
        client.expect_silence()
        hit = res(GETQ, extras=u32(0), value=b"late", opaque=int.from_bytes(seen[0][0][12:16], "big"))
        lines[0].send(hit + res(NOOP, opaque=99))
        client.expect(hit + res(NOOP, opaque=99))

    def test_a_keyed_closing_packet_waits_for_the_others(self):
        client = self.client()
        closing = req(GET, b"key0", opaque=99)
        client.send(b"".join(req(SETQ, b"key%d" % number, u32(0, 0), b"v", number) for number in range(24)) + closing)
        lines = [mock.accept() for mock in self.mocks]
        seen = [packets(line.receive()) for line in lines]
        ends = [sent[-1] for sent in seen]
        last = [index for index, end in enumerate(ends) if end[1] == GET]
        self.assertEqual(len(last), 1)
        self.assertEqual(ends[last[0]], closing)
        others = [index for index in range(4) if index != last[0]]
        self.assertEqual([ends[index] for index in others], [req(NOOP)] * 3)
        reply = res(GET, extras=u32(0), value=b"v", opaque=99)
        lines[last[0]].send(reply)
        for index in others[1:]:
            lines[index].send(res(NOOP))
        client.expect_silence()
        error = res(SETQ, 0x82, value=b"no room", opaque=int.from_bytes(seen[others[0]][0][12:16], "big"))
        lines[others[0]].send(error + res(NOOP))
        client.expect(error + reply)


class Pieces(Binary):
    def test_pieces_of_both(self):
        client = self.client()
        sent, reply = req(SET, b"k", u32(0, 0), b"hello"), res(SET)
        client.send([sent[:3], sent[3:24], sent[24:26], sent[26:]])
        line = self.mock.accept()
        line.expect(sent)
        line.send([reply[:3], reply[3:6], reply[6:22], reply[22:]])
        client.expect(reply)


class Closing(Binary):
    def test_before_the_reply_to_a_set(self):
        client = self.client()
        sent = req(SET, b"k", u32(0, 0), b"1", 7)
        client.send(sent)
        for _ in range(2):
            line = self.mock.accept()
            line.expect(sent)
            line.close()
        text = b"SERVER_ERROR proxy downstream closed 127.0.0.1\r\n"
        client.expect(res(SET, INTERNAL, value=text, opaque=7))
        self.mock.expect_nobody()

    def test_between_two_requests(self):
        client = self.client()
        for _ in range(3):
            line = self.through(client, None, req(GETK, b"k"), res(GETK, 0, b"k", u32(0), b"0123456789"))
            line.close()


class Sharing(Binary):
    def test_clients_share_a_connection(self):
        first, second, line = self.client(), self.client(), None
        for client in (first, second, first):
            line = self.through(client, line, req(GETK, b"k"), res(GETK, 0, b"k", u32(0), b"1"))
        self.mock.expect_nobody()
