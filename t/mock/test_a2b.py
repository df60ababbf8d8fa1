"""ASCII clients of binary servers (04 §6)."""

from harness import (
    ADD, APPEND, DECR, DELETE, EXISTS, FLUSH, GAT, GATK, GETK, GETKQ, INCR, INTERNAL, INVALID, NOOP, NO_MEMORY,
    NOT_A_NUMBER, NOT_FOUND, NOT_STORED, NOT_SUPPORTED, OK, PREPEND, REPLACE, SET, TOO_LARGE, TOUCH, UNKNOWN, MockTest,
    count, req, res, u32, u64,
)


class Binary(MockTest):
    protocol = "binary"


class Commands(Binary):
    def test_what_is_answered_here(self):
        client = self.client()
        client.send(b"version\r\n")
        self.assertRegex(client.receive(), rb"^VERSION \S+\r\n$")
        client.send(b"bogus\r\n")
        client.expect(b"ERROR\r\n")
        self.mock.expect_nobody()

    def test_gets_one_after_the_other(self):
        client, line = self.client(), None
        for number in range(3):
            key = b"none%d" % number
            line = self.through(client, line, b"get %s\r\n" % key, sent=req(GETK, key))
            line.send(res(GETK, NOT_FOUND, key))
            client.expect(b"END\r\n")

    def test_quit_stays_here(self):
        client = self.client()
        line = self.through(client, None, b"get k\r\n", res(GETK, NOT_FOUND, b"k"), req(GETK, b"k"), b"END\r\n")
        client.send(b"quit\r\n")
        client.expect_closed()
        line.expect_silence()

    def test_sets(self):
        client, line = self.client(), None
        for flags, expiry, value in ((0, 0, b"1"), (1234, 4321, b"1"), (1234, 4321, b""), (0xFFFFFFFF, 0, b"\r\n")):
            request = b"set k %d %d %d\r\n%s\r\n" % (flags, expiry, len(value), value)
            sent = req(SET, b"k", u32(flags, expiry), value)
            line = self.through(client, line, request, res(SET, cas=9), sent, b"STORED\r\n")

    def test_storage_commands_and_statuses(self):
        client, line = self.client(), None
        stored, not_stored = b"STORED\r\n", b"NOT_STORED\r\n"
        numbers = u32(1, 2)
        for verb, opcode, extras, replies in (
            (b"add", ADD, numbers, ((OK, stored), (EXISTS, not_stored))),
            (b"replace", REPLACE, numbers, ((OK, stored), (NOT_FOUND, not_stored))),
            (b"append", APPEND, b"", ((OK, stored), (NOT_STORED, not_stored))),
            (b"prepend", PREPEND, b"", ((OK, stored), (NOT_STORED, not_stored))),
            (
                b"set",
                SET,
                numbers,
                (
                    (TOO_LARGE, b"SERVER_ERROR object too large for cache\r\n"),
                    (NO_MEMORY, b"SERVER_ERROR out of memory storing object\r\n"),
                ),
            ),
        ):
            for status, got in replies:
                sent = req(opcode, b"k", extras, b"abc")
                reply = res(opcode, status, value=b"some text" if status else b"")
                line = self.through(client, line, verb + b" k 1 2 3\r\nabc\r\n", reply, sent, got)

    def test_cas(self):
        client, line = self.client(), None
        sent = req(SET, b"k", u32(1, 2), b"abc", cas=77)
        for status, got in ((OK, b"STORED\r\n"), (EXISTS, b"EXISTS\r\n"), (NOT_FOUND, b"NOT_FOUND\r\n")):
            line = self.through(client, line, b"cas k 1 2 3 77\r\nabc\r\n", res(SET, status), sent, got)

    def test_other_commands_and_statuses(self):
        client, line = self.client(), None
        number = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        up, down = count(5, 0, 0xFFFFFFFF), count(6, 0, 0xFFFFFFFF)
        for request, sent, reply, got in (
            (b"delete k\r\n", req(DELETE, b"k"), res(DELETE), b"DELETED\r\n"),
            (b"delete k\r\n", req(DELETE, b"k"), res(DELETE, NOT_FOUND), b"NOT_FOUND\r\n"),
            (b"incr k 5\r\n", req(INCR, b"k", up), res(INCR, value=u64(1 << 63)), b"9223372036854775808\r\n"),
            (b"decr k 6\r\n", req(DECR, b"k", down), res(DECR, value=u64(0)), b"0\r\n"),
            (b"incr k 5\r\n", req(INCR, b"k", up), res(INCR, NOT_FOUND), b"NOT_FOUND\r\n"),
            (b"decr k 6\r\n", req(DECR, b"k", down), res(DECR, NOT_A_NUMBER), number),
            (b"touch k 30\r\n", req(TOUCH, b"k", u32(30)), res(TOUCH), b"TOUCHED\r\n"),
            (b"touch k 30\r\n", req(TOUCH, b"k", u32(30)), res(TOUCH, NOT_FOUND), b"NOT_FOUND\r\n"),
            (b"flush_all 0\r\n", req(FLUSH, extras=u32(0)), res(FLUSH), b"OK\r\n"),
            (b"flush_all 1234\r\n", req(FLUSH, extras=u32(1234)), res(FLUSH), b"OK\r\n"),
        ):
            with self.subTest(request=request, got=got):
                line = self.through(client, line, request, reply, sent, got)

    def test_unusual_statuses_are_errors(self):
        client, line = self.client(), None
        for status in (INVALID, UNKNOWN, NOT_SUPPORTED, INTERNAL):
            line = self.through(client, line, b"set k 0 0 1\r\n1\r\n", sent=req(SET, b"k", u32(0, 0), b"1"))
            line.send(res(SET, status, value=b"text"))
            self.assertRegex(client.receive(), rb"^(SERVER_ERROR a2b \S+|SERVER_ERROR[^\r]*|CLIENT_ERROR[^\r]*)\r\n$")


class Values(Binary):
    def hit(self, key, value, flags=0, opaque=0, opcode=GETKQ):
        return res(opcode, key=key, extras=u32(flags), value=value, opaque=opaque)

    def test_one_value(self):
        client = self.client()
        reply = self.hit(b"k", b"0123456789", 110, opcode=GETK)
        got = b"VALUE k 110 10\r\n0123456789\r\nEND\r\n"
        line = self.through(client, None, b"get k\r\n", reply, req(GETK, b"k"), got)
        reply = res(GETK, key=b"k", extras=u32(5), cas=42)
        got = b"VALUE k 5 0 42\r\n\r\nEND\r\n"
        self.through(client, line, b"gets k\r\n", reply, req(GETK, b"k"), got)

    def test_several_values_in_the_order_of_arrival(self):
        client, line = self.client(), None
        # The opaque of each is where its key stands in the line.
        sent = req(GETKQ, b"val0", opaque=4) + req(GETKQ, b"val1", opaque=9) + req(NOOP)
        hit0, hit1 = self.hit(b"val0", b"zero", 110, 4), self.hit(b"val1", b"", 220, 9)
        got0, got1 = b"VALUE val0 110 4\r\nzero\r\n", b"VALUE val1 220 0\r\n\r\n"
        for reply, got in ((b"", b""), (hit0, got0), (hit0 + hit1, got0 + got1), (hit1 + hit0, got1 + got0)):
            reply, got = reply + res(NOOP), got + b"END\r\n"
            line = self.through(client, line, b"get val0 val1\r\n", reply, sent, got)

    def test_get_and_touch(self):
        client = self.client()
        client.send(b"gat 30 k\r\n")
        line = self.mock.accept()
        sent = line.receive()
        opcode = sent[1]
        self.assertIn(opcode, (GAT, GATK))
        self.assertEqual(sent, req(opcode, b"k", u32(30)))
        line.send(res(opcode, key=b"k" if opcode == GATK else b"", extras=u32(7), value=b"ab"))
        client.expect(b"VALUE k 7 2\r\nab\r\nEND\r\n")


class Pieces(Binary):
    def test_pieces_of_both(self):
        client = self.client()
        client.send([b"set k ", b"0 0 5\r", b"\n", b"hel", b"lo\r\n"])
        line = self.mock.accept()
        line.expect(req(SET, b"k", u32(0, 0), b"hello"))
        reply = res(SET)
        line.send([reply[:3], reply[3:6], reply[6:22], reply[22:]])
        client.expect(b"STORED\r\n")


class Closing(Binary):
    def test_before_the_reply_to_a_set(self):
        client = self.client()
        client.send(b"set k 0 0 1\r\n1\r\n")
        for _ in range(2):
            line = self.mock.accept()
            line.expect(req(SET, b"k", u32(0, 0), b"1"))
            line.close()
        client.expect(b"SERVER_ERROR proxy downstream closed 127.0.0.1\r\n")
        self.mock.expect_nobody()

    def test_what_must_not_be_done_twice(self):
        client = self.client()
        client.send(b"incr k 1\r\n")
        line = self.mock.accept()
        line.expect(req(INCR, b"k", count(1, 0, 0xFFFFFFFF)))
        line.close()
        client.expect(b"SERVER_ERROR proxy downstream closed 127.0.0.1\r\n")
        self.mock.expect_nobody()

    def test_in_the_only_value(self):
        client = self.client()
        client.send(b"get k\r\n")
        for _ in range(2):
            line = self.mock.accept()
            line.expect(req(GETK, b"k"))
            line.send(res(GETK, key=b"k", extras=u32(0), value=b"0123456789")[:30])
            line.close()
        client.expect(b"END\r\n")

    def test_in_the_second_value(self):
        first = res(GETKQ, key=b"a", extras=u32(0), value=b"0123456789", opaque=4)
        second = res(GETKQ, key=b"b", extras=u32(0), value=b"0123456789", opaque=6)
        for length in (0, 5, 24, 28, 33):
            with self.subTest(length=length):
                client = self.client()
                client.send(b"get a b\r\n")
                line = self.mock.accept()
                line.expect(req(GETKQ, b"a", opaque=4) + req(GETKQ, b"b", opaque=6) + req(NOOP))
                line.send(first + second[:length])
                line.close()
                # What is there is kept, the rest is asked for once more.
                line = self.mock.accept()
                self.assertIn(b"b", line.receive())
                line.close()
                client.expect(b"VALUE a 0 10\r\n0123456789\r\nEND\r\n")

    def test_between_two_requests(self):
        client = self.client()
        for _ in range(3):
            line = self.through(client, None, b"get k\r\n", sent=req(GETK, b"k"))
            line.send(res(GETK, key=b"k", extras=u32(0), value=b"1"))
            line.close()
            client.expect(b"VALUE k 0 1\r\n1\r\nEND\r\n")


class Sharing(Binary):
    def test_clients_share_a_connection(self):
        first, second, line = self.client(), self.client(), None
        for client in (first, second, first):
            line = self.through(client, line, b"get k\r\n", res(GETK, NOT_FOUND, b"k"), req(GETK, b"k"), b"END\r\n")
        self.mock.expect_nobody()
