//! What a server that knows meta commands says: a status, and the words behind it.

use super::asked::Status;
use super::flags::{Each, Letters};
use crate::buffer::Value;
use crate::protocol::Reply;
use crate::protocol::numbers::parse_u64;
use crate::protocol::scan::split_word;

/// The words behind a status, written as the flags of a command are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Words<'a>(&'a [u8]);

/// What a server adds of its own accord.
pub const MARKS: Letters = Letters::of(b"WXZ");

impl<'a> Words<'a> {
    /// All words of `text`.
    #[inline]
    pub fn new(text: &'a [u8]) -> Words<'a> {
        Words(text)
    }

    /// All of them.
    #[inline]
    pub fn iter(self) -> Each<'a> {
        Each::of(self.0)
    }

    /// The number of the first one with this letter that has one.
    pub fn number(self, letter: u8) -> Option<u64> {
        self.iter().find_map(|(other, token)| if other == letter { parse_u64(token) } else { None })
    }

    /// The token of the first one with this letter.
    #[inline]
    pub fn token(self, letter: u8) -> Option<&'a [u8]> {
        self.iter().find_map(|(other, token)| (other == letter).then_some(token))
    }

    /// The token of the last one, if it has this letter.
    #[inline]
    fn last(self, letter: u8) -> Option<&'a [u8]> {
        let at = self.0.iter().rposition(|byte| *byte == b' ')?;
        self.0.get(at..)?.strip_prefix(&[b' ', letter])
    }

    /// What the server adds of its own accord: that the client has won the right to store the item anew (`W`), that it is
    /// stale (`X`), that another client has won (`Z`).
    pub fn marks(self) -> impl Iterator<Item = u8> {
        self.iter().map(|(letter, _)| letter).filter(|letter| MARKS.has(*letter))
    }

    /// Whether the first key among them is followed by the mark that it is in base64.
    pub fn has_encoded_key(self) -> bool {
        let mut words = self.iter().skip_while(|(letter, _)| *letter != b'k');
        words.next().is_some() && words.next() == Some((b'b', b""))
    }
}

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said<'a> {
    /// What became of the command, what the server adds, and the value if it is one.
    Status(Status, Words<'a>, Option<Value<'a>>),
    /// What is known of an item (`me`), or an error: a whole line.
    Line(&'a [u8]),
}

impl<'a> Said<'a> {
    /// Of this piece of a server's answer. `None`: it is no answer to a meta command.
    #[inline]
    pub fn of(reply: &Reply<'a>) -> Option<Said<'a>> {
        let line = match reply {
            Reply::Meta { flags, data } => return Some(Said::Status(Status::Done, Words::new(flags), Some(*data))),
            Reply::Line { line } => *line,
            _ => return None,
        };
        let (word, rest) = split_word(line);
        let status = match word {
            b"HD" => Status::Done,
            b"EN" | b"NF" => Status::Missing,
            b"EX" => Status::Exists,
            b"NS" => Status::NotStored,
            b"ME" | b"ERROR" | b"CLIENT_ERROR" | b"SERVER_ERROR" => return Some(Said::Line(line)),
            _ => return None,
        };
        Some(Said::Status(status, Words::new(rest), None))
    }

    /// Whether it can be the answer to the command with this number. Older servers repeat it only if there is an item.
    pub fn belongs_to(&self, opaque: u32) -> bool {
        match self {
            Said::Line(_) => true,
            // Where servers write it last, it need not be looked for.
            Said::Status(status, words, _) => match words.last(b'O').or_else(|| words.token(b'O')) {
                Some(token) => parse_u64(token) == Some(opaque.into()),
                None => *status != Status::Done,
            },
        }
    }
}

/// What became of a command for one key, by a server's line in either kind of words: those of a meta command, or classic
/// ones; and the words behind that.
pub fn outcome(line: &[u8]) -> Option<(Status, Words<'_>)> {
    let (word, rest) = split_word(line);
    let status = match word {
        b"HD" | b"STORED" | b"DELETED" | b"TOUCHED" | b"OK" => Status::Done,
        b"EN" | b"NF" | b"NOT_FOUND" => Status::Missing,
        b"EX" | b"EXISTS" => Status::Exists,
        b"NS" | b"NOT_STORED" => Status::NotStored,
        _ => return None,
    };
    Some((status, Words::new(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ascii::reply::{Parsed, parse};

    fn said(bytes: &[u8]) -> Option<Said<'_>> {
        let Parsed::Reply { reply, .. } = parse(bytes, &mut 0) else { panic!("{}", bytes.escape_ascii()) };
        Said::of(&reply)
    }

    #[test]
    fn statuses_and_their_words() {
        let Some(Said::Status(Status::Done, words, Some(value))) = said(b"VA 2 f5 kZm9v b O7 W\r\nab\r\n") else {
            panic!("a value");
        };
        assert_eq!((value.bytes, words.token(b'f'), words.token(b'W')), (&b"ab"[..], Some(&b"5"[..]), Some(&b""[..])));
        assert!(words.has_encoded_key());
        assert_eq!(words.token(b'c'), None);
        for (line, status) in [
            ("HD", Status::Done),
            ("EN O7", Status::Missing),
            ("NF", Status::Missing),
            ("EX c0", Status::Exists),
            ("NS", Status::NotStored),
        ] {
            let line = format!("{line}\r\n");
            let Some(Said::Status(found, ..)) = said(line.as_bytes()) else { panic!("{line}") };
            assert_eq!(found, status, "{line}");
        }
        assert_eq!(said(b"ME k exp=-1\r\n"), Some(Said::Line(b"ME k exp=-1")));
        assert_eq!(said(b"SERVER_ERROR out of memory\r\n"), Some(Said::Line(b"SERVER_ERROR out of memory")));
        for other in ["STORED\r\n", "END\r\n", "MN\r\n", "HDX\r\n", "STAT a b\r\n", "VALUE a 0 1\r\nx\r\n"] {
            assert_eq!(said(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn words_are_found_by_their_letter() {
        let words = Words::new(b" f5 W cx c9 O8 O7");
        for (letter, number, token, last) in [
            (b'f', Some(5), Some(&b"5"[..]), None),
            (b'W', None, Some(b""), None),
            (b'c', Some(9), Some(b"x"), None),
            (b'O', Some(8), Some(b"8"), Some(&b"7"[..])),
            (b's', None, None, None),
        ] {
            assert_eq!((words.number(letter), words.token(letter), words.last(letter)), (number, token, last));
        }
        assert_eq!(Words::new(b" W f5 Z X s3").marks().collect::<Vec<_>>(), b"WZX");
        assert_eq!(Words::new(b" f5 OW").marks().next(), None);
    }

    #[test]
    fn either_kind_of_words_says_what_became_of_it() {
        for (lines, status) in [
            (&["HD c9", "STORED", "DELETED", "TOUCHED", "OK"][..], Status::Done),
            (&["EN", "NF O7", "NOT_FOUND"], Status::Missing),
            (&["EX", "EXISTS"], Status::Exists),
            (&["NS c0", "NOT_STORED"], Status::NotStored),
        ] {
            for line in lines {
                assert_eq!(outcome(line.as_bytes()).map(|(status, _)| status), Some(status), "{line}");
            }
        }
        assert_eq!(outcome(b"HD f5 c9").and_then(|(_, words)| words.number(b'c')), Some(9));
        for other in ["", "VA 1", "HDX", "STOREDX", "ERROR", "5"] {
            assert_eq!(outcome(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn an_answer_out_of_step_is_found() {
        for (line, expected) in [
            (&b"HD O7\r\n"[..], true),
            (b"HD O8\r\n", false),
            (b"HD Oseven\r\n", false),
            (b"HD\r\n", false),
            (b"EN\r\n", true),
            (b"EN O8\r\n", false),
            (b"NS O7 k\r\n", true),
            (b"VA 1 c3\r\nx\r\n", false),
            (b"VA 1 O7\r\nx\r\n", true),
            (b"CLIENT_ERROR bad data chunk\r\n", true),
        ] {
            assert_eq!(said(line).is_some_and(|said| said.belongs_to(7)), expected, "{}", line.escape_ascii());
        }
    }
}
