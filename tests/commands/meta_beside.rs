//! Meta commands over servers with which moxi speaks binary, and which know them: on connections of their own, in ASCII,
//! without overtaking anything (04 §20.3).

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Dialect, Mock, Moxi, Wire, moxi};

use crate::meta::{MOMENT, QUESTION, over, ready};

/// The next connection of a server that is asked, and knows meta commands.
fn answered(mock: &Mock) -> Wire {
    let mut side = mock.accept();
    side.expect_piece(QUESTION);
    side.send("MN\r\n");
    side.expect_piece("version\r\n");
    side.send("VERSION 1.6.18\r\n");
    side
}

/// moxi in front of a server that knows meta commands, a client of it, and the server's ends of both connections.
fn beside(mock: &Mock, settings: &str) -> (Moxi, Wire, Wire, Wire) {
    let (moxi, mut client, line) = ready(mock, Dialect::Binary, settings);
    client.send("mg first t\r\n");
    let mut side = answered(mock);
    side.expect_piece("mg first t O1\r\n");
    side.send("EN\r\n");
    client.expect_piece("EN\r\n");
    (moxi, client, line, side)
}

fn set(key: &str, value: &str) -> Packet {
    Packet::request(op::SET).key(key).extras([0; 8]).value(value)
}

#[test]
fn each_in_its_own_words() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line, mut side) = beside(&mock, "");
    client.send("set k 0 0 1\r\na\r\n");
    line.expect_piece(set("k", "a").bytes());
    line.send(Packet::reply(op::SET).bytes());
    client.expect_piece("STORED\r\n");
    client.send("mg k v t h Oa\r\nme k\r\nms k 1 I q\r\nb\r\n");
    side.expect_piece("mg k v t h O2\r\nme k\r\nms k 1 I O4\r\nb\r\n");
    side.send("VA 1 t-1 h0 O2 W X\r\na\r\nME k exp=-1\r\nHD O4\r\n");
    client.expect_piece("VA 1 t-1 h0 Oa W X\r\na\r\nME k exp=-1\r\n");
}

/// What a client sends behind a meta command that is under way follows it on its connection, in ASCII.
#[test]
fn classic_commands_follow_meta_commands() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line, mut side) = beside(&mock, "");
    client.send("ms k 1 q\r\na\r\nget k\r\nset k 0 0 1 noreply\r\nb\r\nget j k\r\nincr k 5\r\nmg k v q\r\nmn\r\n");
    side.expect_piece("ms k 1 O2\r\na\r\nget k\r\nset k 0 0 1\r\nb\r\nget j k\r\nincr k 5\r\nmg k v O3\r\n");
    side.send("HD O2\r\nVALUE k 0 1\r\na\r\nEND\r\nSTORED\r\nVALUE k 0 1\r\nb\r\nEND\r\n");
    side.send("CLIENT_ERROR cannot\r\nEN\r\n");
    client.expect("VALUE k 0 1\r\na\r\nEND\r\nVALUE k 0 1\r\nb\r\nEND\r\nCLIENT_ERROR cannot\r\nMN\r\n");
    // When nothing is under way any more, the server's own protocol is spoken again.
    client.send("delete k\r\n");
    line.expect_piece(Packet::request(op::DELETE).key("k").bytes());
    side.expect_nothing(MOMENT);
}

/// A meta command waits for what its client has sent before in packets, noreply or not.
#[test]
fn meta_commands_follow_classic_commands() {
    for (before, packet, code, answer) in [
        ("set k 0 0 1\r\na\r\n", set("k", "a"), op::SET, "STORED\r\n"),
        ("set k 0 0 1 noreply\r\na\r\n", set("k", "a"), op::SET, ""),
        ("delete k\r\n", Packet::request(op::DELETE).key("k"), op::DELETE, "DELETED\r\n"),
    ] {
        let mock = Mock::new();
        let (moxi, mut client, mut line, mut side) = beside(&mock, "");
        client.send(format!("{before}mg k v q\r\nget k\r\n"));
        line.expect_piece(packet.bytes());
        // Others do not wait with it.
        let mut other = moxi.client();
        other.send("mg k s\r\n");
        side.expect_piece("mg k s O2\r\n");
        side.send("EN\r\n");
        other.expect_piece("EN\r\n");
        side.expect_nothing(MOMENT);
        line.send(Packet::reply(code).bytes());
        side.expect_piece("mg k v O3\r\nget k\r\n");
        side.send("EN\r\nEND\r\n");
        client.expect(format!("{answer}END\r\n"));
    }
}

/// A write that was given up may be done late: what its client sends next waits until the server has answered it.
#[test]
fn what_was_given_up_is_not_overtaken() {
    let mock = Mock::new();
    let (moxi, mut client, mut line, mut side) =
        beside(&mock, "downstream_timeout=400,downstream_conn_max=1,downstream_conn_queue_timeout=0");
    client.send("set k 0 0 1\r\na\r\n");
    line.expect_piece(set("k", "a").bytes());
    // Who waits behind it keeps the connection open.
    let mut other = moxi.client();
    other.send("get j\r\n");
    let failed = String::from_utf8(client.line()).expect("text");
    assert_eq!(failed, "SERVER_ERROR proxy downstream timeout 127.0.0.1\r\n");
    client.send("ms k 1\r\nb\r\n");
    side.expect_nothing(MOMENT);
    line.send(Packet::reply(op::SET).bytes());
    side.expect_piece("ms k 1 O2\r\nb\r\n");
    side.send("HD O2\r\n");
    client.expect_piece("HD\r\n");
}

/// A write of `k` in lines is given up, and its client goes. Somebody else waits behind it, who keeps the connection open: the last
/// one of these.
fn given_up(mock: &Mock) -> (Moxi, Wire, Wire, Wire) {
    let settings = "downstream_timeout=400,downstream_conn_max=2,downstream_conn_queue_timeout=0";
    let (moxi, mut client, line, mut side) = beside(mock, settings);
    client.send("ms k 1\r\nb\r\n");
    side.expect_piece("ms k 1 O2\r\nb\r\n");
    let mut other = moxi.client();
    other.send("mg j v\r\n");
    side.expect_piece("mg j v O3\r\n");
    client.expect_piece("SERVER_ERROR proxy downstream timeout 127.0.0.1\r\n");
    client.close();
    (moxi, line, side, other)
}

/// What cannot be said in lines waits until the connection is free of what it must not overtake.
#[test]
fn packets_that_no_line_can_say_wait() {
    let mock = Mock::new();
    let (moxi, mut line, mut side, mut other) = given_up(&mock);
    let mut next = moxi.client();
    let unlock = Packet::request(op::UNL).key("k").opaque(7);
    next.send(join([Packet::request(op::DELETE).key("k").opaque(6), unlock.clone()]));
    line.expect_nothing(MOMENT);
    side.send("HD O2\r\nEN\r\n");
    side.expect_piece("md k\r\n");
    line.expect_nothing(MOMENT);
    side.send("HD\r\n");
    next.expect_piece(Packet::reply(op::DELETE).opaque(6).bytes());
    line.expect_piece(unlock.bytes());
    line.send(Packet::reply(op::UNL).opaque(7).bytes());
    next.expect_piece(Packet::reply(op::UNL).opaque(7).bytes());
    other.expect_piece("EN\r\n");
}

/// So do packets whose key no line can have, since it is too long: whether they are usual ones, quiet, close quiet ones, or come
/// from somebody who takes the place of a client that has gone.
#[test]
fn packets_with_keys_that_no_line_can_have_wait() {
    let long = "l".repeat(241) + " ";
    let cases = [
        (Packet::request(op::GETK), op::GETK),
        (Packet::request(op::SET).extras([0; 8]).value("v"), op::SET),
        (Packet::request(op::DELETEQ), op::NOOP),
        (Packet::request(op::TOUCH).extras([0; 4]), op::TOUCH),
    ];
    for (packet, answered) in cases {
        let mock = Mock::new();
        let (moxi, mut line, mut side, mut other) = given_up(&mock);
        let mut next = moxi.client();
        let packet = packet.key(&long).opaque(7);
        let noop = Packet::request(op::NOOP).opaque(7).bytes();
        let closing = if answered == op::NOOP { &noop[..] } else { b"" };
        next.send(Packet::request(op::DELETE).key("k").opaque(6).bytes());
        next.send([packet.bytes(), closing.to_vec()].concat());
        line.expect_nothing(MOMENT);
        side.send("HD O2\r\nEN\r\n");
        side.expect_piece("md k\r\n");
        line.expect_nothing(MOMENT);
        side.send("HD\r\n");
        next.expect_piece(Packet::reply(op::DELETE).opaque(6).bytes());
        line.expect_piece([packet.bytes(), closing.to_vec()].concat());
        let reply = Packet::reply(answered).opaque(7).bytes();
        line.send(&reply);
        next.expect_piece(&reply);
        other.expect_piece("EN\r\n");
    }
}

/// What stood on a lost connection, classic commands among it, is sent again in its order and in the same words.
#[test]
fn a_lost_connection() {
    let mock = Mock::new();
    let (_moxi, mut client, _line, mut side) = beside(&mock, "");
    client.send("mg a v\r\nget b\r\nget c d\r\nms k 1\r\nx\r\ndelete e\r\nma k\r\nmn\r\n");
    let (gets, others) = ("get b\r\nget c d\r\n", "ms k 1 O3\r\nx\r\ndelete e\r\n");
    side.expect_piece(format!("mg a v O2\r\n{gets}{others}ma k O4\r\n"));
    side.send("EN\r\n");
    side.close();
    // Another server may be there now.
    let mut side = mock.accept();
    side.expect_piece(gets);
    side.send("END\r\nEND\r\n");
    side.expect_piece(QUESTION);
    side.send("MN\r\n");
    side.expect_piece("version\r\n");
    side.send("VERSION 1.6.18\r\n");
    side.expect_piece(others);
    side.send("HD O3\r\nNOT_FOUND\r\n");
    client.expect("EN\r\nEND\r\nEND\r\nHD\r\nNOT_FOUND\r\nSERVER_ERROR proxy downstream closed 127.0.0.1\r\nMN\r\n");
}

/// A server that refuses the question gets packets, and is not asked again; nor is it blamed for closing the connection, or
/// for saying nothing on it.
#[test]
fn servers_that_know_none() {
    let get = Packet::request(op::GETK).key("k");
    let miss = Packet::reply(op::GETK).key("k").status(1);
    for answer in [Some("ERROR\r\n"), Some(""), None] {
        let mock = Mock::new();
        let (moxi, mut client, mut line) = ready(&mock, Dialect::Binary, "downstream_timeout=300");
        let mut sides = Vec::new();
        for round in 0..2 {
            client.send("mg k v\r\nmg k t\r\n");
            if round == 0 {
                let mut side = mock.accept();
                side.expect_piece(QUESTION);
                if answer == Some("") {
                    side.close();
                } else {
                    side.send(answer.unwrap_or_default());
                    sides.push(side);
                }
            }
            line.expect_piece(get.bytes());
            line.send(miss.bytes());
            client.expect("EN\r\nCLIENT_ERROR unsupported flag t with these servers\r\n");
        }
        assert!(mock.try_accept(MOMENT).is_none(), "{answer:?}");
        assert_eq!(moxi.counter("tot_downstream_timeout"), 0, "{answer:?}");
    }
    // An old memcached that knows the commands in another form.
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = ready(&mock, Dialect::Binary, "");
    client.send("mg k v\r\n");
    let mut side = mock.accept();
    side.expect_piece(QUESTION);
    side.send("MN\r\n");
    side.expect_piece("version\r\n");
    side.send("VERSION 1.6.9\r\n");
    line.expect_piece(get.bytes());
}

/// Where ASCII cannot say what packets do, who the client is or whose a vbucket is, nobody is asked.
#[test]
fn where_packets_are_needed() {
    let get = Packet::request(op::GETK).key("k");
    let mock = Mock::new();
    let builders =
        [moxi!().binary().vbuckets([mock.port()], &[0]), over(&mock, "binary").set("usr=TestName,pwd=TestPassword")];
    for (index, builder) in builders.into_iter().enumerate() {
        let moxi = builder.start();
        let mut client = moxi.client();
        client.send("mg k t\r\nmg k v\r\n");
        client.expect_piece("CLIENT_ERROR unsupported flag t with these servers\r\n");
        let mut line = mock.accept();
        let first = line.packet();
        assert_eq!(first.opcode, if index == 0 { op::GETK } else { op::SASL_AUTH }, "{first:?}");
        if index == 0 {
            line.send(Packet::reply(op::GETK).key("k").status(1).bytes());
            client.expect_piece("EN\r\n");
        } else {
            line.send(Packet::reply(op::SASL_AUTH).bytes());
            line.expect_piece(get.bytes());
        }
        mock.expect_no_connection(MOMENT);
    }
}

/// The limit holds for both kinds together, but there is always one of each; an idle one of the other kind makes room.
#[test]
fn limits_of_connections() {
    let mock = Mock::new();
    let (moxi, mut client, mut line, mut side) = beside(&mock, "downstream_conn_max=1");
    line.expect_nothing(MOMENT);
    assert_eq!(moxi.counter("num_downstream_conn"), 2);
    let mut other = moxi.client();
    client.send("mg k v\r\n");
    side.expect_piece("mg k v O2\r\n");
    other.send("mg j v\r\n");
    side.expect_piece("mg j v O3\r\n");
    side.send("EN\r\nEN\r\n");
    client.expect_piece("EN\r\n");
    other.expect_piece("EN\r\n");
    assert_eq!(moxi.counter("num_downstream_conn"), 2);

    let mock = Mock::new();
    let (moxi, mut client, mut line, _side) = beside(&mock, "downstream_conn_max=2");
    // Of two connections each kind keeps its own.
    client.send("get a\r\n");
    line.expect_piece(Packet::request(op::GETK).key("a").bytes());
    let mut other = moxi.client();
    other.send("get b\r\n");
    line.expect_piece(Packet::request(op::GETK).key("b").bytes());
    assert_eq!(moxi.counter("num_downstream_conn"), 2);

    let mock = Mock::new();
    let (moxi, mut client, mut line) = ready(&mock, Dialect::Binary, "downstream_conn_max=2");
    client.send("get a\r\n");
    line.expect_piece(Packet::request(op::GETK).key("a").bytes());
    let mut other = moxi.client();
    other.send("get b\r\n");
    let mut second = mock.accept();
    second.expect_piece(Packet::request(op::GETK).key("b").bytes());
    second.send(Packet::reply(op::GETK).key("b").status(1).bytes());
    other.expect_piece("END\r\n");
    // The idle one makes room.
    other.send("mg b t\r\n");
    second.expect_closed();
    let mut side = answered(&mock);
    side.expect_piece("mg b t O1\r\n");
    assert_eq!(moxi.counter("num_downstream_conn"), 2);
}
