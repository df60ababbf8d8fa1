//! Binary clients: what moxi itself says to them, and how their bytes may come (04 §8, §9, §11).

use std::time::Duration;

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Down, Mock, Moxi, MoxiBuilder, PROTOCOLS, moxi};

fn over(protocol: &str, port: u16) -> MoxiBuilder {
    moxi!().servers([port]).speaking(protocol).set("connect_max_errors=0")
}

fn proxy() -> (Mock, Moxi) {
    let mock = Mock::new();
    let moxi = over("binary", mock.port()).start();
    (mock, moxi)
}

/// Sends a binary request; returns the reply.
fn ask_binary(moxi: &Moxi, request: &Packet) -> Packet {
    let mut client = moxi.client();
    client.send(request.bytes());
    client.packet()
}

#[test]
fn binary_clients_of_a_refused_connection() {
    let down = Down::new();
    for protocol in PROTOCOLS {
        let moxi = over(protocol, down.port()).start();
        for opcode in [op::GET, op::GETK, op::DELETE] {
            let reply = ask_binary(&moxi, &Packet::request(opcode).key("a").opaque(0x0102_0304));
            assert_eq!((reply.magic, reply.opcode, reply.status), (0x81, opcode, 0x84), "{protocol}");
            assert_eq!((reply.opaque, reply.cas), (0x0102_0304, 0), "{protocol}");
            // DESIGN: 0x84 carries the ASCII line.
            let body = String::from_utf8(reply.value).expect("text");
            assert_eq!(body, "SERVER_ERROR proxy write to downstream 127.0.0.1\r\n", "{protocol}");
            assert!(reply.key.is_empty() && reply.extras.is_empty(), "{protocol}");
        }
    }
}

/// Text on a binary connection: 24 bytes, a wrong magic, the end (04 §1).
#[test]
fn a_binary_client_that_talks_text() {
    let (mock, moxi) = proxy();
    let mut client = moxi.client();
    client.send([0x80]);
    client.send("get a\r\nget a\r\nget a\r\nget a\r\nget a\r\nget a\r\n");
    client.expect_closed();
    mock.expect_no_connection(Duration::from_millis(5));
}

#[test]
fn binary_packets_that_contradict_themselves() {
    let (mock, moxi) = proxy();
    let get = Packet::request(op::GET).key("a").bytes();
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = get.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    for packet in [
        changed(2, &u16::MAX.to_be_bytes()),
        changed(4, &[200]),
        changed(8, &22_020_097_u32.to_be_bytes()),
        changed(8, &u32::MAX.to_be_bytes()),
    ] {
        let mut client = moxi.client();
        client.send(packet);
        // Closed, silently or after an error.
        let rest = client.rest();
        assert!(rest.is_empty() || rest.len() >= 24 && rest[7] == 4, "{}", rest.escape_ascii());
    }
    mock.expect_no_connection(Duration::from_millis(5));
}

/// The protocol is decided by the first byte; the rest of the header may trickle in (04 §1).
#[test]
fn a_binary_client_byte_by_byte() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).binary().start();
    let mut client = moxi.client();
    let request = Packet::request(op::GETK).key("a").opaque(0x0102_0304);
    let mut control = moxi.client();
    for byte in request.bytes() {
        client.send([byte]);
        control.send("version\r\n");
        control.line();
    }
    let mut line = mock.accept();
    line.expect_piece(request.bytes());
    let reply = Packet::reply(op::GETK).status(1).key("a").opaque(0x0102_0304).bytes();
    line.send(&reply);
    client.expect_piece(&reply);
}

#[test]
fn timeouts() {
    for protocol in PROTOCOLS {
        let mock = Mock::new();
        let moxi = over(protocol, mock.port()).set("downstream_timeout=100").start();
        let mut client = moxi.client();
        client.send(Packet::request(op::DELETE).key("a").opaque(7).bytes());
        let line = mock.accept();
        let reply = client.packet();
        assert_eq!((reply.magic, reply.opcode, reply.status, reply.opaque), (0x81, op::DELETE, 0x85, 7), "{protocol}");
        drop(line);
    }
}

#[test]
fn wait_queue_timeout() {
    let mock = Mock::new();
    let moxi = over("binary", mock.port()).set("downstream_max=1").set("wait_queue_timeout=100").start();
    let mut first = moxi.client();
    first.send("delete a\r\n");
    let mut line = mock.accept();
    line.expect(Packet::request(op::DELETE).key("a").bytes());
    let mut second = moxi.client();
    second.send(Packet::request(op::GET).key("d").opaque(9).bytes());
    let reply = second.packet();
    assert_eq!((reply.opcode, reply.status, reply.opaque), (op::GET, 0x85, 9));
}

/// A lost connection: 0x84 with the ASCII line as body (DESIGN), so that the original suites find their `ERROR`.
#[test]
fn a_lost_connection() {
    let (mock, moxi) = proxy();
    let mut client = moxi.client();
    let request = Packet::storing(op::SET, "a", "1").opaque(3).bytes();
    client.send(&request);
    for _ in 0..2 {
        let mut line = mock.accept();
        line.expect_piece(&request);
        line.close();
    }
    let reply = client.packet();
    assert_eq!((reply.opcode, reply.status, reply.opaque, reply.cas), (op::SET, 0x84, 3, 0));
    assert_eq!(reply.value, b"SERVER_ERROR proxy downstream closed 127.0.0.1\r\n");
}

/// Quiet commands leave in one piece with the answered one that comes with them; the whole batch is sent again on
/// another connection (04 §8.3).
#[test]
fn a_quiet_batch_is_kept_whole() {
    let (mock, moxi) = proxy();
    let mut client = moxi.client();
    let quiet = |key: &str, opaque: u32| Packet::request(op::GETKQ).key(key).opaque(opaque);
    let noop = Packet::noop(99);
    let batch = [quiet("a", 4).bytes(), quiet("b", 13).bytes(), noop.bytes()].concat();
    client.send(&batch);
    let mut line = mock.accept();
    line.expect_piece(&batch);
    line.close();
    let mut line = mock.accept();
    line.expect_piece(&batch);
    let hit = Packet::reply(op::GETKQ).key("b").opaque(13).extra32(5).value("22").cas(8);
    let done = Packet::noop_done(99);
    let answer = [hit.bytes(), done.bytes()].concat();
    line.send(&answer);
    client.expect_piece(&answer);
}
