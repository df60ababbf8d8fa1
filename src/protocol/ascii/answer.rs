//! What ASCII clients get.

use crate::buffer::{Output, Value};
use crate::protocol::Reply;
use crate::protocol::binary::opcode::status::SUCCESS;
use crate::protocol::numbers::push_u64;
use crate::protocol::status::{self, CommandClass};

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

/// Appends what a server has said to a command for one key. `asked` is of which class that is, and whether the CAS id is
/// wanted with a value: it is looked up for what does not go to the client as the server has sent it.
#[inline(always)] // into each of the few that know what they have been told
pub fn reply(out: &mut Output, reply: Reply<'_>, asked: impl FnOnce() -> (CommandClass, bool)) {
    match reply {
        Reply::Value { raw: Some(raw), .. } => last_block(out, raw),
        Reply::Value { .. } => {
            let (_, wants_cas) = asked();
            block(out, wants_cas, b"", reply);
            out.tail().extend_from_slice(END);
        }
        // Of a meta command nothing is told here.
        Reply::End | Reply::Meta { .. } => out.tail().extend_from_slice(END),
        Reply::Line { line: text } => line(out.tail(), bare(text)),
        Reply::Stat { line: text } => line(out.tail(), text),
        Reply::Number { number: computed, .. } => number(out.tail(), computed),
        Reply::Status { code, text, .. } => match asked().0 {
            CommandClass::Version if code == SUCCESS && !text.is_empty() => version(out.tail(), text),
            CommandClass::Unl => status::unl_line(out.tail(), text),
            class => out.tail().extend_from_slice(status::line(class, code)),
        },
        Reply::NoValue { code, tells } => {
            out.tail().extend_from_slice(status::no_value(asked().0, code, tells));
        }
    }
}

/// Appends the last value of a get, or its only one, as the server has sent it, and the end.
#[inline]
pub fn last_block(out: &mut Output, raw: Value<'_>) {
    out.push(raw);
    out.tail().extend_from_slice(END);
}

/// Appends the value of a get, if it is one: as the server has sent it, or with its CAS id if that is wanted. [`END`] follows
/// the last. Its key was `asked`, if the server has left it out (04 §6.2).
#[inline(always)] // as above
pub fn block(out: &mut Output, wants_cas: bool, asked: &[u8], reply: Reply<'_>) {
    match reply {
        Reply::Value { raw: Some(raw), .. } => out.push(raw),
        Reply::Value { key, flags, cas, data, raw: None } => {
            let key = if key.is_empty() { asked } else { key };
            value(out, key, flags, cas.filter(|_| wants_cas), data);
        }
        _ => {}
    }
}

/// A server's line. Two of them are cut to the bare word.
#[inline]
pub(super) fn bare(line: &[u8]) -> &[u8] {
    match line {
        [b'L' | b'N', ..] => {
            [&b"LOCK_ERROR"[..], b"NOT_FOUND"].into_iter().find(|word| line.starts_with(word)).unwrap_or(line)
        }
        _ => line,
    }
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
    fn what_servers_say() {
        use CommandClass::{Arith, Delete, Get, Getl, Unl, Version};
        let (key, data, raw) = (&b"a"[..], b"xy".as_slice().into(), Some(b"VALUE a 7 2 9\r\nxy\r\n".as_slice().into()));
        let sent = Reply::Value { key, flags: 7, cas: Some(9), data, raw };
        let value = Reply::Value { key, flags: 7, cas: Some(9), data, raw: None };
        let status = |code, text| Reply::Status { code, cas: 9, text };
        for (class, wants_cas, said, expected) in [
            (Get, false, sent, "VALUE a 7 2 9|xy|END|"),
            (Get, false, value, "VALUE a 7 2|xy|END|"),
            (Get, true, value, "VALUE a 7 2 9|xy|END|"),
            (Get, false, Reply::End, "END|"),
            (Get, false, Reply::Line { line: b"NOT_FOUND at all" }, "NOT_FOUND|"),
            (Getl, true, Reply::Line { line: b"LOCK_ERROR x" }, "LOCK_ERROR|"),
            (Delete, false, Reply::Line { line: b"DELETED x" }, "DELETED x|"),
            (Arith, false, Reply::Number { number: 5, cas: 9 }, "5|"),
            (Arith, false, status(SUCCESS, b"5"), "SERVER_ERROR a2b arith error|"),
            (Delete, false, status(SUCCESS, b""), "DELETED|"),
            (Delete, false, status(1, b"Not found"), "NOT_FOUND|"),
            (Version, false, status(SUCCESS, b"1.6"), "VERSION 1.6|"),
            (Version, false, status(SUCCESS, b""), "SERVER_ERROR|"),
            (Unl, false, status(SUCCESS, b"UNLOCKED"), "UNLOCKED|"),
            (Get, false, Reply::NoValue { code: 0x86, tells: false }, "END|"),
            (Get, false, Reply::NoValue { code: 0x86, tells: true }, "SERVER_ERROR temporary failure|"),
            (Getl, true, Reply::NoValue { code: 0x86, tells: true }, "LOCK_ERROR|"),
        ] {
            let told = text(|out| reply(out, said, || (class, wants_cas)));
            assert_eq!(told.replace("\r\n", "|"), expected, "{class:?} {said:?}");
        }
        let nameless = Reply::Value { key: b"", flags: 0, cas: None, data, raw: None };
        assert_eq!(text(|out| block(out, false, b"k", nameless)), "VALUE k 0 2\r\nxy\r\n");
        assert_eq!(text(|out| block(out, false, b"", sent)), "VALUE a 7 2 9\r\nxy\r\n");
    }

    #[test]
    fn lines() {
        assert_eq!(text(|out| line(out.tail(), b"a b")), "a b\r\n");
        assert_eq!(text(|out| number(out.tail(), u64::MAX)), "18446744073709551615\r\n");
        assert_eq!(text(|out| version(out.tail(), b"1\r\n\0x")), "VERSION 1   x\r\n");
    }
}
