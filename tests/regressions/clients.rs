//! Clients that misbehave, and what they send to binary servers and to the built-in one.

use std::thread;
use std::time::Duration;

use moxi_test_support::packet::{HEADER, Packet, join, op};
use moxi_test_support::{Memcached, Mock, MoxiBuilder, PROTOCOLS, SHORT, Wire, moxi};

use crate::PATIENT;
use crate::launch::{Running, free_port};

/// The largest body (03 §7).
const BODY_MAX: u32 = 22_020_096;

fn over(protocol: &str, port: u16) -> MoxiBuilder {
    moxi!().servers([port]).set(PATIENT).speaking(protocol)
}

fn large(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 % 251) as u8).collect()
}

/// A header whose parts are longer than the whole, or longer than anything may be.
fn contradictions(opcode: u8) -> Vec<Vec<u8>> {
    let header = |extras: u8, key: u16, body: u32| {
        let mut bytes = Packet::request(opcode).bytes();
        bytes[2..4].copy_from_slice(&key.to_be_bytes());
        bytes[4] = extras;
        bytes[8..12].copy_from_slice(&body.to_be_bytes());
        bytes.resize(HEADER + body.min(64) as usize, 0);
        bytes
    };
    vec![
        header(8, 1, 8),
        header(0, u16::MAX, 3),
        header(255, 0, 0),
        header(20, 250, 200),
        header(8, 1, BODY_MAX + 1),
        header(8, 1, u32::MAX),
        header(0, 0, u32::MAX),
    ]
}

fn survives(opcode: u8, port: u16, witness: &mut Wire) {
    for bytes in contradictions(opcode) {
        let mut client = Wire::connect(format!("client with {opcode:#04x}"), port);
        client.send(&bytes);
        let reply = client.rest();
        let is_legal = reply.is_empty() || reply.len() >= HEADER && reply[0] == 0x81 && reply[6..8] == [0, 4];
        assert!(is_legal, "{opcode:#04x} {}: {}", bytes.escape_ascii(), reply.escape_ascii());
    }
    witness.send("version\r\n");
    assert!(witness.line().starts_with(b"VERSION "));
}

/// MB-21591 (TALOS-2016-0219, -0220, -0221): extras and key longer than the body; MB-12763: bodies of gigabytes.
#[test]
fn mb_21591_mb_12763_lengths_that_contradict_each_other() {
    let mock = Mock::new();
    let moxi = over("binary", mock.port()).start();
    let mut witness = moxi.client();
    for opcode in 0..=u8::MAX {
        survives(opcode, moxi.port(), &mut witness);
    }
    mock.expect_no_connection(SHORT);
}

#[test]
fn mb_21591_mb_12763_the_same_for_the_built_in_server() {
    let port = free_port();
    let mut moxi = Running::listening(port, &["-p", &port.to_string(), "-U", "0", "-l", "127.0.0.1", "-t", "1"]);
    let mut witness = Wire::connect("witness", port);
    for opcode in 0..=u8::MAX {
        survives(opcode, port, &mut witness);
    }
    assert!(moxi.is_alive());
}

/// With `stats detail on`, every key without a delimiter was remembered for ever.
#[test]
fn commit_413be0a_keys_without_delimiter_are_not_tracked() {
    let port = free_port();
    let _moxi = Running::listening(port, &["-p", &port.to_string(), "-U", "0", "-l", "127.0.0.1", "-t", "1"]);
    let mut client = Wire::connect("client", port);
    client.send("stats detail on\r\n");
    client.expect("OK\r\n");
    let sets: String = (0..1000).map(|number| format!("set k{number} 0 0 1 noreply\r\n1\r\n")).collect();
    client.send(sets + "set a:b 0 0 1\r\n1\r\nstats detail dump\r\n");
    client.expect("STORED\r\nPREFIX a get 0 hit 0 set 1 del 0\r\nEND\r\n");
}

/// Values over 1 MiB did not pass, or ended the program.
#[test]
fn mb_14288_values_of_several_megabytes() {
    let server = Memcached::start(&["-m", "256", "-I", "32m"]);
    for protocol in PROTOCOLS {
        let moxi = over(protocol, server.port()).start();
        for length in [(1 << 20) + 1, 5 << 20, 20 << 20] {
            let value = large(length);
            let mut client = moxi.client();
            let set = Packet::storing(op::SET, "large", &value).bytes();
            let socket = client.socket().try_clone().expect("a second handle");
            let sender = thread::spawn(move || Wire::new("sender", socket).send(set));
            assert_eq!(client.packet().status, 0, "{protocol}, {length} bytes");
            sender.join().expect("sent");
            client.send(Packet::request(op::GETK).key("large").bytes());
            assert!(client.packet().value == value, "{protocol}, {length} bytes");
        }
    }
}

/// A connection that was used again remembered what its last client had not finished.
#[test]
fn mb_3845_nothing_is_left_of_a_client() {
    for protocol in PROTOCOLS {
        let server = Memcached::start(&[]);
        let moxi = over(protocol, server.port()).set("downstream_conn_max=1").start();
        let set = Packet::storing(op::SET, "a", "12345").bytes();
        for half in [
            b"set a 0 0 10\r\n123".to_vec(),
            b"get a".to_vec(),
            b"set a 0 0 1 noreply\r\n".to_vec(),
            b"gets a b c d e\r\nget ".to_vec(),
            set[..HEADER - 1].to_vec(),
            set[..HEADER + 9].to_vec(),
            Packet::storing(op::SETQ, "a", "quiet").bytes()[..HEADER + 10].to_vec(),
            join([Packet::request(op::GETKQ).key("a"), Packet::request(op::GETKQ).key("b")]),
        ] {
            for is_reset in [false, true] {
                let mut gone = moxi.client();
                gone.send(&half);
                if is_reset {
                    gone.reset();
                } else {
                    gone.close();
                }
                let mut client = moxi.client();
                client.send("incr a 1\r\nget a\r\n");
                client.expect("NOT_FOUND\r\nEND\r\n");
                let mut client = moxi.client();
                client.send(Packet::request(op::GETK).key("a").opaque(3).bytes());
                let reply = client.packet();
                assert_eq!((reply.status, reply.opaque), (1, 3));
            }
        }
    }
}

/// 104d60a: that a client resets its connection in the middle of a value is no error of moxi's.
#[test]
fn commit_104d60a_a_reset_is_not_logged() {
    let server = Memcached::start(&[]);
    let mut moxi = over("binary", server.port()).start();
    for round in 0..20 {
        let mut client = moxi.client();
        client.send("set a 0 0 100000\r\n12345");
        if round % 2 == 0 {
            // It has been read.
            let mut other = moxi.client();
            other.send("version\r\n");
            other.line();
        }
        client.reset();
    }
    let mut client = moxi.client();
    client.send("incr a 1\r\n");
    client.expect("NOT_FOUND\r\n");
    assert_eq!(moxi.process().complaints(), "");
}

/// A quiet flush confused the connection's state.
#[test]
fn bug_1825_a_quiet_flush() {
    for protocol in PROTOCOLS {
        let server = Memcached::start(&[]);
        let moxi = over(protocol, server.port()).start();
        let mut client = moxi.client();
        for flush in [Packet::request(op::FLUSHQ).extra32(0), Packet::request(op::FLUSHQ)] {
            client.send(join([Packet::storing(op::SET, "a", "1").opaque(1), flush.opaque(2), Packet::noop(3)]));
            assert_eq!((client.packet().opaque, client.packet().opaque), (1, 3), "{protocol}");
            client.send(Packet::request(op::GETK).key("other").opaque(4).bytes());
            let reply = client.packet();
            assert_eq!((reply.status, reply.opaque), (1, 4), "{protocol}");
        }
    }
}

/// A handshake with a server while more than 1024 descriptors were open wrote behind a table's end.
#[test]
fn mb_8102_many_descriptors_and_a_handshake() {
    const CLIENTS: usize = 1100;
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("a limit");
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most).expect("a higher limit");
    assert!(most > CLIENTS as u64 + 200, "this needs more descriptors than {most}");
    let mock = Mock::new();
    let moxi = over("binary", mock.port())
        .set("usr=fictional-user,pwd=fictional-password,auth_timeout=5000")
        .argument("-c")
        .argument("4096")
        .start();
    let mut clients: Vec<Wire> = (0..CLIENTS).map(|_| moxi.client()).collect();
    for client in &mut clients {
        client.send("version\r\n");
    }
    for client in &mut clients {
        assert!(client.line().starts_with(b"VERSION "));
    }
    let last = clients.last_mut().expect("clients");
    last.send("delete a\r\n");
    let mut line = mock.accept();
    assert_eq!(line.packet().opcode, op::SASL_AUTH);
    line.send(Packet::reply(op::SASL_AUTH).value("Authenticated").bytes());
    assert_eq!(line.packet().opcode, op::DELETE);
    line.send(Packet::reply(op::DELETE).bytes());
    last.expect("DELETED\r\n");
    last.expect_nothing(Duration::from_millis(1));
}
