//! Expiry at every boundary, by every command that takes one: what is left of an item is what a memcached beside it
//! would have left to the same client.

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Moxi, Wire};

use crate::cells::{self, Cell, Servers};
use crate::side::{Side, brief};

/// What becomes of an item whose expiry is this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lives,
    Gone,
    /// The command is refused: it is no number, or too large for any.
    Refused,
}
use Fate::{Gone, Lives, Refused};

/// In ASCII commands. memcached keeps 32 bits of them, with a sign. None is a second or two ([`crate::cells`]).
const ASCII: [(&str, Fate); 23] = [
    ("0", Lives),
    ("-0", Lives),
    ("100", Lives),
    ("2592000", Lives),
    ("2592001", Gone),
    ("2147483647", Lives),
    ("2147483648", Gone),
    ("4294967294", Gone),
    ("4294967295", Gone),
    ("4294967296", Lives),
    ("4297559297", Gone),
    ("99999999999", Gone),
    ("9223372036854775807", Gone),
    ("9223372036854775808", Refused),
    ("18446744073709551615", Refused),
    ("99999999999999999999", Refused),
    ("-1", Gone),
    ("-2147483648", Gone),
    ("-9223372036854775809", Refused),
    ("x", Refused),
    ("1x", Refused),
    ("0x10", Refused),
    ("1.5", Refused),
];

/// The commands; `E` is the expiry.
const COMMANDS: [&str; 11] = [
    "set k 0 E 1\r\n2\r\n",
    "set k 0 E 1 noreply\r\n2\r\n",
    "delete k\r\nadd k 0 E 1\r\n2\r\n",
    "replace k 0 E 1\r\n2\r\n",
    "cas k 0 E 1 @CAS@\r\n2\r\n",
    "touch k E\r\n",
    "touch k E noreply\r\n",
    "gat E k\r\n",
    "gats E k\r\n",
    "gat E none k\r\n",
    "gats E k none\r\n",
];

/// In packets: 32 bits without a sign.
const BINARY: [(u32, Fate); 7] = [
    (0, Lives),
    (100, Lives),
    (2_592_000, Lives),
    (2_592_001, Gone),
    ((1 << 31) - 1, Lives),
    (1 << 31, Lives),
    (u32::MAX, Lives),
];

/// The packets that take an expiry.
fn packets(exptime: u32) -> Vec<Packet> {
    let packet = |code| Packet::request(code).key("k").opaque(7);
    let stored = |code| packet(code).extra32(5).extra32(exptime).value("2");
    let touched = |code| packet(code).extra32(exptime);
    let counted = |code| packet(code).extra64(1).extra64(8).extra32(exptime);
    vec![
        stored(op::SET),
        stored(op::SETQ),
        stored(op::ADD),
        stored(op::REPLACE),
        touched(op::TOUCH),
        touched(op::GAT),
        touched(op::GATQ),
        touched(op::GATK),
        touched(op::GATKQ),
        counted(op::INCR),
        counted(op::INCRQ),
        counted(op::DECR),
    ]
}

/// The delays of an ASCII `flush_all`: none of them ends soon. Dates that are past are not among them: a memcached
/// takes no notice of such a command, and so do both kinds of servers; the built-in one flushes at once.
const DELAYS: [(&str, Fate); 10] = [
    ("0", Gone),
    ("2592000", Lives),
    ("2147483647", Lives),
    ("2147483648", Gone),
    ("4294967295", Gone),
    ("4294967296", Gone),
    ("9223372036854775807", Gone),
    ("-1", Gone),
    ("-2147483648", Gone),
    ("9223372036854775808", Refused),
];

const BINARY_DELAYS: [(u32, Fate); 5] =
    [(0, Gone), (2_592_000, Lives), ((1 << 31) - 1, Lives), (1 << 31, Lives), (u32::MAX, Lives)];

/// A client of each arrangement: over ASCII and binary servers, of the built-in server, and over that one, which knows
/// no meta commands.
fn everywhere(servers: &Servers, test: impl Fn(&str, Wire) -> Vec<String>) {
    let mut bad = Vec::new();
    for protocol in ["ascii", "binary"] {
        let moxi = servers.moxi(Cell { protocol, servers: 1, hash: "modula" });
        bad.extend(test(protocol, moxi.client()));
    }
    let (moxi, port): (Moxi, _) = cells::built_in("ascii");
    bad.extend(test("built-in", Wire::connect("client", port.number())));
    bad.extend(test("over the built-in", moxi.client()));
    assert!(bad.is_empty(), "{} differences:\n{}", bad.len(), bad.join("\n"));
}

fn fate(lives: bool, refused: bool) -> Fate {
    match (lives, refused) {
        (_, true) => Refused,
        (true, _) => Lives,
        (false, _) => Gone,
    }
}

#[test]
fn ascii_clients() {
    let servers = Servers::start();
    everywhere(&servers, |name, client| {
        let (mut direct, mut proxied) = (Side::new(servers.direct()), Side::new(client));
        let mut bad = Vec::new();
        for (exptime, expected) in ASCII {
            for command in COMMANDS {
                let command = command.replace('E', exptime);
                let run = |side: &mut Side| {
                    side.text("flush_all\r\nset k 0 0 1\r\n1\r\ngets k\r\n");
                    (side.text(&command), side.text("get k\r\n"))
                };
                let ((said, left), got) = (run(&mut direct), run(&mut proxied));
                // What is refused leaves the item as it was; but the `add` comes after a `delete`.
                let refused = said.contains("CLIENT_ERROR") || command.contains("noreply") && expected == Refused;
                let found = fate(left.starts_with("VALUE"), refused);
                assert_eq!(found, expected, "memcached: {command:?}: {said:?}, then {left:?}");
                if got != (said.clone(), left.clone()) {
                    bad.push(format!("{name}: {command:?}\n  expected {:?}\n  got      {got:?}", (said, left)));
                }
            }
        }
        bad
    });
}

#[test]
fn binary_clients() {
    let servers = Servers::start();
    everywhere(&servers, |name, client| {
        let (mut direct, mut proxied) = (Side::new(servers.direct()), Side::new(client));
        let mut bad = Vec::new();
        for (exptime, expected) in BINARY {
            for packet in packets(exptime) {
                // These are to meet nothing; the others find something.
                let is_count = matches!(packet.opcode, op::INCR | op::INCRQ | op::DECR);
                let is_new = is_count || packet.opcode == op::ADD;
                let run = |side: &mut Side| {
                    side.packets(&[Packet::request(op::DELETE).key("k")]);
                    if !is_new {
                        side.packets(&[Packet::storing(op::SET, "k", "1")]);
                    }
                    let mut replies = side.packets(std::slice::from_ref(&packet));
                    replies.extend(side.packets(&[Packet::request(op::GETK).key("k")]));
                    // Classic commands do not tell the id of what they have stored.
                    if name == "over the built-in" {
                        replies.iter_mut().for_each(|reply| reply.cas = 0);
                    }
                    replies
                };
                let (mut said, got) = (run(&mut direct), run(&mut proxied));
                let left = said.last().expect("a reply").status == 0;
                // This one says that nothing is to be made.
                let expected = if is_count && exptime == u32::MAX { Gone } else { expected };
                assert_eq!(fate(left, false), expected, "memcached: {exptime}: {}", brief(&said));
                if name == "over the built-in" {
                    said.iter_mut().for_each(|reply| reply.cas = 0);
                }
                if got != said {
                    let (packet, said, got) = (brief(&[packet]), brief(&said), brief(&got));
                    bad.push(format!("{name}: {exptime}: {packet}  expected\n{said}  got\n{got}"));
                }
            }
        }
        bad
    });
}

#[test]
fn delayed_flushes() {
    let servers = Servers::start();
    everywhere(&servers, |name, client| {
        let (mut direct, mut proxied) = (Side::new(servers.direct()), Side::new(client));
        let mut bad = Vec::new();
        for (delay, expected) in DELAYS {
            for noreply in ["", " noreply"] {
                let run = |side: &mut Side| {
                    side.text("flush_all\r\nset k 0 0 1\r\n1\r\n");
                    side.text(&format!("flush_all {delay}{noreply}\r\n"));
                    side.text("get k\r\n")
                };
                let (left, got) = (run(&mut direct), run(&mut proxied));
                let found = fate(left.starts_with("VALUE"), expected == Refused);
                assert_eq!(found, expected, "memcached: {delay}: {left:?}");
                if got != left {
                    bad.push(format!("{name}: flush_all {delay}{noreply}: expected {left:?}, got {got:?}"));
                }
            }
        }
        bad
    });
    everywhere(&servers, |name, client| {
        let (mut direct, mut proxied) = (Side::new(servers.direct()), Side::new(client));
        let mut bad = Vec::new();
        for ((delay, expected), code) in BINARY_DELAYS.into_iter().flat_map(|row| [(row, op::FLUSH), (row, op::FLUSHQ)])
        {
            let run = |side: &mut Side| {
                side.packets(&[Packet::request(op::FLUSH)]);
                side.packets(&[Packet::storing(op::SET, "k", "1")]);
                side.packets(&[Packet::request(code).extra32(delay)]);
                side.packets(&[Packet::request(op::GETK).key("k")])[0].status == 0
            };
            let (left, got) = (run(&mut direct), run(&mut proxied));
            assert_eq!(fate(left, false), expected, "memcached: {delay}");
            if got != left {
                bad.push(format!("{name}: {code:#x} by {delay}: expected {left}, got {got}"));
            }
        }
        bad
    });
}
