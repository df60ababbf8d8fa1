//! [`Request`](crate::protocol::Request) to the bytes an ASCII server gets.
//!
//! Lines are rebuilt from parsed fields, never copied from the client: surplus words, blanks and over-long keys
//! decide whether and how a server answers (04 §5.1). They never end in `noreply`: the server's answer to such a
//! command is awaited and dropped, so that an error line cannot pass for the next reply.

use crate::protocol::numbers::{push_i64, push_u64};
use crate::protocol::{Store, StoreVerb};

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

/// `stats`, with its sub-command if `args` is not empty.
pub fn stats(out: &mut Vec<u8>, args: &[u8]) {
    out.extend_from_slice(b"stats");
    if !args.is_empty() {
        key(out, args);
    }
    end(out);
}

fn word_key(out: &mut Vec<u8>, word: &[u8], name: &[u8]) {
    out.extend_from_slice(word);
    key(out, name);
}
