//! Quiet packets of binary clients: what a turn brings is sent in that turn, and what comes of it is told in order.

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Dialect, Memcached, Mock, MoxiBuilder, PROTOCOLS, moxi, warm};

fn over(protocol: &str, ports: &[u16]) -> MoxiBuilder {
    moxi!().servers(ports.iter().copied()).speaking(protocol).set("connect_max_errors=0")
}

fn key(opcode: u8, key: &str) -> Packet {
    Packet::request(opcode).key(key)
}

/// Counts by one, and creates nothing.
fn arith(opcode: u8, name: &str) -> Packet {
    Packet::counting(opcode, name, 1, 0, u32::MAX)
}

/// Each is executed although nothing that is answered ever follows.
#[test]
fn each_is_done_when_it_comes() {
    for protocol in PROTOCOLS {
        let server = Memcached::start(&[]);
        let moxi = over(protocol, &[server.port()]).start();
        let mut client = moxi.client();
        for (packet, key, value) in [
            (Packet::storing(op::SETQ, "a", "5"), "a", Some("5")),
            (Packet::storing(op::ADDQ, "b", "x"), "b", Some("x")),
            (Packet::storing(op::REPLACEQ, "b", "y"), "b", Some("y")),
            (key(op::APPENDQ, "b").value("z"), "b", Some("yz")),
            (key(op::PREPENDQ, "b").value("x"), "b", Some("xyz")),
            (arith(op::INCRQ, "a"), "a", Some("6")),
            (arith(op::DECRQ, "a"), "a", Some("5")),
            (key(op::DELETEQ, "b"), "b", None),
            (Packet::request(op::FLUSHQ), "a", None),
        ] {
            client.send(packet.bytes());
            server.wait_for_value(key, value, &format!("{protocol} {:#x}", packet.opcode));
        }
        // And nothing has been said about it.
        client.send(Packet::noop(7).bytes());
        client.expect_piece(Packet::noop_done(7).bytes());
    }
}

/// A hit is told at once, as memcached does it; so is a failure.
#[test]
fn what_there_is_to_tell_is_told_at_once() {
    for protocol in PROTOCOLS {
        let server = Memcached::start(&[]);
        let moxi = over(protocol, &[server.port()]).start();
        let mut client = moxi.client();
        for packet in [
            Packet::storing(op::SETQ, "a", "1").opaque(1),
            key(op::GETQ, "none").opaque(2),
            key(op::GETQ, "a").opaque(3),
        ] {
            client.send(packet.bytes());
        }
        let hit = client.packet();
        assert_eq!((hit.opcode, hit.status, hit.opaque, &hit.value[..]), (op::GETQ, 0, 3, &b"1"[..]), "{protocol}");
        client.send(key(op::GATQ, "a").extra32(100).opaque(4).bytes());
        let hit = client.packet();
        assert_eq!((hit.opcode, hit.status, hit.opaque), (op::GATQ, 0, 4), "{protocol}");
        client.send(Packet::storing(op::ADDQ, "a", "2").opaque(5).bytes());
        let refused = client.packet();
        assert_eq!((refused.opcode, refused.status, refused.opaque), (op::ADDQ, 2, 5), "{protocol}");
    }
}

/// Failures come before the next answer, whoever gives that, and in order, also those of several servers.
#[test]
fn failures_come_in_order() {
    for protocol in PROTOCOLS {
        let servers = Memcached::several(3, &[]);
        let ports: Vec<u16> = servers.iter().map(Memcached::port).collect();
        let moxi = over(protocol, &ports).start();
        let mut client = moxi.client();
        let names: Vec<String> = (0..60).map(|number| format!("key{number}")).collect();
        client.send(join(names.iter().map(|name| Packet::storing(op::SETQ, name, "1"))));
        for answered in [Packet::request(op::VERSION), Packet::noop(0), key(op::GETK, "key7"), Packet::request(0x60)] {
            let adds = names.iter().zip(1..).map(|(name, opaque)| Packet::storing(op::ADDQ, name, "2").opaque(opaque));
            let last = answered.clone().opaque(1_000);
            client.send(join(adds.chain([
                last.clone(),
                Packet::storing(op::ADDQ, "key3", "2").opaque(1_001),
                Packet::noop(1_002),
            ])));
            let told: Vec<_> = (0..63).map(|_| client.packet()).map(|packet| (packet.opcode, packet.opaque)).collect();
            let adds = (1..=60).map(|opaque| (op::ADDQ, opaque));
            let wanted: Vec<_> = adds.chain([(last.opcode, 1_000), (op::ADDQ, 1_001), (op::NOOP, 1_002)]).collect();
            assert_eq!(told, wanted, "{protocol}");
        }
    }
}

/// What comes without an answered packet is closed by a NOOP of moxi's own, what comes with one by that.
#[test]
fn how_they_are_closed() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = warm(over("binary", &[mock.port()]), Dialect::Binary, &mock);
    let [a, b, c] = ["a", "b", "c"].map(|name| Packet::storing(op::SETQ, name, "1"));
    client.send(join([a.clone(), b.clone()]));
    line.expect_piece(join([a.clone(), b, Packet::noop(0)]));
    // The next ones do not wait for the answer.
    client.send(c.bytes());
    line.expect_piece(join([c, Packet::noop(0)]));
    client.send(join([a.clone(), Packet::noop(9)]));
    line.expect_piece(join([a, Packet::noop(9)]));
    line.send(join([Packet::noop_done(0), Packet::noop_done(0), Packet::noop_done(9)]));
    client.expect_piece(Packet::noop_done(9).bytes());
    // Many are one group, however many requests a client may send in a row.
    let many: Vec<_> = (0..300).map(|number| Packet::storing(op::SETQ, format!("{number}"), "1")).collect();
    let many = join(many.into_iter().chain([Packet::noop(10)]));
    client.send(&many);
    line.expect_piece(&many);
    line.send(Packet::noop_done(10).bytes());
    client.expect_piece(Packet::noop_done(10).bytes());
}

/// `quiet_max` bounds what is unanswered: a client that sends more is not read from, and loses nothing.
#[test]
fn too_many_have_to_wait() {
    for protocol in PROTOCOLS {
        let mock = Mock::new();
        let builder = over(protocol, &[mock.port()]).set("quiet_max=100").set("downstream_conn_max=1");
        let moxi = builder.start();
        let mut client = moxi.client();
        // 34 bytes each.
        client.send(join((0..10).map(|number| Packet::storing(op::SETQ, number.to_string(), "1"))));
        let mut line = mock.accept();
        if protocol == "ascii" {
            line.expect_piece("mn\r\n");
            line.send("ERROR\r\n");
        }
        for round in [&[0, 1][..], &[2, 3], &[4, 5], &[6, 7], &[8, 9]] {
            if protocol == "ascii" {
                let sets: String = round.iter().map(|number| format!("set {number} 0 0 1\r\n1\r\n")).collect();
                line.expect_piece(sets);
                line.send("STORED\r\n".repeat(2));
            } else {
                let sets = round.iter().map(|number| Packet::storing(op::SETQ, number.to_string(), "1"));
                line.expect_piece(join(sets.chain([Packet::noop(0)])));
                line.send(Packet::noop_done(0).bytes());
            }
        }
        client.send(Packet::noop(3).bytes());
        if protocol == "ascii" {
            line.expect_piece("version\r\n");
            line.send("VERSION 1\r\n");
        } else {
            line.expect_piece(Packet::noop(3).bytes());
            line.send(Packet::noop_done(3).bytes());
        }
        client.expect_piece(Packet::noop_done(3).bytes());
    }
}

/// Nobody to send them to: a write is told so, a get is a miss.
#[test]
fn they_fail_like_others() {
    for protocol in PROTOCOLS {
        let down = moxi_test_support::Down::new();
        let moxi = over(protocol, &[down.port()]).start();
        let mut client = moxi.client();
        client.send(join([
            key(op::GETQ, "a").opaque(1),
            Packet::storing(op::SETQ, "a", "1").opaque(2),
            key(op::DELETEQ, "b").opaque(3),
        ]));
        let told: Vec<_> =
            (0..2).map(|_| client.packet()).map(|packet| (packet.opcode, packet.status, packet.opaque)).collect();
        assert_eq!(told, [(op::SETQ, 0x84, 2), (op::DELETEQ, 0x84, 3)], "{protocol}");
    }
}

/// Those that wait for too long behind somebody else's request are told so one by one.
#[test]
fn they_are_given_up_one_by_one() {
    let mock = Mock::new();
    let builder = over("binary", &[mock.port()]).set("downstream_max=1").set("wait_queue_timeout=100");
    let (moxi, mut client, mut line) = warm(builder, Dialect::Binary, &mock);
    let mut first = moxi.client();
    first.send("delete held\r\n");
    line.expect_piece(key(op::DELETE, "held").bytes());
    client.send(join([
        Packet::storing(op::SETQ, "a", "1").opaque(1),
        key(op::GETQ, "a").opaque(2),
        key(op::DELETEQ, "a").opaque(3),
    ]));
    let told: Vec<_> =
        (0..2).map(|_| client.packet()).map(|packet| (packet.opcode, packet.status, packet.opaque)).collect();
    assert_eq!(told, [(op::SETQ, 0x85, 1), (op::DELETEQ, 0x85, 3)]);
}

/// So many are under way, and others get their turn; the rest follows, and nothing is lost.
#[test]
fn no_more_than_may_be_unanswered() {
    let mock = Mock::new();
    let builder = over("binary", &[mock.port()]).set("upstream_requests_max=3");
    let (_moxi, mut client, mut line) = warm(builder, Dialect::Binary, &mock);
    let keys: Vec<String> = (0..7).map(|number| format!("key{number}")).collect();
    let asked = keys.iter().map(|name| key(op::GETKQ, name).opaque(1));
    client.send(join(asked.chain([Packet::noop(9)])));
    let mut seen = Vec::new();
    for wanted in [3, 3, 1] {
        let group: Vec<Packet> = (0..wanted).map(|_| line.packet()).collect();
        seen.extend(group.iter().map(|packet| String::from_utf8(packet.key.clone()).expect("text")));
        let close = line.packet();
        assert_eq!(close.opcode, op::NOOP, "{seen:?}");
        line.expect_nothing(std::time::Duration::from_millis(5));
        line.send(Packet::reply(op::NOOP).opaque(close.opaque).bytes());
    }
    assert_eq!(seen, keys);
    client.expect(Packet::noop_done(9).bytes());
}
