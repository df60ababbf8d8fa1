//! Keys that are no words: binary clients may use any bytes, ASCII lines cannot carry all of them.

use moxi_test_support::packet::{Packet, op};

use crate::binary::{Step, differences, steps};
use crate::cells::{self, Cell, Servers};
use crate::side::{Side, brief};

/// The longest key that memcached takes in base64.
const LONGEST: usize = 186;

/// One server and four, in either protocol.
fn few() -> impl Iterator<Item = Cell> {
    cells::all().into_iter().filter(|cell| cell.hash == "modula")
}

/// Makes another key of a word.
type Rename = fn(&[u8]) -> Vec<u8>;

/// All steps with other keys, except those whose key would be too long.
fn renamed(rename: Rename) -> Vec<Step> {
    let mut steps = steps();
    for packet in steps.iter_mut().flat_map(|step| &mut step.packets) {
        if !packet.key.is_empty() && packet.opcode != op::STAT {
            packet.key = rename(&packet.key);
        }
    }
    steps.retain(|step| step.packets.iter().all(|packet| packet.key.len() <= LONGEST));
    steps
}

/// Every command that a binary client has, loud and quiet, with keys of every odd kind.
#[test]
fn all_commands() {
    let kinds: [(&str, Rename); 6] = [
        ("NUL", |key| [b"\0", key].concat()),
        ("blank", |key| [key, b" "].concat()),
        ("CR", |key| [key, b"\r"].concat()),
        ("LF", |key| [b"\n", key].concat()),
        ("a command", |key| [b"\r\nset evil 0 0 1\r\n", key].concat()),
        ("all bytes", |key| {
            (0..=128).map(|at: u8| at.wrapping_mul(2) | key.len() as u8 & 1).chain(key.to_vec()).collect()
        }),
    ];
    let servers = Servers::start();
    for (name, rename) in kinds {
        let steps = renamed(rename);
        for cell in few() {
            let bad = differences(&servers, cell, &steps);
            assert!(bad.is_empty(), "{name}: {} differences:\n{}", bad.len(), bad.join("\n"));
            let evil = Side::new(servers.behind()).packets(&[Packet::request(op::GET).key("evil")]);
            assert_eq!(evil[0].status, 1, "{name}");
        }
    }
}

/// Such keys and words in one batch, over every way to choose a server.
#[test]
fn mixed_with_words() {
    let servers = Servers::start();
    let steps = renamed(|key| match key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 3 {
        0 => key.to_vec(),
        1 => [b"\0", key, b"\r\n"].concat(),
        _ => [key, b" ", key].concat(),
    });
    let bad: Vec<_> = cells::all().into_iter().flat_map(|cell| differences(&servers, cell, &steps)).collect();
    assert!(bad.is_empty(), "{} differences:\n{}", bad.len(), bad.join("\n"));
}

/// The item is the same for who speaks binary to the server itself, whoever has stored it.
#[test]
fn the_server_knows_the_key_itself() {
    let servers = Servers::start();
    for cell in few().filter(|cell| cell.servers == 1) {
        let moxi = servers.moxi(cell);
        let (mut direct, mut proxied) = (Side::new(servers.behind()), Side::new(moxi.client()));
        for key in ["\0", "a b", "a\r\n", "\n"] {
            let set = |value: &str| [Packet::request(op::SET).extra32(7).extra32(0).key(key).value(value)];
            let get = [Packet::request(op::GETK).key(key).opaque(2)];
            let hit = |value| vec![Packet::reply(op::GETK).opaque(2).cas(1).extra32(7).key(key).value(value)];
            proxied.packets(&set("through moxi"));
            assert_eq!(direct.packets(&get), hit("through moxi"), "{cell:?}: {key:?}");
            direct.packets(&set("beside it"));
            assert_eq!(proxied.packets(&get), hit("beside it"), "{cell:?}: {key:?}");
        }
    }
}

/// A key has the same server however it travels there.
#[test]
fn the_key_itself_chooses_the_server() {
    let servers = Servers::start();
    for ascii in cells::all().into_iter().filter(|cell| cell.servers > 1 && cell.protocol == "ascii") {
        let binary = servers.builder(Cell { protocol: "binary", ..ascii });
        let (over_ascii, over_binary) = (servers.moxi(ascii), binary.start());
        let (mut setter, mut getter) = (Side::new(over_ascii.client()), Side::new(over_binary.client()));
        let keys: Vec<_> = (0..40).map(|number| format!("k {number}\r\n")).collect();
        let sets: Vec<_> = keys.iter().map(|key| Packet::storing(op::SETQ, key, key)).collect();
        assert_eq!(setter.packets(&sets), [], "{ascii:?}");
        let gets: Vec<_> = keys.iter().map(|key| Packet::request(op::GETK).key(key)).collect();
        let hit = |key: &String| Packet::reply(op::GETK).extra32(0).cas(1).key(key).value(key);
        assert_eq!(getter.packets(&gets), keys.iter().map(hit).collect::<Vec<_>>(), "{ascii:?}");
    }
}

/// In base64 a key is a third longer, and memcached's limit holds for that: what is too long is refused, loud or
/// quiet, and nothing of it becomes a command. A binary server takes it.
#[test]
fn how_long_they_may_be() {
    let servers = Servers::start();
    for cell in few() {
        let moxi = servers.moxi(cell);
        let (mut direct, mut proxied) = (Side::new(servers.direct()), Side::new(moxi.client()));
        for length in [1, 2, 3, LONGEST - 1, LONGEST, LONGEST + 1, 249, 250] {
            let key = vec![b' '; length];
            let packets = [
                Packet::storing(op::SET, &key, "flush_all\r\n").opaque(1),
                Packet::request(op::GETK).key(&key).opaque(2),
                Packet::storing(op::SETQ, &key, "flush_all\r\n").opaque(3),
                Packet::request(op::GETKQ).key(&key).opaque(4),
                Packet::request(op::GETQ).key("none").opaque(5),
                Packet::request(op::GET).key("none").opaque(6),
            ];
            let got = proxied.packets(&packets);
            let what = format!("{cell:?}: {length}\n{}", brief(&got));
            if cell.protocol == "binary" || length <= LONGEST {
                assert_eq!(got, direct.packets(&packets), "{what}");
                continue;
            }
            let statuses: Vec<_> = got.iter().map(|reply| (reply.opaque, reply.status)).collect();
            assert_eq!(statuses, [(1, 4), (2, 4), (3, 4), (4, 4), (6, 1)], "{what}");
        }
    }
}

/// ASCII clients may use all bytes that do not end a word.
#[test]
fn control_characters_of_ascii_clients() {
    let servers = Servers::start();
    for cell in few() {
        let moxi = servers.moxi(cell);
        let (mut direct, mut proxied) = (servers.direct(), moxi.client());
        for byte in (1..=u8::MAX).filter(|byte| !b"\n ".contains(byte)) {
            let (key, at_end) = ([b'a', byte, b'z'], [b'y', byte]);
            let mut requests = Vec::new();
            for key in [&key[..], &at_end[..], &[byte]] {
                let name = key;
                for (before, after) in [
                    ("set ", " 3 0 1\r\n1\r\n"),
                    ("get ", "\r\n"),
                    ("get none ", "\r\n"),
                    ("incr ", " 1\r\n"),
                    ("append ", " 0 0 1\r\n0\r\n"),
                    ("touch ", " 0\r\n"),
                    ("gat 0 ", "\r\n"),
                    ("delete ", "\r\n"),
                    ("get ", "\r\n"),
                ] {
                    requests.extend_from_slice(&[before.as_bytes(), name, after.as_bytes()].concat());
                }
            }
            requests.extend_from_slice(b"version\r\n");
            let mut replies = [&mut direct, &mut proxied].map(|wire| {
                wire.send(&requests);
                let mut lines = Vec::new();
                while lines.last().is_none_or(|line: &Vec<u8>| !line.starts_with(b"VERSION ")) {
                    lines.push(wire.line());
                }
                lines.pop();
                lines
            });
            let [expected, got] = &mut replies;
            assert_eq!(got, expected, "{cell:?}: {byte}");
        }
    }
}
