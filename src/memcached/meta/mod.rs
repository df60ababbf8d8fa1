//! Meta commands of the built-in server (02 §6.1): `mn`, `mg`, `ms`, `md`, `ma`, `me`.
//!
//! | file | what |
//! |---|---|
//! | `get` | `mg` and `me` |
//! | `store` | `ms` |
//! | `delete` | `md` |
//! | `arith` | `ma` |
//! | `room` | an empty item in the place of one that is there, or is not |
//!
//! An answer is written flag by flag, in the order of the request, while the item is locked: where a flag changes the item
//! those behind it show the change.

mod arith;
mod delete;
mod get;
mod room;
mod store;

use super::access::Access;
use super::ascii::VALUE_MAX;
use super::clock::{NEVER, Tick};
use super::counters::Count;
use super::item::Entry;
use super::session::{Session, Step};
use crate::buffer::{Input, Output, Pool};
use crate::protocol::ascii::meta::answer;
use crate::protocol::ascii::meta::key::KeyRoom;
use crate::protocol::ascii::meta::request::{self, Meta, Parsed, TOO_LARGE, Verb};
use crate::sums::sum;

const NO_MEMORY: &[u8] = b"SERVER_ERROR out of memory\r\n";
const END: &[u8] = b"\r\n";

/// Serves the client's next request, if it is a meta command.
pub(super) fn step(
    session: &mut Session,
    access: &Access<'_>,
    input: &mut Input,
    pool: &mut Pool,
    out: &mut Output,
) -> Option<Step> {
    let all = input.value();
    let (mut scanned, mut room) = (input.scanned, KeyRoom::default());
    let parsed = request::parse(all, &mut room, &mut scanned, VALUE_MAX)?;
    // The line counts twice, as that of a classic command (02 §13.1).
    let count = |len: usize| access.counters.add(Count::BytesRead, sum([scanned, 1, len]) as u64);
    let len = match parsed {
        Parsed::Incomplete { need } => {
            input.scanned = scanned;
            input.expect(need, pool);
            return Some(Step::Wait);
        }
        Parsed::Request { meta, len } => {
            count(len);
            execute(access, &meta, out);
            len
        }
        Parsed::Refused { reply, len, swallow } => {
            count(len);
            if reply == request::BAD_CHUNK {
                access.counters.add(Count::BadSet, 1);
            }
            session.swallow = swallow;
            out.tail().extend_from_slice(reply);
            len
        }
        Parsed::TooLarge { key, len, swallow } => {
            count(len);
            session.swallow = swallow;
            access.discard(key.name());
            out.tail().extend_from_slice(TOO_LARGE);
            len
        }
    };
    input.consume(len);
    Some(Step::Done)
}

fn execute(access: &Access<'_>, meta: &Meta<'_>, out: &mut Output) {
    access.counters.add(Count::AnyMeta, 1);
    match meta.verb {
        Verb::Noop => out.tail().extend_from_slice(answer::NOOP),
        Verb::Get => get::get(access, meta, out),
        Verb::Store(verb) => store::store(access, meta, verb, out.tail()),
        Verb::Delete => delete::delete(access, meta, out.tail()),
        Verb::Arith { decr } => arith::arith(access, meta, decr, out.tail()),
        Verb::Debug => get::debug(access, meta, out.tail()),
    }
}

/// When an item expires for which a flag has this number.
fn expiry(access: &Access<'_>, exptime: Option<i32>) -> Option<Tick> {
    exptime.map(|exptime| access.expiry(exptime.into()))
}

/// An answer without an item: the status, and the flags that only repeat the request.
fn bare(out: &mut Vec<u8>, status: &[u8], meta: &Meta<'_>) {
    out.extend_from_slice(status);
    meta.flags.iter().for_each(|(letter, token)| repeat(out, meta, letter, token));
    out.extend_from_slice(END);
}

/// What this flag asks for, if that only repeats the request.
fn repeat(out: &mut Vec<u8>, meta: &Meta<'_>, letter: u8, token: &[u8]) {
    answer::repeated(out, letter, token, meta.key.name(), meta.key.is_encoded());
}

/// How much time an item has left; `None`: no end.
fn time_left(access: &Access<'_>, entry: &Entry) -> Option<u32> {
    (entry.expires != NEVER).then(|| entry.expires.saturating_sub(access.tick))
}
