//! The flags of a meta command: the words behind its key, each a letter and perhaps a token.
//!
//! memcached reads them with one table, whichever command they belong to, so that a flag of another command does no harm.
//! Each may stand once. They are kept as they were written, because the answer has them in the same order.

use super::super::line::BAD_FORMAT;
use crate::protocol::expiry;
use crate::protocol::numbers::{parse_i64, parse_u32, parse_u64};

use super::key::Key;

/// The most words of a line, the command and its key among them.
const WORDS_MAX: usize = 19;

/// The answer to a flag that stands twice, or whose letter is none.
const DUPLICATE: &[u8] = b"CLIENT_ERROR duplicate flag\r\n";

/// The answer to a letter that is no flag.
const UNKNOWN: &[u8] = b"CLIENT_ERROR invalid flag\r\n";

/// The answer to a number that is none.
const BAD_TOKEN: &[u8] = b"CLIENT_ERROR bad token in command line format\r\n";

/// The same for the number of the flag `J`.
const BAD_INITIAL: &[u8] = b"CLIENT_ERROR invalid numeric initial value\r\n";

/// The same for the number of the flag `D`.
const BAD_DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta value\r\n";

/// The answer to a mode that is not one letter.
const BAD_MODE: &[u8] = b"CLIENT_ERROR incorrect length for M token\r\n";

/// The words of a line that are flags.
#[derive(Clone, Copy, PartialEq)]
pub struct Flags<'a>(&'a [u8]);

impl<'a> Flags<'a> {
    /// All words of `text`, which are separated by blanks.
    pub(super) fn new(text: &'a [u8]) -> Flags<'a> {
        Flags(text)
    }

    /// The words as they were written.
    pub(super) fn text(&self) -> &'a [u8] {
        self.0
    }

    /// The letters, each with its token, in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        self.0.split(|byte| *byte == b' ').filter_map(|word| word.split_first()).map(|(letter, token)| (*letter, token))
    }

    /// Whether memcached takes so many, if `before` words stand in front of them.
    pub fn are_few(&self, before: usize) -> bool {
        self.iter().nth(WORDS_MAX.saturating_sub(before)).is_none()
    }
}

impl std::fmt::Debug for Flags<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// What the flags say that is not only about the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `q`: the usual outcome is not answered.
    pub is_quiet: bool,
    /// `u`: to be asked for does not count as use.
    pub is_unnoticed: bool,
    /// `v`: the answer has the value.
    pub wants_value: bool,
    /// `I`: mark as stale.
    pub invalidates: bool,
    /// `x`: take the value, leave the item.
    pub empties: bool,
    /// `N`: make an item that is not there, with this expiry.
    pub vivify: Option<i64>,
    /// `T`: the expiry, as [`expiry::read`] gives it.
    pub expiry: Option<i64>,
    /// `R`: who finds less time than this left has won the right to store anew.
    pub recache: Option<i64>,
    /// `F`: what the client keeps with the value.
    pub client_flags: u32,
    /// `C`: the CAS id to compare with.
    pub cas: Option<u64>,
    /// `E`: the CAS id to give.
    pub new_cas: Option<u64>,
    /// `M`.
    pub mode: Option<u8>,
    /// `J`: what a number begins with that is not there.
    pub initial: u64,
    /// `D`: how much.
    pub delta: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            is_quiet: false,
            is_unnoticed: false,
            wants_value: false,
            invalidates: false,
            empties: false,
            vivify: None,
            expiry: None,
            recache: None,
            client_flags: 0,
            cas: None,
            new_cas: None,
            mode: None,
            initial: 0,
            delta: 1,
        }
    }
}

impl Options {
    /// What the flags of a command for `key` say, and the key as they say it is written. The error is the line to answer
    /// with: where there are several mistakes, that of the last one, and of a flag that is none at once.
    pub(super) fn read<'a>(flags: &Flags<'_>, key: Key<'a>) -> Result<(Options, Key<'a>), &'static [u8]> {
        let (mut options, mut named) = (Options::default(), key);
        let mut seen = 0u128;
        let mut mistake = None;
        for (letter, token) in flags.iter() {
            if letter >= 127 || seen >> letter & 1 != 0 {
                return Err(DUPLICATE);
            }
            seen |= 1 << letter;
            let taken = match letter {
                b'b' => key.decoded().map(|decoded| named = decoded),
                _ if is_flag(letter) => options.take(letter, token),
                _ => return Err(UNKNOWN),
            };
            match taken {
                Ok(()) => {}
                // Which has no words of its own, and leaves those of others.
                Err(BAD_FORMAT) => mistake = mistake.or(Some(BAD_FORMAT)),
                Err(reply) => mistake = Some(reply),
            }
        }
        mistake.map_or(Ok((options, named)), Err)
    }

    fn take(&mut self, letter: u8, token: &[u8]) -> Result<(), &'static [u8]> {
        let time = || parse_i64(token).map(|time| expiry::read(time).into()).ok_or(BAD_TOKEN);
        let id = || parse_u64(token).ok_or(BAD_TOKEN);
        match letter {
            b'q' => self.is_quiet = true,
            b'u' => self.is_unnoticed = true,
            b'v' => self.wants_value = true,
            b'I' => self.invalidates = true,
            b'x' => self.empties = true,
            b'N' => self.vivify = Some(time()?),
            b'T' => self.expiry = Some(time()?),
            b'R' => self.recache = Some(time()?),
            b'F' => self.client_flags = parse_u32(token).ok_or(BAD_FORMAT)?,
            b'C' => self.cas = Some(id()?),
            b'E' => self.new_cas = Some(id()?),
            b'J' => self.initial = parse_u64(token).ok_or(BAD_INITIAL)?,
            b'D' => self.delta = parse_u64(token).ok_or(BAD_DELTA)?,
            b'M' => match token {
                [mode] => self.mode = Some(*mode),
                _ => return Err(BAD_MODE),
            },
            // About the answer only; `P` and `L` are for proxies.
            _ => {}
        }
        Ok(())
    }
}

/// Whether this letter, other than `b`, means anything to any command.
fn is_flag(letter: u8) -> bool {
    b"quvIxNTRFCEJDMOPLkstcflh".contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &str) -> Result<Options, String> {
        let key = Key::plain(b"Zm9v").unwrap();
        match Options::read(&Flags::new(flags.as_bytes()), key) {
            Ok((options, _)) => Ok(options),
            Err(reply) => Err(String::from_utf8_lossy(reply).trim_end().replace("CLIENT_ERROR ", "")),
        }
    }

    #[test]
    fn letters_and_tokens_keep_their_order() {
        let flags = Flags::new(b"  t  Oabc k O v ");
        let all: Vec<_> = flags.iter().map(|(letter, token)| (letter as char, token)).collect();
        assert_eq!(all, [('t', &b""[..]), ('O', b"abc"), ('k', b""), ('O', b""), ('v', b"")]);
    }

    #[test]
    fn numbers_and_switches() {
        let options = Options { vivify: Some(30), expiry: Some(-1), recache: Some(0), ..Options::default() };
        assert_eq!(read("N30 T-1 R0"), Ok(options));
        // 32 bits of it count, as in classic commands.
        assert_eq!(read("T4294967295").unwrap().expiry, Some(-1));
        let options = Options { cas: Some(u64::MAX), new_cas: Some(0), client_flags: u32::MAX, ..Options::default() };
        assert_eq!(read("C18446744073709551615 E0 F4294967295"), Ok(options));
        let options = Options { mode: Some(b'+'), initial: 7, delta: 0, ..Options::default() };
        assert_eq!(read("M+ J7 D0"), Ok(options));
        let options = Options {
            is_quiet: true,
            is_unnoticed: true,
            wants_value: true,
            invalidates: true,
            empties: true,
            ..Options::default()
        };
        assert_eq!(read("q u v I x"), Ok(options));
        assert_eq!(read("k s t c f l h Oaque P L/path"), Ok(Options::default()));
        assert_eq!(read(""), Ok(Options::default()));
    }

    #[test]
    fn mistakes() {
        for (flags, reply) in [
            ("v v", "duplicate flag"),
            ("Oa Ob", "duplicate flag"),
            ("\x7f", "duplicate flag"),
            ("é", "duplicate flag"),
            ("v !", "invalid flag"),
            ("S5", "invalid flag"),
            ("\t", "invalid flag"),
            ("T", "bad token in command line format"),
            ("Tx", "bad token in command line format"),
            ("N1.5", "bad token in command line format"),
            ("R", "bad token in command line format"),
            ("C-1", "bad token in command line format"),
            ("E18446744073709551616", "bad token in command line format"),
            ("Fx", "bad command line format"),
            ("F4294967296", "bad command line format"),
            ("Jx", "invalid numeric initial value"),
            ("D", "invalid numeric delta value"),
            ("M", "incorrect length for M token"),
            ("MSS", "incorrect length for M token"),
            // The last one counts, but that of `F` only alone, and a flag that is none ends it all.
            ("Tx Jx", "invalid numeric initial value"),
            ("Jx Tx", "bad token in command line format"),
            ("Tx Fx", "bad token in command line format"),
            ("Fx Tx", "bad token in command line format"),
            ("Tx Jx !", "invalid flag"),
            ("Tx v v", "duplicate flag"),
        ] {
            assert_eq!(read(flags), Err(reply.to_owned()), "{flags}");
        }
    }

    #[test]
    fn nineteen_words_are_the_most() {
        let flags = "a ".repeat(17);
        assert!(Flags::new(flags.as_bytes()).are_few(2));
        assert!(!Flags::new(flags.as_bytes()).are_few(3));
        assert!(!Flags::new("a ".repeat(500).as_bytes()).are_few(2));
    }
}
