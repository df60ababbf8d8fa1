//! Packets of clients that broke others: lengths that contradict each other or the sense of it.

use moxi_test_support::packet::{HEADER, Packet, join, op};

use crate::Targets;

/// A header that says what it likes, and what follows it.
struct Header {
    opcode: u8,
    key: u16,
    extras: u8,
    body: u32,
}

impl Header {
    fn before(self, rest: impl AsRef<[u8]>) -> Vec<u8> {
        let mut bytes = Packet::request(self.opcode).opaque(7).bytes();
        bytes[2..4].copy_from_slice(&self.key.to_be_bytes());
        bytes[4] = self.extras;
        bytes[8..12].copy_from_slice(&self.body.to_be_bytes());
        assert_eq!(bytes.len(), HEADER);
        bytes.extend_from_slice(rest.as_ref());
        bytes
    }
}

/// The connection is closed, with or without a word before that, and nothing behind it is taken for a packet.
#[test]
fn headers_that_broke_others_end_the_connection() {
    let targets = Targets::start();
    let header = |opcode, key, extras, body| Header { opcode, key, extras, body };
    for (of, bytes) in [
        ("memcached 229cf41b", header(op::GET, 1, 0, 0x8000_0000).before("k")),
        ("memcached 229cf41b", header(op::GETQ, 1, 0, 0xffff_ffff).before("k")),
        ("memcached 229cf41b", header(op::SET, 1, 8, 0xffff_ffff).before([0; 109])),
        ("memcached 229cf41b", header(op::SETQ, 1, 8, 0x8000_0001).before([0; 109])),
        ("memcached #1290", header(op::APPEND, 1, 0, 0x7fff_ffff).before("kx")),
        ("memcached #629", header(op::SET, 1, 0x30, 0x31 + 10).before([0; 0x31 + 10])),
        ("memcached #629", header(op::GET, 1, 255, 256).before([0; 256])),
        ("mcrouter 81fc970b", header(op::GET, 10, 0, 5).before("kkkkkkkkkk")),
        ("mcrouter 81fc970b", header(op::GET, 0xffff, 0xff, 0).before([0; 64])),
        ("twemproxy #115", header(op::GET, 251, 0, 251).before([b'k'; 251])),
    ] {
        for (name, mut client) in targets.clients() {
            println!("{of} {name}");
            client.send(&bytes);
            client.send_into_the_dark(Packet::request(op::VERSION).opaque(9).bytes());
            let said = client.rest();
            assert!(said.len() < HEADER || said.get(1) != Some(&op::VERSION), "{said:?}");
            assert!(!said.windows(4).any(|it| it == 9u32.to_be_bytes()), "something behind it was answered: {said:?}");
        }
    }
}

/// GETK and GETKQ of keys that are not there, found ones and values of no length: all are in step (memcached 7aa08ac2,
/// 5e26fb6d, 32ea7d8b, 11b5f9bb).
#[test]
fn packets_that_broke_others_are_answered() {
    let targets = Targets::start();
    let longest = "k".repeat(250);
    let flags = [0; 4];
    for (of, sent, answered) in [
        (
            "memcached 7aa08ac2",
            join([Packet::request(op::GETK).key("nobody").opaque(3), Packet::noop(4)]),
            vec![Packet::reply(op::GETK).key("nobody").status(1).opaque(3), Packet::noop_done(4)],
        ),
        (
            "memcached 7aa08ac2",
            join([Packet::request(op::GETKQ).key("nobody").opaque(3), Packet::noop(4)]),
            vec![Packet::noop_done(4)],
        ),
        (
            "memcached 5e26fb6d",
            join([
                Packet::storing(op::SET, "z", ""),
                Packet::request(op::GET).key("z"),
                Packet::request(op::APPEND).key("z"),
                Packet::request(op::GETK).key("z"),
            ]),
            vec![
                Packet::reply(op::SET),
                Packet::reply(op::GET).extras(flags),
                Packet::reply(op::APPEND),
                Packet::reply(op::GETK).extras(flags).key("z"),
            ],
        ),
        (
            "memcached 32ea7d8b",
            join([
                Packet::storing(op::ADD, "a", "1"),
                Packet::storing(op::ADDQ, "a", "1").opaque(5),
                Packet::storing(op::REPLACEQ, "b", "1").opaque(6),
                Packet::noop(7),
            ]),
            vec![
                Packet::reply(op::ADD),
                Packet::reply(op::ADDQ).status(2).opaque(5),
                Packet::reply(op::REPLACEQ).status(1).opaque(6),
                Packet::noop_done(7),
            ],
        ),
        (
            "memcached 11b5f9bb",
            join([Packet::storing(op::SET, &longest, "v"), Packet::request(op::GET).key(&longest)]),
            vec![Packet::reply(op::SET), Packet::reply(op::GET).extras(flags).value("v")],
        ),
        (
            "mcrouter #334",
            join([
                Packet::storing(op::SET, "n", "abc"),
                Packet::counting(op::INCR, "n", 1, 0, 0),
                Packet::counting(op::INCRQ, "n", 1, 0, 0).opaque(8),
                Packet::noop(9),
            ]),
            vec![
                Packet::reply(op::SET),
                Packet::reply(op::INCR).status(6),
                Packet::reply(op::INCRQ).status(6).opaque(8),
                Packet::noop_done(9),
            ],
        ),
    ] {
        for (name, mut client) in targets.clients() {
            println!("{of} {name}");
            client.send(&sent);
            for wanted in &answered {
                let mut found = client.packet();
                found.cas = 0;
                if found.status != 0 {
                    // The texts are 02 §9.1's, and tested there.
                    found.value.clear();
                }
                assert_eq!(found, *wanted, "{of} {name}");
            }
            client.send(Packet::request(op::VERSION).opaque(9).bytes());
            assert_eq!(client.packet().value, env!("CARGO_PKG_VERSION").as_bytes());
        }
    }
}

/// A token of megabytes, where a name and a password are wanted (memcached 9981d748).
#[test]
fn a_huge_token() {
    let targets = Targets::start();
    for (name, mut client) in targets.clients() {
        println!("{name}");
        client.send(Packet::request(op::SASL_AUTH).key("PLAIN").value(vec![b'x'; 1_000_000]).opaque(3).bytes());
        let answer = client.packet();
        assert_eq!((answer.status, answer.opaque), (0x81, 3));
        client.send(Packet::noop(4).bytes());
        assert_eq!(client.packet(), Packet::noop_done(4));
    }
}

/// One item, asked for more often than 16 bits can count, by somebody who does not read: it stays what it is, and memory
/// is bounded (memcached e3b7d33c).
#[test]
fn an_item_that_is_wanted_very_often() {
    let mut targets = Targets::start();
    let mut owner = targets.built_in();
    let value = vec![b'v'; 1000];
    owner.send(Packet::storing(op::SET, "a", &value).bytes());
    assert_eq!(owner.packet().status, 0);
    let mut greedy = targets.built_in();
    let before = targets.proxies[0].1.process().memory();
    let asked = Packet::request(op::GET).key("a").bytes().repeat(1000);
    greedy.socket().set_write_timeout(Some(std::time::Duration::from_millis(200))).expect("timeout");
    for _ in 0..200 {
        greedy.send_into_the_dark(&asked);
    }
    owner.send(Packet::request(op::GET).key("a").bytes());
    assert_eq!(owner.packet().value, value);
    let after = targets.proxies[0].1.process().memory();
    assert!(after < before + (64 << 20), "{after} bytes, {before} before");
    drop(greedy);
    owner.send(join([Packet::request(op::DELETE).key("a"), Packet::request(op::GET).key("a")]));
    assert_eq!((owner.packet().status, owner.packet().status), (0, 1));
}
