//! What ASCII clients get, where moxi writes it itself rather than passing on what a server has said.

use crate::buffer::{Output, Value};
use crate::protocol::numbers::push_u64;

use super::command;

/// The end of a get or of a list; alone it is a miss.
pub const END: &[u8] = b"END\r\n";

/// An order has been carried out.
pub const OK: &[u8] = b"OK\r\n";

/// Statistics begin anew.
pub const RESET: &[u8] = b"RESET\r\n";

/// The value is stored.
pub const STORED: &[u8] = b"STORED\r\n";

/// There is no such command.
pub const ERROR: &[u8] = b"ERROR\r\n";

/// The server has no such command, as it speaks binary.
pub const NOT_OVER_BINARY: &[u8] = b"CLIENT_ERROR binary servers have no such command\r\n";

/// Appends a line that has this text.
pub fn line(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer to `incr` or `decr`.
pub fn number(out: &mut Vec<u8>, number: u64) {
    push_u64(out, number);
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer to `version`. Bytes that would end the line early become blanks.
pub fn version(out: &mut Vec<u8>, version: &[u8]) {
    out.extend_from_slice(b"VERSION ");
    clean_line(out, version);
}

/// Appends a line with a text that anybody may have written: bytes that would end it early become blanks.
pub fn clean_line(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

/// Appends a value of a get: the `VALUE` line, with the CAS id if there is one, and the value. [`END`] follows the last.
pub fn value(out: &mut Output, key: &[u8], flags: u32, cas: Option<u64>, value: Value<'_>) {
    let tail = out.tail();
    tail.extend_from_slice(b"VALUE");
    command::key(tail, key);
    for number in [u64::from(flags), value.bytes.len() as u64].into_iter().chain(cas) {
        tail.push(b' ');
        push_u64(tail, number);
    }
    command::end(tail);
    out.push(value);
    command::end(out.tail());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Output)) -> String {
        let mut out = Output::default();
        write(&mut out);
        String::from_utf8(out.contiguous(u64::MAX).unwrap_or_default().to_vec()).expect("text")
    }

    #[test]
    fn values() {
        let show = |flags, cas, bytes: &[u8]| text(|out| value(out, b"a", flags, cas, bytes.into()));
        assert_eq!(show(u32::MAX, None, b"abc"), "VALUE a 4294967295 3\r\nabc\r\n");
        assert_eq!(show(0, Some(u64::MAX), b""), "VALUE a 0 0 18446744073709551615\r\n\r\n");
    }

    #[test]
    fn lines() {
        assert_eq!(text(|out| line(out.tail(), b"a b")), "a b\r\n");
        assert_eq!(text(|out| number(out.tail(), u64::MAX)), "18446744073709551615\r\n");
        assert_eq!(text(|out| version(out.tail(), b"1\r\n\0x")), "VERSION 1   x\r\n");
    }
}
