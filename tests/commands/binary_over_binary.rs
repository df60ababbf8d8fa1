//! Binary clients of binary servers: what a server must see and the client must get, byte for byte (04 §8, §9).

use std::time::Duration;

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Dialect, Mock, MoxiBuilder, moxi, warm};

fn over(mocks: &[&Mock]) -> MoxiBuilder {
    moxi!().servers(mocks.iter().map(|mock| mock.port())).binary().set("connect_max_errors=0")
}

fn getkq(key: &str, opaque: u32) -> Packet {
    Packet::request(op::GETKQ).key(key).opaque(opaque)
}

/// Quiet packets are not queued behind each other: they and their closing packet are one request to the server.
#[test]
fn a_quiet_batch_does_not_wait_for_itself() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) =
        warm(over(&[&mock]).set("downstream_conn_queue_timeout=40"), Dialect::Binary, &mock);
    let batch = join([getkq("a", 4), getkq("b", 13), Packet::noop(7)]);
    client.send(&batch);
    line.expect_piece(&batch);
    client.expect_nothing(Duration::from_millis(120));
    line.send(Packet::noop_done(7).bytes());
    client.expect_piece(Packet::noop_done(7).bytes());
}

/// A command that the server may not know, and does not answer, holds up neither other clients nor, for longer than
/// its own time limit, what the same client sends behind it (04 §8.6).
#[test]
fn unknown_commands_hold_up_nobody() {
    let mock = Mock::new();
    let builder = over(&[&mock]).set("downstream_timeout=800").set("downstream_conn_max=2");
    let (moxi, mut client, mut first) = warm(builder, Dialect::Binary, &mock);
    let getl = Packet::request(op::GETL).key("locked").opaque(5);
    let get = Packet::request(op::GETK).key("a").opaque(6);
    let miss = Packet::reply(op::GETK).status(1).key("a").opaque(6);
    client.send(join([getl.clone(), get.clone()]));
    first.expect_piece(getl.bytes());
    // More of them share that connection.
    let mut another = moxi.client();
    another.send(getl.bytes());
    // Others get one that works.
    let mut neighbour = moxi.client();
    neighbour.send(get.bytes());
    let mut second = mock.accept();
    second.expect_piece(get.bytes());
    second.send(miss.bytes());
    neighbour.expect_piece(miss.bytes());
    mock.expect_no_connection(Duration::from_millis(5));
    // Silence.
    let timeout = client.packet();
    assert_eq!((timeout.opcode, timeout.status, timeout.opaque), (op::GETL, 0x85, 5));
    first.expect_closed();
    let mut seen = second.packet();
    if seen == getl {
        // The other client's turn, in whichever order they were sent again.
        let timeout = another.packet();
        assert_eq!((timeout.opcode, timeout.status), (op::GETL, 0x85));
        second.expect_closed();
        second = mock.accept();
        seen = second.packet();
    }
    assert_eq!(seen, get);
    second.send(miss.bytes());
    client.expect_piece(miss.bytes());
}

/// Opcodes that nobody knows and that have no key: as a memcached answers them, and the connection lives.
#[test]
fn unknown_commands_without_key() {
    let mock = Mock::new();
    let moxi = over(&[&mock]).start();
    let mut client = moxi.client();
    for opcode in [0x25, 0x60, 0x92, 0xff] {
        client.send(Packet::request(opcode).opaque(8).bytes());
        let unknown = Packet::reply(opcode).status(0x81).opaque(8).value("Unknown command");
        client.expect_piece(unknown.bytes());
    }
    mock.expect_no_connection(Duration::from_millis(5));
}

/// A client that says goodbye behind quiet packets: they are done, and it is let go when they are.
#[test]
fn goodbye_behind_quiet_packets() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = warm(over(&[&mock]), Dialect::Binary, &mock);
    let set = Packet::storing(op::SETQ, "a", "1").opaque(1);
    client.send(join([set.clone(), Packet::request(op::QUITQ)]));
    line.expect_piece(join([set, Packet::noop(0)]));
    line.send(Packet::noop_done(0).bytes());
    client.expect_closed();
}

/// A connection is lost with a whole batch on it, and nothing may be tried again: each of its writes is reported, and
/// the closing packet last.
#[test]
fn a_lost_batch_reports_all_its_writes() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = warm(over(&[&mock]).set("downstream_retry=0"), Dialect::Binary, &mock);
    let setq = |key: &str, opaque: u32| Packet::storing(op::SETQ, key, "1").opaque(opaque);
    let batch = join([setq("a", 1), setq("b", 2), Packet::request(op::GETK).key("c").opaque(3)]);
    client.send(&batch);
    line.expect_piece(&batch);
    line.close();
    let told: Vec<_> =
        (0..3).map(|_| client.packet()).map(|packet| (packet.opcode, packet.status, packet.opaque)).collect();
    assert_eq!(told, [(op::SETQ, 0x84, 1), (op::SETQ, 0x84, 2), (op::GETK, 0x84, 3)]);
}

/// A packet that travels alone cannot bring the answers to the quiet ones before it: these are closed first.
#[test]
fn quiet_packets_before_one_that_travels_alone() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = warm(over(&[&mock]), Dialect::Binary, &mock);
    let setq = Packet::storing(op::SETQ, "a", "1").opaque(1);
    let getl = Packet::request(op::GETL).extra32(5).key("b").opaque(2);
    client.send(join([setq.clone(), getl.clone()]));
    line.expect_piece(join([setq, Packet::noop(0)]));
    line.send(Packet::noop_done(0).bytes());
    line.expect_piece(getl.bytes());
    line.send(Packet::reply(op::GETL).status(0x81).opaque(2).bytes());
    client.expect_piece(Packet::reply(op::GETL).status(0x81).opaque(2).bytes());
}

/// Every packet of a batch that fails names its own server, not the last one that was asked.
#[test]
fn a_failed_packet_of_a_batch_names_its_server() {
    let (mock, down) = (Mock::new(), moxi_test_support::Down::new());
    let list = format!("\"localhost:{}\",\"127.0.0.1:{}\"", down.port(), mock.port());
    let cluster =
        format!("{{\"hashAlgorithm\":\"CRC\",\"numReplicas\":0,\"serverList\":[{list}],\"vBucketMap\":[[0],[1]]}}");
    let moxi = moxi!().cluster(cluster).binary().start();
    let mut client = moxi.client();
    let setq = |vbucket: u16, opaque: u32| {
        let key = (0..).map(|number| format!("key{number}")).find(|key| {
            // As libvbucket does it (05 §10.1).
            (crc32fast::hash(key.as_bytes()) >> 16) as u16 & 1 == vbucket
        });
        let packet = Packet::storing(op::SETQ, key.expect("one of them"), "1").opaque(opaque);
        packet.status(vbucket)
    };
    client.send(join([setq(0, 1), setq(1, 2), Packet::noop(3)]));
    let mut line = mock.accept();
    line.expect_piece(join([setq(1, 2), Packet::noop(3)]));
    line.send(Packet::noop_done(3).bytes());
    let told = client.packet();
    assert_eq!((told.opaque, told.status), (1, 0x84));
    assert_eq!(told.value, b"SERVER_ERROR proxy write to downstream localhost\r\n");
    assert_eq!(client.packet().opaque, 3);
}
