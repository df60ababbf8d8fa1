//! Meta commands of ASCII clients: what a server gets that knows them, and what one that does not (04 §20).

use std::time::Duration;

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Dialect, Down, Exchange, Mock, Moxi, MoxiBuilder, Stage, Wire, moxi, warm};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is asked of a server with which moxi speaks binary: as long as the header of a packet.
pub const QUESTION: &str = "mn                    \r\n";

/// Longer than anything that is already on its way.
pub const MOMENT: Duration = Duration::from_millis(30);

pub fn over(mock: &Mock, protocol: &str) -> MoxiBuilder {
    // One thread: the numbers of the commands are known.
    moxi!().servers([mock.port()]).speaking(protocol).threads(1).set("connect_max_errors=0")
}

/// A moxi in front of a scripted server of this dialect, an ASCII client, and the server's end of the connection.
pub fn ready(mock: &Mock, dialect: Dialect, settings: &str) -> (Moxi, Wire, Wire) {
    let protocol = if dialect == Dialect::Binary { "binary" } else { "ascii" };
    let builder = over(mock, protocol);
    let builder = if settings.is_empty() { builder } else { builder.set(settings) };
    let (moxi, _, line) = warm(builder, dialect, mock);
    let client = moxi.client();
    (moxi, client, line)
}

/// What moxi answers itself, whole and at every split; the value behind a refused line is no command either.
#[test]
fn what_needs_no_server() {
    for protocol in ["ascii", "binary"] {
        let mock = Mock::new();
        let builder = moxi!().servers([mock.port()]).speaking(protocol).set("value_max=20");
        let mut stage = match protocol {
            "ascii" => Stage::ascii(builder, VERSION, vec![mock]),
            _ => Stage::binary(builder, VERSION, vec![mock]),
        };
        let refused = |request: &str, replies: &str| Exchange::new(format!("{request:?}"), request).gets(replies);
        stage.run_all(&[
            refused("mn\r\n  mn x\r\n", "MN\r\nMN\r\n"),
            refused("mg\r\nmx k\r\n", "ERROR\r\nERROR\r\n"),
            refused("me\r\n", "CLIENT_ERROR bad command line format\r\n"),
            refused(
                "mg k v v\r\nmd k S\r\n",
                "CLIENT_ERROR duplicate flag\r\nCLIENT_ERROR invalid or duplicate flag\r\n",
            ),
            // One answer, whatever the value looks like.
            refused("ms k 11 S q\r\nflush_all\r\n\r\nmn\r\n", "CLIENT_ERROR invalid flag\r\nMN\r\n"),
            refused(
                "ms k 22\r\nflush_all\r\nflush_all\r\n\r\nmn\r\n",
                "SERVER_ERROR object too large for cache\r\nMN\r\n",
            ),
            // Nobody can tell how long this one is.
            refused("ms k x\r\nbogus\r\n", "CLIENT_ERROR bad command line format\r\nERROR\r\n"),
            refused("ms k 1\r\nabc", "CLIENT_ERROR bad data chunk\r\n"),
            refused("ms k\r\nms\r\n", "CLIENT_ERROR bad command line format\r\nERROR\r\n"),
        ]);
    }
}

/// A server that knows meta commands gets the client's own, each of them answered and with moxi's own number.
#[test]
fn passed_on_as_they_are() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = ready(&mock, Dialect::Meta, "");
    client.send("mg k  v Oabc k q t\r\nms k 1 q T5 Ox\r\na\r\nget k\r\nmd Zm9v b q\r\nmn\r\n");
    line.expect_piece("mg k v k t O1\r\nms k 1 T5 O2\r\na\r\nget k\r\nmd Zm9v b O3\r\n");
    line.send("EN kk O1\r\n");
    client.expect_nothing(MOMENT);
    line.send("HD O2\r\nEND\r\n");
    client.expect_piece("END\r\n");
    line.send("HD O3\r\n");
    client.expect_piece("MN\r\n");
    client.send("mg k v Oabc k t\r\nma k v q\r\nms k 1 ME c q O7\r\na\r\nme k\r\n");
    line.expect_piece("mg k v k t O4\r\nma k v O5\r\nms k 1 ME c O6\r\na\r\nme k\r\n");
    line.send("VA 4 kk t-1 O4 W X\r\na\r\nb\r\nVA 1 O5\r\n5\r\nNS c0 O6\r\nME k exp=-1\r\n");
    client.expect_piece("VA 4 Oabc kk t-1 W X\r\na\r\nb\r\nNS c0 O7\r\nME k exp=-1\r\n");
    // Errors are for the client, quiet or not.
    client.send("ms k 1 q\r\na\r\nmg k q\r\n");
    line.expect_piece("ms k 1 O8\r\na\r\nmg k O9\r\n");
    line.send("SERVER_ERROR out of memory storing object\r\nCLIENT_ERROR invalid flag\r\n");
    client.expect_piece("SERVER_ERROR out of memory storing object\r\nCLIENT_ERROR invalid flag\r\n");
}

/// A key that is no word is never asked for by a flag: it could come back with line ends in it.
#[test]
fn keys_that_are_no_words() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = ready(&mock, Dialect::Meta, "");
    client.send("mg YSBi b k v O5\r\n");
    line.expect_piece("mg YSBi b v O1\r\n");
    line.send("VA 1 O1\r\nx\r\n");
    client.expect_piece("VA 1 kYSBi b O5\r\nx\r\n");
}

/// What answers another command than the one that it is the turn of ends the connection, and is given to nobody.
#[test]
fn a_server_out_of_step_is_found() {
    for wrong in [
        "VA 1 O2\r\nx\r\n",
        "VA 1\r\nx\r\n",
        "HD\r\n",
        "EN O2\r\n",
        "NS\r\n",
        "EX\r\n",
        "STORED\r\n",
        "VALUE k 0 1\r\nx\r\nEND\r\n",
    ] {
        let mock = Mock::new();
        let (_moxi, mut client, mut line) = ready(&mock, Dialect::Meta, "");
        client.send("mg k v\r\n");
        line.expect_piece("mg k v O1\r\n");
        line.send(wrong);
        line.expect_closed();
        let mut line = mock.accept();
        line.expect_piece("mn\r\nversion\r\n");
        line.send("MN\r\nVERSION 1.6.18\r\n");
        line.expect_piece("mg k v O1\r\n");
        line.send("VA 1 O1\r\ny\r\n");
        client.expect_piece("VA 1\r\ny\r\n");
    }
}

/// A lost connection: what changes nothing is asked again, and is a miss if that fails, too; what would change something twice
/// is told.
#[test]
fn lost_connections() {
    let known = |mock: &Mock| {
        let mut line = mock.accept();
        line.expect_piece("mn\r\nversion\r\n");
        line.send("MN\r\nVERSION 1.6.18\r\n");
        line
    };
    for (request, sent, answer) in [
        ("mg k v O5 k\r\n", "mg k v k O1\r\n", "EN O5 kk\r\n"),
        ("mg k v q\r\n", "mg k v O1\r\n", ""),
        ("ms k 1 q\r\na\r\n", "ms k 1 O1\r\na\r\n", "SERVER_ERROR proxy downstream closed 127.0.0.1\r\n"),
    ] {
        let mock = Mock::new();
        let (_moxi, mut client, mut line) = ready(&mock, Dialect::Meta, "");
        client.send(format!("{request}mn\r\n"));
        line.expect_piece(sent);
        line.close();
        let mut line = known(&mock);
        line.expect_piece(sent);
        line.close();
        client.expect_piece(format!("{answer}MN\r\n"));
    }
    for (request, sent) in [
        ("ma k\r\n", "ma k O1\r\n"),
        ("ms k 1 MA\r\na\r\n", "ms k 1 MA O1\r\na\r\n"),
        ("ms k 1 C5 q\r\na\r\n", "ms k 1 C5 O1\r\na\r\n"),
        ("mg k N30 v\r\n", "mg k N30 v O1\r\n"),
        ("mg k R30 v\r\n", "mg k R30 v O1\r\n"),
        ("md k I\r\n", "md k I O1\r\n"),
    ] {
        let mock = Mock::new();
        let (_moxi, mut client, mut line) = ready(&mock, Dialect::Meta, "");
        client.send(request);
        line.expect_piece(sent);
        line.close();
        client.expect_piece("SERVER_ERROR proxy downstream closed 127.0.0.1\r\n");
    }
}

/// A server is asked what it understands before the first of them, and gets classic commands if that is all.
#[test]
fn classic_servers() {
    let mock = Mock::new();
    let moxi = over(&mock, "ascii").start();
    let mut client = moxi.client();
    client.send("mg k c v f s k O5\r\n");
    let mut line = mock.accept();
    line.expect_piece("mn\r\n");
    client.expect_nothing(MOMENT);
    line.send("ERROR\r\n");
    line.expect_piece("gets k\r\n");
    line.send("VALUE k 7 3 99\r\nabc\r\nEND\r\n");
    client.expect_piece("VA 3 c99 f7 s3 kk O5\r\nabc\r\n");
    for (request, sent, said, answer) in [
        ("mg k v\r\n", "get k\r\n", "VALUE k 7 3\r\nabc\r\nEND\r\n", "VA 3\r\nabc\r\n"),
        ("mg k v k O1\r\n", "get k\r\n", "END\r\n", "EN kk O1\r\n"),
        ("mg k s v C99 c\r\n", "gets k\r\n", "VALUE k 7 3 99\r\nabc\r\nEND\r\n", "HD s3 c99\r\n"),
        ("mg k v T30 f\r\n", "gats 30 k\r\n", "VALUE k 7 3 99\r\nabc\r\nEND\r\n", "VA 3 f7\r\nabc\r\n"),
        ("mg k T30\r\n", "touch k 30\r\n", "TOUCHED\r\n", "HD\r\n"),
        ("mg k T30 k\r\n", "touch k 30\r\n", "NOT_FOUND\r\n", "EN kk\r\n"),
        ("ms k 2 F5 T9 O1\r\nab\r\n", "set k 5 9 2\r\nab\r\n", "STORED\r\n", "HD O1\r\n"),
        ("ms k 2 C5\r\nab\r\n", "cas k 0 0 2 5\r\nab\r\n", "EXISTS\r\n", "EX\r\n"),
        ("ms k 2 C5\r\nab\r\n", "cas k 0 0 2 5\r\nab\r\n", "NOT_FOUND\r\n", "NF\r\n"),
        ("ms k 2 ME q\r\nab\r\n", "add k 0 0 2\r\nab\r\n", "NOT_STORED\r\n", "NS\r\n"),
        ("ms k 2 MP\r\nab\r\n", "prepend k 0 0 2\r\nab\r\n", "STORED\r\n", "HD\r\n"),
        ("md k q\r\nmn\r\n", "delete k\r\n", "DELETED\r\n", "MN\r\n"),
        ("md k q\r\n", "delete k\r\n", "NOT_FOUND\r\n", "NF\r\n"),
        ("ma k v D3 MD\r\n", "decr k 3\r\n", "4 \r\n", "VA 1\r\n4\r\n"),
        ("ma k\r\n", "incr k 1\r\n", "NOT_FOUND\r\n", "NF\r\n"),
        ("ma k\r\n", "incr k 1\r\n", "CLIENT_ERROR cannot\r\n", "CLIENT_ERROR cannot\r\n"),
    ] {
        client.send(request);
        line.expect_piece(sent);
        line.send(said);
        client.expect_piece(answer);
    }
    for (request, letter) in [
        ("mg k t v\r\n", 't'),
        ("mg k h\r\n", 'h'),
        ("mg k v N30\r\n", 'N'),
        ("mg YSBi b v\r\n", 'b'),
        ("ms k 1 c\r\na\r\n", 'c'),
        ("ms k 1 I q\r\na\r\n", 'I'),
        ("ms k 1 MR C5\r\na\r\n", 'C'),
        ("md k x\r\n", 'x'),
        ("md k C7\r\n", 'C'),
        ("ma k N0 J5\r\n", 'N'),
    ] {
        client.send(request);
        client.expect_piece(format!("CLIENT_ERROR unsupported flag {letter} with these servers\r\n"));
    }
    client.send("me k\r\n");
    client.expect_piece("CLIENT_ERROR unsupported command me with these servers\r\n");
    line.expect_nothing(MOMENT);
}

/// Binary servers get packets.
#[test]
fn binary_servers() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = ready(&mock, Dialect::Binary, "");
    client.send("mg k v\r\n");
    // What speaks nothing else finds that this is no packet.
    let mut side = mock.accept();
    side.expect_piece(QUESTION);
    side.close();
    line.expect_piece(Packet::request(op::GETK).key("k").bytes());
    line.send(Packet::reply(op::GETK).key("k").status(1).bytes());
    client.expect_piece("EN\r\n");
    let get = |code| Packet::request(code).key("k");
    let value = |code| Packet::reply(code).key("k").extras([0, 0, 0, 7]).value("abc").cas(99);
    let status = |code, status| Packet::reply(code).status(status);
    let seconds = |seconds: u32| seconds.to_be_bytes();
    let stored = [5u32.to_be_bytes(), 9u32.to_be_bytes()].concat();
    for (request, sent, said, answer) in [
        ("mg k v f c s O5\r\n", get(op::GETK), value(op::GETK), "VA 3 f7 c99 s3 O5\r\nabc\r\n"),
        ("mg aw== b v k\r\n", get(op::GETK), value(op::GETK), "VA 3 kaw== b\r\nabc\r\n"),
        ("mg k v k\r\n", get(op::GETK), status(op::GETK, 1), "EN kk\r\n"),
        ("mg k v T30\r\n", get(op::GATK).extras(seconds(30)), value(op::GATK), "VA 3\r\nabc\r\n"),
        ("mg k T30 O1\r\n", get(op::TOUCH).extras(seconds(30)), status(op::TOUCH, 0), "HD O1\r\n"),
        ("mg k T30\r\n", get(op::TOUCH).extras(seconds(30)), status(op::TOUCH, 1), "EN\r\n"),
        (
            "ms k 3 F5 T9 c C8\r\nabc\r\n",
            get(op::SET).extras(&stored).value("abc").cas(8),
            status(op::SET, 0).cas(100),
            "HD c100\r\n",
        ),
        (
            "ms k 3 F5 T9 c C8\r\nabc\r\n",
            get(op::SET).extras(&stored).value("abc").cas(8),
            status(op::SET, 2),
            "EX c0\r\n",
        ),
        ("ms k 3 F5 T9 ME\r\nabc\r\n", get(op::ADD).extras(&stored).value("abc"), status(op::ADD, 2), "NS\r\n"),
        ("ms k 3 F5 T9 MR\r\nabc\r\n", get(op::REPLACE).extras(&stored).value("abc"), status(op::REPLACE, 1), "NS\r\n"),
        ("ms k 3 MA\r\nabc\r\n", get(op::APPEND).value("abc"), status(op::APPEND, 5), "NS\r\n"),
        ("ms k 3 MA q\r\nabc\r\nmn\r\n", get(op::APPEND).value("abc"), status(op::APPEND, 0), "MN\r\n"),
        ("md k C8\r\n", get(op::DELETE).cas(8), status(op::DELETE, 2), "EX\r\n"),
        ("md k\r\n", get(op::DELETE), status(op::DELETE, 1), "NF\r\n"),
        (
            "ma k D3 v c O2\r\n",
            Packet::counting(op::INCR, "k", 3, 0, u32::MAX),
            status(op::INCR, 0).value(17u64.to_be_bytes()).cas(5),
            "VA 2 c5 O2\r\n17\r\n",
        ),
        (
            "ma k D3 MD N30 J8 C4\r\n",
            Packet::counting(op::DECR, "k", 3, 8, 30).cas(4),
            status(op::DECR, 0).value(8u64.to_be_bytes()),
            "HD\r\n",
        ),
        (
            "ma k D3 q\r\n",
            Packet::counting(op::INCR, "k", 3, 0, u32::MAX),
            status(op::INCR, 6),
            "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        ),
    ] {
        client.send(request);
        line.expect_piece(sent.bytes());
        line.send(said.bytes());
        client.expect_piece(answer);
    }
    client.send("mg k t\r\nme k\r\n");
    client.expect_piece(
        "CLIENT_ERROR unsupported flag t with these servers\r\n\
         CLIENT_ERROR unsupported command me with these servers\r\n",
    );
    client.send("mg YSBi b v k\r\n");
    line.expect_piece(Packet::request(op::GETK).key("a b").bytes());
    line.send(Packet::reply(op::GETK).key("a b").extras([0; 4]).value("x").bytes());
    client.expect_piece("VA 1 kYSBi b\r\nx\r\n");
}

/// Gets for an older server travel together, whatever dialect they were in.
#[test]
fn gets_are_joined() {
    let mock = Mock::new();
    let (mut moxi, mut client, mut line) = ready(&mock, Dialect::Classic, "");
    let mut other = moxi.client();
    client.ask("mn\r\n", "MN\r\n");
    other.ask("mn\r\n", "MN\r\n");
    moxi.at_once(|| {
        client.send("mg a v O1\r\nmg b v q\r\nmn\r\n");
        other.send("get c\r\n");
    });
    let sent = String::from_utf8(line.line()).expect("text");
    let mut keys: Vec<&str> = sent.trim_end().split(' ').skip(1).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["a", "b", "c"], "{sent:?}");
    line.send("VALUE a 0 1\r\nx\r\nVALUE c 0 1\r\nz\r\nEND\r\n");
    client.expect_piece("VA 1 O1\r\nx\r\nMN\r\n");
    other.expect_piece("VALUE c 0 1\r\nz\r\nEND\r\n");
}

/// What asks for nothing that the front cache does not have is answered from it; what a server has marked is not kept.
#[test]
fn the_front_cache() {
    let mock = Mock::new();
    let settings = "front_cache_lifespan=60000,front_cache_max=10,front_cache_spec=k";
    let (_moxi, mut client, mut line) = ready(&mock, Dialect::Meta, settings);
    client.send("mg k v f O1\r\n");
    line.expect_piece("mg k v f O1\r\n");
    line.send("VA 1 f7 O1 W X\r\na\r\n");
    client.expect_piece("VA 1 f7 O1 W X\r\na\r\n");
    client.send("mg k v f O1\r\n");
    line.expect_piece("mg k v f O2\r\n");
    line.send("VA 1 f7 O2\r\na\r\n");
    client.expect_piece("VA 1 f7 O1\r\na\r\n");
    client.send("mg k v f O3 k s\r\nget k\r\n");
    client.expect_piece("VA 1 f7 O3 kk s1\r\na\r\nVALUE k 7 1\r\na\r\nEND\r\n");
    // The client's own change is seen at once.
    client.send("ms k 1 q\r\nb\r\nmg k v\r\n");
    line.expect_piece("ms k 1 O3\r\nb\r\nmg k v O4\r\n");
    line.send("HD O3\r\nVA 1 O4\r\nb\r\n");
    client.expect_piece("VA 1\r\nb\r\n");
}

/// What each is counted as.
#[test]
fn statistics() {
    let mock = Mock::new();
    let (moxi, mut client, mut line) = ready(&mock, Dialect::Meta, "");
    client.send("mg k v\r\nms k 1 q\r\na\r\nmd k\r\nma k MD\r\nme k\r\nmn\r\n");
    line.expect_piece("mg k v O1\r\nms k 1 O2\r\na\r\nmd k O3\r\nma k MD O4\r\nme k\r\n");
    line.send("VA 1 O1\r\nx\r\nHD O2\r\nNF O3\r\nHD O4\r\nEN\r\n");
    client.expect_piece("VA 1\r\nx\r\nNF\r\nHD\r\nEN\r\nMN\r\n");
    for name in ["cmd_mg", "cmd_ms", "cmd_md", "cmd_ma", "cmd_me", "cmd_mn"] {
        assert_eq!(moxi.counter(name), 1, "{name}");
    }
    let mut asker = moxi.client();
    asker.send("stats proxy stats\r\n");
    let mut found = Vec::new();
    loop {
        let line = String::from_utf8(asker.line()).expect("text");
        if line == "END\r\n" {
            break;
        }
        if let Some((_, rest)) = line.trim_end().split_once(":pstd_stats_cmd:") {
            found.push(rest.to_owned());
        }
    }
    for expected in [
        "regular_get_key:seen 1",
        "regular_get_key:hits 1",
        "regular_get_key:misses 0",
        "regular_get:seen 1",
        "quiet_set:seen 1",
        "regular_delete:seen 1",
        "regular_decr:seen 1",
    ] {
        assert!(found.iter().any(|line| line == expected), "{expected} in {found:#?}");
    }
}

/// Clients that name the server of each request.
#[test]
fn named_servers() {
    let (ascii, binary) = (Mock::new(), Mock::new());
    let moxi = moxi!().mcmux().threads(1).start();
    let mut client = moxi.client();
    client.send(format!("A:127.0.0.1:{} mg k v\r\n", ascii.port()));
    let mut line = ascii.accept();
    line.expect_piece("mn\r\n");
    line.send("MN\r\n");
    line.expect_piece("version\r\n");
    line.send("VERSION 1.6.18\r\n");
    line.expect_piece("mg k v O1\r\n");
    line.send("VA 1 O1\r\nx\r\n");
    client.expect_piece("VA 1\r\nx\r\n");
    client.send(format!("B:127.0.0.1:{} md k\r\n", binary.port()));
    let mut line = binary.accept();
    line.expect_piece(Packet::request(op::DELETE).key("k").bytes());
    line.send(Packet::reply(op::DELETE).bytes());
    client.expect_piece("HD\r\n");
    client.send("mg k v\r\nms k 4\r\nmn\r\n\r\nmn\r\n");
    client.expect_piece("ERROR\r\nERROR\r\nMN\r\n");
}

/// A server that is not there: told as it is to classic commands.
#[test]
fn failures_are_told() {
    let down = Down::new();
    let moxi = moxi!().servers([down.port()]).ascii().set("connect_max_errors=0").start();
    let mut client = moxi.client();
    client.send("set k 0 0 1\r\na\r\n");
    let failed = String::from_utf8(client.line()).expect("text");
    assert!(failed.starts_with("SERVER_ERROR "), "{failed}");
    client.ask("ms k 1 q\r\na\r\nmn\r\n", format!("{failed}MN\r\n"));
    client.ask("get k\r\nmg k v O1\r\n", "END\r\nEN O1\r\n");
    client.ask("mg k v q\r\nmn\r\n", "MN\r\n");
    client.ask("mg k v T30\r\n", "EN\r\n");
    // What would have changed something is no miss.
    client.ask("mg k T30\r\n", failed);
}
