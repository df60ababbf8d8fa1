//! One stored item.

use std::ops::Range;
use std::sync::Arc;

use super::classes::ClassId;
use super::clock::{NEVER, Tick};
use crate::buffer::SHARE_MIN;
use crate::buffer::Value;
use crate::sums::sum;

/// Place of an entry in its shard.
pub type Slot = u32;

/// No slot: the end of a list.
pub const END: Slot = Slot::MAX;

/// Everything about an item except its bytes.
///
/// Its 56 bytes are a large part of what a small item costs, so the hash of the key is not here: it is computed again
/// when the table needs it, and four bits of it tell most other keys of the same bucket apart.
#[derive(Debug)]
pub struct Entry {
    /// Key and value.
    pub body: Body,
    /// CAS id; 0 if there are none (`-C`).
    pub cas: u64,
    /// Use, marks, tag and class.
    stamp: u64,
    /// Next entry of the same bucket, or of the list of vacant slots.
    pub chain: Slot,
    /// Next more recently used entry of the same class and shard.
    pub newer: Slot,
    /// Next less recently used entry of the same class and shard.
    pub older: Slot,
    /// The client's flags.
    pub flags: u32,
    /// When it expires, or [`NEVER`].
    pub expires: Tick,
    /// When it was last linked or asked for.
    pub accessed: Tick,
}

const _: () = assert!(size_of::<Entry>() == 56);

/// Where the tag begins in a stamp; the class is below it.
const TAG_AT: u32 = 8;
/// Where the position in the order of use begins in a stamp. It has 48 bits: enough for nine years of a million uses
/// in a second.
const USED_AT: u32 = 16;

/// What is remembered of an item: one bit of its stamp each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Mark {
    /// It was asked for.
    Fetched = 1 << 12,
    /// A client has said that it is out of date (`md` with `I`).
    Stale = 1 << 13,
    /// A client has won the right to store it anew.
    Won = 1 << 14,
    /// Its key was written in base64 by the client that has stored it.
    Encoded = 1 << 15,
}

impl Entry {
    /// An entry of a slot that is not in use.
    pub fn vacant() -> Entry {
        Entry {
            body: Body::default(),
            cas: 0,
            stamp: 0,
            chain: END,
            newer: END,
            older: END,
            flags: 0,
            expires: NEVER,
            accessed: 0,
        }
    }

    /// An entry for a new item of class `class`. It has neither CAS id nor place in the order of use yet.
    pub fn new(body: Body, class: ClassId, hash: u32, flags: u32, expires: Tick) -> Entry {
        let stamp = u64::from(tag(hash)) << TAG_AT | u64::from(class);
        Entry { body, stamp, flags, expires, ..Entry::vacant() }
    }

    /// Its class.
    pub fn class(&self) -> ClassId {
        // The lowest eight bits.
        self.stamp as u8
    }

    /// Its position in the global order of use: the larger, the more recently used.
    pub fn used(&self) -> u64 {
        self.stamp >> USED_AT
    }

    /// Changes its position in the order of use.
    pub fn set_used(&mut self, used: u64) {
        self.stamp = used << USED_AT | self.stamp & ((1 << USED_AT) - 1);
    }

    /// Whether it has this mark.
    pub fn has(&self, mark: Mark) -> bool {
        self.stamp & mark as u64 != 0
    }

    /// Gives it this mark, or takes it away.
    pub fn mark(&mut self, mark: Mark, on: bool) {
        self.stamp = self.stamp & !(mark as u64) | if on { mark as u64 } else { 0 };
    }

    /// Whether a key with this hash can be the entry's.
    pub fn may_have(&self, hash: u32) -> bool {
        self.stamp >> TAG_AT & 15 == u64::from(tag(hash))
    }

    /// Whether it must not be shown any more.
    pub fn is_expired(&self, tick: Tick) -> bool {
        self.expires != NEVER && self.expires <= tick
    }
}

/// Four bits of a hash; the lower ones find the bucket.
fn tag(hash: u32) -> u32 {
    hash >> 28
}

/// Key and value of an item.
#[derive(Debug)]
pub enum Body {
    /// One byte with the length of the key, the key, the value.
    Small(Box<[u8]>),
    /// A value that is worth sharing with the outputs of clients.
    Large(Box<Large>),
}

/// A value of at least [`SHARE_MIN`] bytes.
#[derive(Debug)]
pub struct Large {
    key: Box<[u8]>,
    owner: Arc<Vec<u8>>,
    value: Range<usize>,
}

/// How many bytes a buffer may have besides the value that is kept in it.
const SURPLUS_MAX: usize = 1024;

impl Default for Body {
    fn default() -> Body {
        Body::Small(Box::default())
    }
}

impl Body {
    /// Of a key of at most 250 bytes and a value that consists of `parts`.
    pub fn new(key: &[u8], parts: [&[u8]; 2]) -> Body {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length >= SHARE_MIN {
            let value = parts.concat();
            return Body::Large(Box::new(Large { key: key.into(), owner: Arc::new(value), value: 0..length }));
        }
        let mut bytes = Vec::with_capacity(sum([1, key.len(), length]));
        bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(key);
        for part in parts {
            bytes.extend_from_slice(part);
        }
        Body::Small(bytes.into_boxed_slice())
    }

    /// As [`Body::new`]; a large value that fills most of its buffer is kept in there instead of being copied.
    pub fn shared(key: &[u8], Value { bytes: value, owner }: Value<'_>) -> Body {
        let Some(owner) =
            owner.filter(|owner| value.len() >= SHARE_MIN && owner.len().saturating_sub(value.len()) <= SURPLUS_MAX)
        else {
            return Body::new(key, [value, b""]);
        };
        let start = (value.as_ptr() as usize).wrapping_sub(owner.as_ptr() as usize);
        match start.checked_add(value.len()) {
            Some(end) if end <= owner.len() => {
                Body::Large(Box::new(Large { key: key.into(), owner: Arc::clone(owner), value: start..end }))
            }
            _ => Body::new(key, [value, b""]),
        }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        match self {
            Body::Small(bytes) => split(bytes).0,
            Body::Large(large) => &large.key,
        }
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        match self {
            Body::Small(bytes) => split(bytes).1,
            // Which was found to lie in there.
            Body::Large(large) => large.owner.get(large.value.clone()).unwrap_or_default(),
        }
    }

    /// The value, to be changed in place; `None` if others may be reading it.
    pub fn value_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Body::Small(bytes) => {
                let start = sum([1, split(bytes).0.len()]);
                bytes.get_mut(start..)
            }
            Body::Large(_) => None,
        }
    }

    /// What a large value can be shared through.
    pub fn owner(&self) -> Option<&Arc<Vec<u8>>> {
        match self {
            Body::Small(_) => None,
            Body::Large(large) => Some(&large.owner),
        }
    }
}

/// Key and value of a small body.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.split_first() {
        Some((&length, rest)) => rest.split_at(usize::from(length).min(rest.len())),
        None => (b"", b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_has_several_parts() {
        let mut entry = Entry::new(Body::default(), 199, 0xa000_0001, 7, 9);
        assert_eq!((entry.class(), entry.used(), entry.flags, entry.expires), (199, 0, 7, 9));
        assert!(entry.may_have(0xafff_ffff) && !entry.may_have(0xb000_0001));
        for used in [1, 12345, (1 << 48) - 1] {
            entry.set_used(used);
            assert_eq!((entry.class(), entry.used()), (199, used));
            assert_eq!(entry.has(Mark::Fetched), used > 1);
            entry.mark(Mark::Fetched, true);
            assert!(entry.may_have(0xa000_0001));
        }
        for mark in [Mark::Stale, Mark::Won, Mark::Encoded] {
            assert!(!entry.has(mark));
            entry.mark(mark, true);
            assert!(entry.has(mark) && entry.has(Mark::Fetched) && entry.class() == 199);
            entry.mark(mark, false);
            assert!(!entry.has(mark) && entry.used() == (1 << 48) - 1);
        }
    }

    #[test]
    fn small_bodies_keep_key_and_value_together() {
        let mut body = Body::new(b"key", [b"val", b"ue"]);
        assert_eq!((body.key(), body.value()), (&b"key"[..], &b"value"[..]));
        assert!(body.owner().is_none());
        body.value_mut().unwrap()[0] = b'V';
        assert_eq!(body.value(), b"Value");
        let empty = Body::default();
        assert_eq!((empty.key(), empty.value()), (&b""[..], &b""[..]));
        let longest = Body::new(&[7; 250], [b"", b""]);
        assert_eq!((longest.key().len(), longest.value().len()), (250, 0));
    }

    #[test]
    fn large_values_stay_in_the_buffer_they_came_in() {
        let message = Arc::new([&b"line\r\n"[..], &[b'x'; SHARE_MIN], b"\r\n"].concat());
        let value = &message[6..6 + SHARE_MIN];
        let body = Body::shared(b"k", Value { bytes: value, owner: Some(&message) });
        assert_eq!(Arc::strong_count(&message), 2);
        assert_eq!((body.key(), body.value()), (&b"k"[..], value));
        let elsewhere = vec![b'y'; SHARE_MIN];
        let copied = Body::shared(b"k", Value { bytes: &elsewhere, owner: Some(&message) });
        assert_eq!(Arc::strong_count(&message), 2);
        assert_eq!(copied.value(), elsewhere);
        assert!(copied.owner().is_some());
        let roomy = Arc::new(vec![b'z'; 3 * SHARE_MIN]);
        Body::shared(b"k", Value { bytes: &roomy[..SHARE_MIN], owner: Some(&roomy) });
        assert_eq!(Arc::strong_count(&roomy), 1);
    }
}
