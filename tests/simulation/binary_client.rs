//! Requests of binary clients: quiet ones, and what closes them.

use std::collections::VecDeque;
use std::rc::Rc;

use moxi::protocol::StoreVerb;
use moxi::protocol::binary::opcode;
use moxi::protocol::binary::packet::{Header, REQUEST_MAGIC};

use super::eras::Owner;
use super::op::{Key, NUMBER, Op, Outcome};
use super::request::{Asker, Sending, Sure, Want, is_own, key, value};
use super::scenario::Meta;
use super::store::Tick;
use super::truth::Truth;
use moxi_fuzzing::memory::Random;

/// A packet with a key.
#[derive(Debug)]
pub struct Item {
    pub opcode: u8,
    pub opaque: u32,
    pub op: Op,
    /// When it was asked: it is sent before what closes it, perhaps long before.
    pub issued: Tick,
    /// In a predictable run: what comes of it.
    pub exact: Option<Outcome>,
    pub is_answered: bool,
}

/// A packet that is answered, whatever comes of it.
#[derive(Debug)]
pub enum Closing {
    Keyed(Item),
    /// For all servers.
    All {
        opcode: u8,
        opaque: u32,
    },
    /// For the proxy alone.
    Own {
        opcode: u8,
        opaque: u32,
        status: u16,
    },
}

impl Closing {
    /// What it asks about a key, if it does.
    pub fn item(&self) -> Option<&Item> {
        match self {
            Closing::Keyed(item) => Some(item),
            Closing::All { .. } | Closing::Own { .. } => None,
        }
    }

    /// How its answer is recognised.
    pub fn name(&self) -> (u8, u32) {
        match self {
            Closing::Keyed(item) => (item.opcode, item.opaque),
            Closing::All { opcode, opaque } | Closing::Own { opcode, opaque, .. } => (*opcode, *opaque),
        }
    }
}

/// Quiet packets, and the one that closes them.
#[derive(Debug)]
pub struct Batch {
    pub quiet: Vec<Item>,
    pub closing: Closing,
    /// Statistics that have come.
    pub stats: Vec<String>,
}

/// The parts of a packet behind its header.
#[derive(Default)]
struct Parts<'a> {
    extras: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
    cas: u64,
}

fn write(out: &mut Vec<u8>, opcode: u8, opaque: u32, parts: &Parts<'_>) {
    let header = Header {
        opcode,
        opaque,
        cas: parts.cas,
        key_len: parts.key.len() as u16,
        extras_len: parts.extras.len() as u8,
        body_len: (parts.extras.len() + parts.key.len() + parts.value.len()) as u32,
        ..Header::default()
    };
    header.write(out, REQUEST_MAGIC);
    out.extend_from_slice(parts.extras);
    out.extend_from_slice(parts.key);
    out.extend_from_slice(parts.value);
}

/// Writes a packet with a key.
fn encode(item: &Item, out: &mut Vec<u8>) {
    let short = |number: i64| (number as u32).to_be_bytes();
    let name = (item.opcode, item.opaque);
    let mut put = |extras: &[u8], key: &[u8], value: &[u8], cas: u64| {
        write(out, name.0, name.1, &Parts { extras, key, value, cas });
    };
    match &item.op {
        Op::Get { keys, touch, .. } => match touch {
            Some(exptime) => put(&short(*exptime), &keys[0], &[], 0),
            None => put(&[], &keys[0], &[], 0),
        },
        Op::Getl { key, exptime } => put(&short(exptime.map_or(0, i64::from)), key, &[], 0),
        Op::Store { verb: StoreVerb::Append | StoreVerb::Prepend, key, value, .. } => put(&[], key, value, 0),
        Op::Store { key, flags, exptime, cas, value, .. } => {
            put(&[flags.to_be_bytes(), short(*exptime)].concat(), key, value, cas.unwrap_or(0));
        }
        Op::Arith { key, delta, .. } => {
            put(&[&delta.to_be_bytes()[..], &[0; 8], &[0xff; 4]].concat(), key, &[], 0);
        }
        Op::Touch { key, exptime } => put(&short(*exptime), key, &[], 0),
        Op::Unl { key, cas } => put(&[], key, &[], *cas),
        Op::Delete { key } => put(&[], key, &[], 0),
        Op::Flush { .. } | Op::Stats { .. } => {}
    }
}

/// The opcode of a request, and the quiet one that does the same.
fn opcodes(op: &Op, random: &mut Random) -> (u8, Option<u8>) {
    use opcode::*;
    let (code, quiet) = match op {
        Op::Get { touch: None, .. } => random.pick(&[(GET, GETQ), (GETK, GETKQ)]),
        Op::Get { touch: Some(_), .. } => random.pick(&[(GAT, GATQ), (GATK, GATKQ)]),
        Op::Store { verb, .. } => match verb {
            StoreVerb::Set => (SET, SETQ),
            StoreVerb::Add => (ADD, ADDQ),
            StoreVerb::Replace => (REPLACE, REPLACEQ),
            StoreVerb::Append => (APPEND, APPENDQ),
            StoreVerb::Prepend => (PREPEND, PREPENDQ),
        },
        Op::Arith { decr: false, .. } => (INCREMENT, INCREMENTQ),
        Op::Arith { decr: true, .. } => (DECREMENT, DECREMENTQ),
        Op::Delete { .. } => (DELETE, DELETEQ),
        Op::Touch { .. } => return (TOUCH, None),
        Op::Getl { .. } => return (GETL, None),
        Op::Unl { .. } => return (UNL, None),
        Op::Flush { .. } => return (FLUSH, None),
        Op::Stats { .. } => return (STAT, None),
    };
    (code, Some(quiet))
}

/// A random request. Quiet ones join `silent`, others close them. Some clients send quiet ones only.
pub fn next(truth: &mut Truth, asker: &mut Asker<'_>, silent: &mut VecDeque<Item>, all_quiet: bool) -> Sending {
    let (opaque, mut bytes) = (truth.id(asker.bucket) as u32, Vec::new());
    match truth.random.below(30) {
        0 if !all_quiet => return own(truth, opaque, silent),
        1..=4 if !all_quiet => return close(truth, opaque, silent),
        _ => {}
    }
    let op = request(truth, asker);
    let (code, quiet) = opcodes(&op, &mut truth.random);
    let is_quiet = quiet.is_some() && (all_quiet || truth.random.once_in(2));
    let opcode = quiet.filter(|_| is_quiet).unwrap_or(code);
    let mut item = Item { opcode, opaque, op, issued: truth.tick, exact: None, is_answered: false };
    encode(&item, &mut bytes);
    let key = item.op.keys().first().cloned().unwrap_or_else(|| Key::from(&b""[..]));
    let owner = truth.owner(asker.bucket, &key);
    let is_lock = matches!(item.op, Op::Getl { .. } | Op::Unl { .. });
    let changes = !matches!(item.op, Op::Getl { .. });
    let mut sure = None;
    if let Some(owner) = owner {
        let unknown = is_lock && !(owner.is_binary && truth.scenario.knows_locks[owner.server]);
        let unspeakable = is_unspeakable(truth, owner, &key);
        sure = Sure::of(&item.op, true).filter(|sure| sure.is_owed_by(truth, owner));
        if truth.scenario.foreseen && is_own(asker, &key) {
            let is_refused = unknown || unspeakable;
            item.exact = Some(if is_refused { Outcome::Unknown } else { asker.own.execute(&item.op, 0) });
        }
    }
    if is_quiet {
        silent.push_back(item);
        return Sending { bytes, sure, changes, quiet: true, ..Sending::default() };
    }
    let batch = Batch { quiet: silent.drain(..).collect(), closing: Closing::Keyed(item), stats: Vec::new() };
    Sending { bytes, wants: vec![Want::Batch(Box::new(batch))], sure, changes, ..Sending::default() }
}

/// Whether the proxy cannot tell `key` to this server: it is no word, and the server does not take it in base64.
pub fn is_unspeakable(truth: &Truth, owner: Owner, key: &[u8]) -> bool {
    let is_word = !key.iter().any(|byte| matches!(byte, 0 | b' ' | b'\r' | b'\n'));
    let is_known = truth.scenario.meta[owner.server] == Meta::Yes && key.len() <= 186;
    !owner.is_binary && !is_word && !is_known
}

fn request(truth: &mut Truth, asker: &Asker<'_>) -> Op {
    let mut name = key(truth, asker);
    if truth.random.once_in(6) {
        let end = truth.random.pick(&[&b" "[..], b"\0\xff", b"\r\n", b"\r\nget x"]);
        name = Key::from(&[&name[..name.len().min(240)], end].concat()[..]);
    }
    let id = truth.id(asker.bucket);
    match truth.random.below(20) {
        0..=7 => Op::Get { keys: vec![name], cas: true, touch: None },
        8 => Op::Get { keys: vec![name], cas: true, touch: Some(id as i64) },
        9 => Op::Getl { key: name, exptime: Some(id as u32) },
        10 => Op::Unl { key: name, cas: id },
        11 => Op::Touch { key: name, exptime: id as i64 },
        12 => Op::Delete { key: name },
        13 | 14 => {
            let key = Key::from(format!("nc{}k1", asker.number).as_bytes());
            Op::Arith { key, delta: id, decr: truth.random.once_in(3) }
        }
        _ => {
            use StoreVerb::{Add, Append, Prepend, Replace, Set};
            let verb = truth.random.pick(&[Set, Set, Set, Add, Replace, Append, Prepend]);
            let is_joined = matches!(verb, Append | Prepend);
            let verb = if is_joined && name.first() == Some(&NUMBER) { Set } else { verb };
            let cas = (verb == Set && truth.random.once_in(4)).then(|| match asker.own.item(&name) {
                Some(item) => item.cas,
                None => asker.seen.get(&name).copied().unwrap_or(7),
            });
            let value: Rc<[u8]> = value(truth, &name, id);
            let flags = if matches!(verb, Append | Prepend) { 0 } else { truth.random.number() as u32 };
            Op::Store { verb, key: name, flags, exptime: 0, cas, value }
        }
    }
}

/// A packet for all servers.
pub fn close(truth: &mut Truth, opaque: u32, silent: &mut VecDeque<Item>) -> Sending {
    let code = match truth.random.below(8) {
        0 if !truth.scenario.exact && !truth.healed => opcode::FLUSH,
        1 => opcode::STAT,
        _ => opcode::NOOP,
    };
    let mut bytes = Vec::new();
    write(&mut bytes, code, opaque, &Parts::default());
    let closing = Closing::All { opcode: code, opaque };
    let batch = Batch { quiet: silent.drain(..).collect(), closing, stats: Vec::new() };
    Sending { bytes, wants: vec![Want::Batch(Box::new(batch))], ..Sending::default() }
}

/// What the proxy answers by itself, in its turn.
fn own(truth: &mut Truth, opaque: u32, silent: &mut VecDeque<Item>) -> Sending {
    let (code, extras, key, status): (u8, &[u8], &[u8], u16) = match truth.random.below(5) {
        0 => (opcode::VERSION, b"", b"", 0),
        1 => (opcode::VERBOSITY, b"\0\0\0\x01", b"", 0),
        2 => (opcode::HELLO, b"", b"agent", 0),
        // In buckets of a cluster clients may authenticate.
        3 if truth.cluster.is_some() => (opcode::SASL_LIST_MECHS, b"", b"", 0),
        3 => (opcode::SASL_LIST_MECHS, b"", b"", 0x81),
        _ => (opcode::TAP_CONNECT, b"", b"x", 0x83),
    };
    let mut bytes = Vec::new();
    write(&mut bytes, code, opaque, &Parts { extras, key, ..Parts::default() });
    let closing = Closing::Own { opcode: code, opaque, status };
    let batch = Batch { quiet: silent.drain(..).collect(), closing, stats: Vec::new() };
    Sending { bytes, wants: vec![Want::Batch(Box::new(batch))], ..Sending::default() }
}

/// QUIT.
pub fn quit() -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, opcode::QUITQ, 0, &Parts::default());
    bytes
}
