//! Binary packets that no client should send, and those that only some servers understand.

use std::time::Duration;

use moxi_test_support::packet::{Packet, join, op};

use crate::cells::{self, Cell, Servers};
use crate::side::{Side, brief, to_the_end};

/// One server and four, in either protocol.
fn few() -> impl Iterator<Item = Cell> {
    cells::all().into_iter().filter(|cell| cell.hash == "modula")
}

/// Opcodes with the lengths of their extras, whether they have a key, and whether they may have a value.
const SHAPES: [(u8, usize, bool, bool); 32] = [
    (0x00, 0, true, false),
    (0x01, 8, true, true),
    (0x02, 8, true, true),
    (0x03, 8, true, true),
    (0x04, 0, true, false),
    (0x05, 20, true, false),
    (0x06, 20, true, false),
    (0x07, 0, false, false),
    (0x08, 4, false, false),
    (0x09, 0, true, false),
    (0x0a, 0, false, false),
    (0x0b, 0, false, false),
    (0x0c, 0, true, false),
    (0x0d, 0, true, false),
    (0x0e, 0, true, true),
    (0x0f, 0, true, true),
    (0x11, 8, true, true),
    (0x12, 8, true, true),
    (0x13, 8, true, true),
    (0x14, 0, true, false),
    (0x15, 20, true, false),
    (0x16, 20, true, false),
    (0x17, 0, false, false),
    (0x18, 4, false, false),
    (0x19, 0, true, true),
    (0x1a, 0, true, true),
    (0x1c, 4, true, false),
    (0x1d, 4, true, false),
    (0x1e, 4, true, false),
    (0x23, 4, true, false),
    (0x24, 4, true, false),
    (0x10, 0, true, false),
];

fn packet(opcode: u8, extras: usize, key: usize, value: usize) -> Packet {
    Packet::request(opcode).opaque(5).extras(vec![0; extras]).key(vec![b'k'; key]).value(vec![b'v'; value])
}

/// Packets of known opcodes with the wrong parts.
fn wrong_shapes() -> Vec<Packet> {
    let mut packets = Vec::new();
    for (opcode, extras, has_key, may_have_value) in SHAPES {
        let key = usize::from(has_key);
        packets.push(packet(opcode, extras + 1, key, 0));
        if extras > 0 {
            packets.push(packet(opcode, extras - 1, key, 0));
        }
        if opcode != op::STAT {
            packets.push(packet(opcode, extras, 1 - key, 0));
        }
        if !may_have_value {
            packets.push(packet(opcode, extras, key, 3));
        }
        packets.push(packet(opcode, extras, 251, 0));
    }
    packets
}

/// 0x04, then the end, as memcached does; nothing of it reaches a server. What is behind it is not answered.
#[test]
fn wrong_shapes_end_the_connection() {
    let servers = Servers::start();
    for cell in few() {
        let moxi = servers.moxi(cell);
        let mut neighbour = Side::new(moxi.client());
        for packet in wrong_shapes() {
            let got = to_the_end(moxi.client(), &join([packet.clone(), Packet::noop(0)]));
            let what = format!("{cell:?}: {}got\n{}", brief(std::slice::from_ref(&packet)), brief(&got));
            assert_eq!(got.len(), 1, "{what}");
            assert_eq!((got[0].opcode, got[0].status, got[0].opaque), (packet.opcode, 4, 5), "{what}");
            assert_eq!(neighbour.packets(&[Packet::request(op::GETK).key("none")]).len(), 1);
        }
    }
}

#[test]
fn a_memcached_treats_wrong_shapes_alike() {
    let servers = Servers::start();
    let mut unlike = Vec::new();
    // It does not look at the length of these two, and takes what is too much of a touch for the next packet.
    let is_touch = |packet: &Packet| matches!(packet.opcode, 0x1c | 0x1d | 0x1e | 0x23 | 0x24);
    for packet in wrong_shapes()
        .into_iter()
        .filter(|packet| !is_touch(packet) && packet.opcode != op::STAT || packet.value.is_empty())
    {
        let got = to_the_end(servers.direct(), &packet.bytes());
        if got.len() != 1 || (got[0].opcode, got[0].status) != (packet.opcode, 4) {
            unlike.push(format!("{}{}", brief(&[packet]), brief(&got)));
        }
    }
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
}

#[test]
fn quit() {
    let servers = Servers::start();
    for cell in few() {
        let moxi = servers.moxi(cell);
        for opcode in [op::QUIT, op::QUITQ] {
            let set = Packet::storing(op::SETQ, format!("q{opcode}"), "1").opaque(1);
            let bytes = join([set, Packet::request(opcode).opaque(2), Packet::noop(3)]);
            assert_eq!(to_the_end(moxi.client(), &bytes), to_the_end(servers.direct(), &bytes), "{cell:?}");
            // What was quiet has been done.
            let mut client = Side::new(moxi.client());
            let got = client.packets(&[Packet::request(op::GET).key(format!("q{opcode}"))]);
            assert_eq!(got[0].value, b"1", "{cell:?}");
        }
    }
}

/// What a plain memcached does not know is unknown here, too, and the connection lives.
#[test]
fn unknown_opcodes() {
    let servers = Servers::start();
    for cell in few() {
        let moxi = servers.builder(cell).set("downstream_timeout=500").start();
        let (mut direct, mut proxied) = (Side::new(servers.direct()), Side::new(moxi.client()));
        for opcode in [0x25, 0x60, op::SASL_LIST, 0xc1] {
            let packet = [Packet::request(opcode).opaque(7)];
            let (expected, got) = (direct.packets(&packet), proxied.packets(&packet));
            assert_eq!(got, expected, "{cell:?}: {opcode:#x}\n{}\n{}", brief(&expected), brief(&got));
        }
        // With a key a memcached loses its step; moxi answers all the same, and others do not notice.
        let mut neighbour = Side::new(moxi.client());
        for opcode in [0x30, 0x60, 0xc1, op::GETL, op::UNL] {
            let got = proxied.packets(&[Packet::request(opcode).key("some key").opaque(7)]);
            let what = format!("{cell:?}: {opcode:#x}\n{}", brief(&got));
            assert_eq!(got.len(), 1, "{what}");
            assert_eq!((got[0].opcode, got[0].opaque), (opcode, 7), "{what}");
            assert_ne!(got[0].status, 0, "{what}");
            let near = neighbour.packets(&[Packet::request(op::GETK).key("none")]);
            assert_eq!((near.len(), near[0].status), (1, 1), "{what}");
        }
    }
}

/// SASL where nobody can authenticate: as a memcached without it.
#[test]
fn sasl_without_credentials() {
    let servers = Servers::start();
    for cell in few() {
        let moxi = servers.moxi(cell);
        let mut proxied = Side::new(moxi.client());
        let packets = [
            Packet::request(op::SASL_LIST).opaque(1),
            Packet::request(op::SASL_AUTH).opaque(2).key("PLAIN").value("\0someone\0secret"),
        ];
        let got = proxied.packets(&packets);
        assert_eq!(got.iter().map(|reply| reply.status).collect::<Vec<_>>(), [0x81, 0x81], "{cell:?}");
    }
}

#[test]
fn statistics() {
    let servers = Servers::start();
    for cell in few() {
        let moxi = servers.moxi(cell);
        let mut client = Side::new(moxi.client());
        let stats = |client: &mut Side, key: &str| {
            let mut got = client.packets(&[Packet::request(op::STAT).key(key).opaque(9)]);
            let end = got.pop().expect("a terminator");
            assert_eq!(end, Packet::reply(op::STAT).opaque(9), "{cell:?}: {key:?}");
            for reply in &got {
                assert_eq!((reply.opcode, reply.status, reply.opaque), (op::STAT, 0, 9), "{cell:?}");
                assert!(!reply.key.is_empty(), "{cell:?}");
            }
            got
        };
        let names = |got: &[Packet]| -> Vec<String> {
            got.iter().map(|reply| String::from_utf8_lossy(&reply.key).into_owned()).collect()
        };
        client.packets(&[Packet::storing(op::SET, "a", "1")]);
        let all = stats(&mut client, "");
        let items = all.iter().find(|reply| reply.key == b"curr_items").expect("curr_items");
        assert_ne!(items.value, b"0", "{cell:?}");
        for name in ["pid", "version", "uptime", "threads", "cmd_get"] {
            assert!(names(&all).iter().any(|other| other == name), "{cell:?}: {name}");
        }
        assert!(names(&stats(&mut client, "settings")).iter().any(|name| name == "maxbytes"), "{cell:?}");
        assert!(names(&stats(&mut client, "items")).iter().any(|name| name.ends_with(":number")), "{cell:?}");
        stats(&mut client, "reset");
        let version = client.packets(&[Packet::request(op::VERSION).opaque(1)]);
        assert_eq!((version.len(), version[0].status), (1, 0));
    }
}

/// A client that stops in the middle of a packet does not hold up another.
#[test]
fn half_a_packet() {
    let servers = Servers::start();
    for cell in few() {
        let moxi = servers.moxi(cell);
        let mut neighbour = Side::new(moxi.client());
        let set = Packet::storing(op::SET, "a", "value").bytes();
        for at in [1, 12, 23, 24, 30, 34] {
            let mut half = moxi.client();
            half.send(&set[..at]);
            half.expect_nothing(Duration::from_millis(3));
            assert_eq!(neighbour.packets(&[Packet::request(op::GETK).key("a")])[0].status, 1, "{cell:?}: {at}");
        }
    }
}
