//! What servers have said that broke others: the client has a miss, the value it asked for, or an error; the connection
//! that is out of step is closed; no memory is taken for what was only announced.

use std::time::Duration;

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Mock, MoxiBuilder, Wire, moxi};

/// The answer of a client's `get k`, to which the server says `says`, and its connection.
fn got(builder: MoxiBuilder, mock: &Mock, says: &[u8]) -> (Vec<u8>, Wire) {
    let mut moxi = builder.start();
    let before = moxi.process().memory();
    let mut client = moxi.client();
    client.send("get k\r\n");
    let mut line = mock.accept();
    match says.first() {
        Some(0x81) => drop(line.packet()),
        _ => line.expect("get k\r\n"),
    }
    line.send(says);
    // Whatever may be repeated is asked for once more.
    if let Some(mut again) = mock.try_accept(Duration::from_millis(100)) {
        again.send_into_the_dark(says);
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"END\r\n") {
        answer.extend(client.line());
    }
    let taken = moxi.process().memory().saturating_sub(before);
    assert!(taken < 16 << 20, "{taken} bytes are taken");
    // Others are served, with a connection that is in step.
    client.send("version\r\n");
    assert!(client.line().starts_with(b"VERSION"));
    (answer, line)
}

#[test]
fn sizes_that_broke_others() {
    for (of, size) in [
        ("memcached e44dd0b0", "2147483647"),
        ("memcached e44dd0b0", "2147483648"),
        ("memcached cb2aacc0", "4294967295"),
        ("memcached cb2aacc0", "4294967296"),
        ("mcrouter d6ab87fa", "18446744073709551615"),
        ("mcrouter d6ab87fa", "18446744073709551616"),
        ("mcrouter d6ab87fa", "18446744073709551617"),
        ("memcached cb2aacc0", "-1"),
    ] {
        println!("{of} {size}");
        let mock = Mock::new();
        let builder = moxi!().servers([mock.port()]).ascii().set("downstream_timeout=300");
        let says = format!("VALUE k 0 {size}\r\n{}", "x".repeat(100));
        let (answer, mut line) = got(builder, &mock, says.as_bytes());
        assert_eq!(answer, b"END\r\n", "{size}");
        line.expect_closed();
    }
    for (of, body) in [("memcached 229cf41b", 0x8000_0000u32), ("mcrouter 81fc970b", 0xffff_ffff)] {
        println!("{of} {body}");
        let mock = Mock::new();
        let builder = moxi!().servers([mock.port()]).binary().set("downstream_timeout=300");
        let mut says = Packet::reply(op::GET).extra32(0).bytes();
        says[8..12].copy_from_slice(&body.to_be_bytes());
        let (answer, mut line) = got(builder, &mock, &says);
        assert_eq!(answer, b"END\r\n", "{body}");
        line.expect_closed();
    }
}

#[test]
fn lines_that_broke_others() {
    for (of, says) in [
        ("twemproxy f95c0ab", "VALUE\r\n"),
        ("twemproxy f95c0ab", "VALUE k\r\nEND\r\n"),
        ("twemproxy f95c0ab", "VALUE k 0\r\nEND\r\n"),
        ("mcrouter #75", "VALUE k 0 22\r\n0\0bum_22069533_29969\r\nt\r\nEND\r\n"),
        ("memcached 3b39bd55", "VALUE j 0 1\r\nx\r\nEND\r\n"),
        ("memcached 3b39bd55", "VALUE k 0 1\r\nxyz\r\nEND\r\n"),
        ("memcached 3b39bd55", "VALUE k 0 1 2 3 4\r\nx\r\nEND\r\n"),
        ("memcached 3b39bd55", "VALUE k 4294967296 1\r\nx\r\nEND\r\n"),
        ("memcached 3b39bd55", "VALUE k 0 1 18446744073709551616\r\nx\r\nEND\r\n"),
        ("memcached 591fba96", "   \r\n"),
        ("memcached 591fba96", "\r\n"),
        ("mcrouter 8b6e92db", "\x01\x02\x03\r\n"),
        ("mcrouter 3849dc72", "HD\r\n"),
    ] {
        println!("{of} {says:?}");
        let mock = Mock::new();
        let builder = moxi!().servers([mock.port()]).ascii().set("downstream_timeout=300");
        let (answer, _) = got(builder, &mock, says.as_bytes());
        assert_eq!(answer, b"END\r\n", "{says:?}");
    }
}

/// The replies to several requests of several clients, in pieces: each has its own (memcached b700e700, #997).
#[test]
fn replies_in_pieces_reach_who_asked() {
    let mock = Mock::new();
    let builder = moxi!().servers([mock.port()]).ascii().set("downstream_conn_max=1").set("join_gets=0");
    let moxi = builder.start();
    let mut clients: Vec<Wire> = (0..3).map(|_| moxi.client()).collect();
    clients[0].send("incr a 1\r\n");
    let mut line = mock.accept();
    line.expect("incr a 1\r\n");
    clients[1].send("get b\r\n");
    line.expect("get b\r\n");
    clients[2].send("delete c\r\n");
    line.expect("delete c\r\n");
    let replies = ["7\r\n", "VALUE b 0 7\r\nDELETED\r\nEND\r\n", "NOT_FOUND\r\n"];
    for byte in replies.concat().bytes() {
        line.send([byte]);
        moxi.turn();
    }
    for (client, reply) in clients.iter_mut().zip(replies) {
        client.expect(reply);
    }
}

/// Bytes that nobody has asked for end the connection, and are nobody's answer (twemproxy 40872af, #404).
#[test]
fn a_stray_reply_is_nobodys() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().set("downstream_conn_max=1").start();
    let mut client = moxi.client();
    client.send("get a\r\n");
    let mut line = mock.accept();
    line.expect("get a\r\n");
    line.send("END\r\nVALUE b 0 5\r\nwrong\r\nEND\r\n");
    client.expect("END\r\n");
    line.expect_closed();
    client.send("get b\r\n");
    let mut line = mock.accept();
    line.expect("get b\r\n");
    line.send("VALUE b 0 5\r\nright\r\nEND\r\n");
    client.expect("VALUE b 0 5\r\nright\r\nEND\r\n");
}

/// Half a value when the time is over: the client gets none of it (memcached #994).
#[test]
fn half_a_value_is_none() {
    let mock = Mock::new();
    let builder = moxi!().servers([mock.port()]).ascii().set("downstream_timeout=300");
    let (answer, _) = got(builder, &mock, b"VALUE k 0 10\r\nhalf");
    assert_eq!(answer, b"END\r\n");
}

/// Errors of servers reach the client as they are, for every command (mcrouter #186, e9208805).
#[test]
fn errors_reach_the_client() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().start();
    let mut client = moxi.client();
    let mut line = None;
    for request in [
        "set a 0 0 1\r\n1\r\n",
        "append a 0 0 1\r\n1\r\n",
        "cas a 0 0 1 1\r\n1\r\n",
        "delete a\r\n",
        "incr a 1\r\n",
        "touch a 1\r\n",
    ] {
        for error in ["SERVER_ERROR out of memory storing object\r\n", "CLIENT_ERROR no\r\n", "ERROR\r\n"] {
            client.send(request);
            let line = line.get_or_insert_with(|| mock.accept());
            line.expect(request);
            line.send(error);
            client.expect(error);
        }
    }
}
