"""ASCII clients of ASCII servers (04 §5)."""

from harness import MockTest


class Commands(MockTest):
    def test_version_is_answered_here(self):
        for client in (self.client(), self.client()):
            client.send(b"version\r\n")
            self.assertRegex(client.receive(), rb"^VERSION \S+\r\n$")
        self.mock.expect_nobody()

    def test_nonsense_is_answered_here(self):
        client = self.client()
        for line in (b"bogus\r\n", b"\r\n", b"set\r\n", b"get\r\n"):
            client.send(line)
            client.expect(b"ERROR\r\n")
        self.mock.expect_nobody()

    def test_gets_one_after_the_other(self):
        client, line = self.client(), None
        for number in range(3):
            line = self.through(client, line, b"get none%d\r\n" % number, b"END\r\n")
        self.mock.expect_nobody()

    def test_quit_stays_here(self):
        client = self.client()
        line = self.through(client, None, b"get none\r\n", b"END\r\n")
        client.send(b"quit\r\n")
        client.expect_closed()
        line.expect_silence()

    def test_storage_commands_and_their_replies(self):
        client, line = self.client(), None
        for verb in (b"set", b"add", b"replace", b"append", b"prepend"):
            for reply in (b"STORED\r\n", b"NOT_STORED\r\n", b"SERVER_ERROR object too large for cache\r\n"):
                line = self.through(client, line, verb + b" k 1 2 3\r\nabc\r\n", reply)
        for reply in (b"STORED\r\n", b"EXISTS\r\n", b"NOT_FOUND\r\n"):
            self.through(client, line, b"cas k 1 2 3 987654321\r\nabc\r\n", reply)

    def test_other_commands_and_their_replies(self):
        client, line = self.client(), None
        text = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        for request, replies in (
            (b"delete k\r\n", (b"DELETED\r\n", b"NOT_FOUND\r\n")),
            (b"incr k 5\r\n", (b"17\r\n", b"NOT_FOUND\r\n", text)),
            (b"decr k 18446744073709551615\r\n", (b"0\r\n", b"NOT_FOUND\r\n", text)),
            (b"touch k 30\r\n", (b"TOUCHED\r\n", b"NOT_FOUND\r\n")),
            (b"flush_all\r\n", (b"OK\r\n",)),
            (b"flush_all 1234\r\n", (b"OK\r\n",)),
        ):
            for reply in replies:
                line = self.through(client, line, request, reply)

    def test_line_and_value_sent_apart_arrive_together(self):
        client = self.client()
        client.send([b"set k 0 0 1\r\n", b"1\r\n"])
        line = self.mock.accept()
        line.expect(b"set k 0 0 1\r\n1\r\n")
        line.send(b"STORED\r\n")
        client.expect(b"STORED\r\n")

    def test_noreply_is_answered_for_moxi_only(self):
        client = self.client()
        client.send(b"set k 0 0 1 noreply\r\n1\r\n")
        line = self.mock.accept()
        line.expect(b"set k 0 0 1\r\n1\r\n")
        line.send(b"SERVER_ERROR out of memory storing object\r\n")
        self.through(client, line, b"get k\r\n", b"END\r\n")

    def test_values(self):
        client, line = self.client(), None
        one, two = b"VALUE a 0 10\r\n0123456789\r\n", b"VALUE b 7 0\r\n\r\n"
        for reply in (b"END\r\n", one + b"END\r\n", one + two + b"END\r\n"):
            line = self.through(client, line, b"get a b\r\n", reply)
        self.through(client, line, b"gets a\r\n", b"VALUE a 0 1 42\r\nx\r\nEND\r\n")
        self.through(client, line, b"get b\r\n", two + b"END\r\n")


class Pieces(MockTest):
    def test_a_request_in_pieces(self):
        request = b"set k 0 0 5\r\nhello\r\n"
        client, line = self.client(), None
        for pieces in (
            [b"set k ", b"0 0 5\r", b"\n", b"hel", b"lo\r\n"],
            [bytes([byte]) for byte in request],
        ):
            client.send(pieces)
            line = line or self.mock.accept()
            line.expect(request)
            line.send(b"STORED\r\n")
            client.expect(b"STORED\r\n")

    def test_a_reply_in_pieces(self):
        client = self.client()
        line = self.through(client, None, b"set k 0 0 1\r\n1\r\n")
        line.send([b"STO", b"RED", b"\r", b"\n"])
        client.expect(b"STORED\r\n")
        reply = b"VALUE k 1 2\r\nab\r\nVALUE l 0 0\r\n\r\nEND\r\n"
        self.through(client, line, b"get k l\r\n")
        line.send([bytes([byte]) for byte in reply])
        client.expect(reply)


class Closing(MockTest):
    """The server closes its connection somewhere. (What may be done twice is tried twice.)"""

    def test_before_the_reply_to_a_set(self):
        client = self.client()
        client.send(b"set k 0 0 1\r\n1\r\n")
        for _ in range(2):
            line = self.mock.accept()
            line.expect(b"set k 0 0 1\r\n1\r\n")
            line.close()
        client.expect(b"SERVER_ERROR proxy downstream closed 127.0.0.1\r\n")
        self.mock.expect_nobody()

    def test_what_must_not_be_done_twice(self):
        client = self.client()
        for request in (b"append k 0 0 1\r\n1\r\n", b"incr k 1\r\n", b"add k 0 0 1\r\n1\r\n", b"cas k 0 0 1 5\r\n1\r\n"):
            client.send(request)
            line = self.mock.accept()
            line.expect(request)
            line.close()
            client.expect(b"SERVER_ERROR proxy downstream closed 127.0.0.1\r\n")
        self.mock.expect_nobody()

    def test_in_the_only_value(self):
        client = self.client()
        client.send(b"get k\r\n")
        for _ in range(2):
            line = self.mock.accept()
            line.expect(b"get k\r\n")
            line.send(b"VALUE k 0 10\r\n012345")
            line.close()
        client.expect(b"END\r\n")

    def test_in_the_second_value(self):
        first = b"VALUE a 0 10\r\n0123456789\r\n"
        for part in (b"VALUE b 0", b"VALUE b 0 10\r\n", b"VALUE b 0 10\r\n012345", b""):
            with self.subTest(part=part):
                client = self.client()
                client.send(b"get a b\r\n")
                line = self.mock.accept()
                line.expect(b"get a b\r\n")
                line.send(first + part)
                line.close()
                # What is there is kept, the rest is asked for once more.
                line = self.mock.accept()
                line.expect(b"get b\r\n")
                line.close()
                client.expect(first + b"END\r\n")

    def test_between_two_requests(self):
        client = self.client()
        value = b"VALUE k 0 10\r\n0123456789\r\nEND\r\n"
        for _ in range(3):
            line = self.through(client, None, b"get k\r\n", value)
            line.close()

    def test_right_after_the_reply(self):
        client = self.client()
        value = b"VALUE k 0 10\r\n0123456789\r\nEND\r\n"
        for _ in range(3):
            client.send(b"get k\r\n")
            line = self.mock.accept()
            line.expect(b"get k\r\n")
            line.send(value)
            line.close()
            client.expect(value)


class Sharing(MockTest):
    def test_clients_share_a_connection(self):
        first = self.client()
        line = self.through(first, None, b"get a\r\n", b"VALUE a 0 1\r\n1\r\nEND\r\n")
        self.through(self.client(), line, b"get b\r\n", b"VALUE b 0 1\r\n2\r\nEND\r\n")
        self.mock.expect_nobody()

    def test_also_those_that_were_there_before(self):
        first, second = self.client(), self.client()
        line = self.through(first, None, b"get a\r\n", b"END\r\n")
        self.through(second, line, b"get b\r\n", b"END\r\n")
        self.through(first, line, b"get c\r\n", b"END\r\n")
        self.mock.expect_nobody()

    def test_nobody_connects_without_a_request(self):
        self.client()
        self.mock.expect_nobody(0.2)
