//! The words of one client line to a command (04 §2.2–§2.4 and §3, with the decisions for today's clients).
//!
//! Command words are compared whole. A wrong number of words is `ERROR`, visibly, even if the last one is
//! `noreply`; a word that is not what its place demands is a `CLIENT_ERROR`, silent if the last one is `noreply`.

use super::meta;
use super::words::Words;
use crate::protocol::keyed::Keyed;
use crate::protocol::keyless::Keyless;
use crate::protocol::numbers::{parse_i64, parse_u32, parse_u64};
use crate::protocol::scan::{skip_blanks, split_word};
use crate::protocol::{Answered, Arith, Dump, KEY_MAX, Keys, Request, Store, StoreVerb};
use crate::sums::sum;

/// The answer to what is not a command.
pub(super) const ERROR: &[u8] = b"ERROR\r\n";

/// The answer to a key over 250 bytes, and to numbers that have no text of their own.
pub(super) const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";

/// memcached's answer to an increment that is not a number.
const BAD_DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta argument\r\n";

/// memcached's answer to an expiry that is not a number.
const BAD_EXPTIME: &[u8] = b"CLIENT_ERROR invalid exptime argument\r\n";

/// memcached's answer to a `delete` with words that it does not know.
const BAD_DELETE: &[u8] = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";

/// memcached's answer to a `cachedump` with too few words.
const BAD_LINE: &[u8] = b"CLIENT_ERROR bad command line\r\n";

/// memcached's answer to slab classes that are none.
pub(crate) const BAD_CLASS: &[u8] = b"BADCLASS invalid class id\r\n";

/// The answer to commands for one server's operator, which cannot be meant for all servers of a proxy.
pub(crate) const ONE_SERVER_ONLY: &[u8] = b"CLIENT_ERROR not through a proxy: ask the server itself\r\n";

/// Sub-commands of `stats` that servers are asked for. Others (`detail`, …) stay with the proxy: they could change a
/// server that others use (04 §2.3).
const STATS_WORDS: [&[u8]; 6] = [b"reset", b"settings", b"items", b"slabs", b"sizes", b"conns"];

/// What a line asks for.
pub(super) enum Command<'a> {
    /// A request that is complete with its line.
    Request {
        /// What is asked for.
        request: Request<'a>,
        /// When it is answered.
        answered: Answered,
    },
    /// A storage command; its value, still empty in `store`, follows the line.
    Store {
        /// Everything the line says.
        store: Store<'a>,
        /// The size of the value as announced, not yet compared with any limit.
        bytes: u64,
        /// When it is answered.
        answered: Answered,
    },
    /// A command with a value, which follows the line, that cannot be done.
    StoreRefused {
        /// The line to answer with.
        reply: &'static [u8],
        /// How many bytes the value has with its line end.
        swallow: u64,
    },
    /// A line of HTTP.
    Http,
    /// Nothing that can be done.
    Refused {
        /// The line to answer with.
        reply: &'static [u8],
        /// When it is answered.
        answered: Answered,
    },
}

/// Judges a line that has been cut: no line end, no NUL.
pub(super) fn command(line: &[u8]) -> Command<'_> {
    let line = skip_blanks(line);
    let (word, _) = split_word(line);
    match word {
        b"get" => retrieval(line, word.len(), false, None),
        b"gets" => retrieval(line, word.len(), true, None),
        b"gat" => touching(line, word.len(), false),
        b"gats" => touching(line, word.len(), true),
        _ => other(line, &Words::split(line)),
    }
}

/// Commands with few words.
fn other<'a>(line: &[u8], words: &Words<'a>) -> Command<'a> {
    match words.get(0) {
        b"set" => storage(words, StoreVerb::Set),
        b"add" => storage(words, StoreVerb::Add),
        b"replace" => storage(words, StoreVerb::Replace),
        b"append" => storage(words, StoreVerb::Append),
        b"prepend" => storage(words, StoreVerb::Prepend),
        b"cas" => compare_and_store(words),
        b"ms" => meta_store(line),
        b"incr" => arith(words, false),
        b"decr" => arith(words, true),
        b"delete" => delete(words),
        b"touch" => touch(words),
        b"getl" => getl(words),
        b"unl" => unl(words),
        b"flush_all" => flush(words),
        b"stats" => stats(words),
        b"lru_crawler" => crawler(words),
        b"cache_memlimit" => memory_limit(words),
        b"lru" | b"slabs" if words.count() > 1 => refused(ONE_SERVER_ONLY, words.answered(1)),
        b"version" => plain(Request::Keyless(Keyless::Version)),
        b"verbosity" => verbosity(words),
        b"quit" if words.count() == 1 => plain(Request::Quit),
        _ if is_http(line) => Command::Http,
        _ => error(),
    }
}

/// Whether a line that is no command, without leading blanks, is one of HTTP: a request line, as memcached knows it by
/// its last word, or one of what every request has that a page can make a browser send to any port.
fn is_http(line: &[u8]) -> bool {
    const HOST: &[u8] = b"Host:";
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    first == b"POST"
        || first.get(..HOST.len()).is_some_and(|start| start.eq_ignore_ascii_case(HOST))
        || words.next_back().is_some_and(|last| last.starts_with(b"HTTP/"))
}

/// `get KEY…`, `gets KEY…`, or with `exptime` the same of `gat`: `at` is where the keys begin.
fn retrieval(line: &[u8], at: usize, cas: bool, exptime: Option<i64>) -> Command<'_> {
    let keys = Keys::new(line, at);
    let mut any = false;
    // All keys are checked before anything is asked for, so that the answer is either complete or an error.
    for (_, key) in keys.iter() {
        if key.len() > KEY_MAX {
            return refused(BAD_FORMAT, Answered::Always);
        }
        any = true;
    }
    match (keys.single(), exptime) {
        _ if !any => error(),
        (Some(key), None) => plain(Request::Keyed(Keyed::Get { key, cas })),
        (Some(key), Some(exptime)) => plain(Request::Keyed(Keyed::Gat { key, exptime, cas })),
        (None, exptime) => plain(Request::GetMany { keys, cas, exptime }),
    }
}

/// `gat EXPTIME KEY…`, `gats EXPTIME KEY…`.
fn touching(line: &[u8], at: usize, cas: bool) -> Command<'_> {
    let mut words = Keys::new(line, at).iter();
    let (Some((start, word)), Some(_)) = (words.next(), words.next()) else {
        return error();
    };
    match parse_i64(word) {
        Some(exptime) => retrieval(line, sum([start, word.len()]), cas, Some(exptime)),
        None => refused(BAD_EXPTIME, Answered::Always),
    }
}

/// `set KEY FLAGS EXPTIME BYTES [noreply]`; any other sixth word is ignored.
fn storage<'a>(words: &Words<'a>, verb: StoreVerb) -> Command<'a> {
    match words.count() {
        5 | 6 => store(words, verb, Some(None)),
        _ => error(),
    }
}

/// `cas KEY FLAGS EXPTIME BYTES CAS [noreply]`; any other seventh word is ignored.
fn compare_and_store<'a>(words: &Words<'a>) -> Command<'a> {
    match words.count() {
        6 | 7 => store(words, StoreVerb::Set, parse_u64(words.get(5)).map(Some)),
        _ => error(),
    }
}

/// The common part of the storage lines; `cas` is `None` if it should have been a number and is not.
fn store<'a>(words: &Words<'a>, verb: StoreVerb, cas: Option<Option<u64>>) -> Command<'a> {
    let answered = words.answered(2);
    let key = words.get(1);
    match (cas, parse_u32(words.get(2)), parse_i64(words.get(3)), parse_u64(words.get(4))) {
        (Some(cas), Some(flags), Some(exptime), Some(bytes)) if key.len() <= KEY_MAX => {
            Command::Store { store: Store { verb, key, flags, exptime, cas, value: b"".into() }, bytes, answered }
        }
        _ => refused(BAD_FORMAT, answered),
    }
}

/// memcached's `ms KEY BYTES FLAG…`, which is not proxied. Its clients know that an error is not followed by another one
/// for the value.
fn meta_store<'a>(line: &[u8]) -> Command<'a> {
    match meta::request::announced(line) {
        Some(swallow) => Command::StoreRefused { reply: ERROR, swallow },
        None => error(),
    }
}

/// `incr KEY DELTA [noreply]`; any other fourth word is ignored.
fn arith<'a>(words: &Words<'a>, decr: bool) -> Command<'a> {
    if !(3..=4).contains(&words.count()) {
        return error();
    }
    let answered = words.answered(2);
    keyed(words, answered, |key| {
        let delta = parse_u64(words.get(2)).ok_or(BAD_DELTA)?;
        Ok(Keyed::Arith(Arith { key, delta, decr, cas: 0, create: None }))
    })
}

/// `delete KEY [TIME] [noreply]`; the time, of which memcached knows only 0, is any number, and is ignored.
fn delete<'a>(words: &Words<'a>) -> Command<'a> {
    let answered = words.answered(2);
    let is_good = match words.count().saturating_sub(answered.is_quiet().into()) {
        2 => true,
        3 => parse_i64(words.get(2)).is_some(),
        _ => false,
    };
    match words.count() {
        2..=4 if is_good => keyed(words, answered, |key| Ok(Keyed::Delete { key, cas: 0 })),
        3..=4 => refused(BAD_DELETE, answered),
        _ => error(),
    }
}

/// `touch KEY EXPTIME [noreply]`.
fn touch<'a>(words: &Words<'a>) -> Command<'a> {
    let answered = words.answered(2);
    match words.count() {
        3 => (),
        4 if answered.is_quiet() => (),
        _ => return error(),
    }
    keyed(words, answered, |key| Ok(Keyed::Touch { key, exptime: parse_i64(words.get(2)).ok_or(BAD_EXPTIME)? }))
}

/// `getl KEY [EXPTIME]`.
fn getl<'a>(words: &Words<'a>) -> Command<'a> {
    match words.count() {
        0 | 1 => error(),
        2 => keyed(words, Answered::Always, |key| Ok(Keyed::Getl { key, exptime: None })),
        3 => keyed(words, Answered::Always, |key| {
            Ok(Keyed::Getl { key, exptime: Some(parse_u32(words.get(2)).ok_or(BAD_EXPTIME)?) })
        }),
        _ => refused(BAD_FORMAT, Answered::Always),
    }
}

/// `unl KEY CAS`.
fn unl<'a>(words: &Words<'a>) -> Command<'a> {
    match words.count() {
        3 => keyed(words, Answered::Always, |key| {
            Ok(Keyed::Unl { key, cas: parse_u64(words.get(2)).ok_or(BAD_FORMAT)? })
        }),
        _ => error(),
    }
}

/// `flush_all [DELAY] [noreply]`; any other third word is ignored.
fn flush<'a>(words: &Words<'a>) -> Command<'a> {
    let answered = words.answered(1);
    let delay = match words.count() {
        1 => None,
        2 if answered.is_quiet() => None,
        2 | 3 => match parse_i64(words.get(1)) {
            Some(delay) => Some(delay),
            None => return refused(BAD_EXPTIME, answered),
        },
        _ => return error(),
    };
    Command::Request { request: Request::Keyless(Keyless::Flush { delay }), answered }
}

/// `stats`, `stats WORD`, `stats proxy [SUB]`, `stats proxy route KEY`. Of `proxy` the first four letters count (04 §4.4); surplus blanks,
/// which made the C program answer `ERROR`, do no harm.
fn stats<'a>(words: &Words<'a>) -> Command<'a> {
    let sub = words.get(1);
    match words.count() {
        1 => plain(Request::Keyless(Keyless::Stats { args: b"" })),
        2 | 3 if sub.starts_with(b"prox") => plain(Request::StatsProxy { sub: words.get(2) }),
        4 if sub.starts_with(b"prox") && words.get(2) == b"route" => plain(Request::StatsProxy { sub: words.from(2) }),
        2 if STATS_WORDS.contains(&sub) => plain(Request::Keyless(Keyless::Stats { args: sub })),
        _ if sub == b"cachedump" => cachedump(words),
        _ => error(),
    }
}

/// `stats cachedump CLASS LIMIT`; further words are ignored.
fn cachedump<'a>(words: &Words<'a>) -> Command<'a> {
    match (words.count(), parse_u32(words.get(2)), parse_u32(words.get(3))) {
        (0..=3, ..) => refused(BAD_LINE, Answered::Always),
        (_, Some(class), Some(limit)) => plain(Request::Dump(Dump::Cachedump { class, limit })),
        _ => refused(BAD_FORMAT, Answered::Always),
    }
}

/// `lru_crawler metadump CLASSES`, `lru_crawler mgdump CLASSES`. The others set one server's crawler.
fn crawler<'a>(words: &Words<'a>) -> Command<'a> {
    let classes = words.get(2);
    let dump = match (words.count(), words.get(1)) {
        (3, b"metadump") => Dump::Metadump { classes },
        (3, b"mgdump") => Dump::Mgdump { classes },
        (0 | 1, _) | (_, b"metadump" | b"mgdump") => return error(),
        _ => return refused(ONE_SERVER_ONLY, words.answered(2)),
    };
    let is_list = |word: &[u8]| {
        let is_number = |word: &[u8]| (1..=3).contains(&word.len()) && word.iter().all(u8::is_ascii_digit);
        word.split(|&byte| byte == b',').all(is_number)
    };
    match matches!(classes, b"all" | b"hash") || is_list(classes) {
        true => plain(Request::Dump(dump)),
        false => refused(BAD_CLASS, Answered::Always),
    }
}

/// `cache_memlimit MEGABYTES [noreply]`; any other third word is ignored. What is no number is `ERROR`, as in memcached.
fn memory_limit<'a>(words: &Words<'a>) -> Command<'a> {
    let answered = words.answered(1);
    match (words.count(), parse_u32(words.get(1))) {
        (2 | 3, Some(megabytes)) => {
            Command::Request { request: Request::Keyless(Keyless::MemLimit { megabytes }), answered }
        }
        (2 | 3, None) => refused(ERROR, answered),
        _ => error(),
    }
}

/// `verbosity LEVEL [noreply]`; any other third word is ignored.
fn verbosity<'a>(words: &Words<'a>) -> Command<'a> {
    // `verbosity noreply` sets nothing and says nothing, as with memcached.
    let answered = words.answered(1);
    match (words.count(), parse_u32(words.get(1))) {
        (2 | 3, Some(level)) => Command::Request { request: Request::Verbosity { level }, answered },
        (2 | 3, None) => refused(BAD_FORMAT, answered),
        _ => error(),
    }
}

/// A command for the key in the second word, which is checked before the other words are.
fn keyed<'a>(
    words: &Words<'a>,
    answered: Answered,
    command: impl FnOnce(&'a [u8]) -> Result<Keyed<'a>, &'static [u8]>,
) -> Command<'a> {
    let key = words.get(1);
    if key.len() > KEY_MAX {
        return refused(BAD_FORMAT, answered);
    }
    match command(key) {
        Ok(command) => Command::Request { request: Request::Keyed(command), answered },
        Err(reply) => refused(reply, answered),
    }
}

fn plain(request: Request<'_>) -> Command<'_> {
    Command::Request { request, answered: Answered::Always }
}

fn refused<'a>(reply: &'static [u8], answered: Answered) -> Command<'a> {
    Command::Refused { reply, answered }
}

fn error<'a>() -> Command<'a> {
    refused(ERROR, Answered::Always)
}
