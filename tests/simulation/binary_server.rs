//! The binary protocol as a strict server sees it.

use std::rc::Rc;

use moxi::protocol::StoreVerb;
use moxi::protocol::binary::opcode;
use moxi::protocol::op::{answered, loud};

use super::ascii_server::stats_args;
use super::binary_judge;
use super::op::{Key, Op, Outcome};

/// Size of a header.
pub const HEADER: usize = 24;

/// What a packet asks for.
#[derive(Debug)]
pub enum Ask {
    /// A request, always answered.
    Op(Op),
    /// A request that is answered only if something unusual comes of it: a get that hits, anything else that fails.
    Quiet(Op),
    /// What memcached does not know.
    Foreign,
    /// The end of quiet gets.
    Noop,
    /// SASL PLAIN with this body.
    Authenticate(Vec<u8>),
    /// Bucket selection.
    Select(Vec<u8>),
}

/// What of the header comes back, or is checked.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub opcode: u8,
    pub opaque: u32,
    pub vbucket: u16,
}

/// What the beginning of the proxy's bytes is.
#[derive(Debug)]
pub enum Parsed {
    /// More is needed.
    Incomplete,
    /// A storage command whose value has not arrived in full; `len` bytes in all.
    Partial { head: Head, op: Op, len: usize },
    /// A packet of so many bytes.
    Packet(Head, Ask, usize),
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}

/// Looks at the beginning of `input`.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse(input: &[u8]) -> Result<Parsed, String> {
    match input.first() {
        None => return Ok(Parsed::Incomplete),
        Some(0x80) => {}
        Some(other) => return Err(format!("magic {other:#x}")),
    }
    if input.len() < HEADER {
        return Ok(Parsed::Incomplete);
    }
    let head = Head { opcode: input[1], opaque: u32_at(input, 12), vbucket: u16_at(input, 6) };
    let (key_len, extras_len, body_len) =
        (usize::from(u16_at(input, 2)), usize::from(input[4]), u32_at(input, 8) as usize);
    let cas = u64_at(input, 16);
    let bad = |what: &str| Err(format!("{what} in {}", input[..HEADER].escape_ascii()));
    // Neither memcached nor this server looks at the data type, or at a CAS id where none belongs.
    if extras_len + key_len > body_len {
        return bad("lengths");
    }
    let value_len = body_len - extras_len - key_len;
    let (before, len) = (HEADER + extras_len + key_len, HEADER + body_len);
    if input.len() < before {
        return Ok(Parsed::Incomplete);
    }
    let (extras, key) = (&input[HEADER..HEADER + extras_len], &input[HEADER + extras_len..before]);
    let value = &input[before..input.len().min(len)];
    let code = loud(head.opcode);
    let has_key = (1..=250).contains(&key_len);
    let fits = match code {
        opcode::GET | opcode::GETK | opcode::DELETE => (extras_len, has_key, value_len) == (0, true, 0),
        opcode::SET | opcode::ADD | opcode::REPLACE => (extras_len, has_key) == (8, true),
        opcode::APPEND | opcode::PREPEND => (extras_len, has_key) == (0, true),
        opcode::INCREMENT | opcode::DECREMENT => (extras_len, has_key, value_len) == (20, true, 0),
        opcode::TOUCH | opcode::GAT | opcode::GATK => (extras_len, has_key, value_len) == (4, true, 0),
        opcode::FLUSH => matches!(extras_len, 0 | 4) && body_len == extras_len,
        opcode::NOOP => body_len == 0,
        opcode::STAT => (extras_len, value_len) == (0, 0),
        opcode::GETL => matches!(extras_len, 0 | 4) && has_key && value_len == 0,
        opcode::UNL => (extras_len, has_key, value_len) == (0, true, 0),
        opcode::SASL_AUTH => key == b"PLAIN" && extras_len == 0,
        opcode::BUCKET => has_key && extras_len == 0 && value_len == 0,
        _ if input.len() < len => return Ok(Parsed::Incomplete),
        _ => return Ok(Parsed::Packet(head, Ask::Foreign, len)),
    };
    if !fits {
        return bad("shape");
    }
    let name = Key::from(key);
    let op = match code {
        opcode::GET | opcode::GETK => Op::Get { keys: vec![name], cas: true, touch: None },
        opcode::GAT | opcode::GATK => {
            Op::Get { keys: vec![name], cas: true, touch: Some(i64::from(u32_at(extras, 0))) }
        }
        opcode::GETL => Op::Getl { key: name, exptime: (extras_len == 4).then(|| u32_at(extras, 0)) },
        opcode::UNL => Op::Unl { key: name, cas },
        opcode::DELETE => Op::Delete { key: name },
        opcode::TOUCH => Op::Touch { key: name, exptime: i64::from(u32_at(extras, 0)) },
        opcode::INCREMENT | opcode::DECREMENT => {
            Op::Arith { key: name, delta: u64_at(extras, 0), decr: code == opcode::DECREMENT }
        }
        opcode::FLUSH => Op::Flush { delay: (extras_len == 4).then(|| i64::from(u32_at(extras, 0))) },
        opcode::STAT => Op::Stats { args: stats_args(key) },
        opcode::NOOP => return Ok(Parsed::Packet(head, Ask::Noop, len)),
        opcode::BUCKET => return Ok(Parsed::Packet(head, Ask::Select(key.to_vec()), len)),
        opcode::SASL_AUTH if input.len() < len => return Ok(Parsed::Incomplete),
        opcode::SASL_AUTH => return Ok(Parsed::Packet(head, Ask::Authenticate(value.to_vec()), len)),
        _ => {
            let verb = match code {
                opcode::ADD => StoreVerb::Add,
                opcode::REPLACE => StoreVerb::Replace,
                opcode::APPEND => StoreVerb::Append,
                opcode::PREPEND => StoreVerb::Prepend,
                _ => StoreVerb::Set,
            };
            let (flags, exptime) =
                if extras_len == 8 { (u32_at(extras, 0), i64::from(u32_at(extras, 4))) } else { (0, 0) };
            let cas = (cas != 0).then_some(cas);
            let op = Op::Store { verb, key: name, flags, exptime, cas, value: Rc::from(value) };
            if input.len() < len {
                return Ok(Parsed::Partial { head, op, len });
            }
            op
        }
    };
    let ask = if code == head.opcode { Ask::Op(op) } else { Ask::Quiet(op) };
    Ok(Parsed::Packet(head, ask, len))
}

/// The parts of a packet behind its header.
#[derive(Clone, Copy, Debug, Default)]
struct Parts<'a> {
    extras: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
}

fn packet(head: Head, status: u16, cas: u64, parts: Parts<'_>, out: &mut Vec<u8>) {
    let Parts { extras, key, value } = parts;
    let body = (extras.len() + key.len() + value.len()) as u32;
    out.extend_from_slice(&[0x81, head.opcode]);
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(&[extras.len() as u8, 0]);
    out.extend_from_slice(&status.to_be_bytes());
    out.extend_from_slice(&body.to_be_bytes());
    out.extend_from_slice(&head.opaque.to_be_bytes());
    out.extend_from_slice(&cas.to_be_bytes());
    out.extend_from_slice(extras);
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Appends a bare packet with this status.
pub fn status(head: Head, status: u16, out: &mut Vec<u8>) {
    packet(head, status, 0, Parts::default(), out);
}

/// Appends a server's reply; nothing if a quiet request has nothing to hear.
pub fn reply(head: Head, op: &Op, outcome: &Outcome, out: &mut Vec<u8>) {
    let quiet = answered(head.opcode).is_quiet();
    let is_done = binary_judge::status(op, outcome, true) == 0;
    if quiet && is_done && !matches!(outcome, Outcome::Values(_)) {
        return;
    }
    match outcome {
        Outcome::Values(values) => match values.first() {
            Some((key, item)) => {
                let extras = item.flags.to_be_bytes();
                let with_key = matches!(head.opcode, opcode::GETK | opcode::GETKQ | opcode::GATK | opcode::GATKQ);
                let key = if with_key { key } else { &[][..] };
                packet(head, 0, item.cas, Parts { extras: &extras, key, value: &item.value }, out);
            }
            None if quiet => {}
            None => status(head, 0x01, out),
        },
        Outcome::Number(number) => {
            packet(head, 0, 0, Parts { value: &number.to_be_bytes(), ..Parts::default() }, out);
        }
        Outcome::Stats(stats) => {
            for (name, value) in stats {
                let parts = Parts { key: name.as_bytes(), value: value.as_bytes(), ..Parts::default() };
                packet(head, 0, 0, parts, out);
            }
            status(head, 0, out);
        }
        other => {
            let body = if let Outcome::NotMine(text) = other { text } else { other.status().1 };
            let code = binary_judge::status(op, other, true);
            packet(head, code, 0, Parts { value: body.as_bytes(), ..Parts::default() }, out);
        }
    }
}
