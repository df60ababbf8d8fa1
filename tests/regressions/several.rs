//! Several servers, of which some misbehave.

use std::thread;
use std::time::{Duration, Instant};

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::wait::within;
use moxi_test_support::{Down, Memcached, Mock, Moxi, MoxiBuilder, PROTOCOLS, SHORT, Wire, moxi};

use crate::PATIENT;

/// With four vbuckets `hello` (0) is the first one's, `tomorrow` (1) and `foo` (3) are the second one's.
fn two(ports: [u16; 2], protocol: &str) -> MoxiBuilder {
    moxi!().vbuckets(ports, &[0, 1, 0, 1]).set(PATIENT).speaking(protocol)
}

/// One server refuses its key, the other is silent: when the time is over nothing is sent again (0f3a435), and the
/// timer of the second try is no danger to anybody (MB-4334).
#[test]
fn commit_0f3a435_mb_4334_refused_by_one_server_while_the_other_is_silent() {
    let mocks = Mock::several(2);
    let moxi = two([mocks[0].port(), mocks[1].port()], "binary")
        .set("downstream_timeout=600,downstream_conn_max=1,connect_max_errors=0")
        .start();
    let mut client = moxi.client();
    for _ in 0..2 {
        client.send("get hello foo\r\n");
        let mut silent = mocks[1].accept();
        if let Some(mut refusing) = mocks[0].try_accept(SHORT) {
            let asked = refusing.packet();
            let mut answer = vec![Packet::reply(asked.opcode).status(7).opaque(asked.opaque)];
            if asked.opcode == op::GETKQ {
                answer.push(Packet::reply(refusing.packet().opcode));
            }
            refusing.send(join(answer));
            client.expect("END\r\n");
            refusing.expect_nothing(SHORT);
        } else {
            // It has learned who is responsible.
            client.expect("END\r\n");
        }
        silent.rest();
        mocks[0].expect_no_connection(SHORT);
    }
    client.send("version\r\n");
    assert!(client.line().starts_with(b"VERSION "));
}

/// A binary client saw "not my vbucket" although another server would have answered, or moxi ended.
#[test]
fn mb_3389_vbuckets_that_move_under_binary_clients() {
    let mocks = Mock::several(2);
    let moxi = moxi!().vbuckets(mocks.iter().map(Mock::port), &[0, 0, 0, 0]).binary().start();
    let mut client = moxi.client();
    client.send(Packet::request(op::DELETE).key("foo").opaque(99).bytes());
    let mut wrong = mocks[0].accept();
    let asked = wrong.packet();
    wrong.send(Packet::reply(op::DELETE).status(7).opaque(asked.opaque).value("a map, perhaps").bytes());
    let mut right = mocks[1].accept();
    let asked = right.packet();
    assert_eq!((asked.opcode, asked.key.as_slice()), (op::DELETE, &b"foo"[..]));
    right.send(Packet::reply(op::DELETE).opaque(asked.opaque).cas(5).bytes());
    assert_eq!(client.packet(), Packet::reply(op::DELETE).opaque(99).cas(5));

    // When everybody refuses, the client is told in the end.
    client.send(Packet::request(op::INCR).key("hello").extra64(1).extra64(0).extra32(0).opaque(7).bytes());
    let mut count = 0;
    let reply = loop {
        let line = if wrong.readable(SHORT) {
            &mut wrong
        } else if right.readable(SHORT) {
            &mut right
        } else {
            break client.packet();
        };
        let asked = line.packet();
        line.send(Packet::reply(asked.opcode).status(7).opaque(asked.opaque).bytes());
        count += 1;
        assert!(count <= 5, "more than 2 x servers + 1 times");
    };
    assert_eq!((reply.opcode, reply.status, reply.opaque), (op::INCR, 7, 7));
    assert_eq!(count, 5);
}

/// Flush, statistics and NOOP of binary clients went to one server, chosen by a key that was not there.
#[test]
fn mb_3774_binary_broadcasts() {
    let mocks = Mock::several(2);
    let moxi = two([mocks[0].port(), mocks[1].port()], "binary").start();
    let mut client = moxi.client();
    let mut lines: Vec<Wire> = Vec::new();
    for opcode in [op::FLUSH, op::STAT, op::NOOP] {
        client.send(Packet::request(opcode).opaque(5).bytes());
        if lines.is_empty() {
            lines = mocks.iter().map(Mock::accept).collect();
        }
        for line in &mut lines {
            let asked = line.packet();
            assert_eq!(asked.opcode, opcode);
            if opcode == op::STAT {
                line.send(Packet::reply(op::STAT).opaque(asked.opaque).key("n").value("2").bytes());
            }
            line.send(Packet::reply(opcode).opaque(asked.opaque).bytes());
        }
        if opcode == op::STAT {
            let merged = client.packet();
            assert_eq!((merged.key.as_slice(), merged.value.as_slice()), (&b"n"[..], &b"4"[..]));
        }
        assert_eq!(client.packet(), Packet::reply(opcode).opaque(5));
    }
}

/// Sums of statistics had 32 bits; and `ep_version` had a rule of its own.
#[test]
fn bug_1362_mb_25403_merged_statistics() {
    let mocks = Mock::several(2);
    let moxi = two([mocks[0].port(), mocks[1].port()], "ascii").start();
    let mut client = moxi.client();
    client.send("stats\r\n");
    for mock in &mocks {
        let mut line = mock.accept();
        line.expect("stats\r\n");
        line.send("STAT bytes_read 3000000000\r\nSTAT ep_version 1.8.0_1\r\nEND\r\n");
        line.finish();
    }
    let mut lines = [client.line(), client.line()];
    lines.sort();
    assert_eq!(lines, [&b"STAT bytes_read 6000000000\r\n"[..], b"STAT ep_version 1.8.0_1\r\n"]);
    client.expect("END\r\n");
}

/// A broadcast while connections were being made, and with nobody there at all.
#[test]
fn mb_2803_broadcasts_while_connecting() {
    for protocol in PROTOCOLS {
        let (down, hole) = (Down::new(), Down::new().unreachable());
        let moxi = two([down.port(), hole.port()], protocol)
            .set("connect_timeout=100,connect_max_errors=0,downstream_conn_max=1")
            .start();
        let mut clients: Vec<Wire> = (0..5).map(|_| moxi.client()).collect();
        for client in &mut clients {
            client.send("flush_all\r\nget hello foo\r\nstats\r\nincr foo 1\r\n");
        }
        for client in &mut clients {
            let names = format!("127.0.0.1:{}, 127.0.0.1:{}", down.port(), hole.port());
            client.expect(format!("SERVER_ERROR proxy write to downstream: not confirmed by {names}\r\nEND\r\n"));
            client.expect("SERVER_ERROR proxy write to downstream\r\n");
            client.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
        }
    }
}

/// The very first request, with several keys, met a connection that was not quite made.
#[test]
fn cbse_115_a_get_of_several_keys_comes_first() {
    let servers = Memcached::several(2, &[]);
    for protocol in PROTOCOLS {
        for round in 0..10 {
            let moxi = two([servers[0].port(), servers[1].port()], protocol).start();
            let mut client = moxi.client();
            if round == 0 {
                client.send("set hello 0 0 1\r\n1\r\nset foo 0 0 1\r\n2\r\n");
                client.expect("STORED\r\nSTORED\r\n");
                continue;
            }
            client.send("get hello foo none\r\n");
            client.expect("VALUE hello 0 1\r\n1\r\nVALUE foo 0 1\r\n2\r\nEND\r\n");
        }
    }
}

/// Requests that wait for several connections are woken while others are being finished.
#[test]
fn cbse_126_many_that_wait_for_several_servers() {
    for protocol in PROTOCOLS {
        let servers = Memcached::several(2, &[]);
        let moxi = two([servers[0].port(), servers[1].port()], protocol)
            .set("downstream_conn_max=1,downstream_max=3")
            .set("downstream_conn_queue_timeout=10000,wait_queue_timeout=10000")
            .start();
        let mut setter = moxi.client();
        setter.send("set hello 0 0 1\r\n1\r\nset foo 0 0 1\r\n2\r\n");
        setter.expect("STORED\r\nSTORED\r\n");
        thread::scope(|scope| {
            for number in 0..16 {
                let moxi = &moxi;
                scope.spawn(move || {
                    let mut client = moxi.client();
                    for round in 0..50 {
                        client.send("get hello foo\r\nflush_all 1000000\r\n");
                        client.expect("VALUE hello 0 1\r\n1\r\nVALUE foo 0 1\r\n2\r\nEND\r\nOK\r\n");
                        if (number + round) % 10 == 0 {
                            // Leaves while its request waits.
                            client.send("get hello foo\r\nstats\r\n");
                            client = moxi.client();
                        }
                    }
                });
            }
        });
    }
}

fn answers(moxi: &Moxi, keys: &[String]) -> usize {
    let mut client = moxi.client();
    for key in keys {
        client.send(format!("set {key} 0 0 1\r\n1\r\n"));
    }
    keys.iter().filter(|_| client.line() == b"STORED\r\n").count()
}

/// The whole cluster is killed: errors, no hang, and all is well when it is back.
#[test]
fn mb_3099_all_servers_die() {
    for protocol in PROTOCOLS {
        let servers = Memcached::several(3, &[]);
        let moxi = moxi!()
            .servers(servers.iter().map(Memcached::port))
            .speaking(protocol)
            .set(PATIENT)
            .threads(2)
            .set("connect_retry_interval=300")
            .start();
        let keys: Vec<String> = (0..60).map(|number| format!("k{number}")).collect();
        assert_eq!(answers(&moxi, &keys), keys.len());
        let ports: Vec<_> = servers.into_iter().map(Memcached::kill).collect();
        let start = Instant::now();
        assert_eq!(answers(&moxi, &keys), 0);
        let mut client = moxi.client();
        client.send("flush_all\r\nget k0 k1 k2 k3 k4 k5\r\nstats\r\n");
        let error = "SERVER_ERROR proxy write to downstream";
        let names: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{}", port.number())).collect();
        client.expect(format!("{error}: not confirmed by {}\r\nEND\r\n{error}\r\n", names.join(", ")));
        assert!(start.elapsed() < Duration::from_secs(5));
        let _servers: Vec<_> = ports.into_iter().map(|port| Memcached::revive(port, &[])).collect();
        within(Duration::from_secs(5), "all servers to be used again", || {
            (answers(&moxi, &keys) == keys.len()).then_some(())
        });
    }
}

/// 07 §12.5: the replies of several servers and the requests of several clients come in pieces, all at the same time.
#[test]
fn everything_comes_in_pieces() {
    let mocks = Mock::several(2);
    let moxi = two([mocks[0].port(), mocks[1].port()], "ascii").set("downstream_conn_max=1").start();
    let mut clients: Vec<Wire> = (0..3).map(|_| moxi.client()).collect();
    let request = "get hello foo\r\n";
    for at in 0..request.len() {
        for client in &mut clients {
            client.send(&request.as_bytes()[at..=at]);
        }
    }
    let mut lines: Vec<Wire> = mocks.iter().map(Mock::accept).collect();
    let keys = ["hello", "foo"];
    for (line, key) in lines.iter_mut().zip(keys) {
        for _ in 0..clients.len() {
            line.expect(format!("get {key}\r\n"));
        }
    }
    let reply = |key: &str| format!("VALUE {key} 0 {}\r\n{key}\r\nEND\r\n", key.len()).repeat(3);
    let (first, second) = (reply(keys[0]), reply(keys[1]));
    for at in 0..first.len().max(second.len()) {
        for (line, bytes) in lines.iter_mut().zip([first.as_bytes(), second.as_bytes()]) {
            if at < bytes.len() {
                line.send(&bytes[at..=at]);
            }
        }
    }
    for client in &mut clients {
        client.expect("VALUE hello 0 5\r\nhello\r\nVALUE foo 0 3\r\nfoo\r\nEND\r\n");
    }
}
