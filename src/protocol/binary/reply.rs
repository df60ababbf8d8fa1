//! Replies to binary clients, written.

use super::opcode::status;
use super::packet::{Header, REPLY_MAGIC, lengths};
use crate::protocol::status::text;

/// A reply in its parts (memcached's protocol document). What is not named is empty or 0: [`Reply::to`] begins one.
///
/// Extras of at most 255 bytes and a key of at most 65,535 are the caller's duty; what is longer is cut there, so that
/// lengths and bytes always agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The opcode of the request.
    pub opcode: u8,
    /// The opaque of the request.
    pub opaque: u32,
    /// The outcome.
    pub status: u16,
    /// The item's CAS id.
    pub cas: u64,
    /// What is particular to the command.
    pub extras: &'a [u8],
    /// The key.
    pub key: &'a [u8],
    /// The value, or the text of an error.
    pub value: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Success, without anything else, to the request with this opcode and opaque.
    pub fn to(opcode: u8, opaque: u32) -> Reply<'a> {
        Reply { opcode, opaque, status: status::SUCCESS, ..Reply::default() }
    }

    /// Another outcome than success, with its usual text (03 §9).
    pub fn refused(opcode: u8, opaque: u32, status: u16) -> Reply<'a> {
        Reply { status, value: text(status).as_bytes(), ..Reply::to(opcode, opaque) }
    }

    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_head(out, self.value.len());
        out.extend_from_slice(self.value);
    }

    /// Appends it up to its value, which is `length` bytes that the caller appends.
    pub fn write_head(&self, out: &mut Vec<u8>, length: usize) {
        let extras = self.extras.get(..u8::MAX.into()).unwrap_or(self.extras);
        let key = self.key.get(..u16::MAX.into()).unwrap_or(self.key);
        let header = Header {
            opcode: self.opcode,
            vbucket_or_status: self.status,
            opaque: self.opaque,
            cas: self.cas,
            ..lengths(extras.len(), key.len(), length)
        };
        header.write(out, REPLY_MAGIC);
        out.extend_from_slice(extras);
        out.extend_from_slice(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 02 §9.1: a status other than success has its text with it.
    #[test]
    fn a_refusal_says_why() {
        let mut out = Vec::new();
        Reply::refused(0x04, 0x0102, 0x01).write(&mut out);
        let head = b"\x81\x04\0\0\0\0\0\x01\0\0\0\x09\0\0\x01\x02\0\0\0\0\0\0\0\0";
        assert_eq!(out, [&head[..], b"Not found"].concat());
    }
}
