//! [`Request`](crate::protocol::Request) to the bytes an ASCII server gets.
//!
//! Lines are rebuilt from parsed fields, never copied from the client: surplus words, blanks and over-long keys
//! decide whether and how a server answers (04 §5.1). They never end in `noreply`: the server's answer to such a
//! command is awaited and dropped, so that an error line cannot pass for the next reply.

use crate::protocol::numbers::{push_i64, push_u64};
use crate::protocol::{Dump, Store, StoreVerb};
use crate::sums::sum;

/// How long the line of a storage command is at most without its key: the word, and four numbers.
const STORE_LINE: usize = 80;

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

/// The line of a storage command, with its line end. The caller appends the value, which may be large enough to
/// travel without being copied, and [`end`].
pub fn store_line(out: &mut Vec<u8>, store: &Store<'_>) {
    out.reserve(sum([store.key.len(), STORE_LINE]));
    out.extend_from_slice(match (store.cas, store.verb) {
        (Some(_), StoreVerb::Set) => b"cas",
        (_, StoreVerb::Set) => b"set",
        (_, StoreVerb::Add) => b"add",
        (_, StoreVerb::Replace) => b"replace",
        (_, StoreVerb::Append) => b"append",
        (_, StoreVerb::Prepend) => b"prepend",
    });
    key(out, store.key);
    out.push(b' ');
    push_u64(out, u64::from(store.flags));
    out.push(b' ');
    push_i64(out, store.exptime);
    out.push(b' ');
    push_u64(out, store.value.len() as u64);
    // Only `cas` has a place for the id; the other verbs have no conditional form in this protocol.
    if let (Some(cas), StoreVerb::Set) = (store.cas, store.verb) {
        out.push(b' ');
        push_u64(out, cas);
    }
    end(out);
}

/// `incr KEY DELTA` or `decr KEY DELTA`.
pub fn arith(out: &mut Vec<u8>, key: &[u8], delta: u64, decr: bool) {
    word_key(out, if decr { b"decr" } else { b"incr" }, key);
    out.push(b' ');
    push_u64(out, delta);
    end(out);
}

/// `delete KEY`.
pub fn delete(out: &mut Vec<u8>, key: &[u8]) {
    word_key(out, b"delete", key);
    end(out);
}

/// `touch KEY EXPTIME`.
pub fn touch(out: &mut Vec<u8>, key: &[u8], exptime: i64) {
    word_key(out, b"touch", key);
    out.push(b' ');
    push_i64(out, exptime);
    end(out);
}

/// `getl KEY`, with the lock time if there is one.
pub fn getl(out: &mut Vec<u8>, key: &[u8], exptime: Option<u32>) {
    word_key(out, b"getl", key);
    if let Some(exptime) = exptime {
        out.push(b' ');
        push_u64(out, u64::from(exptime));
    }
    end(out);
}

/// `unl KEY CAS`.
pub fn unl(out: &mut Vec<u8>, key: &[u8], cas: u64) {
    word_key(out, b"unl", key);
    out.push(b' ');
    push_u64(out, cas);
    end(out);
}

/// `flush_all`, with the delay if there is one.
pub fn flush(out: &mut Vec<u8>, delay: Option<i64>) {
    out.extend_from_slice(b"flush_all");
    if let Some(delay) = delay {
        out.push(b' ');
        push_i64(out, delay);
    }
    end(out);
}

/// `version`.
pub fn version(out: &mut Vec<u8>) {
    out.extend_from_slice(b"version");
    end(out);
}

/// `stats`, with its sub-command if `args` is not empty.
pub fn stats(out: &mut Vec<u8>, args: &[u8]) {
    out.extend_from_slice(b"stats");
    if !args.is_empty() {
        key(out, args);
    }
    end(out);
}

/// `stats cachedump CLASS LIMIT`, `lru_crawler metadump CLASSES` or `lru_crawler mgdump CLASSES`.
pub fn dump(out: &mut Vec<u8>, dump: Dump<'_>) {
    match dump {
        Dump::Cachedump { class, limit } => {
            out.extend_from_slice(b"stats cachedump ");
            push_u64(out, u64::from(class));
            out.push(b' ');
            push_u64(out, u64::from(limit));
        }
        Dump::Metadump { classes } => word_key(out, b"lru_crawler metadump", classes),
        Dump::Mgdump { classes } => word_key(out, b"lru_crawler mgdump", classes),
    }
    end(out);
}

/// `cache_memlimit MEGABYTES`.
pub fn memory_limit(out: &mut Vec<u8>, megabytes: u32) {
    out.extend_from_slice(b"cache_memlimit ");
    push_u64(out, u64::from(megabytes));
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

    fn stored(verb: StoreVerb, cas: Option<u64>) -> String {
        let store = Store { verb, key: b"k", flags: u32::MAX, exptime: -1, cas, value: b"abc".into() };
        written(|out| store_line(out, &store))
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
        assert_eq!(written(|out| arith(out, b"k", u64::MAX, false)), "incr k 18446744073709551615\r\n");
        assert_eq!(written(|out| arith(out, b"k", 0, true)), "decr k 0\r\n");
        assert_eq!(written(|out| delete(out, b"k")), "delete k\r\n");
        assert_eq!(written(|out| touch(out, b"k", -1)), "touch k -1\r\n");
        assert_eq!(written(|out| getl(out, b"k", None)), "getl k\r\n");
        assert_eq!(written(|out| getl(out, b"k", Some(10))), "getl k 10\r\n");
        assert_eq!(written(|out| unl(out, b"k", 258)), "unl k 258\r\n");
        assert_eq!(written(|out| flush(out, None)), "flush_all\r\n");
        assert_eq!(written(|out| flush(out, Some(0))), "flush_all 0\r\n");
        assert_eq!(written(|out| stats(out, b"")), "stats\r\n");
        assert_eq!(written(|out| stats(out, b"reset")), "stats reset\r\n");
        let cachedump = Dump::Cachedump { class: 1, limit: 0 };
        assert_eq!(written(|out| dump(out, cachedump)), "stats cachedump 1 0\r\n");
        assert_eq!(written(|out| dump(out, Dump::Metadump { classes: b"all" })), "lru_crawler metadump all\r\n");
        assert_eq!(written(|out| dump(out, Dump::Mgdump { classes: b"1,2" })), "lru_crawler mgdump 1,2\r\n");
        assert_eq!(written(|out| memory_limit(out, 64)), "cache_memlimit 64\r\n");
    }
}
