//! What happens to a request whose server connection is lost (03 §8.1).

use std::time::Duration;

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Mock, MoxiBuilder, SHORT, Wire, moxi};

const CLOSED: &str = "SERVER_ERROR proxy downstream closed 127.0.0.1\r\n";

fn over_ascii(port: u16) -> MoxiBuilder {
    moxi!().servers([port]).ascii()
}

/// Requests that may be executed twice, with a reply.
const IDEMPOTENT: [(&str, &str); 8] = [
    ("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
    ("gets a b\r\n", "END\r\n"),
    ("set a 0 0 1\r\n1\r\n", "STORED\r\n"),
    ("replace a 0 0 1\r\n1\r\n", "NOT_STORED\r\n"),
    ("delete a\r\n", "DELETED\r\n"),
    ("touch a 1\r\n", "TOUCHED\r\n"),
    ("flush_all\r\n", "OK\r\n"),
    ("stats\r\n", "STAT n 1\r\nEND\r\n"),
];

#[test]
fn idempotent_requests_are_tried_once_more() {
    for (request, reply) in IDEMPOTENT {
        let mock = Mock::new();
        let moxi = over_ascii(mock.port()).start();
        let mut client = moxi.client();
        client.send(request);
        let mut line = mock.accept();
        line.expect_piece(request);
        line.close();
        let mut line = mock.accept();
        line.expect_piece(request);
        line.send(reply);
        client.expect_piece(reply);
        line.expect_nothing(Duration::from_millis(5));
    }
}

#[test]
fn they_fail_when_the_second_connection_is_lost_too() {
    for (request, reply) in [
        ("set a 0 0 1\r\n1\r\n", CLOSED),
        ("delete a\r\n", CLOSED),
        ("get a\r\n", "END\r\n"),
        ("get a b\r\n", "END\r\n"),
    ] {
        let mock = Mock::new();
        let moxi = over_ascii(mock.port()).start();
        let mut client = moxi.client();
        client.send(request);
        for _ in 0..2 {
            let mut line = mock.accept();
            line.expect_piece(request);
            line.close();
        }
        client.expect(reply);
        mock.expect_no_connection(SHORT);
    }
}

/// All values have come, only the end is missing: there is nothing to ask for again.
#[test]
fn a_multi_get_that_lacks_only_its_end() {
    for protocol in ["ascii", "binary"] {
        let mock = Mock::new();
        let moxi = moxi!().servers([mock.port()]).speaking(protocol).start();
        let mut client = moxi.client();
        client.send("get a b\r\n");
        let mut line = mock.accept();
        if protocol == "ascii" {
            line.expect_piece("get a b\r\n");
            line.send("VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\n");
        } else {
            for (key, value) in [("a", "1"), ("b", "2")] {
                let asked = line.packet();
                assert_eq!((asked.opcode, &asked.key[..]), (op::GETKQ, key.as_bytes()));
                let reply = Packet::reply(op::GETKQ).extra32(0).key(key).value(value).opaque(asked.opaque);
                line.send(reply.bytes());
            }
        }
        line.close();
        client.expect("VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
        mock.expect_no_connection(SHORT);
    }
}

#[test]
fn nothing_is_tried_again_without_downstream_retry() {
    for (request, reply) in [("set a 0 0 1\r\n1\r\n", CLOSED), ("get a\r\n", "END\r\n")] {
        let mock = Mock::new();
        let moxi = over_ascii(mock.port()).set("downstream_retry=0").start();
        let mut client = moxi.client();
        client.send(request);
        let mut line = mock.accept();
        line.expect_piece(request);
        line.close();
        client.expect(reply);
        mock.expect_no_connection(SHORT);
    }
}

#[test]
fn more_retries_can_be_allowed() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port()).set("downstream_retry=3").start();
    let mut client = moxi.client();
    client.send("delete a\r\n");
    for _ in 0..3 {
        let mut line = mock.accept();
        line.expect_piece("delete a\r\n");
        line.close();
    }
    let mut line = mock.accept();
    line.expect_piece("delete a\r\n");
    line.send("DELETED\r\n");
    client.expect("DELETED\r\n");
}

/// The largest limit there is, and a request that was not begun to be sent, which is allowed one more.
#[test]
fn no_limit_of_retries_is_too_large() {
    let mock = Mock::new();
    // However long the machine takes for that much.
    let patient = "downstream_conn_queue_timeout=30000,downstream_timeout=30000,wait_queue_timeout=30000";
    let moxi =
        over_ascii(mock.port()).set("downstream_retry=4294967295").set("downstream_conn_max=1").set(patient).start();
    // More than sockets hold: what comes behind it stays here.
    let large = "x".repeat(32 << 20);
    let mut first = moxi.client();
    let append = format!("append a 0 0 {}\r\n{large}\r\n", large.len());
    first.send(&append);
    let mut line = mock.accept();
    line.take("append a".len());
    let mut second = moxi.client();
    second.send("incr b 1\r\n");
    moxi.turn();
    line.reset();
    // The server cannot have carried out what it has not read to its end.
    let mut line = mock.accept();
    line.take(append.len());
    line.expect("incr b 1\r\n");
    line.send("STORED\r\n5\r\n");
    first.expect("STORED\r\n");
    second.expect("5\r\n");
}

/// D2: what may have been executed is not sent again.
#[test]
fn other_requests_are_not_repeated_once_written() {
    for request in [
        "incr a 1\r\n",
        "decr a 1\r\n",
        "add a 0 0 1\r\n1\r\n",
        "append a 0 0 1\r\n1\r\n",
        "prepend a 0 0 1\r\n1\r\n",
        "cas a 0 0 1 5\r\n1\r\n",
    ] {
        let mock = Mock::new();
        let moxi = over_ascii(mock.port()).set("downstream_retry=5").start();
        let mut client = moxi.client();
        client.send(request);
        let mut line = mock.accept();
        line.expect_piece(request);
        line.close();
        client.expect(CLOSED);
        mock.expect_no_connection(SHORT);
    }
}

/// a17b424: that a server closed an idle connection is noticed then, not when the next request is lost on it.
#[test]
fn an_idle_connection_that_was_closed_is_not_used() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port()).set("downstream_retry=0").set("downstream_conn_max=1").start();
    let mut client = moxi.client();
    for number in 0..3 {
        client.send("incr a 1\r\n");
        let mut line = mock.accept();
        line.expect_piece("incr a 1\r\n");
        line.send(format!("{number}\r\n"));
        client.expect(format!("{number}\r\n"));
        line.close();
        moxi.turn();
    }
}

/// The mock suites' `…GoingDownAndUpAfterEND`: closed right behind the reply.
#[test]
fn closed_right_behind_the_reply() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port()).set("downstream_retry=0").start();
    let mut client = moxi.client();
    for _ in 0..5 {
        client.send("get a\r\n");
        let mut line = mock.accept();
        line.expect_piece("get a\r\n");
        line.send("VALUE a 0 1\r\n1\r\nEND\r\n");
        line.close();
        client.expect("VALUE a 0 1\r\n1\r\nEND\r\n");
        moxi.turn();
    }
}

/// Complete values are kept, the incomplete one is dropped and asked for again (03 §8.1).
#[test]
fn a_multi_get_keeps_the_values_it_has() {
    const WHOLE: &str = "VALUE a 0 10\r\n0123456789\r\n";
    for chopped in ["VALUE b 0", "VALUE b 0 10\r\n", "VALUE b 0 10\r\n012345", "VALUE b 0 10\r\n0123456789", ""] {
        let mock = Mock::new();
        let moxi = over_ascii(mock.port()).start();
        let mut client = moxi.client();
        client.send("get a b\r\n");
        let mut line = mock.accept();
        line.expect_piece("get a b\r\n");
        line.send(format!("{WHOLE}{chopped}"));
        line.close();
        let mut line = mock.accept();
        line.expect_piece("get b\r\n");
        line.send("VALUE b 0 1\r\n2\r\nEND\r\n");
        client.expect(format!("{WHOLE}VALUE b 0 1\r\n2\r\nEND\r\n"));
    }
}

/// 04 §17.3: when the second try is not answered, the client gets what there is.
/// A repeated key's value stands in all its places, although it came before the connection was lost.
#[test]
fn a_multi_get_with_repeated_keys_keeps_its_order() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port()).start();
    let mut client = moxi.client();
    client.send("get b a b c a\r\n");
    let mut line = mock.accept();
    line.expect_piece("get b a c\r\n");
    line.send("VALUE a 0 1\r\n1\r\nVALUE b 0 5\r\n22");
    line.close();
    let mut line = mock.accept();
    line.expect_piece("get b c\r\n");
    line.send("VALUE b 0 5\r\n22222\r\nEND\r\n");
    let (a, b) = ("VALUE a 0 1\r\n1\r\n", "VALUE b 0 5\r\n22222\r\n");
    client.expect([b, a, b, a, "END\r\n"].concat());
}

#[test]
fn a_multi_get_whose_second_try_is_not_answered() {
    const WHOLE: &str = "VALUE a 0 10\r\n0123456789\r\n";
    let mock = Mock::new();
    let moxi = over_ascii(mock.port()).set("downstream_timeout=800").start();
    let mut client = moxi.client();
    client.send("get a b\r\n");
    let mut line = mock.accept();
    line.expect_piece("get a b\r\n");
    line.send(format!("{WHOLE}VALUE b 0 10\r\n012345"));
    line.close();
    let mut line = mock.accept();
    line.expect_piece("get b\r\n");
    client.expect(format!("{WHOLE}END\r\n"));
}

/// The one value of a single-key get, cut: nothing of it reaches the client.
#[test]
fn a_single_get_drops_its_partial_value() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port()).start();
    let mut client = moxi.client();
    client.send("get a\r\n");
    let mut line = mock.accept();
    line.expect_piece("get a\r\n");
    line.send("VALUE a 0 10\r\n012345");
    line.close();
    let mut line = mock.accept();
    line.expect_piece("get a\r\n");
    line.send("END\r\n");
    client.expect("END\r\n");
}

/// Answers gets of a binary server, quiet or not, from `values`.
fn serve_gets(line: &mut Wire, values: &[(&str, &str)]) {
    let mut out = Vec::new();
    loop {
        let asked = line.packet();
        if asked.opcode == op::NOOP {
            out.push(Packet::noop_done(asked.opaque));
            break;
        }
        let found = values.iter().find(|(key, _)| key.as_bytes() == asked.key);
        let reply = Packet::reply(asked.opcode).opaque(asked.opaque);
        match found {
            Some((key, value)) => out.push(reply.extra32(0).key(key).value(value)),
            None if asked.opcode == op::GETK => out.push(reply.status(1)),
            None => {}
        }
        if asked.opcode == op::GETK {
            break;
        }
        assert_eq!(asked.opcode, op::GETKQ);
    }
    line.send(join(out));
}

#[test]
fn a_multi_get_over_binary_keeps_the_values_it_has() {
    let first = Packet::reply(op::GETKQ).key("a").extra32(0).value("1").opaque(4).bytes();
    let second = Packet::reply(op::GETKQ).key("b").extra32(0).value("22").opaque(6).bytes();
    for cut in [0, 1, 23, 24, 28, 29, second.len() - 1] {
        let mock = Mock::new();
        let moxi = moxi!().servers([mock.port()]).binary().start();
        let mut client = moxi.client();
        client.send("get a b\r\n");
        let mut line = mock.accept();
        line.expect_piece(join([
            Packet::request(op::GETKQ).key("a").opaque(4),
            Packet::request(op::GETKQ).key("b").opaque(6),
            Packet::noop(0),
        ]));
        line.send([&first[..], &second[..cut]].concat());
        line.close();
        let mut line = mock.accept();
        // Were `a` asked for again, another value would show it.
        serve_gets(&mut line, &[("a", "stale"), ("b", "22")]);
        client.expect("VALUE a 0 1\r\n1\r\nVALUE b 0 2\r\n22\r\nEND\r\n");
    }
}

#[test]
fn idempotent_requests_over_binary_are_tried_once_more() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).binary().start();
    let mut client = moxi.client();
    let seen = Packet::storing(op::SET, "a", "1").bytes();
    client.send("set a 0 0 1\r\n1\r\n");
    let mut line = mock.accept();
    line.expect_piece(&seen);
    line.close();
    let mut line = mock.accept();
    line.expect_piece(&seen);
    line.send(&Packet::reply(op::SET).bytes()[..10]);
    line.close();
    client.expect(CLOSED);
    mock.expect_no_connection(SHORT);
}

/// What stood behind the lost request on the same connection follows the same rules, in its order.
#[test]
fn requests_behind_a_lost_one() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port()).set("downstream_conn_max=1").start();
    let mut client = moxi.client();
    client.send("set a 0 0 1\r\n1\r\nincr b 1\r\ndelete c\r\n");
    let mut line = mock.accept();
    line.expect("set a 0 0 1\r\n1\r\nincr b 1\r\ndelete c\r\n");
    line.close();
    let mut line = mock.accept();
    line.expect("set a 0 0 1\r\n1\r\ndelete c\r\n");
    line.send("STORED\r\nDELETED\r\n");
    client.expect(format!("STORED\r\n{CLOSED}DELETED\r\n"));
}
