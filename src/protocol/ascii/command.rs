//! Commands to the bytes an ASCII server gets.
//!
//! Lines are rebuilt from parsed fields, never copied from the client: surplus words, blanks and over-long keys
//! decide whether and how a server answers (04 §5.1). They never end in `noreply`: the server's answer to such a
//! command is awaited and dropped, so that an error line cannot pass for the next reply.

use crate::buffer::Output;
use crate::protocol::keyed::Keyed;
use crate::protocol::keyless::Keyless;
use crate::protocol::numbers::{push_i64, push_u64};
use crate::protocol::{Arith, Dump, Store, StoreVerb};
use crate::sums::{behind, sum};

/// How long the line of a command for one key is at most without it: the word, and four numbers.
const LINE: usize = 80;

/// Begins a get: `get`, or `gets` if CAS ids are wanted. [`key`]s and [`end`] follow.
pub fn get_start(out: &mut Vec<u8>, cas: bool) {
    out.extend_from_slice(if cas { b"gets" } else { b"get" });
}

/// Begins a get-and-touch: `gat EXPTIME` or `gats EXPTIME`. [`key`]s and [`end`] follow.
pub fn gat_start(out: &mut Vec<u8>, cas: bool, exptime: i64) {
    out.extend_from_slice(if cas { b"gats " } else { b"gat " });
    push_i64(out, exptime);
}

/// One more key: a blank and the key.
pub fn key(out: &mut Vec<u8>, key: &[u8]) {
    out.push(b' ');
    out.extend_from_slice(key);
}

/// Ends a line.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// The line of a command for one key, with its end; the result is where the key stands in it. The value of a storage
/// command, which may be large enough to travel without being copied, and [`end`] are to follow.
pub fn line(out: &mut Vec<u8>, command: &Keyed<'_>) -> usize {
    out.reserve(sum([command.key().len(), LINE]));
    let start = out.len();
    match command {
        Keyed::Gat { exptime, cas, .. } => gat_start(out, *cas, *exptime),
        // As most are: three bytes of which the length is known.
        Keyed::Store(Store { verb: StoreVerb::Set, cas: None, .. }) => out.extend_from_slice(b"set"),
        _ => out.extend_from_slice(word(command).as_bytes()),
    }
    let key_at = sum([out.len().saturating_sub(start), 1]);
    key(out, command.key());
    match command {
        Keyed::Store(store) => {
            match (store.flags, store.exptime) {
                // As most are.
                (0, 0) => out.extend_from_slice(b" 0 0"),
                (flags, exptime) => {
                    argument(out, u64::from(flags));
                    signed(out, exptime);
                }
            }
            argument(out, store.value.len() as u64);
            // Only `cas` has a place for the id; the other verbs have no conditional form in this protocol.
            if let (Some(cas), StoreVerb::Set) = (store.cas, store.verb) {
                argument(out, cas);
            }
        }
        Keyed::Arith(Arith { delta, .. }) => argument(out, *delta),
        Keyed::Touch { exptime, .. } => signed(out, *exptime),
        Keyed::Getl { exptime: Some(exptime), .. } => argument(out, u64::from(*exptime)),
        Keyed::Unl { cas, .. } => argument(out, *cas),
        Keyed::Get { .. } | Keyed::Gat { .. } | Keyed::Getl { exptime: None, .. } | Keyed::Delete { .. } => {}
    }
    end(out);
    key_at
}

/// Appends a command for one key, with its value; the result is where in `out` the key stands.
pub fn keyed(out: &mut Output, command: &Keyed<'_>) -> u64 {
    let start = out.end();
    let key_at = line(out.tail(), command);
    if let Keyed::Store(store) = command {
        out.push(store.value);
        end(out.tail());
    }
    behind(start, key_at)
}

/// The word of a command for one key.
pub fn word(command: &Keyed<'_>) -> &'static str {
    match command {
        Keyed::Get { cas, .. } => get_word(*cas, false),
        Keyed::Gat { cas, .. } => get_word(*cas, true),
        Keyed::Getl { .. } => "getl",
        Keyed::Store(Store { verb: StoreVerb::Set, cas: Some(_), .. }) => "cas",
        Keyed::Store(Store { verb: StoreVerb::Set, cas: None, .. }) => "set",
        Keyed::Store(Store { verb: StoreVerb::Add, .. }) => "add",
        Keyed::Store(Store { verb: StoreVerb::Replace, .. }) => "replace",
        Keyed::Store(Store { verb: StoreVerb::Append, .. }) => "append",
        Keyed::Store(Store { verb: StoreVerb::Prepend, .. }) => "prepend",
        Keyed::Arith(Arith { decr: false, .. }) => "incr",
        Keyed::Arith(Arith { decr: true, .. }) => "decr",
        Keyed::Delete { .. } => "delete",
        Keyed::Touch { .. } => "touch",
        Keyed::Unl { .. } => "unl",
    }
}

/// The word of a get, with or without CAS ids and a new expiry.
pub fn get_word(cas: bool, touch: bool) -> &'static str {
    match (touch, cas) {
        (false, false) => "get",
        (false, true) => "gets",
        (true, false) => "gat",
        (true, true) => "gats",
    }
}

/// One more number.
#[inline(always)] // most are short: to call it would take as long as to write it
fn argument(out: &mut Vec<u8>, number: u64) {
    out.push(b' ');
    push_u64(out, number);
}

/// One more number, which may be negative.
#[inline(always)] // as above
fn signed(out: &mut Vec<u8>, number: i64) {
    out.push(b' ');
    push_i64(out, number);
}

/// The line of a command for no key.
pub fn keyless(out: &mut Vec<u8>, command: &Keyless<'_>) {
    out.extend_from_slice(keyless_word(command).as_bytes());
    match *command {
        Keyless::Flush { delay: Some(delay) } => signed(out, delay),
        Keyless::Stats { args } if !args.is_empty() => {
            // In a packet it may be anything.
            let is_clean = !args.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'));
            key(out, if is_clean { args } else { b"?" });
        }
        Keyless::MemLimit { megabytes } => argument(out, megabytes.into()),
        Keyless::Flush { delay: None } | Keyless::Stats { .. } | Keyless::Version | Keyless::Noop => {}
    }
    end(out);
}

/// Its word. Nothing is done by asking for the version.
pub fn keyless_word(command: &Keyless<'_>) -> &'static str {
    match command {
        Keyless::Flush { .. } => "flush_all",
        Keyless::Stats { .. } => "stats",
        Keyless::MemLimit { .. } => "cache_memlimit",
        Keyless::Version | Keyless::Noop => "version",
    }
}

/// `stats cachedump CLASS LIMIT`, `lru_crawler metadump CLASSES` or `lru_crawler mgdump CLASSES`.
pub fn dump(out: &mut Vec<u8>, dump: Dump<'_>) {
    match dump {
        Dump::Cachedump { class, limit } => {
            out.extend_from_slice(b"stats cachedump");
            argument(out, class.into());
            argument(out, limit.into());
        }
        Dump::Metadump { classes } => word_key(out, b"lru_crawler metadump", classes),
        Dump::Mgdump { classes } => word_key(out, b"lru_crawler mgdump", classes),
    }
    end(out);
}

fn word_key(out: &mut Vec<u8>, word: &[u8], name: &[u8]) {
    out.extend_from_slice(word);
    key(out, name);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn said(command: Keyed<'_>) -> String {
        written(|out| {
            line(out, &command);
        })
    }

    fn stored(verb: StoreVerb, cas: Option<u64>) -> String {
        said(Keyed::Store(Store { verb, key: b"k", flags: u32::MAX, exptime: -1, cas, value: b"abc".into() }))
    }

    #[test]
    fn storage_lines_keep_flags_unsigned_and_expiry_signed() {
        assert_eq!(stored(StoreVerb::Set, None), "set k 4294967295 -1 3\r\n");
        assert_eq!(stored(StoreVerb::Add, None), "add k 4294967295 -1 3\r\n");
        assert_eq!(stored(StoreVerb::Replace, None), "replace k 4294967295 -1 3\r\n");
        assert_eq!(stored(StoreVerb::Append, None), "append k 4294967295 -1 3\r\n");
        assert_eq!(stored(StoreVerb::Prepend, None), "prepend k 4294967295 -1 3\r\n");
        assert_eq!(stored(StoreVerb::Set, Some(0)), "cas k 4294967295 -1 3 0\r\n");
        assert_eq!(stored(StoreVerb::Append, Some(7)), "append k 4294967295 -1 3\r\n");
    }

    #[test]
    fn retrieval_lines_are_built_key_by_key() {
        let get = |cas| {
            written(|out| {
                get_start(out, cas);
                key(out, b"a");
                key(out, b"b");
                end(out);
            })
        };
        assert_eq!(get(false), "get a b\r\n");
        assert_eq!(get(true), "gets a b\r\n");
        let gat = |cas| {
            written(|out| {
                gat_start(out, cas, -5);
                key(out, b"a");
                end(out);
            })
        };
        assert_eq!(gat(false), "gat -5 a\r\n");
        assert_eq!(gat(true), "gats -5 a\r\n");
    }

    #[test]
    fn other_lines() {
        let key = b"k";
        let arith = |delta, decr| said(Keyed::Arith(Arith { key, delta, decr, cas: 7, create: None }));
        let all = |command| written(|out| keyless(out, &command));
        assert_eq!(arith(u64::MAX, false), "incr k 18446744073709551615\r\n");
        assert_eq!(arith(0, true), "decr k 0\r\n");
        assert_eq!(said(Keyed::Delete { key, cas: 7 }), "delete k\r\n");
        assert_eq!(said(Keyed::Touch { key, exptime: -1 }), "touch k -1\r\n");
        assert_eq!(said(Keyed::Getl { key, exptime: None }), "getl k\r\n");
        assert_eq!(said(Keyed::Getl { key, exptime: Some(10) }), "getl k 10\r\n");
        assert_eq!(said(Keyed::Unl { key, cas: 258 }), "unl k 258\r\n");
        assert_eq!(all(Keyless::Flush { delay: None }), "flush_all\r\n");
        assert_eq!(all(Keyless::Flush { delay: Some(0) }), "flush_all 0\r\n");
        assert_eq!(all(Keyless::Stats { args: b"" }), "stats\r\n");
        assert_eq!(all(Keyless::Stats { args: b"reset" }), "stats reset\r\n");
        let cachedump = Dump::Cachedump { class: 1, limit: 0 };
        assert_eq!(written(|out| dump(out, cachedump)), "stats cachedump 1 0\r\n");
        assert_eq!(written(|out| dump(out, Dump::Metadump { classes: b"all" })), "lru_crawler metadump all\r\n");
        assert_eq!(written(|out| dump(out, Dump::Mgdump { classes: b"1,2" })), "lru_crawler mgdump 1,2\r\n");
        assert_eq!(all(Keyless::MemLimit { megabytes: 64 }), "cache_memlimit 64\r\n");
    }
}
