//! Random requests of well-behaved clients, and what they expect for an answer.

use std::collections::HashMap;
use std::rc::Rc;

use moxi::protocol::StoreVerb;

use super::binary_client::{Batch, is_unspeakable};
use super::eras::Owner;
use super::meta_client::{self, Spoken};
use super::op::{Item, Key, NUMBER, Op};
use super::store::{Store, Tick};
use super::truth::Truth;
use moxi_fuzzing::memory::Random;

/// What a client waits for.
#[derive(Debug)]
pub struct Pending {
    pub want: Want,
    /// When it was asked for.
    pub issued: Tick,
    /// Where the request ends in everything that the client sends.
    pub end: u64,
    /// How many requests without reply were sent since the last one with a reply.
    pub quiet_before: u32,
}

/// An expected answer.
#[derive(Debug)]
pub enum Want {
    /// This line.
    Line(&'static str),
    /// The proxy's own statistics.
    Own,
    /// One line for one key; in a predictable run this one.
    One { op: Op, exact: Option<String> },
    /// Values; in a predictable run these, for those of the keys that only this client uses.
    Values { op: Op, exact: Vec<Option<Option<Item>>> },
    /// The answers of all servers in one.
    All(Op),
    /// This, in a meta command.
    Meta(Box<Want>, Spoken),
    /// Packets.
    Batch(Box<Batch>),
}

/// A request that some server must execute.
#[derive(Clone, Debug)]
pub struct Sure {
    pub id: u64,
    key: Key,
    is_lock: bool,
    in_packets: bool,
}

impl Sure {
    /// This one, if it has an id.
    pub fn of(op: &Op, in_packets: bool) -> Option<Sure> {
        let is_lock = matches!(op, Op::Getl { .. } | Op::Unl { .. });
        Some(Sure { id: op.id()?, key: op.key()?.clone(), is_lock, in_packets })
    }

    /// Whether any server executes it that has the key.
    pub fn is_owed_by(&self, truth: &Truth, owner: Owner) -> bool {
        // The proxy refuses by itself what it cannot translate.
        let is_known = !self.is_lock || owner.is_binary;
        !self.in_packets || is_known && !is_unspeakable(truth, owner, &self.key)
    }

    /// Whether it must have been executed, now that all is over: whoever may have had the key would have.
    pub fn is_owed(&self, truth: &Truth) -> bool {
        let Some((asked, bucket)) = truth.asked(self.id) else { return false };
        let owners = truth.owners(bucket, &self.key, asked);
        let may_fail = owners.may_be_nobody || truth.may_be_exhausted(bucket, &self.key, asked);
        !may_fail && owners.all.iter().all(|owner| self.is_owed_by(truth, *owner))
    }
}

/// What a client is about to send.
#[derive(Debug, Default)]
pub struct Sending {
    pub bytes: Vec<u8>,
    pub wants: Vec<Want>,
    /// A proxied request without a reply.
    pub quiet: bool,
    /// A request that some server must execute, if nothing fails.
    pub sure: Option<Sure>,
    /// A proxied request for a key that nothing is told of.
    pub untold: Option<Op>,
    /// That is not only of use to the client.
    pub changes: bool,
    /// Nothing follows.
    pub is_last: bool,
}

/// What a generator of requests knows of its client.
pub struct Asker<'a> {
    pub number: u64,
    pub bucket: usize,
    /// The client's own keys, as they will be when everything sent so far was executed.
    pub own: &'a mut Store,
    /// The CAS ids that it has seen.
    pub seen: &'a HashMap<Key, u64>,
}

/// A key: one of the client's own, or one that others use, too.
pub fn key(truth: &mut Truth, asker: &Asker<'_>) -> Key {
    let random = &mut truth.random;
    if truth.scenario.stubborn && !random.once_in(4) {
        return Key::from(format!("c{}k1", asker.number).as_bytes());
    }
    let number = random.below(6);
    let text = match random.below(4) {
        0 => format!("s{number}"),
        1 if random.once_in(2) => format!("ns{number}"),
        1 => format!("nc{}k{number}", asker.number),
        _ => match number {
            0 => format!("c{}{}", asker.number, "k".repeat(245)),
            1 => format!("c{}\t\u{e9}", asker.number),
            _ => format!("c{}k{number}", asker.number),
        },
    };
    Key::from(text.as_bytes())
}

/// Whether only this client uses `key`.
pub fn is_own(asker: &Asker<'_>, key: &[u8]) -> bool {
    let rest = key.strip_prefix(&[NUMBER]).unwrap_or(key);
    rest.starts_with(format!("c{}", asker.number).as_bytes())
}

/// A value for `key` that carries the id.
pub fn value(truth: &mut Truth, key: &[u8], id: u64) -> Rc<[u8]> {
    if key.first() == Some(&NUMBER) {
        return Rc::from(id.to_string().into_bytes());
    }
    let random = &mut truth.random;
    let size = match random.below(20) {
        0..=14 => random.index(60),
        15..=18 => random.index(truth.scenario.large.min(5_000)),
        _ => random.index(truth.scenario.large),
    };
    let mut value = format!("#{id};").into_bytes();
    value.extend_from_slice(key);
    if size > value.len() {
        let filler = if random.once_in(2) { b"\r\nEND\r\n".as_slice() } else { b"." };
        value.extend(filler.iter().cycle().take(size - value.len()));
    }
    Rc::from(value)
}

/// A random request.
pub fn next(truth: &mut Truth, asker: &mut Asker<'_>) -> Sending {
    if truth.scenario.stubborn && truth.random.once_in(2) {
        return write(truth, asker);
    }
    match truth.random.below(40) {
        0..=19 => {}
        20..=25 => return many(truth, asker),
        26 => return local(truth),
        27 => return broadcast(truth, asker.bucket),
        28 => return refused(truth),
        _ => return write(truth, asker),
    }
    let name = key(truth, asker);
    let op = match truth.random.below(12) {
        0 => Op::Get { keys: vec![name], cas: true, touch: None },
        1 => Op::Get { keys: vec![name], cas: truth.random.once_in(2), touch: Some(truth.id(asker.bucket) as i64) },
        2 => Op::Getl { key: name, exptime: Some(truth.id(asker.bucket) as u32) },
        _ => Op::Get { keys: vec![name], cas: false, touch: None },
    };
    retrieval(truth, asker, op)
}

/// A get of several keys.
fn many(truth: &mut Truth, asker: &mut Asker<'_>) -> Sending {
    let count = truth.random.pick(&[2, 3, 8, 30]);
    let keys = (0..count).map(|_| key(truth, asker)).collect();
    let touch = truth.random.once_in(6).then(|| truth.id(asker.bucket) as i64);
    let cas = truth.random.once_in(3);
    retrieval(truth, asker, Op::Get { keys, cas, touch })
}

fn retrieval(truth: &mut Truth, asker: &mut Asker<'_>, op: Op) -> Sending {
    let known = |key: &Key| (truth.scenario.foreseen && is_own(asker, key)).then(|| asker.own.item(key).cloned());
    let exact = op.keys().iter().map(known).collect();
    let mut bytes = Vec::new();
    let spoken = meta_client::encode(&op, truth, &mut bytes);
    if spoken.is_none() {
        encode(&op, false, &mut truth.random, &mut bytes);
    }
    Sending { bytes, wants: vec![spoken_as(Want::Values { op, exact }, spoken)], ..Sending::default() }
}

/// A request that changes a key.
fn write(truth: &mut Truth, asker: &mut Asker<'_>) -> Sending {
    let key = key(truth, asker);
    let id = truth.id(asker.bucket);
    let op = match truth.random.below(12) {
        0 => Op::Delete { key },
        1 => Op::Touch { key, exptime: id as i64 },
        2 => Op::Unl { key, cas: id },
        3 | 4 => {
            let key = if truth.random.once_in(4) { key } else { Key::from(format!("nc{}k1", asker.number).as_bytes()) };
            Op::Arith { key, delta: id, decr: truth.random.once_in(3) }
        }
        _ => {
            let verb = truth.random.pick(&[
                StoreVerb::Set,
                StoreVerb::Set,
                StoreVerb::Set,
                StoreVerb::Add,
                StoreVerb::Replace,
                StoreVerb::Append,
                StoreVerb::Prepend,
            ]);
            let is_joined = matches!(verb, StoreVerb::Append | StoreVerb::Prepend);
            let verb = if is_joined && key.first() == Some(&NUMBER) { StoreVerb::Set } else { verb };
            let cas = (verb == StoreVerb::Set && truth.random.once_in(4)).then(|| match truth.random.below(4) {
                0 => 0,
                1 => truth.random.below(1 << 40),
                // What the item will have, where that is known.
                _ => match asker.own.item(&key) {
                    Some(item) => item.cas,
                    None => asker.seen.get(&key).copied().unwrap_or(7),
                },
            });
            let value = value(truth, &key, id);
            // The binary protocol has no flags for these two, and memcached ignores those of the other.
            let flags = if is_joined { 0 } else { truth.random.number() as u32 };
            Op::Store { verb, key, flags, exptime: 0, cas, value }
        }
    };
    let quiet = !matches!(op, Op::Unl { .. }) && truth.random.once_in(4);
    let mut bytes = Vec::new();
    let spoken = if quiet { None } else { meta_client::encode(&op, truth, &mut bytes) };
    if spoken.is_none() {
        encode(&op, quiet, &mut truth.random, &mut bytes);
    }
    let value_max = truth.eras.present().buckets[asker.bucket].behavior.value_max;
    if let Op::Store { value, .. } = &op
        && value.len() as u64 > value_max
    {
        let wants = if quiet { Vec::new() } else { vec![Want::Line("SERVER_ERROR object too large for cache")] };
        return Sending { bytes, wants, ..Sending::default() };
    }
    let name = op.key().cloned().unwrap_or_else(|| Key::from(&b""[..]));
    let owner = truth.owner(asker.bucket, &name);
    let mut exact = None;
    if truth.scenario.foreseen
        && is_own(asker, &name)
        && let Some(Owner { server, is_binary }) = owner
    {
        let unknown = matches!(op, Op::Unl { .. }) && !truth.scenario.knows_locks[server];
        let outcome = if unknown { super::op::Outcome::Unknown } else { asker.own.execute(&op, 0) };
        exact = Some(outcome.seen(&op, is_binary));
    }
    let sure = Sure::of(&op, false).filter(|_| owner.is_some());
    let untold = quiet.then(|| op.clone());
    let wants = if quiet { Vec::new() } else { vec![spoken_as(Want::One { op, exact }, spoken)] };
    Sending { bytes, wants, quiet, sure, untold, changes: true, is_last: false }
}

/// What is wanted of a request that was made in a meta command, if it was.
fn spoken_as(want: Want, spoken: Option<Spoken>) -> Want {
    match spoken {
        Some(spoken) => Want::Meta(Box::new(want), spoken),
        None => want,
    }
}

/// What the proxy answers by itself.
fn local(truth: &mut Truth) -> Sending {
    const VERSION: &str = concat!("VERSION ", env!("CARGO_PKG_VERSION"));
    let (text, want) = match truth.random.below(5) {
        0 => ("version\r\n", Some(Want::Line(VERSION))),
        1 => ("verbosity 1\r\n", Some(Want::Line("OK"))),
        2 => ("verbosity 1 noreply\r\n", None),
        3 => ("stats proxy reset\r\n", Some(Want::Line("OK"))),
        _ => ("stats proxy info\r\n", Some(Want::Own)),
    };
    Sending { bytes: text.into(), wants: want.into_iter().collect(), ..Sending::default() }
}

fn broadcast(truth: &mut Truth, bucket: usize) -> Sending {
    // In a predictable run nobody drops what others have stored.
    let flush = !truth.scenario.exact && truth.random.once_in(3);
    let op = match flush {
        true => Op::Flush { delay: Some(truth.id(bucket) as i64) },
        false => Op::Stats { args: truth.random.pick(&["", "", "reset", "settings", "items"]) },
    };
    let quiet = flush && truth.random.once_in(4);
    let mut bytes = Vec::new();
    encode(&op, quiet, &mut truth.random, &mut bytes);
    let wants = if quiet { Vec::new() } else { vec![Want::All(op)] };
    Sending { bytes, wants, quiet, ..Sending::default() }
}

/// What the proxy refuses.
fn refused(truth: &mut Truth) -> Sending {
    const BAD: &str = "CLIENT_ERROR bad command line format";
    let long = "k".repeat(251);
    let (text, lines): (String, &[&str]) = match truth.random.below(9) {
        0 => ("nonsense\r\n".into(), &["ERROR"]),
        1 => ("get\r\n".into(), &["ERROR"]),
        2 => (format!("get a {long}\r\n"), &[BAD]),
        3 => (format!("delete {long} noreply\r\n"), &[]),
        4 => ("set s1 0 0 3\r\nabcdef\r\n".into(), &["CLIENT_ERROR bad data chunk", "ERROR"]),
        5 => ("set s1 0 0 3 noreply\r\nabcdef\r\n".into(), &["ERROR"]),
        6 => ("incr ns1 x\r\n".into(), &["CLIENT_ERROR invalid numeric delta argument"]),
        7 if truth.random.once_in(4) => {
            return Sending {
                bytes: vec![b'x'; 8_193],
                wants: vec![Want::Line("CLIENT_ERROR line too long")],
                is_last: true,
                ..Sending::default()
            };
        }
        _ => ("\r\n".into(), &["ERROR"]),
    };
    let wants = lines.iter().map(|line| Want::Line(static_line(line))).collect();
    Sending { bytes: text.into_bytes(), wants, ..Sending::default() }
}

fn static_line(line: &str) -> &'static str {
    ["ERROR", "CLIENT_ERROR bad command line format", "CLIENT_ERROR bad data chunk"]
        .into_iter()
        .find(|known| *known == line)
        .unwrap_or("CLIENT_ERROR invalid numeric delta argument")
}

/// Writes the request as an ASCII client does, with the liberties that the protocol leaves.
fn encode(op: &Op, quiet: bool, random: &mut Random, out: &mut Vec<u8>) {
    let gap: &[u8] = if random.once_in(10) { b"   " } else { b" " };
    let mut words: Vec<Vec<u8>> = Vec::new();
    let text = |text: &dyn ToString| text.to_string().into_bytes();
    match op {
        Op::Get { keys, cas, touch } => {
            let verb = match (cas, touch) {
                (false, None) => "get",
                (true, None) => "gets",
                (false, Some(_)) => "gat",
                (true, Some(_)) => "gats",
            };
            words.push(verb.into());
            words.extend(touch.as_ref().map(|exptime| text(exptime)));
            words.extend(keys.iter().map(|key| key.to_vec()));
        }
        Op::Getl { key, exptime } => {
            words.extend([b"getl".to_vec(), key.to_vec()]);
            words.extend(exptime.as_ref().map(|exptime| text(exptime)));
        }
        Op::Store { verb, key, flags, exptime, cas, value } => {
            let word = match (verb, cas) {
                (StoreVerb::Set, Some(_)) => "cas",
                (StoreVerb::Set, None) => "set",
                (StoreVerb::Add, _) => "add",
                (StoreVerb::Replace, _) => "replace",
                (StoreVerb::Append, _) => "append",
                (StoreVerb::Prepend, _) => "prepend",
            };
            words.extend([word.into(), key.to_vec(), text(flags), text(exptime), text(&value.len())]);
            words.extend(cas.as_ref().map(|cas| text(cas)));
        }
        Op::Arith { key, delta, decr } => {
            let word = if *decr { "decr" } else { "incr" };
            words.extend([word.into(), key.to_vec(), text(delta)]);
        }
        Op::Delete { key } => words.extend([b"delete".to_vec(), key.to_vec()]),
        Op::Touch { key, exptime } => words.extend([b"touch".to_vec(), key.to_vec(), text(exptime)]),
        Op::Unl { key, cas } => words.extend([b"unl".to_vec(), key.to_vec(), text(cas)]),
        Op::Flush { delay } => {
            words.push(b"flush_all".to_vec());
            words.extend(delay.as_ref().map(|delay| text(delay)));
        }
        Op::Stats { args } => {
            words.push(b"stats".to_vec());
            words.extend((!args.is_empty()).then(|| text(args)));
        }
    }
    if quiet {
        words.push(b"noreply".to_vec());
    }
    out.extend_from_slice(&words.join(gap));
    out.extend_from_slice(if random.once_in(10) { b"\n" } else { b"\r\n" });
    if let Op::Store { value, .. } = op {
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}
