//! Binary commands of the built-in server (02 §9).

use super::access::{Access, Deleted, Hit};
use super::arith::{Arith, Computed, Initial};
use super::ascii::VALUE_MAX;
use super::counters::Count;
use super::session::{Session, Step};
use super::storing::{NewItem, Stored, Terms};
use super::{VERSION, statistics};
use crate::buffer::{Input, Output, Pool};
use crate::protocol::StoreVerb;
use crate::protocol::binary::breach::Breach;
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::packet::{self, HEADER, Header, Packet, Parsed, REPLY_MAGIC};
use crate::protocol::op;
use crate::protocol::status::text;
use crate::sums::sum;

/// The expiry that says that a missing number is not to be made.
const DO_NOT_CREATE: u32 = u32::MAX;

/// Who gets the reply to a packet, and how.
struct Reply<'a> {
    header: Header,
    out: &'a mut Output,
}

/// Serves the next packet of a binary client.
pub(super) fn step(
    session: &mut Session,
    access: &Access<'_>,
    input: &mut Input,
    pool: &mut Pool,
    out: &mut Output,
) -> Step {
    match packet::parse_request(input.value()) {
        Parsed::Malformed(breach) => Step::Breach(breach),
        Parsed::Incomplete { need } => match too_large(access, input.data()) {
            Some(refused) => {
                count(access, &refused, 0);
                Reply { header: refused.header, out }.error(status::TOO_LARGE);
                session.swallow = need.saturating_sub(refused.raw.len()) as u64;
                let len = refused.raw.len();
                input.consume(len);
                Step::Done
            }
            None => {
                input.expect(next_need(input.data(), need), pool);
                Step::Wait
            }
        },
        Parsed::Packet { packet, len } => {
            count(access, &packet, packet.value.len());
            let step = execute(access, &packet, &mut Reply { header: packet.header, out });
            input.consume(len);
            step
        }
    }
}

/// Counts a packet's bytes: header, extras and key twice (02 §13.1).
fn count(access: &Access<'_>, packet: &Packet<'_>, value: usize) {
    let head = sum([HEADER, packet.extras.len(), packet.key.len()]);
    access.counters.add(Count::BytesRead, sum([head, head, value]) as u64);
}

/// A storage packet whose value is above any limit and has not arrived yet: what is there of it. An older value is
/// gone then, as the command would have replaced it.
fn too_large<'a>(access: &Access<'_>, data: &'a [u8]) -> Option<Packet<'a>> {
    let (head, body) = data.split_first_chunk::<HEADER>()?;
    let header = Header::parse(head);
    let (extras_len, key_len) = (usize::from(header.extras_len), usize::from(header.key_len));
    let value_len = u64::from(header.body_len).checked_sub(sum([extras_len, key_len]) as u64)?;
    let (extras, rest) = body.split_at_checked(extras_len)?;
    let (key, _) = rest.split_at_checked(key_len)?;
    let raw = data.get(..sum([HEADER, extras_len, key_len]))?;
    let packet = Packet { header, extras, key, value: b"".into(), raw: raw.into() };
    let op = op::of(header.opcode);
    let verb = op.verb()?;
    if value_len <= VALUE_MAX || !op.fits(&packet) {
        return None;
    }
    let cas = Some(header.cas).filter(|cas| *cas != 0);
    access.stale(&NewItem { verb, key, flags: 0, expires: 0, cas, value: b"".into(), terms: Terms::default() });
    Some(packet)
}

/// How many of the `need` bytes of a packet are waited for. If its value is above any limit, extras and key come first:
/// with these it can be refused, before there is memory for all of it.
fn next_need(data: &[u8], need: usize) -> usize {
    let Some((head, _)) = data.split_first_chunk::<HEADER>() else { return need };
    let header = Header::parse(head);
    let start = sum([HEADER, header.extras_len.into(), header.key_len.into()]);
    let value_len = need.saturating_sub(start) as u64;
    if data.len() < start && value_len > VALUE_MAX { start } else { need }
}

/// Whether the server has a command with this opcode.
fn is_known(opcode: u8) -> bool {
    use crate::protocol::binary::opcode::{GAT, GATK, GATKQ, GATQ, GET, GETL, PREPENDQ, TOUCH};
    matches!(opcode, GET..=PREPENDQ | TOUCH | GAT | GATQ | GATK | GATKQ | GETL)
}

fn execute(access: &Access<'_>, packet: &Packet<'_>, reply: &mut Reply<'_>) -> Step {
    let opcode = packet.header.opcode;
    if !is_known(opcode) {
        reply.error(status::UNKNOWN_COMMAND);
        return Step::Done;
    }
    // GETL is a plain get here, and has no extras.
    let op = op::of(opcode);
    if !op.fits(packet) || opcode == opcode::GETL && !packet.extras.is_empty() {
        reply.error(status::INVALID);
        return Step::Breach(Breach::Shape(opcode));
    }
    let loud = op.opcode;
    match loud {
        opcode::GET | opcode::GETK | opcode::GETL | opcode::GAT | opcode::GATK => get(access, packet, loud, reply),
        opcode::TOUCH => match access.touch(packet.key, access.expiry(number(packet.extras, 0))) {
            // memcached answers with the flags.
            Some((flags, cas)) => reply.success(cas, &flags.to_be_bytes(), b"", b""),
            None => reply.error(status::KEY_NOT_FOUND),
        },
        opcode::SET | opcode::ADD | opcode::REPLACE | opcode::APPEND | opcode::PREPEND => {
            store(access, packet, loud, reply);
        }
        opcode::DELETE => match access.delete(packet.key, packet.header.cas) {
            Deleted::Yes => reply.success(0, b"", b"", b""),
            Deleted::NotFound => reply.error(status::KEY_NOT_FOUND),
            Deleted::Exists => reply.error(status::KEY_EXISTS),
        },
        opcode::INCREMENT | opcode::DECREMENT => arith(access, packet, loud == opcode::DECREMENT, reply),
        opcode::FLUSH => {
            access.flush(number(packet.extras, 0));
            reply.success(0, b"", b"", b"");
        }
        opcode::NOOP => reply.success(0, b"", b"", b""),
        opcode::VERSION => reply.success(0, b"", b"", VERSION.as_bytes()),
        opcode::STAT => stat(access, packet.key, reply),
        opcode::QUIT => {
            reply.success(0, b"", b"", b"");
            return Step::Quit;
        }
        _ => reply.error(status::UNKNOWN_COMMAND),
    }
    Step::Done
}

fn get(access: &Access<'_>, packet: &Packet<'_>, loud: u8, reply: &mut Reply<'_>) {
    let touch = match loud {
        opcode::GAT | opcode::GATK => Some(access.expiry(number(packet.extras, 0))),
        _ => None,
    };
    let has_key = matches!(loud, opcode::GETK | opcode::GETL | opcode::GATK);
    let key = if has_key { packet.key } else { b"" };
    let hit = access.read(packet.key, touch, |hit| reply.value(&hit, key));
    if hit.is_none() && op::answered(packet.header.opcode).says_missing() {
        if has_key {
            reply.write(status::KEY_NOT_FOUND, 0, b"", key, b"");
        } else {
            reply.error(status::KEY_NOT_FOUND);
        }
    }
}

fn store(access: &Access<'_>, packet: &Packet<'_>, loud: u8, reply: &mut Reply<'_>) {
    let cas = Some(packet.header.cas).filter(|cas| *cas != 0);
    let verb = match op::of(loud).verb() {
        Some(verb @ (StoreVerb::Append | StoreVerb::Prepend)) => verb,
        // With a CAS id it does not matter which of the others it is.
        Some(verb) if cas.is_none() => verb,
        _ => StoreVerb::Set,
    };
    let new = NewItem {
        verb,
        key: packet.key,
        flags: number(packet.extras, 0) as u32, // four bytes
        expires: access.expiry(number(packet.extras, 4)),
        cas,
        value: packet.value,
        terms: Terms::default(),
    };
    match access.store(&new) {
        Stored::Yes(kept) => reply.success(kept.cas, b"", b"", b""),
        Stored::No => reply.error(match verb {
            StoreVerb::Add => status::KEY_EXISTS,
            StoreVerb::Replace => status::KEY_NOT_FOUND,
            _ => status::NOT_STORED,
        }),
        Stored::Exists => reply.error(status::KEY_EXISTS),
        Stored::NotFound => reply.error(status::KEY_NOT_FOUND),
        Stored::TooLarge => reply.error(status::TOO_LARGE),
        Stored::OutOfMemory => reply.error(status::OUT_OF_MEMORY),
    }
}

fn arith(access: &Access<'_>, packet: &Packet<'_>, decr: bool, reply: &mut Reply<'_>) {
    let (delta, value) = (long(packet.extras, 0), long(packet.extras, 8));
    let exptime = number(packet.extras, 16);
    let initial = (exptime != i64::from(DO_NOT_CREATE)).then(|| Initial { value, expires: access.expiry(exptime) });
    let request = Arith { key: packet.key, delta, decr, cas: packet.header.cas, initial, ..Arith::default() };
    match access.arith(&request) {
        Computed::Yes(number, cas) => reply.success(cas, b"", b"", &number.to_be_bytes()),
        Computed::NotFound => reply.error(status::KEY_NOT_FOUND),
        Computed::Exists => reply.error(status::KEY_EXISTS),
        Computed::NonNumeric => reply.error(status::DELTA_BAD_VALUE),
        Computed::OutOfMemory => reply.error(status::OUT_OF_MEMORY),
    }
}

fn stat(access: &Access<'_>, key: &[u8], reply: &mut Reply<'_>) {
    let mut text = String::new();
    let is_known = statistics::binary(access, key, &mut |name, value| {
        use std::fmt::Write as _;
        text.clear();
        let _ = write!(text, "{value}"); // a String takes everything
        reply.write(status::SUCCESS, 0, b"", name.as_bytes(), text.as_bytes());
    });
    if is_known {
        reply.success(0, b"", b"", b"");
    } else {
        reply.error(status::KEY_NOT_FOUND);
    }
}

impl Reply<'_> {
    fn write(&mut self, status: u16, cas: u64, extras: &[u8], key: &[u8], value: &[u8]) {
        let Header { opcode, opaque, .. } = self.header;
        crate::protocol::binary::reply::Reply { opcode, opaque, status, cas, extras, key, value }
            .write(self.out.tail());
    }

    fn success(&mut self, cas: u64, extras: &[u8], key: &[u8], value: &[u8]) {
        if op::answered(self.header.opcode).says_done() {
            self.write(status::SUCCESS, cas, extras, key, value);
        }
    }

    fn error(&mut self, status: u16) {
        self.write(status, 0, b"", b"", text(status).as_bytes());
    }

    /// A value, which is shared if it is large.
    fn value(&mut self, hit: &Hit<'_>, key: &[u8]) {
        let flags = hit.flags.to_be_bytes();
        let header = Header {
            opcode: self.header.opcode,
            // At most 250 bytes of key and 1 MiB of value.
            key_len: key.len() as u16,
            extras_len: flags.len() as u8,
            datatype: 0,
            vbucket_or_status: status::SUCCESS,
            body_len: sum([flags.len(), key.len(), hit.value.len()]) as u32,
            opaque: self.header.opaque,
            cas: hit.cas,
        };
        header.write(self.out.tail(), REPLY_MAGIC);
        self.out.tail().extend_from_slice(&flags);
        self.out.tail().extend_from_slice(key);
        self.out.push(hit.value);
    }
}

/// The four bytes at `at`; 0 if they are not there.
fn number(bytes: &[u8], at: usize) -> i64 {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk());
    four.map_or(0, |four| i64::from(u32::from_be_bytes(*four)))
}

/// The eight bytes at `at`; 0 if they are not there.
fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_be_bytes(*eight))
}
