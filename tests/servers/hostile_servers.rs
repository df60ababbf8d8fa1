//! Servers that say what nobody asked for, or what nobody can understand: they lose that one connection, and
//! nobody else anything (03 §6, 04 §5.2, §6.2).

use std::time::Duration;

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Mock, Moxi, Wire, moxi};

/// Answers every connection with `says` as soon as `seen` has come, until the client has its reply; then serves one
/// more request properly. Returns that reply.
fn answered_with(moxi: &Moxi, mock: &Mock, request: &str, seen: &[u8], says: &[u8]) -> Vec<u8> {
    let mut client = moxi.client();
    client.send(request);
    // The first try and, if the command may be repeated, the second.
    for _ in 0..2 {
        let Some(mut line) = mock.try_accept(Duration::from_millis(200)) else { break };
        line.expect(seen);
        line.send(says);
        line.expect_closed();
    }
    client.line()
}

fn still_works_ascii(moxi: &Moxi, mock: &Mock) {
    let mut client = moxi.client();
    client.send("incr a 1\r\n");
    let mut line = mock.accept();
    line.expect("incr a 1\r\n");
    line.send("2\r\n");
    client.expect("2\r\n");
}

#[test]
fn malformed_values() {
    for says in [
        "VALUE a\r\n",
        "VALUE a 0\r\n",
        "VALUE a x 1\r\n1\r\nEND\r\n",
        "VALUE a -1 1\r\n1\r\nEND\r\n",
        "VALUE a 0 x\r\n1\r\nEND\r\n",
        "VALUE a 0 -1\r\n1\r\nEND\r\n",
        "VALUE a 0 99999999999999999999\r\n1\r\nEND\r\n",
        "VALUE a 0 1 2 3\r\n1\r\nEND\r\n",
        "VALUE a 0 1\r\n123456\r\nEND\r\n",
    ] {
        println!("{says:?}");
        let mock = Mock::new();
        let moxi = moxi!().servers([mock.port()]).ascii().set("connect_max_errors=0").start();
        let reply = answered_with(&moxi, &mock, "get a\r\n", b"get a\r\n", says.as_bytes());
        assert_eq!(reply, b"END\r\n", "{says:?}");
        still_works_ascii(&moxi, &mock);
    }
}

/// Replies that do not fit what was asked: the client is told something, the connection is closed (04 §5.2).
#[test]
fn replies_that_do_not_fit() {
    for says in ["END\r\n", "OK\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n", "STAT a 1\r\nEND\r\n"] {
        let mock = Mock::new();
        let moxi = moxi!().servers([mock.port()]).ascii().set("connect_max_errors=0").start();
        let request = "set a 0 0 1\r\n1\r\n";
        let reply = answered_with(&moxi, &mock, request, request.as_bytes(), says.as_bytes());
        assert!(reply.starts_with(b"SERVER_ERROR "), "{says:?}: {}", reply.escape_ascii());
        still_works_ascii(&moxi, &mock);
    }
}

/// Nobody gets the value of a key that was not asked for.
#[test]
fn a_value_of_another_key() {
    for (request, says) in [
        ("get a\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n"),
        ("get a c\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n"),
        ("get a c\r\n", "VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n"),
    ] {
        let mock = Mock::new();
        let moxi = moxi!().servers([mock.port()]).ascii().set("connect_max_errors=0").start();
        let mut client = moxi.client();
        client.send(request);
        let server = std::thread::spawn(move || {
            // A second try, whether for the whole or for the rest, is told that there is nothing.
            let mut line = mock.accept();
            line.expect(request);
            line.send(says);
            while let Some(mut line) = mock.try_accept(Duration::from_millis(100)) {
                line.line();
                line.send("END\r\n");
            }
        });
        let mut got = Vec::new();
        while !got.ends_with(b"END\r\n") {
            got.extend(client.line());
        }
        let got = String::from_utf8(got).expect("text");
        assert!(got == "END\r\n" || got == "VALUE a 0 1\r\n1\r\nEND\r\n", "{request:?} {says:?}: {got:?}");
        drop(server.join());
    }
}

#[test]
fn a_line_that_does_not_end() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().set("connect_max_errors=0").start();
    let says = [b'x'; 100_000];
    let reply = answered_with(&moxi, &mock, "set a 0 0 1\r\n1\r\n", b"set a 0 0 1\r\n1\r\n", &says);
    assert!(reply.starts_with(b"SERVER_ERROR "), "{}", reply.escape_ascii());
    still_works_ascii(&moxi, &mock);
}

/// CBSE-3717: bytes behind a complete reply cost the connection, not the reply.
#[test]
fn bytes_behind_a_reply() {
    for extra in ["STORED\r\n", "garbage", "\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"] {
        println!("{extra:?}");
        let mock = Mock::new();
        let moxi = moxi!().servers([mock.port()]).ascii().start();
        let mut client = moxi.client();
        client.send("set a 0 0 1\r\n1\r\n");
        let mut line = mock.accept();
        line.expect("set a 0 0 1\r\n1\r\n");
        line.send(format!("STORED\r\n{extra}"));
        client.expect("STORED\r\n");
        line.expect_closed();
        still_works_ascii(&moxi, &mock);
    }
}

#[test]
fn bytes_on_an_idle_connection() {
    for protocol in ["ascii", "binary"] {
        let mock = Mock::new();
        let moxi = moxi!()
            .servers([mock.port()])
            .speaking(protocol)
            .set("downstream_retry=0")
            .set("connect_max_errors=1")
            .start();
        // Often enough for a suspension, if it counted as an error (03 §17).
        for extra in ["STORED\r\n", "\0", "garbage\r\n", "\x01"] {
            println!("{protocol} {extra:?}");
            let mut client = moxi.client();
            client.send("delete a\r\n");
            let mut line = mock.accept();
            if protocol == "ascii" {
                line.expect("delete a\r\n");
                line.send("DELETED\r\n");
            } else {
                line.expect(Packet::request(op::DELETE).key("a").bytes());
                line.send(Packet::reply(op::DELETE).bytes());
            }
            client.expect("DELETED\r\n");
            line.send(extra);
            line.expect_closed();
        }
    }
}

#[test]
fn malformed_packets() {
    let huge = |length: u32| {
        let mut bytes = Packet::reply(op::GETK).bytes();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    let inconsistent = {
        let mut bytes = Packet::reply(op::GETK).extra32(0).value("1").bytes();
        bytes[2..4].copy_from_slice(&u16::MAX.to_be_bytes());
        bytes
    };
    for says in [
        b"END\r\nEND\r\nEND\r\nEND\r\nEND\r\n".to_vec(),
        Packet::request(op::GETK).key("a").bytes(),
        // MB-12763: more than 21 MiB.
        huge(22_020_097),
        huge(u32::MAX),
        inconsistent,
        // An opcode nobody asked for.
        Packet::reply(op::DELETE).bytes(),
        Packet::reply(op::SASL_AUTH).bytes(),
        Packet::reply(0xff).bytes(),
        // Somebody else's value.
        Packet::reply(op::GETK).extra32(0).key("b").value("1").bytes(),
    ] {
        println!("{}", says.escape_ascii());
        let mock = Mock::new();
        let moxi = moxi!().servers([mock.port()]).binary().set("connect_max_errors=0").start();
        let mut client = moxi.client();
        client.send("get a\r\n");
        let server = std::thread::spawn(move || {
            while let Some(mut line) = mock.try_accept(Duration::from_millis(200)) {
                line.expect(Packet::request(op::GETK).key("a").bytes());
                line.send(&says);
                // Open or closed, nothing more is said on it.
                assert!(line.rest().is_empty());
            }
            mock
        });
        client.expect("END\r\n");
        // Ends the connections that were left open.
        moxi.stop();
        server.join().expect("the server saw what it should");
    }
}

/// One connection's garbage is nothing to the requests on another.
#[test]
fn the_neighbours_of_a_bad_connection() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().set("downstream_conn_max=2").start();
    let mut first = moxi.client();
    first.send("incr a 1\r\n");
    let mut bad = mock.accept();
    bad.expect("incr a 1\r\n");
    let mut second = moxi.client();
    second.send("incr b 1\r\n");
    let mut good = mock.accept();
    good.expect("incr b 1\r\n");
    bad.send("VALUE garbage\r\n");
    bad.expect_closed();
    let line = first.line();
    assert!(line.starts_with(b"SERVER_ERROR "), "{}", line.escape_ascii());
    good.send("2\r\n");
    second.expect("2\r\n");
}

/// A stray reply of a noreply command must not be taken for the next one (bug 1792).
#[test]
fn an_error_line_for_a_noreply_command() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().set("downstream_conn_max=1").start();
    let mut client = moxi.client();
    client.send("add a 0 0 1 noreply\r\n1\r\nincr b 1\r\n");
    let mut line = mock.accept();
    line.expect("add a 0 0 1\r\n1\r\nincr b 1\r\n");
    line.send("SERVER_ERROR out of memory storing object\r\n7\r\n");
    client.expect("7\r\n");
}

/// A reply for a client that has gone is read and dropped; the next request gets its own (03 §6.1).
#[test]
fn replies_for_a_client_that_has_gone() {
    for protocol in ["ascii", "binary"] {
        for reset in [false, true] {
            let mock = Mock::new();
            let moxi = moxi!().servers([mock.port()]).speaking(protocol).set("downstream_conn_max=1").start();
            let (seen, says) = if protocol == "ascii" {
                (b"get a b\r\n".to_vec(), b"VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n".to_vec())
            } else {
                let asked = |key, at| Packet::request(op::GETKQ).key(key).opaque(at);
                let hit = |key, at| Packet::reply(op::GETKQ).key(key).opaque(at).extra32(0).value("1");
                (
                    join([asked("a", 4), asked("b", 6), Packet::noop(0)]),
                    join([hit("a", 4), hit("b", 6), Packet::noop_done(0)]),
                )
            };
            let mut gone = moxi.client();
            gone.send("get a b\r\n");
            let mut line = mock.accept();
            line.expect(&seen);
            if reset {
                gone.reset()
            } else {
                gone.close()
            }
            moxi.turn();
            line.send(&says[..10]);
            moxi.turn();
            line.send(&says[10..]);
            let mut next = moxi.client();
            next.send("delete c\r\n");
            if protocol == "ascii" {
                line.expect("delete c\r\n");
                line.send("NOT_FOUND\r\n");
            } else {
                line.expect(Packet::request(op::DELETE).key("c").bytes());
                line.send(Packet::reply(op::DELETE).status(1).bytes());
            }
            next.expect("NOT_FOUND\r\n");
        }
    }
}

/// A server that leaves out the keys of what it gives: what is shown is the key that was asked for, in a get of one key and in
/// one that was joined (04 §6.2). Without flags it is no value in either.
#[test]
fn what_servers_leave_out() {
    let mock = Mock::new();
    let mut moxi = moxi!().servers([mock.port()]).binary().set("downstream_conn_max=1").start();
    let mut clients = [moxi.client(), moxi.client()];
    let mut line = None;
    for client in &mut clients {
        client.send("get lone\r\n");
        let line: &mut Wire = line.get_or_insert_with(|| mock.accept());
        let asked = line.packet();
        line.send(Packet::reply(op::GETK).opaque(asked.opaque).extra32(5).value("1").bytes());
        client.expect("VALUE lone 5 1\r\n1\r\nEND\r\n");
    }
    let mut line = line.expect("a connection");
    for (flags, answers) in
        [(true, ["VALUE a 5 1\r\n1\r\nEND\r\n", "VALUE b 5 1\r\n1\r\nEND\r\n"]), (false, ["END\r\n"; 2])]
    {
        moxi.at_once(|| {
            for (client, key) in clients.iter_mut().zip(["a", "b"]) {
                client.send(format!("get {key}\r\n"));
            }
        });
        let asked = [line.packet(), line.packet()];
        assert_eq!(asked.each_ref().map(|packet| packet.opcode), [op::GETKQ; 2]);
        let noop = line.packet();
        let [first, second] = asked.map(|asked| {
            let reply = Packet::reply(op::GETKQ).opaque(asked.opaque);
            if flags { reply.extra32(5).value("1") } else { reply.value("1") }
        });
        line.send(join([first, second, Packet::noop_done(noop.opaque)]));
        clients.iter_mut().zip(answers).for_each(|(client, answer)| client.expect(answer));
    }
}

/// An answer with another opaque is one to something else, whatever it says: that somebody else has the key, too (04 §6, §9).
#[test]
fn answers_to_something_else() {
    const REFUSED: u16 = 7;
    let mock = Mock::new();
    let settings = "downstream_timeout=0,downstream_retry=0";
    let moxi = moxi!().vbuckets([mock.port()], &[0; 4]).binary().set(settings).start();
    let requests: [(Vec<u8>, u8); 6] = [
        (b"get key1\r\n".to_vec(), op::GETK),
        (b"delete key1\r\n".to_vec(), op::DELETE),
        (b"incr key1 1\r\n".to_vec(), op::INCR),
        (b"gat 0 key1\r\n".to_vec(), op::GATK),
        (Packet::request(op::GET).key("key1").opaque(5).bytes(), op::GET),
        (Packet::request(op::DELETE).key("key1").opaque(5).bytes(), op::DELETE),
    ];
    for (request, opcode) in requests {
        for status in [0, 1, REFUSED] {
            let mut client = moxi.client();
            client.send(&request);
            let mut line = mock.accept();
            let asked = line.packet();
            assert_eq!(asked.opcode, opcode);
            let reply = Packet::reply(opcode).status(status).opaque(asked.opaque + 1);
            line.send(if status == 0 { reply.extra32(0).value("1").bytes() } else { reply.bytes() });
            line.expect_closed();
            match request[0] {
                0x80 => assert_eq!(client.packet().status, 0x84),
                b'g' => client.expect("END\r\n"),
                _ => client.expect("SERVER_ERROR proxy downstream closed 127.0.0.1\r\n"),
            }
        }
    }
}
