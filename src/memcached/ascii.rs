//! Classic ASCII commands of the built-in server (02 §5, §6); `meta` has the others.
//!
//! Lines are parsed as on a proxied port. What that parser refuses, and what is stricter or laxer here, gets a second
//! look at the words.

use super::access::{Access, Deleted};
use super::arith::{Arith, Computed};
use super::clock::Tick;
use super::counters::Count;
use super::session::{OUTPUT_MAX, Rest, Session, Step, Unfinished};
use super::storing::{NewItem, Stored, Terms};
use super::{VERSION, dump, meta, statistics};
use crate::buffer::{Input, Output, Pool};
use crate::protocol::ascii::answer::{self, END};
use crate::protocol::ascii::line;
use crate::protocol::ascii::request::{self, Parsed};
use crate::protocol::ascii::words::Words;
use crate::protocol::binary::breach::Breach;
use crate::protocol::keyed::Keyed;
use crate::protocol::keyless::Keyless;
use crate::protocol::scan::skip_blanks;
use crate::protocol::{self, Answered, Dump, KEY_MAX, Keys, Request, Store, StoreVerb, expiry};
use crate::sums::sum;

/// Values above this are refused before they arrive; whether an item fits a slab class is known when it is there.
pub const VALUE_MAX: u64 = 1 << 20;

/// The highest log level that `verbosity` sets.
const VERBOSITY_MAX: u32 = 4;

const ERROR: &[u8] = b"ERROR\r\n";
const OK: &[u8] = b"OK\r\n";
const STORED: &[u8] = b"STORED\r\n";
const NOT_STORED: &[u8] = b"NOT_STORED\r\n";
const EXISTS: &[u8] = b"EXISTS\r\n";
const NOT_FOUND: &[u8] = b"NOT_FOUND\r\n";
const DELETED: &[u8] = b"DELETED\r\n";
const TOUCHED: &[u8] = b"TOUCHED\r\n";
const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
const BAD_CHUNK: &[u8] = b"CLIENT_ERROR bad data chunk\r\n";
const NON_NUMERIC: &[u8] = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
const NO_MEMORY: &[u8] = b"SERVER_ERROR out of memory storing object\r\n";
const NO_MEMORY_ARITH: &[u8] = b"SERVER_ERROR out of memory\r\n";
const LIMIT_TOO_SMALL: &[u8] = b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n";
const LIMIT_IN_BYTES: &[u8] = b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n";
const NO_REASSIGNMENT: &[u8] = b"CLIENT_ERROR Slab reassignment not supported\r\n";

/// What a get does with each key.
#[derive(Clone, Copy, Debug)]
pub(super) struct GetMode {
    /// Shows the CAS id.
    pub cas: bool,
    /// Gives the item this expiry.
    pub touch: Option<Tick>,
}

/// What a request other than a get is answered with.
enum Answer {
    /// This line, unless the client wants none.
    Line(&'static [u8]),
    /// This line, whatever the client wants.
    Error(&'static [u8]),
    /// This line, and the connection is closed.
    Last(&'static [u8]),
    /// What has been written already.
    Written,
    /// What follows from it.
    End(Step),
}

/// Serves the next request of an ASCII client.
pub(super) fn step(
    session: &mut Session,
    access: &Access<'_>,
    input: &mut Input,
    pool: &mut Pool,
    out: &mut Output,
) -> Step {
    if let Some(unfinished) = session.unfinished.take() {
        return go_on(session, access, input, unfinished, out);
    }
    if let Some(step) = meta::step(session, access, input, pool, out) {
        return step;
    }
    let all = input.value();
    let data = all.bytes;
    let mut scanned = input.scanned;
    let parsed = request::parse(all, &mut scanned, VALUE_MAX);
    let line = || request::cut(data.get(..scanned).unwrap_or_default());
    let count = |len: usize| access.counters.add(Count::BytesRead, sum([scanned, 1, len]) as u64);
    let (answer, answered, len) = match parsed {
        Parsed::Incomplete { need } => {
            input.scanned = scanned;
            input.expect(need, pool);
            return Step::Wait;
        }
        Parsed::Request { request, answered, len } => {
            count(len);
            match begin(access, data, &request, len) {
                Some(unfinished) => return go_on(session, access, input, unfinished, out),
                None => (execute(access, &request, line(), answered, out), answered, len),
            }
        }
        Parsed::Rejected { reply, answered, len } => {
            count(len);
            if reply == BAD_CHUNK {
                access.counters.add(Count::BadSet, 1);
            }
            match second_look(access, line(), reply, out) {
                Refused::Answer(answer) => (answer, answered, len),
                Refused::Get(keys) => {
                    let rest = rest_of(data, &keys, len, GetMode { cas: false, touch: None });
                    return get(session, access, input, rest, out);
                }
            }
        }
        Parsed::ValueRefused { reply, answered, len, swallow } => {
            count(len);
            session.swallow = swallow;
            let words = Words::split(line());
            if words.get(0) == b"set" {
                access.discard(words.get(1));
            }
            (Answer::Line(reply), answered, len)
        }
        Parsed::Http => (Answer::End(Step::Breach(Breach::Http)), Answered::Always, data.len()),
        Parsed::LineTooLong => (Answer::Last(request::LINE_TOO_LONG), Answered::Always, data.len()),
    };
    input.consume(len);
    write(answer, answered, out)
}

/// Writes what a request is answered with.
fn write(answer: Answer, answered: Answered, out: &mut Output) -> Step {
    match answer {
        Answer::Line(line) if answered.says_anything() => out.tail().extend_from_slice(line),
        Answer::Error(line) => out.tail().extend_from_slice(line),
        Answer::Last(line) => {
            out.tail().extend_from_slice(line);
            return Step::Quit;
        }
        Answer::End(step) => return step,
        Answer::Line(_) | Answer::Written => {}
    }
    Step::Done
}

/// A request whose answer may be long, before anything of it is written. `None`: it is none of these.
fn begin(access: &Access<'_>, data: &[u8], request: &Request<'_>, len: usize) -> Option<Unfinished> {
    match request {
        Request::GetMany { keys, cas, exptime } => {
            let touch = exptime.map(|exptime| access.expiry(expiry::read(exptime).into()));
            Some(Unfinished::Get(rest_of(data, keys, len, GetMode { cas: *cas, touch })))
        }
        Request::Dump(Dump::Metadump { classes }) => {
            let cursor = dump::Cursor::new(classes, access.memcached.classes.count())?;
            Some(Unfinished::Dump(cursor, len))
        }
        _ => None,
    }
}

/// Writes the next part of such an answer.
fn go_on(session: &mut Session, access: &Access<'_>, input: &mut Input, what: Unfinished, out: &mut Output) -> Step {
    match what {
        Unfinished::Get(rest) => get(session, access, input, rest, out),
        Unfinished::Dump(mut cursor, len) => {
            let is_all = metadump(access, &mut cursor, out);
            if !is_all {
                session.unfinished = Some(Unfinished::Dump(cursor, len));
                return Step::Full;
            }
            input.consume(len);
            Step::Done
        }
    }
}

/// A get that has not begun. `keys` are in a line that begins, behind some blanks, at the start of `data`.
fn rest_of(data: &[u8], keys: &Keys<'_>, len: usize, mode: GetMode) -> Rest {
    let blanks = data.iter().take_while(|&&byte| byte == b' ').count();
    let first = keys.iter().next().map_or(0, |(at, _)| at);
    Rest { at: sum([blanks, first]), end: sum([blanks, keys.line().len()]), len, mode }
}

/// Answers a get key by key, until there is enough to be sent.
fn get(session: &mut Session, access: &Access<'_>, input: &mut Input, rest: Rest, out: &mut Output) -> Step {
    let line = input.data().get(..rest.end).unwrap_or_default();
    let limit = out.end().saturating_add(OUTPUT_MAX);
    for (at, key) in Keys::new(line, rest.at).iter() {
        if out.end() >= limit {
            session.unfinished = Some(Unfinished::Get(Rest { at, ..rest }));
            return Step::Full;
        }
        value(access, key, rest.mode, out);
    }
    out.tail().extend_from_slice(END);
    input.consume(rest.len);
    Step::Done
}

/// Writes the value of a key, if there is one.
fn value(access: &Access<'_>, key: &[u8], mode: GetMode, out: &mut Output) {
    access.read(key, mode.touch, |hit| answer::value(out, key, hit.flags, mode.cas.then_some(hit.cas), hit.value));
}

/// Lists keys, until there is enough to be sent; tells whether that was all.
fn metadump(access: &Access<'_>, cursor: &mut dump::Cursor, out: &mut Output) -> bool {
    let limit = out.end().saturating_add(OUTPUT_MAX);
    while cursor.advance(access.memcached, access.tick, out.tail()) {
        if out.end() >= limit {
            return false;
        }
    }
    out.tail().extend_from_slice(END);
    true
}

/// Does what a request for one key asks for.
fn execute_keyed(access: &Access<'_>, command: &Keyed<'_>, answered: Answered, out: &mut Output) -> Answer {
    let expires = |exptime| access.expiry(expiry::read(exptime).into());
    let mut get = |key, cas, touch| {
        value(access, key, GetMode { cas, touch }, out);
        out.tail().extend_from_slice(END);
        Answer::Written
    };
    match *command {
        Keyed::Get { key, cas } => get(key, cas, None),
        Keyed::Gat { key, exptime, cas } => get(key, cas, Some(expires(exptime))),
        Keyed::Store(ref store) => Answer::Line(stored(access, store)),
        Keyed::Arith(protocol::Arith { key, delta, decr, .. }) => {
            match access.arith(&Arith { key, delta, decr, ..Arith::default() }) {
                Computed::Yes(..) if !answered.says_anything() => Answer::Written,
                Computed::Yes(number, _) => {
                    answer::number(out.tail(), number);
                    Answer::Written
                }
                Computed::NotFound => Answer::Line(NOT_FOUND),
                Computed::Exists => Answer::Line(EXISTS),
                Computed::NonNumeric => Answer::Line(NON_NUMERIC),
                Computed::OutOfMemory => Answer::Line(NO_MEMORY_ARITH),
            }
        }
        Keyed::Delete { key, .. } => Answer::Line(match access.delete(key, 0) {
            Deleted::Yes => DELETED,
            Deleted::NotFound | Deleted::Exists => NOT_FOUND,
        }),
        Keyed::Touch { key, exptime } => {
            let touched = access.touch(key, expires(exptime));
            Answer::Line(if touched.is_some() { TOUCHED } else { NOT_FOUND })
        }
        // These are not commands of this server.
        Keyed::Getl { .. } | Keyed::Unl { .. } => Answer::Error(ERROR),
    }
}

/// Does what a request other than a get of several keys or a list asks for.
fn execute(access: &Access<'_>, request: &Request<'_>, line: &[u8], answered: Answered, out: &mut Output) -> Answer {
    match *request {
        Request::Keyed(ref command) => execute_keyed(access, command, answered, out),
        Request::Keyless(Keyless::Flush { delay }) => {
            access.flush(expiry::read(delay.unwrap_or(0)).into());
            Answer::Line(OK)
        }
        Request::Keyless(Keyless::Stats { .. }) | Request::Dump(Dump::Cachedump { .. }) => stats(access, line, out),
        Request::Keyless(Keyless::MemLimit { megabytes }) => Answer::Line(memory_limit(access, megabytes)),
        // With further words, too: memcached answers them since 1.4.3, and tools rely on it.
        Request::Keyless(Keyless::Version) => {
            answer::version(out.tail(), VERSION.as_bytes());
            Answer::Written
        }
        Request::Verbosity { level } => {
            if answered.says_anything() {
                out.tail().extend_from_slice(OK);
            }
            // At most 4.
            Answer::End(Step::Verbosity(level.min(VERBOSITY_MAX) as u8))
        }
        Request::Quit => Answer::End(Step::Quit),
        // Of classes that there are, the list has begun.
        Request::Dump(Dump::Metadump { .. }) => Answer::Line(line::BAD_CLASS),
        // Gets were dealt with before; the others are not commands of this server.
        Request::GetMany { .. }
        | Request::Keyless(Keyless::Noop)
        | Request::Dump(Dump::Mgdump { .. })
        | Request::StatsProxy { .. } => Answer::Error(ERROR),
    }
}

/// `cache_memlimit`: the bounds and words are memcached's.
fn memory_limit(access: &Access<'_>, megabytes: u32) -> &'static [u8] {
    match megabytes {
        0..=7 => LIMIT_TOO_SMALL,
        8..=1_000_000_000 => {
            access.memcached.classes.set_limit(u64::from(megabytes) << 20);
            OK
        }
        _ => LIMIT_IN_BYTES,
    }
}

fn stored(access: &Access<'_>, store: &Store<'_>) -> &'static [u8] {
    let Store { verb, key, flags, exptime, cas, value } = *store;
    let expires = access.expiry(expiry::read(exptime).into());
    let new = NewItem { verb, key, flags, expires, cas, value, terms: Terms::default() };
    match access.store(&new) {
        Stored::Yes(_) => STORED,
        Stored::No => NOT_STORED,
        Stored::Exists => EXISTS,
        Stored::NotFound => NOT_FOUND,
        // What there is no memory for cannot be appended, either.
        Stored::OutOfMemory if matches!(verb, StoreVerb::Append | StoreVerb::Prepend) => NOT_STORED,
        Stored::OutOfMemory => NO_MEMORY,
        Stored::TooLarge => request::TOO_LARGE,
    }
}

/// What a line that a proxied port refuses means here.
enum Refused<'a> {
    Answer(Answer),
    Get(Keys<'a>),
}

fn second_look<'a>(access: &Access<'_>, line: &'a [u8], reply: &'static [u8], out: &mut Output) -> Refused<'a> {
    let words = Words::split(line);
    Refused::Answer(match words.get(0) {
        b"bget" => match bget(line) {
            Ok(keys) => return Refused::Get(keys),
            Err(reply) => Answer::Error(reply),
        },
        b"stats" => stats(access, line, out),
        b"slabs" if words.get(1) == b"reassign" && words.count() == 4 => Answer::Error(NO_REASSIGNMENT),
        b"slabs" | b"lru" | b"lru_crawler" if reply == line::ONE_SERVER_ONLY => Answer::Error(ERROR),
        _ => Answer::Line(reply),
    })
}

/// `bget KEY…`, an old name of `get`.
fn bget(line: &[u8]) -> Result<Keys<'_>, &'static [u8]> {
    let keys = Keys::new(skip_blanks(line), b"bget".len());
    if keys.iter().any(|(_, key)| key.len() > KEY_MAX) {
        return Err(BAD_FORMAT);
    }
    if keys.iter().next().is_none() { Err(ERROR) } else { Ok(keys) }
}

/// `stats …`: writes the whole reply.
fn stats(access: &Access<'_>, line: &[u8], out: &mut Output) -> Answer {
    match statistics::ascii(access, &Words::split(line), out.tail()) {
        Ok(()) => Answer::Written,
        Err(reply) => Answer::Error(reply),
    }
}
