//! Binary clients.

use moxi_test_support::Packet;
use moxi_test_support::packet::op;

use crate::cells::{self, Cell, Servers};
use crate::side::{LAST_CAS, Side, WRONG_CAS, brief};

/// All that are quiet.
const QUIET: [u8; 13] = [
    op::GETQ,
    op::GETKQ,
    op::SETQ,
    op::ADDQ,
    op::REPLACEQ,
    op::DELETEQ,
    op::INCRQ,
    op::DECRQ,
    op::FLUSHQ,
    op::APPENDQ,
    op::PREPENDQ,
    op::GATQ,
    op::GATKQ,
];

/// The largest value that a memcached with the usual limit takes for short keys, and one that it does not.
const LARGE: usize = (1 << 20) - 200;
const TOO_LARGE: usize = (1 << 20) + 1;

/// Requests that are sent together.
#[derive(Debug)]
pub struct Step {
    pub name: String,
    pub packets: Vec<Packet>,
}

fn key(opcode: u8, key: &str) -> Packet {
    Packet::request(opcode).key(key)
}

fn store(opcode: u8, name: &str, flags: u32, value: impl AsRef<[u8]>) -> Packet {
    expiring(opcode, name, flags, 0, value)
}

fn expiring(opcode: u8, name: &str, flags: u32, exptime: u32, value: impl AsRef<[u8]>) -> Packet {
    key(opcode, name).extra32(flags).extra32(exptime).value(value)
}

fn count(opcode: u8, name: &str, delta: u64, initial: u64, exptime: u32) -> Packet {
    key(opcode, name).extra64(delta).extra64(initial).extra32(exptime)
}

fn touch(opcode: u8, name: &str, exptime: u32) -> Packet {
    key(opcode, name).extra32(exptime)
}

/// The requests, in their order. Nothing counts on from 2^63 or above ([`crate::cells`]).
pub fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut opaque = 0x1000;
    let mut step = |name: &str, mut packets: Vec<Packet>| {
        for packet in &mut packets {
            opaque += 3;
            packet.opaque = opaque;
        }
        steps.push(Step { name: name.to_owned(), packets });
    };
    let one = |packet: Packet| vec![packet];

    for opcode in [op::GET, op::GETK] {
        step("a miss", one(key(opcode, "none")));
    }
    step("set", one(store(op::SET, "a", 0xdead_beef, "value")));
    step("set of nothing", one(store(op::SET, "empty", 7, "")));
    step("set of line ends", one(store(op::SET, "ends", 0, "\r\nEND\r\n\0VALUE x 0 1\r\n")));
    for opcode in [op::GET, op::GETK] {
        for name in ["a", "empty", "ends"] {
            step("a hit", one(key(opcode, name)));
        }
    }
    step("several at once", ["a", "none", "empty", "a"].map(|name| key(op::GETK, name)).to_vec());
    step("add of what exists", one(store(op::ADD, "a", 1, "x")));
    step("add", one(store(op::ADD, "b", 1, "x")));
    step("replace of what is missing", one(store(op::REPLACE, "none", 1, "x")));
    step("replace", one(store(op::REPLACE, "b", 2, "yy")));
    for opcode in [op::APPEND, op::PREPEND] {
        step("append, prepend", one(key(opcode, "b").value("><")));
        step("append, prepend of what is missing", one(key(opcode, "none").value("><")));
    }
    step("what came out", one(key(op::GETK, "b")));

    for (name, cas) in [("right id", LAST_CAS), ("wrong id", WRONG_CAS)] {
        for opcode in [op::SET, op::REPLACE] {
            step("get for the id", one(key(op::GET, "b")));
            step(&format!("{opcode:#x} with the {name}"), one(store(opcode, "b", 3, "cas").cas(cas)));
        }
        for opcode in [op::APPEND, op::PREPEND] {
            step("get for the id", one(key(op::GET, "b")));
            step(&format!("{opcode:#x} with the {name}"), one(key(opcode, "b").value("+").cas(cas)));
        }
        step("get after the ids", one(key(op::GET, "b")));
    }
    step("set with an id of what is missing", one(store(op::SET, "none", 3, "cas").cas(77)));
    step("delete with the wrong id", one(key(op::DELETE, "b").cas(WRONG_CAS)));
    step("get for the id", one(key(op::GET, "b")));
    step("delete with the right id", one(key(op::DELETE, "b").cas(LAST_CAS)));
    step("delete of what is missing", one(key(op::DELETE, "b")));
    step("delete", one(key(op::DELETE, "empty")));

    step("incr creates", one(count(op::INCR, "n", 5, 100, 0)));
    step("incr", one(count(op::INCR, "n", 5, 100, 0)));
    step("decr", one(count(op::DECR, "n", 6, 100, 0)));
    step("decr creates", one(count(op::DECR, "most", 6, u64::MAX, 0)));
    step("incr creates", one(count(op::INCR, "m", 1, 5, 0)));
    step("incr over the end", one(count(op::INCR, "m", u64::MAX, 0, 0)));
    step("decr below 0", one(count(op::DECR, "m", 9, 0, 0)));
    step("incr without creation", one(count(op::INCR, "none", 1, 5, u32::MAX)));
    step("decr without creation", one(count(op::DECR, "none", 1, 5, u32::MAX)));
    step("incr of a word", one(count(op::INCR, "a", 1, 5, 0)));
    step("incr by much", one(count(op::INCR, "m", u64::MAX, 5, 0)));
    step("the numbers", ["n", "m", "most", "none"].map(|name| key(op::GETK, name)).to_vec());
    step("incr with the wrong id", one(count(op::INCR, "n", 1, 5, 0).cas(WRONG_CAS)));
    step("get for the id", one(key(op::GET, "n")));
    step("incr with the right id", one(count(op::INCR, "n", 1, 5, 0).cas(LAST_CAS)));

    step("expired before it is stored", one(expiring(op::SET, "old", 1, 1_000_000_000, "x")));
    step("get of what has expired", one(key(op::GET, "old")));
    step("never expires", one(expiring(op::SET, "new", 1, u32::MAX, "x")));
    step("get of what does not expire", one(key(op::GET, "new")));
    step("incr creates with expiry", one(count(op::INCR, "young", 1, 6, 1000)));
    step("touch", one(touch(op::TOUCH, "a", 1000)));
    step("touch of what is missing", one(touch(op::TOUCH, "none", 1000)));
    for opcode in [op::GAT, op::GATK] {
        step("get and touch", one(touch(opcode, "a", 0)));
        step("get and touch of what is missing", one(touch(opcode, "none", 0)));
    }
    for opcode in [op::GATQ, op::GATKQ] {
        let quiet = ["a", "none", "n", "none2"].map(|name| touch(opcode, name, 500));
        step("get and touch quietly", quiet.to_vec());
    }
    step("touch into the past", one(touch(op::TOUCH, "new", 1_000_000_000)));
    step("get after that", one(key(op::GETK, "new")));

    for opcode in [op::GETQ, op::GETKQ] {
        let mut quiet: Vec<_> = (0..20).map(|number| key(opcode, ["a", "none", "n"][number % 3])).collect();
        step("quiet gets, NOOP", quiet.clone());
        quiet.push(key(op::GETK, "a"));
        step("quiet gets, GETK", quiet.clone());
        quiet.push(key(op::GET, "none"));
        step("quiet gets, GETK, GET", quiet);
    }
    let many: Vec<_> =
        (0..50).map(|number| store(op::SETQ, &format!("q{number}"), number, format!("{number}"))).collect();
    step("quiet sets, NOOP", many.clone());
    step("what they have set", (0..50).map(|number| key(op::GETK, &format!("q{number}"))).collect());
    let mut closed = many;
    closed.push(key(op::GET, "q49"));
    step("quiet sets, GET", closed);
    let mut mixed = Vec::new();
    for number in 0..10 {
        let name = |word: &str| format!("{word}{number}");
        mixed.extend([
            store(op::ADDQ, &name("new"), 1, "1"),
            store(op::ADDQ, &name("new"), 1, "2"),
            store(op::REPLACEQ, &name("new"), 1, "3"),
            store(op::REPLACEQ, &name("none"), 1, "4"),
            key(op::APPENDQ, &name("new")).value("0"),
            key(op::APPENDQ, &name("none")).value("0"),
            key(op::PREPENDQ, &name("new")).value("1"),
            key(op::PREPENDQ, &name("none")).value("1"),
            count(op::INCRQ, &name("new"), 2, 0, 0),
            count(op::DECRQ, &name("new"), 1, 0, 0),
            count(op::INCRQ, &name("none"), 2, 0, u32::MAX),
            count(op::INCRQ, "a", 2, 0, 0),
            key(op::GETKQ, &name("new")),
            store(op::SETQ, &name("new"), 1, "5").cas(77),
            key(op::DELETEQ, &name("new")),
            key(op::DELETEQ, &name("none")),
            key(op::GETQ, &name("new")),
        ]);
    }
    step("all that is quiet, NOOP", mixed.clone());
    mixed.push(store(op::SET, "last", 1, "6"));
    step("all that is quiet, SET", mixed);
    step("a quiet one behind a loud one", vec![key(op::GETK, "a"), key(op::GETQ, "a"), key(op::GETK, "n")]);
    step("many opaque values", (0..400).map(|number| key(op::GETK, ["a", "none", "n"][number % 3])).collect());

    step("large", one(store(op::SET, "large", 9, vec![b'l'; LARGE])));
    step("get of it", one(key(op::GETK, "large")));
    step("too large", one(store(op::SET, "large", 9, vec![b'l'; TOO_LARGE])));
    step("get after that", one(key(op::GETK, "large")));
    step("too large, quietly", vec![store(op::SETQ, "large2", 9, vec![b'l'; TOO_LARGE]), key(op::GET, "a")]);
    step(
        "large ones, quietly",
        (0..4).map(|number| store(op::SETQ, &format!("l{number}"), 9, vec![b'q'; 900_000])).collect(),
    );
    step("and back", (0..4).map(|number| key(op::GETKQ, &format!("l{number}"))).collect());

    step("version", one(Packet::request(op::VERSION)));
    step("noop", one(Packet::noop(0)));
    step("long key", one(store(op::SET, &"k".repeat(250), 1, "x")));
    step("get of it", one(key(op::GETK, &"k".repeat(250))));

    step("flush", one(Packet::request(op::FLUSH)));
    step("get after that", one(key(op::GETK, "a")));
    step("set after flush", one(store(op::SET, "a", 1, "x")));
    step("flush in a day", one(Packet::request(op::FLUSH).extra32(86_400)));
    step("get before that", one(key(op::GETK, "a")));
    step("quiet flush", vec![Packet::request(op::FLUSHQ), key(op::GETK, "a")]);
    step("quiet flush with time", vec![Packet::request(op::FLUSHQ).extra32(0)]);
    step("get after flush", one(key(op::GETK, "a")));
    steps
}

/// In an order that does not depend on which server was quicker.
fn in_order(mut replies: Vec<Packet>) -> Vec<Packet> {
    replies.sort_by_key(|reply| reply.opaque);
    replies
}

#[test]
fn binary_clients() {
    let servers = Servers::start();
    let steps = steps();
    let bad: Vec<_> = cells::all().into_iter().flat_map(|cell| differences(&servers, cell, &steps)).collect();
    assert!(bad.is_empty(), "{} differences:\n{}", bad.len(), bad.join("\n"));
}

/// Where the two clients did not get the same.
pub fn differences(servers: &Servers, cell: Cell, steps: &[Step]) -> Vec<String> {
    let mut bad = Vec::new();
    let moxi = servers.moxi(cell);
    let (mut direct, mut proxied) = (Side::new(servers.direct()), Side::new(moxi.client()));
    for Step { name, packets } in steps {
        let expected = direct.packets(packets);
        let got = proxied.packets(packets);
        // What closes the quiet ones is answered last.
        let closing = packets.last().filter(|packet| !QUIET.contains(&packet.opcode)).map(|packet| packet.opaque);
        let is_last = got.iter().position(|reply| Some(reply.opaque) == closing).is_none_or(|at| at + 1 == got.len());
        let (expected, got) = (in_order(expected), in_order(got));
        if expected != got || !is_last {
            bad.push(format!("{cell:?}: {name}\n expected\n{} got\n{}", brief(&expected), brief(&got)));
        }
    }
    bad
}
