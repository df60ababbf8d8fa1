//! An ASCII server's answer to a packet, as a packet.

use crate::buffer::{Output, Value};
use crate::protocol::Reply;
use crate::protocol::ascii::meta::asked::Status;
use crate::protocol::ascii::meta::reply::{Words, outcome};
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::reply::Reply as BinaryReply;
use crate::protocol::numbers::parse_u64;
use crate::protocol::op::{self, Answer, Op};
use crate::protocol::status::of_error;

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

/// Appends the binary answer to what the server said; nothing if a quiet request has nothing to hear.
pub fn answer(out: Option<&mut Output>, asked: &Asked<'_>, reply: &Reply<'_>) -> Outcome {
    let op = op::of(asked.opcode);
    let (is_get, is_arith) = (op.gives_value(), op.answer == Answer::Number);
    let mut silent = None;
    let sink = out.unwrap_or_else(|| silent.insert(Output::default()));
    match reply {
        Reply::Value { flags, cas, data, .. } if is_get => value(sink, asked, *flags, cas.unwrap_or(0), *data),
        Reply::Meta { flags, data } if is_get => {
            let client_flags = Words::new(flags).number(b'f').unwrap_or(0) as u32;
            value(sink, asked, client_flags, Words::new(flags).number(b'c').unwrap_or(0), *data);
        }
        Reply::Meta { flags, data } if is_arith => {
            let Some(number) = parse_u64(data.trim_ascii()) else { return Outcome::Unfit };
            counted(sink, asked, number, Words::new(flags).number(b'c').unwrap_or(0));
        }
        // The end of a get: a miss.
        Reply::End if is_get => refuse(sink, asked, status::KEY_NOT_FOUND),
        Reply::Line { line } => return word(sink, asked, op, line),
        _ => return Outcome::Unfit,
    }
    Outcome::Answered
}

/// The answer to a line.
fn word(out: &mut Output, asked: &Asked<'_>, op: &Op, line: &[u8]) -> Outcome {
    let (is_get, is_arith, answered) = (op.gives_value(), op.answer == Answer::Number, op::answered(asked.opcode));
    if is_arith && let Some(number) = parse_u64(line.trim_ascii()) {
        counted(out, asked, number, 0);
        return Outcome::Answered;
    }
    match outcome(line) {
        // A value is missing.
        Some((Status::Done, _)) if is_get || is_arith && answered.says_done() => return Outcome::Unfit,
        Some((Status::Done, words)) => {
            if answered.says_done() {
                done(out, asked, words);
            }
        }
        Some((status, _)) if !status.fits(op.class) => return Outcome::Unfit,
        Some((Status::Missing, _)) if is_arith && asked.may_create => return Outcome::Missing,
        Some((status, _)) => refuse(out, asked, code(op, status)),
        None => match of_error(line) {
            Some(code) => refuse(out, asked, code),
            None => return Outcome::Unfit,
        },
    }
    Outcome::Answered
}

/// What a packet says that is not done.
fn code(op: &Op, status: Status) -> u16 {
    use opcode::{ADD, APPEND, DECREMENT, INCREMENT, PREPEND, REPLACE};
    match (status, op.opcode) {
        (Status::Done, _) => status::SUCCESS,
        (Status::Missing, APPEND | PREPEND) => status::NOT_STORED,
        (Status::Missing, _) => status::KEY_NOT_FOUND,
        (Status::Exists, _) => status::KEY_EXISTS,
        (Status::NotStored, ADD | INCREMENT | DECREMENT) => status::KEY_EXISTS,
        (Status::NotStored, REPLACE) => status::KEY_NOT_FOUND,
        (Status::NotStored, _) => status::NOT_STORED,
    }
}

fn value(out: &mut Output, asked: &Asked<'_>, flags: u32, cas: u64, data: Value<'_>) {
    let key = if op::of(asked.opcode).gives_key() { asked.key } else { &[] };
    let reply = BinaryReply { cas, extras: &flags.to_be_bytes(), key, ..BinaryReply::to(asked.opcode, asked.opaque) };
    reply.write_head(out.tail(), data.len());
    out.push(data);
}

fn counted(out: &mut Output, asked: &Asked<'_>, number: u64, cas: u64) {
    if op::answered(asked.opcode).says_done() {
        let value = &number.to_be_bytes();
        BinaryReply { cas, value, ..BinaryReply::to(asked.opcode, asked.opaque) }.write(out.tail());
    }
}

/// Appends the answer to the creation of a missing number, of which the server has said this.
pub fn created(out: &mut Output, asked: &Asked<'_>, initial: u64, line: &[u8]) {
    match line {
        b"STORED" => counted(out, asked, initial, 0),
        // Somebody else was quicker: the client may try again.
        _ => refuse(out, asked, status::TEMPORARY_FAILURE),
    }
}

/// Success without a value.
fn done(out: &mut Output, asked: &Asked<'_>, words: Words<'_>) {
    let cas = words.number(b'c').unwrap_or(0);
    let client_flags = (words.number(b'f').unwrap_or(0) as u32).to_be_bytes();
    // memcached's answer to a touch carries the item's flags.
    let extras: &[u8] = if asked.opcode == opcode::TOUCH { &client_flags } else { &[] };
    BinaryReply { cas, extras, ..BinaryReply::to(asked.opcode, asked.opaque) }.write(out.tail());
}

/// Anything but success. A quiet get that misses hears nothing.
fn refuse(out: &mut Output, asked: &Asked<'_>, code: u16) {
    let op = op::of(asked.opcode);
    if code == status::KEY_NOT_FOUND && !op::answered(asked.opcode).says_missing() {
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
    use super::super::created;
    use super::*;
    use crate::protocol::ascii::reply;

    const MISS: &[u8] = b"Not found";

    fn to(opcode: u8, may_create: bool, server: &str) -> (Outcome, Vec<u8>) {
        let reply::Parsed::Reply { reply, .. } = reply::parse(server.as_bytes(), &mut 0) else { panic!("{server}") };
        let mut out = Output::default();
        let outcome = answer(Some(&mut out), &Asked { opcode, opaque: 7, key: b"k", may_create }, &reply);
        (outcome, out.contiguous(u64::MAX).unwrap_or_default().to_vec())
    }

    /// A packet with the opaque 7.
    fn packet(opcode: u8, status: u8, cas: u8, [extras, key, value]: [&[u8]; 3]) -> Vec<u8> {
        let body = (extras.len() + key.len() + value.len()) as u8;
        let head = [0x81, opcode, 0, key.len() as u8, extras.len() as u8, 0, 0, status, 0, 0, 0, body];
        [&head[..], &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, cas], extras, key, value].concat()
    }

    /// Each in the words of servers of either kind.
    #[test]
    fn what_the_packet_has() {
        let flags = &[0, 0, 0, 5];
        let twelve = &12u64.to_be_bytes();
        for (opcode, server, expected) in [
            (opcode::GETK, "VALUE k 5 2 9\r\nab\r\n", packet(0x0c, 0, 9, [flags, b"k", b"ab"])),
            (opcode::GET, "VALUE k 5 2\r\nab\r\n", packet(0x00, 0, 0, [flags, b"", b"ab"])),
            (opcode::GATQ, "VA 2 f5 c9\r\nab\r\n", packet(0x1e, 0, 9, [flags, b"", b"ab"])),
            (opcode::GET, "EN\r\n", packet(0x00, 1, 0, [b"", b"", MISS])),
            (opcode::GETK, "END\r\n", packet(0x0c, 1, 0, [b"", b"k", b""])),
            (opcode::GETK, "ERROR\r\n", packet(0x0c, 0x81, 0, [b"", b"", b"Unknown command"])),
            (opcode::GETQ, "SERVER_ERROR x\r\n", packet(0x09, 0x84, 0, [b"", b"", b"Internal error"])),
            (opcode::GETKQ, "END\r\n", vec![]),
            (opcode::SETQ, "NS\r\n", packet(0x11, 5, 0, [b"", b"", b"Not stored."])),
            (opcode::DELETE, "NOT_FOUND\r\n", packet(0x04, 1, 0, [b"", b"", MISS])),
            (opcode::DELETEQ, "NF\r\n", packet(0x14, 1, 0, [b"", b"", MISS])),
            (opcode::TOUCH, "HD f5 c9\r\n", packet(0x1c, 0, 9, [flags, b"", b""])),
            (opcode::TOUCH, "TOUCHED\r\n", packet(0x1c, 0, 0, [&[0; 4], b"", b""])),
            (opcode::INCREMENT, "VA 2 c9\r\n12\r\n", packet(0x05, 0, 9, [b"", b"", twelve])),
            (opcode::DECREMENT, "12\r\n", packet(0x06, 0, 0, [b"", b"", twelve])),
            (opcode::INCREMENTQ, "12\r\n", vec![]),
            (opcode::INCREMENTQ, "HD\r\n", vec![]),
            (opcode::INCREMENT, "NOT_FOUND\r\n", packet(0x05, 1, 0, [b"", b"", MISS])),
        ] {
            assert_eq!(to(opcode, false, server), (Outcome::Answered, expected), "{opcode:#x} {server}");
        }
    }

    /// 02 §9.1 and memcached's `protocol_binary.txt`.
    #[test]
    fn which_status_a_line_is() {
        for (opcode, line, status) in [
            (opcode::APPEND, "NF", status::NOT_STORED),
            (opcode::PREPENDQ, "NOT_FOUND", status::NOT_STORED),
            (opcode::REPLACE, "NF", status::KEY_NOT_FOUND),
            (opcode::ADDQ, "NOT_STORED", status::KEY_EXISTS),
            (opcode::DECREMENT, "NS", status::KEY_EXISTS),
            (opcode::REPLACE, "NS", status::KEY_NOT_FOUND),
            (opcode::SET, "EXISTS", status::KEY_EXISTS),
            (opcode::SET, "ERROR", status::UNKNOWN_COMMAND),
            (opcode::SET, "CLIENT_ERROR bad data chunk", status::INVALID),
            (
                opcode::INCREMENT,
                "CLIENT_ERROR cannot increment or decrement non-numeric value",
                status::DELTA_BAD_VALUE,
            ),
            (opcode::SET, "SERVER_ERROR object too large for cache", status::TOO_LARGE),
            (opcode::SET, "SERVER_ERROR out of memory storing object", status::OUT_OF_MEMORY),
            (opcode::SET, "SERVER_ERROR", status::INTERNAL),
        ] {
            let (outcome, packet) = to(opcode, false, &format!("{line}\r\n"));
            assert_eq!((outcome, &packet[6..8]), (Outcome::Answered, &status.to_be_bytes()[..]), "{opcode:#x} {line}");
        }
    }

    #[test]
    fn what_does_not_fit() {
        for (opcode, server) in [
            (opcode::SET, "VALUE k 0 1\r\n1\r\n"),
            (opcode::INCREMENT, "VALUE k 0 1\r\n1\r\n"),
            (opcode::SET, "VA 1\r\n1\r\n"),
            (opcode::INCREMENT, "VA 1\r\nx\r\n"),
            (opcode::DELETE, "END\r\n"),
            (opcode::GETQ, "HD\r\n"),
            (opcode::SET, "12\r\n"),
            (opcode::GET, "STAT a b\r\n"),
            (opcode::GET, "NS\r\n"),
            (opcode::GATK, "EXISTS\r\n"),
            (opcode::TOUCH, "EX\r\n"),
            (opcode::TOUCH, "NOT_STORED\r\n"),
            (opcode::DELETE, "NS\r\n"),
        ] {
            assert_eq!(to(opcode, false, server), (Outcome::Unfit, vec![]), "{opcode:#x} {server}");
        }
    }

    #[test]
    fn a_missing_number_is_created() {
        for server in ["NOT_FOUND\r\n", "NF\r\n"] {
            assert_eq!(to(opcode::INCREMENTQ, true, server), (Outcome::Missing, vec![]));
            // That of something else never is.
            assert_eq!(to(opcode::DELETE, true, server).0, Outcome::Answered);
        }
        let said = |opcode| {
            let mut out = Output::default();
            created(&mut out, &Asked { opcode, opaque: 7, key: b"k", may_create: true }, 8, b"STORED");
            out.contiguous(u64::MAX).unwrap_or_default().to_vec()
        };
        assert_eq!(said(opcode::INCREMENT), packet(0x05, 0, 0, [b"", b"", &8u64.to_be_bytes()]));
        assert_eq!(said(opcode::DECREMENTQ), b"");
    }
}
