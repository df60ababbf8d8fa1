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
