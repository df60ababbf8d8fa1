//! The kinds of requests, and which replies to them are legal when the server of half of the keys fails.

use std::time::{Duration, Instant};

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Memcached, Moxi, Wire};

use crate::relay::GARBAGE;

const GETKQ: u8 = op::GETKQ;
const FIRST_OPAQUE: u32 = 0x1000;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    Gets,
    MultiGet,
    Set,
    Delete,
    Flush,
    Stats,
    Noreply,
    BinaryGet,
    BinarySet,
    BinaryNoop,
    Quiet,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 12] = [
        Kind::Get,
        Kind::Gets,
        Kind::MultiGet,
        Kind::Set,
        Kind::Delete,
        Kind::Flush,
        Kind::Stats,
        Kind::Noreply,
        Kind::BinaryGet,
        Kind::BinarySet,
        Kind::BinaryNoop,
        Kind::Quiet,
    ];
}

/// Whether the failing server did its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As if nothing were wrong.
    Good,
    /// A legal failure.
    Failed,
    /// It cannot be told.
    Silent,
}

/// Keys whose servers are known.
#[derive(Debug)]
pub struct Keys {
    /// On the server that stays well.
    pub well: Vec<String>,
    /// On the server that will fail.
    pub ill: Vec<String>,
}

/// The value of a key: it names the key.
pub fn value_of(key: &str) -> String {
    format!("<value of {key}>")
}

impl Keys {
    /// Stores values through moxi and looks where they have gone: `count` on each of the two servers.
    pub fn find(moxi: &Moxi, ill: &Memcached, count: usize) -> Keys {
        let mut keys = Keys { well: Vec::new(), ill: Vec::new() };
        let (mut client, mut direct) = (moxi.client(), ill.client());
        for number in 0.. {
            let key = format!("key{number}");
            set(&mut client, &key);
            direct.send(format!("get {key}\r\n"));
            let list = if direct.line() == b"END\r\n" {
                &mut keys.well
            } else {
                direct.line();
                direct.line();
                &mut keys.ill
            };
            if list.len() < count {
                list.push(key);
            }
            if keys.well.len() == count && keys.ill.len() == count {
                break;
            }
        }
        keys
    }

    /// Stores all values again.
    pub fn store(&self, moxi: &Moxi) {
        let mut client = moxi.client();
        for key in self.well.iter().chain(&self.ill) {
            set(&mut client, key);
        }
    }
}

fn set(client: &mut Wire, key: &str) {
    let value = value_of(key);
    client.send(format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()));
    client.expect("STORED\r\n");
}

/// Makes a request of this kind on a new connection; fails the test unless it gets exactly one legal reply, within
/// `limit`, and the next request the next one.
pub fn ask(moxi: &Moxi, keys: &Keys, kind: Kind, limit: Duration) -> Outcome {
    let mut client = moxi.client();
    client.rename(format!("{kind:?}"));
    let start = Instant::now();
    let outcome = match kind {
        Kind::BinaryGet | Kind::BinarySet | Kind::BinaryNoop | Kind::Quiet => binary(&mut client, keys, kind),
        _ => ascii(&mut client, keys, kind),
    };
    let taken = start.elapsed();
    assert!(taken < limit, "{kind:?}: {outcome:?} after {taken:?}");
    outcome
}

fn ascii(client: &mut Wire, keys: &Keys, kind: Kind) -> Outcome {
    let ill = &keys.ill[0];
    let value = value_of(ill);
    let store = |word: &str| format!("set {ill} 0 0 {}{word}\r\n{value}\r\n", value.len());
    let all: Vec<_> = keys.well.iter().chain(&keys.ill).map(String::as_str).collect();
    let request = match kind {
        Kind::Get => format!("get {ill}\r\n"),
        Kind::Gets => format!("gets {ill}\r\n"),
        Kind::MultiGet => format!("get {}\r\n", all.join(" ")),
        Kind::Delete => format!("delete {ill}\r\n"),
        // In eleven days.
        Kind::Flush => String::from("flush_all 1000000\r\n"),
        Kind::Stats => String::from("stats\r\n"),
        Kind::Noreply => store(" noreply"),
        _ => store(""),
    };
    client.send(request + "version\r\n");
    let outcome = match kind {
        Kind::Get | Kind::Gets => found(values(client, kind == Kind::Gets), &[], &keys.ill[..1]),
        Kind::MultiGet => found(values(client, false), &keys.well, &keys.ill),
        Kind::Set => line(client, &["STORED"]),
        Kind::Delete => line(client, &["DELETED", "NOT_FOUND"]),
        Kind::Flush => order(client),
        Kind::Stats => statistics(client),
        _ => Outcome::Silent,
    };
    let version = client.line();
    assert!(version.starts_with(b"VERSION "), "{kind:?}: the next reply is {}", version.escape_ascii());
    outcome
}

/// One line: one of `good`, or what moxi says of a server that fails (03 §9.1).
fn line(client: &mut Wire, good: &[&str]) -> Outcome {
    let line = String::from_utf8_lossy(&client.line()).into_owned();
    let line = line.trim_end_matches("\r\n");
    if good.contains(&line) {
        return Outcome::Good;
    }
    // A line that moxi does not know is passed on as it is (03 §9.2).
    if line.starts_with(GARBAGE) {
        return Outcome::Failed;
    }
    let legal = [
        "SERVER_ERROR proxy write to downstream",
        "SERVER_ERROR proxy write to downstream 127.0.0.1",
        "SERVER_ERROR proxy downstream timeout",
        "SERVER_ERROR proxy downstream timeout 127.0.0.1",
        "SERVER_ERROR proxy downstream closed 127.0.0.1",
    ];
    assert!(legal.contains(&line), "illegal reply: {line}");
    Outcome::Failed
}

/// Both servers have done it, or the one that has not is named (04 §12).
fn order(client: &mut Wire) -> Outcome {
    let line = String::from_utf8_lossy(&client.line()).into_owned();
    if line == "OK\r\n" {
        return Outcome::Good;
    }
    let (why, names) = line.trim_end().split_once(": not confirmed by ").unwrap_or_else(|| panic!("illegal: {line}"));
    let legal = [
        "SERVER_ERROR proxy write to downstream",
        "SERVER_ERROR proxy downstream timeout",
        "SERVER_ERROR proxy downstream closed",
    ];
    assert!(legal.contains(&why) || why.starts_with(&format!("SERVER_ERROR {GARBAGE}")), "illegal reply: {line}");
    assert!(names.strip_prefix("127.0.0.1:").is_some_and(|port| port.parse::<u16>().is_ok()), "one server: {line}");
    Outcome::Failed
}

/// The keys whose values come before `END`; each value has to be its key's.
fn values(client: &mut Wire, cas: bool) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let line = String::from_utf8(client.line()).expect("text");
        if line == "END\r\n" {
            return found;
        }
        let words: Vec<_> = line.trim_end().split(' ').collect();
        assert_eq!((words[0], words.len()), ("VALUE", if cas { 5 } else { 4 }), "{line}");
        let value = value_of(words[1]);
        assert_eq!(words[3], value.len().to_string(), "{line}");
        client.expect(value + "\r\n");
        found.push(String::from(words[1]));
    }
}

/// All of `well` must have come, of `ill` only what was asked for, and nothing twice.
fn found(mut found: Vec<String>, well: &[String], ill: &[String]) -> Outcome {
    let count = found.len();
    found.sort();
    found.dedup();
    assert_eq!(count, found.len(), "a value came twice");
    assert!(well.iter().all(|key| found.contains(key)), "{found:?} of {well:?} and {ill:?}");
    assert!(found.iter().all(|key| well.contains(key) || ill.contains(key)), "{found:?}");
    if count == well.len() + ill.len() { Outcome::Good } else { Outcome::Failed }
}

fn statistics(client: &mut Wire) -> Outcome {
    let mut count = 0;
    loop {
        let line = client.line();
        if line == b"END\r\n" {
            assert!(count > 0, "one of the servers has statistics");
            return Outcome::Silent;
        }
        // The one that is late spoils all (03 §9.1).
        if count == 0 && line == b"SERVER_ERROR proxy downstream timeout\r\n" {
            return Outcome::Silent;
        }
        assert!(line.starts_with(b"STAT ") && line.ends_with(b"\r\n"), "{}", line.escape_ascii());
        count += 1;
    }
}

/// Success and what moxi says for a server that fails (03 §9.1).
const STATUSES: [u16; 3] = [0, 0x84, 0x85];

fn binary(client: &mut Wire, keys: &Keys, kind: Kind) -> Outcome {
    let ill = &keys.ill[0];
    let storing = |opcode, key: &str| Packet::storing(opcode, key, value_of(key));
    let mut requests = match kind {
        Kind::BinaryGet => vec![Packet::request(op::GETK).key(ill)],
        Kind::BinarySet => vec![storing(op::SET, ill)],
        Kind::BinaryNoop => vec![Packet::noop(0)],
        _ => vec![
            storing(op::SETQ, ill),
            Packet::request(GETKQ).key(ill),
            Packet::request(GETKQ).key(&keys.well[0]),
            Packet::request(GETKQ).key("no-such-key"),
            Packet::request(GETKQ).key(&keys.well[1]),
            Packet::noop(0),
        ],
    };
    requests.push(Packet::request(op::VERSION));
    let mut bytes = Vec::new();
    for (number, request) in requests.iter_mut().enumerate() {
        request.opaque = FIRST_OPAQUE + number as u32;
        bytes.extend_from_slice(&request.bytes());
    }
    client.send(bytes);
    let mut outcome = Outcome::Silent;
    let mut seen = vec![false; requests.len()];
    loop {
        let reply = client.packet();
        let number = reply.opaque.wrapping_sub(FIRST_OPAQUE) as usize;
        assert!(seen.get(number) == Some(&false), "{kind:?}: not asked for, or answered before: {reply:?}");
        seen[number] = true;
        let request = &requests[number];
        assert_eq!((reply.magic, reply.opcode), (0x81, request.opcode));
        assert!(reply.status == 1 || STATUSES.contains(&reply.status), "{kind:?}: {reply:?}");
        // Quiet commands may be answered in any order, but before what closes them.
        let is_quiet = |opcode| matches!(opcode, op::SETQ | GETKQ);
        let in_order = if is_quiet(reply.opcode) {
            requests.iter().zip(&seen).skip(number).all(|(later, seen)| is_quiet(later.opcode) || !seen)
        } else {
            requests[..number].iter().zip(&seen).all(|(earlier, seen)| is_quiet(earlier.opcode) || *seen)
        };
        assert!(in_order, "{kind:?}: out of order: {reply:?}");
        match (reply.opcode, reply.status) {
            (op::VERSION, _) => {
                assert_eq!(reply.status, 0);
                break;
            }
            (op::GETK | GETKQ, 0) => {
                let key = String::from_utf8(request.key.clone()).expect("text");
                assert_eq!((&reply.key, &reply.value), (&request.key, &value_of(&key).into_bytes()));
                outcome = if keys.ill.contains(&key) { Outcome::Good } else { outcome };
            }
            // One of the servers can always do it (03 §21.3 item 8).
            (op::NOOP, status) if kind == Kind::BinaryNoop => assert_eq!(status, 0),
            (op::GETK | op::SET, status) => {
                outcome = if status == 0 { Outcome::Good } else { Outcome::Failed };
            }
            _ => {}
        }
    }
    if kind == Kind::Quiet {
        assert!(seen[2] && seen[4], "the server that is well has values: {seen:?}");
        if !seen[1] {
            outcome = Outcome::Failed;
        }
    }
    outcome
}
