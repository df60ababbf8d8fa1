//! Between binary status and text: the ASCII line that a client gets (04 §6.2), and the body of a binary error
//! (04 §11.1).

use super::StoreVerb;
use super::ascii::answer;
use super::binary::opcode::status as code;
use super::scan::split_word;

/// What was asked for; the same status has different lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandClass {
    /// A storage command.
    Store(StoreVerb),
    /// `touch`.
    Touch,
    /// `delete`.
    Delete,
    /// `incr`, `decr`. Success has no line here: it is the number.
    Arith,
    /// `get`, `gets`, `gat`, `gats`. Every failure is a miss, but see [`no_value`]; success has no line of its own
    /// either.
    Get,
    /// `getl`. Success has no line of its own: it is the value and `END`.
    Getl,
    /// `flush_all`, for one server.
    Flush,
    /// `unl` without a body. If the reply has one, that is the line ([`unl_line`]).
    Unl,
    /// Another: the statuses alone say what they mean.
    Other,
    /// `version`, where the client has named the server (`-X`). Success has a body, which is part of the line.
    Version,
}

/// The line for `status`, with its end.
pub fn line(class: CommandClass, status: u16) -> &'static [u8] {
    use CommandClass::{Arith, Delete, Flush, Get, Getl, Store, Touch, Unl, Version};
    use StoreVerb::{Add, Replace};
    match (class, status) {
        (Get, _) => b"END\r\n",
        (Unl, _) | (Version, code::SUCCESS) => b"SERVER_ERROR\r\n",
        (Store(_), code::SUCCESS) => b"STORED\r\n",
        (Store(Add), code::KEY_EXISTS) => b"NOT_STORED\r\n",
        (Store(Replace), code::KEY_NOT_FOUND) => b"NOT_STORED\r\n",
        (Touch, code::SUCCESS) => b"TOUCHED\r\n",
        (Delete, code::SUCCESS) => b"DELETED\r\n",
        (Delete, code::NOT_STORED) => b"NOT_FOUND\r\n",
        (Flush, code::NOT_SUPPORTED) => b"SERVER_ERROR flush_all not supported\r\n",
        (Getl, code::KEY_NOT_FOUND) => b"NOT_FOUND\r\n",
        (Getl, code::UNKNOWN_COMMAND | code::TEMPORARY_FAILURE) => b"LOCK_ERROR\r\n",
        (Getl, _) => b"END\r\n",
        (Arith, code::KEY_NOT_FOUND | code::KEY_EXISTS | code::NOT_STORED)
        | (Arith, code::TOO_LARGE | code::DELTA_BAD_VALUE | code::OUT_OF_MEMORY) => generic(status),
        // A success without a number is a failure, too (04 §16, no. 28).
        (Arith, _) => b"SERVER_ERROR a2b arith error\r\n",
        _ => generic(status),
    }
}

/// The line for a get of one key that brought no value. Where `tells`, a server that cannot say at present whether there
/// is one has not said that there is none: its key's `set` would get the same line.
pub fn no_value(class: CommandClass, status: u16, tells: bool) -> &'static [u8] {
    match (class, status) {
        // To a `getl` it means that the key is locked.
        (CommandClass::Getl, code::TEMPORARY_FAILURE) => line(class, status),
        (_, code::OUT_OF_MEMORY | code::BUSY | code::TEMPORARY_FAILURE) if tells => generic(status),
        _ => line(class, status),
    }
}

/// Appends the line for a reply to `unl`: its body, or `SERVER_ERROR` if it has none (04 §6.2). Bytes that would
/// end the line early become blanks.
pub fn unl_line(out: &mut Vec<u8>, body: &[u8]) {
    if body.is_empty() {
        return out.extend_from_slice(line(CommandClass::Unl, code::SUCCESS));
    }
    answer::clean_line(out, body);
}

/// The status for a server's line, if that is an error.
pub fn of_error(line: &[u8]) -> Option<u16> {
    Some(match split_word(line).0 {
        b"ERROR" => code::UNKNOWN_COMMAND,
        b"CLIENT_ERROR" if line.starts_with(b"CLIENT_ERROR cannot increment or decrement") => code::DELTA_BAD_VALUE,
        b"CLIENT_ERROR" => code::INVALID,
        b"SERVER_ERROR" if line.starts_with(b"SERVER_ERROR object too large") => code::TOO_LARGE,
        b"SERVER_ERROR" if line.starts_with(b"SERVER_ERROR out of memory") => code::OUT_OF_MEMORY,
        b"SERVER_ERROR" => code::INTERNAL,
        _ => return None,
    })
}

/// What the server says, as the body of a binary error (04 §11.1); empty for success.
pub fn text(status: u16) -> &'static str {
    row(status).map_or("Unknown error", |row| row.text)
}

fn generic(status: u16) -> &'static [u8] {
    row(status).map_or(b"SERVER_ERROR a2b error\r\n", |row| row.line)
}

struct Row {
    status: u16,
    line: &'static [u8],
    text: &'static str,
}

const fn entry(status: u16, line: &'static [u8], text: &'static str) -> Row {
    Row { status, line, text }
}

/// The lines of statuses that memcached's own ASCII protocol has a line for are memcached's.
const TABLE: [Row; 16] = [
    entry(code::SUCCESS, b"OK\r\n", ""),
    entry(code::KEY_NOT_FOUND, b"NOT_FOUND\r\n", "Not found"),
    entry(code::KEY_EXISTS, b"EXISTS\r\n", "Data exists for key."),
    entry(code::TOO_LARGE, b"SERVER_ERROR object too large for cache\r\n", "Too large."),
    entry(code::INVALID, b"SERVER_ERROR a2b einval\r\n", "Invalid arguments"),
    entry(code::NOT_STORED, b"NOT_STORED\r\n", "Not stored."),
    entry(
        code::DELTA_BAD_VALUE,
        b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        "Non-numeric server-side value for incr or decr",
    ),
    entry(code::NOT_MY_VBUCKET, b"SERVER_ERROR a2b not_my_vbucket\r\n", "Not my vbucket"),
    entry(code::AUTH_ERROR, b"SERVER_ERROR a2b auth_error\r\n", "Auth failure"),
    entry(code::AUTH_CONTINUE, b"SERVER_ERROR a2b auth_continue\r\n", "Auth continue"),
    entry(code::UNKNOWN_COMMAND, b"SERVER_ERROR a2b unknown\r\n", "Unknown command"),
    entry(code::OUT_OF_MEMORY, b"SERVER_ERROR out of memory storing object\r\n", "Out of memory"),
    entry(code::NOT_SUPPORTED, b"SERVER_ERROR a2b not supported\r\n", "Not supported"),
    entry(code::INTERNAL, b"SERVER_ERROR a2b einternal\r\n", "Internal error"),
    entry(code::BUSY, b"SERVER_ERROR a2b ebusy\r\n", "System is busy"),
    entry(code::TEMPORARY_FAILURE, b"SERVER_ERROR temporary failure\r\n", "Temporary failure"),
];

fn row(status: u16) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.status == status)
}

#[cfg(test)]
mod tests {
    use super::CommandClass::*;
    use super::StoreVerb::*;
    use super::*;

    #[test]
    fn errors() {
        for (line, status) in [
            ("ERROR", Some(code::UNKNOWN_COMMAND)),
            ("CLIENT_ERROR cannot increment or decrement non-numeric value", Some(code::DELTA_BAD_VALUE)),
            ("CLIENT_ERROR bad data chunk", Some(code::INVALID)),
            ("SERVER_ERROR object too large for cache", Some(code::TOO_LARGE)),
            ("SERVER_ERROR out of memory storing object", Some(code::OUT_OF_MEMORY)),
            ("SERVER_ERROR", Some(code::INTERNAL)),
            ("ERRORS", None),
            ("STORED", None),
        ] {
            assert_eq!(of_error(line.as_bytes()), status, "{line}");
        }
    }

    /// All statuses with a row of their own, and one without.
    const STATUSES: [u16; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 0x20, 0x21, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x99];

    #[track_caller]
    fn column(class: CommandClass, expected: [&str; 17]) {
        for (status, expected) in STATUSES.into_iter().zip(expected) {
            let line = str::from_utf8(line(class, status)).unwrap();
            assert_eq!(line, format!("{expected}\r\n"), "{class:?} {status:#x}");
        }
    }

    /// The generic column from 0x03 on.
    fn with(success: &'static str, missing: &'static str, exists: &'static str) -> [&'static str; 17] {
        [
            success,
            missing,
            exists,
            "SERVER_ERROR object too large for cache",
            "SERVER_ERROR a2b einval",
            "NOT_STORED",
            "CLIENT_ERROR cannot increment or decrement non-numeric value",
            "SERVER_ERROR a2b not_my_vbucket",
            "SERVER_ERROR a2b auth_error",
            "SERVER_ERROR a2b auth_continue",
            "SERVER_ERROR a2b unknown",
            "SERVER_ERROR out of memory storing object",
            "SERVER_ERROR a2b not supported",
            "SERVER_ERROR a2b einternal",
            "SERVER_ERROR a2b ebusy",
            "SERVER_ERROR temporary failure",
            "SERVER_ERROR a2b error",
        ]
    }

    #[test]
    fn stores_touch_and_delete() {
        for verb in [Set, Append, Prepend] {
            column(Store(verb), with("STORED", "NOT_FOUND", "EXISTS"));
        }
        column(Store(Add), with("STORED", "NOT_FOUND", "NOT_STORED"));
        column(Store(Replace), with("STORED", "NOT_STORED", "EXISTS"));
        column(Touch, with("TOUCHED", "NOT_FOUND", "EXISTS"));
        let mut delete = with("DELETED", "NOT_FOUND", "EXISTS");
        delete[5] = "NOT_FOUND";
        column(Delete, delete);
    }

    #[test]
    fn arithmetic() {
        let mut expected = ["SERVER_ERROR a2b arith error"; 17];
        expected[1] = "NOT_FOUND";
        expected[2] = "EXISTS";
        expected[3] = "SERVER_ERROR object too large for cache";
        expected[5] = "NOT_STORED";
        expected[6] = "CLIENT_ERROR cannot increment or decrement non-numeric value";
        expected[11] = "SERVER_ERROR out of memory storing object";
        column(Arith, expected);
    }

    #[test]
    fn retrieval_and_the_rest() {
        column(Get, ["END"; 17]);
        let mut getl = ["END"; 17];
        getl[1] = "NOT_FOUND";
        getl[10] = "LOCK_ERROR";
        getl[15] = "LOCK_ERROR";
        column(Getl, getl);
        let mut flush = with("OK", "NOT_FOUND", "EXISTS");
        flush[12] = "SERVER_ERROR flush_all not supported";
        column(Flush, flush);
        column(Unl, ["SERVER_ERROR"; 17]);
    }

    #[test]
    fn a_get_tells_what_passes() {
        for class in [Get, Getl] {
            for status in STATUSES {
                assert_eq!(no_value(class, status, false), line(class, status), "{class:?} {status:#x}");
                let tells = matches!(status, 0x82 | 0x85) || status == 0x86 && class == Get;
                let expected = if tells { line(Store(Set), status) } else { line(class, status) };
                assert_eq!(no_value(class, status, true), expected, "{class:?} {status:#x}");
            }
        }
    }

    #[test]
    fn unlock_shows_the_body() {
        let line = |body: &[u8]| {
            let mut out = Vec::new();
            unl_line(&mut out, body);
            out
        };
        assert_eq!(line(b"UNLOCKED"), b"UNLOCKED\r\n");
        assert_eq!(line(b""), b"SERVER_ERROR\r\n");
        assert_eq!(line(b"a\r\nEND\r\n"), b"a  END  \r\n");
    }

    #[test]
    fn bodies_of_binary_errors() {
        let texts = [
            "",
            "Not found",
            "Data exists for key.",
            "Too large.",
            "Invalid arguments",
            "Not stored.",
            "Non-numeric server-side value for incr or decr",
            "Not my vbucket",
            "Auth failure",
            "Auth continue",
            "Unknown command",
            "Out of memory",
            "Not supported",
            "Internal error",
            "System is busy",
            "Temporary failure",
            "Unknown error",
        ];
        for (status, expected) in STATUSES.into_iter().zip(texts) {
            assert_eq!(text(status), expected, "{status:#x}");
        }
    }
}
