//! Binary requests in ASCII words, and the answers back, for binary clients of ASCII servers.
//!
//! Servers that know the meta commands (memcached 1.6.10) get those: they carry CAS ids, initial values and expiry in
//! one atomic command, and keys that are no words in base64. Others get the classic commands; what these cannot say is
//! refused with 0x83, such a key with 0x04.

use super::Create;
use super::ascii::command::{flush, key as push_key};
use super::ascii::meta::{self, is_word};
use super::ascii::reply::Reply;
use super::binary::opcode::{self, status};
use super::binary::packet::Packet;
use super::binary::reply::Reply as BinaryReply;
use super::expiry;
use super::numbers::{parse_u64, push_u64};
use super::op::{self, Answer, Op, is_quiet};
use crate::buffer::{Output, Value};

/// "Do not create a missing number" (memcached's `protocol_binary.txt`).
const NO_CREATE: u32 = 0xffff_ffff;

/// What was written for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where the key stands, counted from where the writing began.
    pub key_at: usize,
    /// How long it is there.
    pub key_len: usize,
    /// It stands there in base64.
    pub is_encoded: bool,
    /// The packet's value and a line end are to follow.
    pub has_value: bool,
    /// A missing number is to be created, by a further command.
    pub create: Option<Create>,
}

/// What a reply means for its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is answered; a quiet one perhaps with nothing.
    Answered,
    /// The number is missing and is to be created.
    Missing,
    /// The server's reply does not fit.
    Unfit,
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn short(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// Appends the line for `packet`, whose shape has been checked.
///
/// # Errors
/// The status for the client if the server has no such command; nothing is written then.
pub fn write(out: &mut Vec<u8>, packet: &Packet<'_>, is_meta: bool) -> Result<Written, u16> {
    let op = op::of(packet.header.opcode);
    if op.opcode == opcode::FLUSH {
        write_flush(out, packet.extras);
        return Ok(Written { key_at: 0, key_len: 0, is_encoded: false, has_value: false, create: None });
    }
    if !(is_word(packet.key) || is_meta && meta::is_encodable(packet.key)) {
        // What no such server knows is not known for this key either.
        return Err(if op.is_foreign { status::UNKNOWN_COMMAND } else { status::INVALID });
    }
    if is_meta { write_meta(out, packet, op.opcode) } else { write_classic(out, packet, op) }
}

/// Appends the `flush_all` for a packet with these extras.
pub fn write_flush(out: &mut Vec<u8>, extras: &[u8]) {
    let delay = expiry::delay_to_line(short(extras, 0));
    flush(out, (delay != 0).then_some(delay.into()));
}

fn flag(out: &mut Vec<u8>, name: u8, argument: u64) {
    out.extend_from_slice(&[b' ', name]);
    push_u64(out, argument);
}

fn write_meta(out: &mut Vec<u8>, packet: &Packet<'_>, code: u8) -> Result<Written, u16> {
    let (key, extras, cas) = (packet.key, packet.extras, packet.header.cas);
    let mode: &[u8] = match code {
        opcode::SET => b" MS",
        opcode::ADD if cas != 0 => b" MS", // as memcached treats an add with an id
        opcode::ADD => b" ME",
        opcode::REPLACE => b" MR",
        opcode::APPEND => b" MA",
        opcode::PREPEND => b" MP",
        opcode::INCREMENT => b" MI",
        opcode::DECREMENT => b" MD",
        _ => b"",
    };
    let verb: &[u8] = match code {
        opcode::GET | opcode::GETK | opcode::GAT | opcode::GATK | opcode::TOUCH => b"mg",
        opcode::SET | opcode::ADD | opcode::REPLACE | opcode::APPEND | opcode::PREPEND => b"ms",
        opcode::DELETE => b"md",
        opcode::INCREMENT | opcode::DECREMENT => b"ma",
        _ => return Err(status::UNKNOWN_COMMAND),
    };
    out.extend_from_slice(verb);
    let (key_at, start) = (verb.len() + 1, out.len() + 1);
    let is_encoded = meta::push_key(out, key);
    let key_len = out.len() - start;
    let mut has_value = false;
    match code {
        opcode::GET | opcode::GETK => out.extend_from_slice(b" v f c"),
        opcode::GAT | opcode::GATK => {
            out.extend_from_slice(b" v f c");
            flag(out, b'T', expiry::to_line(short(extras, 0)).into());
        }
        opcode::TOUCH => {
            out.extend_from_slice(b" f c");
            flag(out, b'T', expiry::to_line(short(extras, 0)).into());
        }
        opcode::DELETE => {
            if cas != 0 {
                flag(out, b'C', cas);
            }
        }
        opcode::INCREMENT | opcode::DECREMENT => {
            out.extend_from_slice(b" v c");
            out.extend_from_slice(mode);
            flag(out, b'D', number(extras, 0));
            let exptime = short(extras, 16);
            if exptime != NO_CREATE {
                flag(out, b'J', number(extras, 8));
                flag(out, b'N', expiry::to_line(exptime).into());
            }
            if cas != 0 {
                flag(out, b'C', cas);
            }
        }
        _ => {
            has_value = true;
            out.push(b' ');
            push_u64(out, packet.value.len() as u64);
            out.extend_from_slice(b" c");
            out.extend_from_slice(mode);
            if extras.len() == 8 {
                flag(out, b'F', u64::from(short(extras, 0)));
                flag(out, b'T', expiry::to_line(short(extras, 4)).into());
            }
            if cas != 0 {
                flag(out, b'C', cas);
            }
        }
    }
    if is_encoded {
        out.extend_from_slice(b" b");
    }
    out.extend_from_slice(b"\r\n");
    Ok(Written { key_at, key_len, is_encoded, has_value, create: None })
}

fn write_classic(out: &mut Vec<u8>, packet: &Packet<'_>, op: &Op) -> Result<Written, u16> {
    let (key, extras, cas) = (packet.key, packet.extras, packet.header.cas);
    let verb = match (op.is_foreign, op.gives_value(), cas) {
        (false, true, _) => op.cas_word,
        // Most classic commands cannot be made to depend on an id.
        (_, _, 1..) if op.cas_word.is_empty() => return Err(status::NOT_SUPPORTED),
        (false, false, 1..) => op.cas_word,
        (false, false, 0) => op.word,
        (true, ..) => return Err(status::UNKNOWN_COMMAND),
    };
    out.extend_from_slice(verb.as_bytes());
    let mut key_at = verb.len() + 1;
    let mut create = None;
    let mut has_value = false;
    match op.opcode {
        opcode::GAT | opcode::GATK => {
            let start = out.len();
            out.push(b' ');
            push_u64(out, expiry::to_line(short(extras, 0)).into());
            key_at += out.len() - start;
            push_key(out, key);
        }
        opcode::TOUCH => {
            push_key(out, key);
            out.push(b' ');
            push_u64(out, expiry::to_line(short(extras, 0)).into());
        }
        opcode::INCREMENT | opcode::DECREMENT => {
            push_key(out, key);
            out.push(b' ');
            push_u64(out, number(extras, 0));
            let exptime = short(extras, 16);
            create = (exptime != NO_CREATE).then(|| Create { initial: number(extras, 8), exptime });
        }
        opcode::GET | opcode::GETK | opcode::DELETE => push_key(out, key),
        _ => {
            has_value = true;
            push_key(out, key);
            for number in [short(extras, 0).into(), expiry::to_line(short(extras, 4)).into(), packet.value.len() as u64]
            {
                out.push(b' ');
                push_u64(out, number);
            }
            if cas != 0 {
                out.push(b' ');
                push_u64(out, cas);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(Written { key_at, key_len: key.len(), is_encoded: false, has_value, create })
}

/// Appends the command that creates a missing number. It is answered like an `add`.
pub fn write_create(out: &mut Vec<u8>, key: &[u8], create: Create) {
    let Create { initial, exptime } = create;
    let mut digits = Vec::with_capacity(20);
    push_u64(&mut digits, initial);
    out.extend_from_slice(b"add");
    push_key(out, key);
    out.extend_from_slice(b" 0 ");
    push_u64(out, expiry::to_line(exptime).into());
    out.push(b' ');
    push_u64(out, digits.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&digits);
    out.extend_from_slice(b"\r\n");
}

/// The request that a reply belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The client's opcode.
    pub opcode: u8,
    /// The client's opaque.
    pub opaque: u32,
    /// The key.
    pub key: &'a [u8],
    /// A missing number is still to be created.
    pub may_create: bool,
}

/// A flag of a meta reply line, as a number.
fn meta_flag(flags: &[u8], name: u8) -> Option<u64> {
    flags.split(|byte| *byte == b' ').find_map(|word| parse_u64(word.strip_prefix(&[name])?))
}

/// Appends the binary answer to what the server said; nothing if a quiet request has nothing to hear.
pub fn answer(out: Option<&mut Output>, asked: &Asked<'_>, reply: &Reply<'_>) -> Outcome {
    let op = op::of(asked.opcode);
    let (is_get, is_arith) = (op.gives_value(), op.answer == Answer::Number);
    let mut silent = None;
    let sink = out.unwrap_or_else(|| silent.insert(Output::default()));
    match reply {
        Reply::Value { flags, cas, data, .. } if is_get => value(sink, asked, *flags, cas.unwrap_or(0), *data),
        Reply::Meta { flags, data } if is_get => {
            let client_flags = meta_flag(flags, b'f').unwrap_or(0) as u32;
            value(sink, asked, client_flags, meta_flag(flags, b'c').unwrap_or(0), *data);
        }
        Reply::Meta { flags, data } if is_arith => {
            let Some(number) = parse_u64(data.trim_ascii()) else { return Outcome::Unfit };
            counted(sink, asked, number, meta_flag(flags, b'c').unwrap_or(0));
        }
        // The end of a get: a miss.
        Reply::End if is_get => refuse(sink, asked, status::KEY_NOT_FOUND),
        Reply::Line { line } => return word(sink, asked, op, line),
        Reply::Value { .. } | Reply::Meta { .. } | Reply::End | Reply::Stat { .. } => return Outcome::Unfit,
    }
    Outcome::Answered
}

/// The answer to a line.
fn word(out: &mut Output, asked: &Asked<'_>, op: &Op, line: &[u8]) -> Outcome {
    let (is_get, is_arith, is_quiet) = (op.gives_value(), op.answer == Answer::Number, is_quiet(asked.opcode));
    if is_arith && let Some(number) = parse_u64(line.trim_ascii()) {
        counted(out, asked, number, 0);
        return Outcome::Answered;
    }
    let (first, flags) = line.split_at(memchr::memchr(b' ', line).unwrap_or(line.len()));
    let status = match first {
        // A value is missing.
        b"HD" | b"STORED" | b"DELETED" | b"TOUCHED" | b"OK" if is_get || is_arith && !is_quiet => {
            return Outcome::Unfit;
        }
        b"HD" | b"STORED" | b"DELETED" | b"TOUCHED" | b"OK" => {
            if !is_quiet {
                done(out, asked, flags);
            }
            return Outcome::Answered;
        }
        b"EN" | b"NF" | b"NOT_FOUND" if is_arith && asked.may_create => return Outcome::Missing,
        b"EN" | b"NF" | b"NOT_FOUND" => match op.opcode {
            opcode::APPEND | opcode::PREPEND => status::NOT_STORED,
            _ => status::KEY_NOT_FOUND,
        },
        b"EX" | b"EXISTS" => status::KEY_EXISTS,
        b"NS" | b"NOT_STORED" => match op.opcode {
            opcode::ADD | opcode::INCREMENT | opcode::DECREMENT => status::KEY_EXISTS,
            opcode::REPLACE => status::KEY_NOT_FOUND,
            _ => status::NOT_STORED,
        },
        b"ERROR" => status::UNKNOWN_COMMAND,
        _ if line.starts_with(b"CLIENT_ERROR cannot increment or decrement") => status::DELTA_BAD_VALUE,
        b"CLIENT_ERROR" => status::INVALID,
        _ if line.starts_with(b"SERVER_ERROR object too large") => status::TOO_LARGE,
        _ if line.starts_with(b"SERVER_ERROR out of memory") => status::OUT_OF_MEMORY,
        b"SERVER_ERROR" => status::INTERNAL,
        _ => return Outcome::Unfit,
    };
    refuse(out, asked, status);
    Outcome::Answered
}

fn value(out: &mut Output, asked: &Asked<'_>, flags: u32, cas: u64, data: Value<'_>) {
    let key = if op::of(asked.opcode).gives_key() { asked.key } else { &[] };
    let reply = BinaryReply { cas, extras: &flags.to_be_bytes(), key, ..BinaryReply::to(asked.opcode, asked.opaque) };
    reply.write_head(out.tail(), data.len());
    out.push(data);
}

fn counted(out: &mut Output, asked: &Asked<'_>, number: u64, cas: u64) {
    if !is_quiet(asked.opcode) {
        let value = &number.to_be_bytes();
        BinaryReply { cas, value, ..BinaryReply::to(asked.opcode, asked.opaque) }.write(out.tail());
    }
}

/// The answer that a missing number was created.
pub fn created(out: &mut Output, asked: &Asked<'_>, initial: u64) {
    counted(out, asked, initial, 0);
}

/// Success without a value.
fn done(out: &mut Output, asked: &Asked<'_>, flags: &[u8]) {
    let cas = meta_flag(flags, b'c').unwrap_or(0);
    let client_flags = (meta_flag(flags, b'f').unwrap_or(0) as u32).to_be_bytes();
    // memcached's answer to a touch carries the item's flags.
    let extras: &[u8] = if asked.opcode == opcode::TOUCH { &client_flags } else { &[] };
    BinaryReply { cas, extras, ..BinaryReply::to(asked.opcode, asked.opaque) }.write(out.tail());
}

/// Anything but success. A quiet get that misses hears nothing.
fn refuse(out: &mut Output, asked: &Asked<'_>, code: u16) {
    let op = op::of(asked.opcode);
    if op.gives_value() && is_quiet(asked.opcode) && code == status::KEY_NOT_FOUND {
        return;
    }
    if op.gives_key() && code == status::KEY_NOT_FOUND {
        let reply = BinaryReply { status: code, key: asked.key, ..BinaryReply::to(asked.opcode, asked.opaque) };
        return reply.write(out.tail());
    }
    BinaryReply::refused(asked.opcode, asked.opaque, code).write(out.tail());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ascii::reply;
    use crate::protocol::binary::packet::{Parsed, lengths, parse_request};

    fn packet(code: u8, extras: &[u8], key: &[u8], value: &[u8], cas: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut header = lengths(extras.len(), key.len(), value.len());
        (header.opcode, header.cas, header.opaque) = (code, cas, 7);
        header.write(&mut out, 0x80);
        for part in [extras, key, value] {
            out.extend_from_slice(part);
        }
        out
    }

    fn line(bytes: &[u8], is_meta: bool) -> Result<String, u16> {
        let Parsed::Packet { packet, .. } = parse_request(bytes) else { panic!("not a packet") };
        let mut out = Vec::new();
        let written = write(&mut out, &packet, is_meta)?;
        let mut key = out[written.key_at..written.key_at + written.key_len].to_vec();
        if written.is_encoded {
            meta::decode_key(&mut key);
        }
        assert_eq!(key, packet.key);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn requests_in_both_dialects() {
        let set = [0, 0, 0, 5, 0, 0, 0, 9];
        let arith = [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0];
        type Line = Result<&'static str, u16>;
        let invalid: Line = Err(status::INVALID);
        let unknown: Line = Err(status::UNKNOWN_COMMAND);
        let table: [(Vec<u8>, Line, Line); 15] = [
            (packet(opcode::GETKQ, &[], b"k", &[], 0), Ok("mg k v f c\r\n"), Ok("gets k\r\n")),
            (packet(opcode::SETQ, &set, b"k", b"ab", 0), Ok("ms k 2 c MS F5 T9\r\n"), Ok("set k 5 9 2\r\n")),
            (packet(opcode::SET, &set, b"k", b"ab", 4), Ok("ms k 2 c MS F5 T9 C4\r\n"), Ok("cas k 5 9 2 4\r\n")),
            (packet(opcode::APPEND, &[], b"k", b"ab", 4), Ok("ms k 2 c MA C4\r\n"), Err(status::NOT_SUPPORTED)),
            (packet(opcode::DELETE, &[], b"k", &[], 0), Ok("md k\r\n"), Ok("delete k\r\n")),
            (packet(opcode::INCREMENT, &arith, b"k", &[], 0), Ok("ma k v c MI D3 J8 N0\r\n"), Ok("incr k 3\r\n")),
            (packet(opcode::GATQ, &[0, 0, 0, 6], b"k", &[], 0), Ok("mg k v f c T6\r\n"), Ok("gats 6 k\r\n")),
            (packet(opcode::GETL, &[], b"k", &[], 0), unknown, unknown),
            (packet(opcode::GETK, &[], b"a b", &[], 0), Ok("mg YSBi v f c b\r\n"), invalid),
            (packet(opcode::ADDQ, &set, b"\0", b"ab", 0), Ok("ms AA== 2 c ME F5 T9 b\r\n"), invalid),
            (packet(opcode::DELETE, &[], b"a\r", &[], 7), Ok("md YQ0= C7 b\r\n"), invalid),
            (packet(opcode::DECREMENT, &arith, b"\n", &[], 0), Ok("ma Cg== v c MD D3 J8 N0 b\r\n"), invalid),
            (packet(opcode::TOUCH, &[0, 0, 0, 6], b" ", &[], 0), Ok("mg IA== f c T6 b\r\n"), invalid),
            (packet(opcode::GET, &[], &[b' '; 187], &[], 0), invalid, invalid),
            (packet(opcode::GETL, &[], b"a b", &[], 0), unknown, unknown),
        ];
        for (bytes, meta, classic) in table {
            assert_eq!(line(&bytes, true), meta.map(str::to_owned));
            assert_eq!(line(&bytes, false), classic.map(str::to_owned));
        }
    }

    fn reply(code: u8, may_create: bool, server: &[u8]) -> (Outcome, Vec<u8>) {
        let reply::Parsed::Reply { reply, .. } = reply::parse(server, &mut 0) else { panic!("not a reply") };
        let mut out = Output::default();
        let asked = Asked { opcode: code, opaque: 7, key: b"k", may_create };
        let outcome = answer(Some(&mut out), &asked, &reply);
        let bytes = out.contiguous(u64::MAX).unwrap_or_default().to_vec();
        (outcome, bytes)
    }

    #[test]
    fn answers_carry_status_and_cas() {
        let (outcome, bytes) = reply(opcode::GETK, false, b"VA 2 f5 c9\r\nab\r\n");
        assert_eq!(outcome, Outcome::Answered);
        assert_eq!(bytes, b"\x81\x0c\0\x01\x04\0\0\0\0\0\0\x07\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\x05kab");
        let (_, bytes) = reply(opcode::SET, false, b"HD c9\r\n");
        assert_eq!(bytes, b"\x81\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09");
        assert_eq!(reply(opcode::SETQ, false, b"HD c9\r\n"), (Outcome::Answered, vec![]));
        assert_eq!(reply(opcode::GETQ, false, b"EN\r\n"), (Outcome::Answered, vec![]));
        assert_eq!(reply(opcode::INCREMENT, true, b"NOT_FOUND\r\n"), (Outcome::Missing, vec![]));
        let (_, bytes) = reply(opcode::INCREMENT, false, b"VA 2 c9\r\n12\r\n");
        assert_eq!(&bytes[24..], 12u64.to_be_bytes());
        let status = |code, server| u16::from_be_bytes(reply(code, false, server).1[6..8].try_into().unwrap());
        assert_eq!(status(opcode::ADD, b"NS\r\n"), status::KEY_EXISTS);
        assert_eq!(status(opcode::REPLACE, b"NOT_STORED\r\n"), status::KEY_NOT_FOUND);
        assert_eq!(status(opcode::APPENDQ, b"NS\r\n"), status::NOT_STORED);
        assert_eq!(status(opcode::SETQ, b"EX\r\n"), status::KEY_EXISTS);
        assert_eq!(status(opcode::GET, b"END\r\n"), status::KEY_NOT_FOUND);
        assert_eq!(reply(opcode::SET, false, b"END\r\n").0, Outcome::Unfit);
        for line in [&b"HD\r\n"[..], b"STORED\r\n", b"TOUCHED\r\n", b"OK\r\n"] {
            assert_eq!(reply(opcode::GAT, false, line).0, Outcome::Unfit);
            assert_eq!(reply(opcode::INCREMENT, false, line).0, Outcome::Unfit);
        }
    }
}
