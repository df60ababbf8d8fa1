//! `ms`.

use super::{END, expiry, repeat};
use crate::memcached::access::Access;
use crate::memcached::clock::NEVER;
use crate::memcached::storing::{Kept, NewItem, Stored, Terms};
use crate::protocol::StoreVerb;
use crate::protocol::ascii::meta::answer;
use crate::protocol::ascii::meta::request::{Meta, TOO_LARGE};

const NO_MEMORY: &[u8] = b"SERVER_ERROR out of memory storing object\r\n";

/// `ms`. What could not be stored for want of memory must not leave an older value behind, whatever the mode.
pub(super) fn store(access: &Access<'_>, meta: &Meta<'_>, verb: StoreVerb, out: &mut Vec<u8>) {
    let (key, options) = (meta.key.name(), &meta.options);
    let adds = matches!(verb, StoreVerb::Append | StoreVerb::Prepend);
    let new = NewItem {
        verb,
        key,
        flags: options.client_flags,
        expires: expiry(access, options.expiry).unwrap_or(NEVER),
        cas: match verb {
            StoreVerb::Set | StoreVerb::Replace => options.cas,
            StoreVerb::Add => None,
            StoreVerb::Append | StoreVerb::Prepend => options.cas.filter(|cas| *cas != 0),
        },
        value: meta.value,
        terms: Terms {
            accepts_stale: options.invalidates,
            new_cas: options.new_cas,
            vivify: expiry(access, options.vivify),
            is_encoded: meta.key.is_encoded(),
        },
    };
    let nothing = Kept { cas: 0, length: meta.value.len() };
    let (status, kept) = match access.store(&new) {
        Stored::Yes(_) if !meta.answered().says_done() => return,
        Stored::Yes(kept) => (b"HD", kept),
        Stored::Exists => (b"EX", nothing),
        Stored::NotFound => (b"NF", nothing),
        Stored::OutOfMemory if !adds => return refuse(access, key, NO_MEMORY, out),
        Stored::No | Stored::OutOfMemory => (b"NS", nothing),
        Stored::TooLarge => return refuse(access, key, TOO_LARGE, out),
    };
    out.extend_from_slice(status);
    for (letter, token) in meta.flags.iter() {
        match letter {
            b'c' => answer::number(out, b'c', kept.cas),
            b's' => answer::number(out, b's', kept.length as u64),
            _ => repeat(out, meta, letter, token),
        }
    }
    out.extend_from_slice(END);
}

fn refuse(access: &Access<'_>, key: &[u8], reply: &[u8], out: &mut Vec<u8>) {
    access.discard(key);
    out.extend_from_slice(reply);
}
