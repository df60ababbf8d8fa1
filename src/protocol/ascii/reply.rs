//! ASCII server bytes to replies (04 §5.2).

use crate::buffer::Value;
use crate::protocol::numbers::{parse_u32, parse_u64};
use crate::protocol::scan::{self, digits, key_end, split_word};
use crate::protocol::{KEY_MAX, Reply};
use crate::sums::{sum, up_to};

/// Longest line a server may send, in bytes up to its line feed. Real ones stay far below.
pub const LINE_MAX: usize = 64 * 1024;

/// Largest value a server may announce, in bytes.
pub const VALUE_MAX: u64 = 1 << 31;

/// What a server says whose crawler is at work.
pub const BUSY: &[u8] = b"BUSY currently processing crawler request";

/// What stands before the list of a crawler: memcached has it from 1.6.43 on.
pub const GREETING: &[u8] = b"OK";

/// How long the flags of a value that a meta command gives are at most, where they are as usual.
const META_FLAGS: usize = 256;

/// What the beginning of a server's bytes is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parsed<'a> {
    /// Nothing can be said before the buffer holds `need` bytes, which is always more than it holds now.
    Incomplete {
        /// Bytes, counted from the beginning of the buffer.
        need: usize,
    },
    /// One complete piece.
    Reply {
        /// What it is.
        reply: Reply<'a>,
        /// Bytes to consume.
        len: usize,
    },
    /// Not this protocol: the connection has to be closed.
    Malformed,
}

/// Looks at the beginning of `buf`.
///
/// `scanned` says how many bytes of `buf` are known to hold no line feed; the caller resets it to 0 whenever it
/// consumes bytes.
pub fn parse<'a>(buf: impl Into<Value<'a>>, scanned: &mut usize) -> Parsed<'a> {
    let all = buf.into();
    if let Some(parsed) = plain(all) {
        return parsed;
    }
    let buf = all.bytes;
    let from = (*scanned).min(buf.len());
    let (line, len) = match scan::line(buf, from) {
        Some((line, len)) if line.len() <= LINE_MAX => (line, len),
        None if buf.len() <= LINE_MAX => {
            *scanned = buf.len();
            return Parsed::Incomplete { need: sum([buf.len(), 1]) };
        }
        _ => return Parsed::Malformed,
    };
    *scanned = line.len();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(fields) = line.strip_prefix(b"VALUE ") {
        return value_block(all, fields, len);
    }
    if let Some(fields) = line.strip_prefix(b"VA ")
        && let Some((bytes, flags)) = meta_fields(fields)
    {
        return meta_block(all, bytes, flags, len);
    }
    let reply = match line {
        b"END" => Reply::End,
        // An empty line answers nothing, so whatever follows it would be out of step.
        b"" => return Parsed::Malformed,
        line if [&b"STAT "[..], b"ITEM ", b"PREFIX "].iter().any(|start| line.starts_with(start)) => {
            Reply::Stat { line }
        }
        line => Reply::Line { line },
    };
    Parsed::Reply { reply, len }
}

/// Whether a server says to a list that it has no slab class of the number asked for: others may have.
pub fn is_no_class(line: &[u8]) -> bool {
    line.starts_with(b"BADCLASS") || line.starts_with(b"CLIENT_ERROR Illegal slab id")
}

/// Whether a server says that it has done what all are told to do.
pub fn is_confirmation(line: &[u8]) -> bool {
    line.starts_with(b"OK") || line == b"RESET" || line.starts_with(b"VERSION ")
}

/// The most frequent replies, as every server writes them and all of which is there: a value, and the end of a get.
/// Everything else is `None`.
#[inline]
fn plain(all: Value<'_>) -> Option<Parsed<'_>> {
    let buf = all.bytes;
    let Some(fields) = buf.strip_prefix(b"VALUE ") else {
        if let Some(fields) = buf.strip_prefix(b"VA ") {
            return plain_meta(all, fields);
        }
        if buf.starts_with(b"STORED\r\n") {
            return buf.get(..6).map(|line| Parsed::Reply { reply: Reply::Line { line }, len: 8 });
        }
        return buf.starts_with(b"END\r\n").then_some(Parsed::Reply { reply: Reply::End, len: 5 });
    };
    let (key, rest) = fields.split_at_checked(key_end(fields)?)?;
    let (flags, rest) = digits(rest.strip_prefix(b" ")?)?;
    let (bytes, rest) = digits(rest.strip_prefix(b" ")?)?;
    let (cas, rest) = match rest.strip_prefix(b" ") {
        Some(rest) => digits(rest).map(|(cas, rest)| (Some(cas), rest))?,
        None => (None, rest),
    };
    let block = rest.strip_prefix(b"\r\n")?;
    let (flags, bytes) = (u32::try_from(flags).ok()?, usize::try_from(bytes).ok()?);
    let (data, end) = block.split_at_checked(bytes)?;
    let len = up_to(buf, end.strip_prefix(b"\r\n")?);
    let (data, raw) = (all.with(data), Some(all.with(buf.get(..len)?)));
    Some(Parsed::Reply { reply: Reply::Value { key, flags, cas, data, raw }, len })
}

/// If `buf` begins with a value of `key`, as every server writes it, without a CAS id, and all of which is there: how long it is
/// in all, and how long the value itself.
#[inline(always)] // into the loop that looks for one after the other
pub fn block_of(buf: &[u8], key: &[u8]) -> Option<(usize, usize)> {
    let fields = buf.strip_prefix(b"VALUE ")?.strip_prefix(key)?;
    let (flags, rest) = digits(fields.strip_prefix(b" ")?)?;
    let (bytes, rest) = digits(rest.strip_prefix(b" ")?)?;
    let block = rest.strip_prefix(b"\r\n")?;
    let bytes = usize::try_from(bytes).ok().filter(|_| u32::try_from(flags).is_ok())?;
    let (_, end) = block.split_at_checked(bytes)?;
    Some((up_to(buf, end.strip_prefix(b"\r\n")?), bytes))
}

/// The same for the value that a meta command gives: `fields` is what follows `VA `.
#[inline]
fn plain_meta<'a>(all: Value<'a>, fields: &'a [u8]) -> Option<Parsed<'a>> {
    let (bytes, rest) = digits(fields)?;
    let (flags, len) = scan::line(rest.get(..META_FLAGS).unwrap_or(rest), 0)?;
    let flags = flags.strip_suffix(b"\r").filter(|flags| matches!(flags, [] | [b' ', ..]))?;
    let block = rest.get(len..)?;
    let (data, end) = block.split_at_checked(usize::try_from(bytes).ok()?)?;
    end.starts_with(b"\r\n").then_some(())?;
    let len = sum([up_to(all.bytes, end), 2]);
    Some(Parsed::Reply { reply: Reply::Meta { flags, data: all.with(data) }, len })
}

/// `fields` is what follows `VALUE ` in a line that ends before `line_len`.
fn value_block<'a>(all: Value<'a>, fields: &'a [u8], line_len: usize) -> Parsed<'a> {
    let Some((key, flags, bytes, cas)) = value_fields(fields) else {
        return Parsed::Malformed;
    };
    let Some(data_end) = line_len.checked_add(bytes) else {
        return Parsed::Malformed;
    };
    let Some(len) = data_end.checked_add(2) else {
        return Parsed::Malformed;
    };
    let buf = all.bytes;
    match (buf.get(line_len..data_end), buf.get(data_end..len), buf.get(..len)) {
        (Some(data), Some(b"\r\n"), Some(raw)) => {
            let (data, raw) = (all.with(data), Some(all.with(raw)));
            Parsed::Reply { reply: Reply::Value { key, flags, cas, data, raw }, len }
        }
        (_, Some(_), _) => Parsed::Malformed,
        _ => Parsed::Incomplete { need: len },
    }
}

/// Size and flags of a `VA` line.
fn meta_fields(fields: &[u8]) -> Option<(usize, &[u8])> {
    let (size, flags) = split_word(fields);
    let bytes = parse_u64(size).filter(|&bytes| bytes <= VALUE_MAX)?;
    Some((usize::try_from(bytes).ok()?, flags))
}

/// The value after a `VA` line that ends before `line_len`.
fn meta_block<'a>(all: Value<'a>, bytes: usize, flags: &'a [u8], line_len: usize) -> Parsed<'a> {
    let data_end = line_len.saturating_add(bytes);
    let len = data_end.saturating_add(2);
    let buf = all.bytes;
    match (buf.get(line_len..data_end), buf.get(data_end..len)) {
        (Some(data), Some(b"\r\n")) => Parsed::Reply { reply: Reply::Meta { flags, data: all.with(data) }, len },
        (_, Some(_)) => Parsed::Malformed,
        _ => Parsed::Incomplete { need: len },
    }
}

/// Key, flags, size and CAS id of a `VALUE` line; `None` if they are not what they should be.
fn value_fields(fields: &[u8]) -> Option<(&[u8], u32, usize, Option<u64>)> {
    let mut words = fields.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let key = words.next().filter(|key| key.len() <= KEY_MAX)?;
    let flags = parse_u32(words.next()?)?;
    let bytes = parse_u64(words.next()?).filter(|&bytes| bytes <= VALUE_MAX)?;
    let cas = words.next().map(|word| parse_u64(word).ok_or(())).transpose().ok()?;
    words.next().is_none().then_some((key, flags, usize::try_from(bytes).ok()?, cas))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `ERROR` and the like are no confirmation; nor is a class missing because something else is.
    #[test]
    fn what_is_said_to_orders_and_lists() {
        for (line, confirms, has_no_class) in [
            ("OK", true, false),
            ("RESET", true, false),
            ("VERSION 1.6.18", true, false),
            ("BADCLASS invalid class id", false, true),
            ("CLIENT_ERROR Illegal slab id", false, true),
            ("CLIENT_ERROR bad command line", false, false),
            ("RESETS", false, false),
            ("VERSIONS", false, false),
            ("ERROR", false, false),
            ("BUSY currently processing crawler request", false, false),
        ] {
            assert_eq!(is_confirmation(line.as_bytes()), confirms, "{line}");
            assert_eq!(is_no_class(line.as_bytes()), has_no_class, "{line}");
        }
    }

    /// What all of `input` means when it arrives in `pieces`, one line each; `malformed` ends it.
    fn session(pieces: &[&[u8]]) -> String {
        let (mut told, mut buf, mut scanned, mut need) = (String::new(), Vec::new(), 0, 1);
        for piece in pieces {
            buf.extend_from_slice(piece);
            while buf.len() >= need {
                let len = match parse(&buf, &mut scanned) {
                    Parsed::Incomplete { need: more } => {
                        assert!(more > buf.len());
                        need = more;
                        break;
                    }
                    Parsed::Malformed => return told + "malformed\n",
                    Parsed::Reply { reply, len } => {
                        told += &match reply {
                            Reply::Value { key, flags, cas, data, raw } => {
                                assert_eq!(raw.expect("the block").bytes, &buf[..len]);
                                format!("{} {flags} {cas:?} [{}]\n", key.escape_ascii(), data.escape_ascii())
                            }
                            Reply::End => "end\n".into(),
                            Reply::Stat { line } => format!("stat {}\n", line.escape_ascii()),
                            Reply::Meta { flags, data } => {
                                format!("meta{} {}\n", flags.escape_ascii(), data.escape_ascii())
                            }
                            Reply::Line { line } => format!("line {}\n", line.escape_ascii()),
                            other => panic!("no line says {other:?}"),
                        };
                        len
                    }
                };
                assert!(len > 0 && len <= buf.len());
                buf.drain(..len);
                (scanned, need) = (0, 1);
            }
        }
        told
    }

    #[track_caller]
    fn check(input: &[u8], expected: &str) {
        assert_eq!(session(&[input]), expected, "{}", input.escape_ascii());
        for cut in 0..input.len() {
            let (a, b) = input.split_at(cut);
            assert_eq!(session(&[a, b]), expected, "cut at {cut}: {}", input.escape_ascii());
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(session(&bytes), expected, "byte by byte: {}", input.escape_ascii());
    }

    #[test]
    fn meta_values_have_flags_and_data() {
        assert_eq!(
            session(&[b"VA 3 f5 c9\r\na\r\n\r\nHD c1\r\nVA x\r\n"]),
            "meta f5 c9 a\\r\\n\nline HD c1\nline VA x\n"
        );
        assert_eq!(session(&[b"VA 0\r\n", b"\r\nEN\r\n"]), "meta \nline EN\n");
        assert_eq!(session(&[b"VA 1\r\nabc"]), "malformed\n");
        check(b"VA 1 f5\n1\r\nEN\r\n", "meta f5 1\nline EN\n");
        let opaque = "o".repeat(300);
        assert_eq!(session(&[format!("VA 1 O{opaque}\r\n1\r\n").as_bytes()]), format!("meta O{opaque} 1\n"));
    }

    #[test]
    fn values() {
        check(b"VALUE a 5 3\r\nabc\r\nEND\r\n", "a 5 None [abc]\nend\n");
        check(
            b"VALUE a 4294967295 3 18446744073709551615\r\na\r\n\r\n",
            "a 4294967295 Some(18446744073709551615) [a\\r\\n]\n",
        );
        check(b"VALUE someVal 0 0\r\n\r\nEND\r\n", "someVal 0 None []\nend\n");
        check(b"VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\n", "a 0 None [1]\nb 0 None [2]\n");
        // Not as servers write it, but they could.
        check(b"VALUE a 0 1\n1\r\nEND\r\n", "a 0 None [1]\nend\n");
        check(b"VALUE  a 0  1 \r\n1\r\nEND\r\n", "a 0 None [1]\nend\n");
    }

    #[test]
    fn values_that_are_not_as_announced() {
        for line in [
            "VALUE a 0",
            "VALUE a",
            "VALUE ",
            "VALUE a 0 1 2 3",
            "VALUE a -1 3",
            "VALUE a 4294967296 3",
            "VALUE a x 3",
            "VALUE a 0 -1",
            "VALUE a 0 x",
            "VALUE a 0 2147483649",
            "VALUE a 0 1 x",
        ] {
            check(format!("{line}\r\n1\r\n").as_bytes(), "malformed\n");
        }
        check(b"VALUE a 0 3\r\nabcdef\r\n", "malformed\n");
        check(b"VALUE a 0 3\r\nabc\n\r", "malformed\n");
        let key = |length| format!("VALUE {} 0 1\r\n1\r\n", "k".repeat(length)).into_bytes();
        assert_eq!(session(&[&key(250)]), format!("{} 0 None [1]\n", "k".repeat(250)));
        assert_eq!(session(&[&key(251)]), "malformed\n");
        let mut scanned = 0;
        assert_eq!(parse(b"VALUE a 0 2147483648\r\n", &mut scanned), Parsed::Incomplete { need: 22 + (1 << 31) + 2 });
    }

    #[test]
    fn lines() {
        check(b"END\r\n", "end\n");
        check(b"END\n", "end\n");
        check(b"ENDxyz\r\n", "line ENDxyz\n");
        check(b"STORED\r\nNOT_FOUND\r\n", "line STORED\nline NOT_FOUND\n");
        check(b"18446744073709551615\r\n", "line 18446744073709551615\n");
        check(b"SERVER_ERROR out of memory\r\n", "line SERVER_ERROR out of memory\n");
        check(b"STAT pid 1\r\nSTAT e \r\n", "stat STAT pid 1\nstat STAT e \n");
        check(b"ITEM k [1 b; 0 s]\r\nPREFIX a get 1\r\n", "stat ITEM k [1 b; 0 s]\nstat PREFIX a get 1\n");
        check(b"STAT\r\n", "line STAT\n");
        check(b"VALUE\r\n", "line VALUE\n");
        check(b"\r\n", "malformed\n");
        check(b"\n", "malformed\n");
    }

    #[test]
    fn lines_are_bounded() {
        let line = vec![b'x'; 65_536];
        assert_eq!(session(&[&line]), "");
        assert!(session(&[&line, b"\n"]).starts_with("line "));
        assert_eq!(session(&[&line, b"x"]), "malformed\n");
        assert_eq!(session(&[&line, b"x\n"]), "malformed\n");
    }

    /// What goes the short way; that it means the same is seen by cutting it.
    #[test]
    fn what_servers_say_most_is_seen_at_once() {
        for text in
            ["VALUE a 5 3\r\nabc\r\n", "VALUE a 5 3 9\r\nabc\r\n", "END\r\n", "STORED\r\n", "VA 3 f5 c9\r\nabc\r\n"]
        {
            let Some(Parsed::Reply { len, .. }) = plain(text.as_bytes().into()) else { panic!("{text}") };
            assert_eq!(len, text.len(), "{text}");
        }
        for text in ["VALUE a 5 3\r\nabc", "VA 3 f5\r\nabc", "VA 3x\r\nabc\r\n", "DELETED\r\n"] {
            assert_eq!(plain(text.as_bytes().into()), None, "{text}");
        }
    }

    #[test]
    fn a_value_is_found_by_its_key() {
        let block = |text: &[u8]| block_of(text, b"key");
        assert_eq!(block(b"VALUE key 5 3\r\nabc\r\nEND\r\n"), Some((20, 3)));
        assert_eq!(block(b"VALUE key 0 0\r\n\r\n"), Some((17, 0)));
        for text in [
            "VALUE key 5 3\r\nabc\r",
            "VALUE keys 5 3\r\nabc\r\n",
            "VALUE kez 5 3\r\nabc\r\n",
            "VALUE key 5 3 9\r\nabc\r\n",
            "VALUE key 4294967296 3\r\nabc\r\n",
            "VALUE key 5 2\r\nabc\r\n",
            "VALUE key  5 3\r\nabc\r\n",
            "END\r\n",
        ] {
            assert_eq!(block(text.as_bytes()), None, "{text}");
        }
    }

    fn replyish() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::sample::select(vec![
            "VALUE ",
            "a ",
            "0 ",
            "3 ",
            "1",
            "0",
            "abc",
            "\r\n",
            "\n",
            "\r",
            "END\r\n",
            "STAT ",
            "STORED\r\n",
            "-1",
            "\0",
        ]);
        prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_bytes_mean_the_same_however_they_arrive(input in prop_oneof![replyish(), any::<Vec<u8>>()]) {
            let bytes: Vec<&[u8]> = input.chunks(1).collect();
            prop_assert_eq!(session(&[&input]), session(&bytes));
        }
    }
}
