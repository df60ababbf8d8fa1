//! The flags of a meta command: the words behind its key, each a letter and perhaps a token.
//!
//! memcached reads them with one table, whichever command they belong to, so that a flag of another command does no harm.
//! Each may stand once. They are kept as they were written, because the answer has them in the same order.

use super::super::line::BAD_FORMAT;
use crate::protocol::expiry;
use crate::protocol::numbers::{parse_i64, parse_u32, parse_u64};
use crate::sums::Count;

use super::key::{Key, KeyRoom};

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

/// Letters, each of which is there or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Letters(u64);

impl Letters {
    /// The letters of `text`.
    pub const fn of(text: &[u8]) -> Letters {
        let (mut all, mut rest) = (Letters(0), text);
        while let [letter, others @ ..] = rest {
            all = all.and(*letter);
            rest = others;
        }
        all
    }

    /// These and one more. What is no letter, nor near them in the alphabet, is not kept.
    #[inline]
    pub(super) const fn and(self, letter: u8) -> Letters {
        Letters(self.0 | bit(letter))
    }

    /// Whether this one is among them.
    #[inline]
    pub const fn has(self, letter: u8) -> bool {
        self.0 & bit(letter) != 0
    }

    /// Whether one of these is.
    #[inline]
    pub const fn has_any(self, others: Letters) -> bool {
        self.0 & others.0 != 0
    }
}

/// 64 bytes of the alphabet have their place in as many bits: from `@` to the last one of 7 bits.
#[inline]
const fn bit(letter: u8) -> u64 {
    if letter & 0xc0 == 0x40 { 1 << (letter & 0x3f) } else { 0 }
}

/// The words of a line, each a letter and its token, in the order in which they were written.
#[derive(Clone, Debug)]
pub struct Each<'a>(&'a [u8]);

impl<'a> Each<'a> {
    /// All words of `text`, which are separated by blanks.
    #[inline]
    pub(super) fn of(text: &'a [u8]) -> Each<'a> {
        Each(text)
    }
}

impl<'a> Iterator for Each<'a> {
    type Item = (u8, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let mut text = self.0;
        while let [first, rest @ ..] = text {
            if *first == b' ' {
                text = rest;
                continue;
            }
            // Few have a token, and those are short.
            let mut end = 0usize;
            while rest.get(end).is_some_and(|byte| *byte != b' ') {
                end.up();
            }
            let (token, rest) = rest.split_at(end);
            self.0 = rest;
            return Some((*first, token));
        }
        None
    }
}

/// All that mean anything to any command.
const KNOWN: Letters = Letters::of(b"quvIxNTRFCEJDMOPLkstcflhb");

/// Those with a token that has to be read, whatever the command, and the one that says how the key is written.
const TAKEN: Letters = Letters::of(b"NTRFCEJDMb");

/// The words of a line that are flags.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Flags<'a> {
    text: &'a [u8],
    letters: Letters,
    /// How many there are; more than [`WORDS_MAX`] count as one more than that.
    count: u8,
    /// The length of the longest one.
    longest: usize,
    /// So much of the text is before `q` and `O`, with one blank before each word.
    plain: usize,
}

impl<'a> Flags<'a> {
    /// All words of `text`, which are separated by blanks.
    #[inline]
    pub(super) fn new(text: &'a [u8]) -> Flags<'a> {
        let (mut letters, mut count, mut longest, mut plain) = (Letters::default(), 0u8, 0, 0);
        let (mut is_plain, mut at) = (true, 0usize);
        while let Some(letter) = text.get(at).copied()
            && usize::from(count) <= WORDS_MAX
        {
            let start = at;
            at.up();
            if letter == b' ' {
                continue;
            }
            while text.get(at).is_some_and(|byte| *byte != b' ') {
                at.up();
            }
            letters = letters.and(letter);
            count = count.saturating_add(1);
            longest = longest.max(at.saturating_sub(start));
            is_plain &= start.checked_sub(1) == Some(plain) && letter != b'q' && letter != b'O';
            if is_plain {
                plain = at;
            }
        }
        Flags { text, letters, count, longest, plain }
    }

    /// The words as they were written.
    pub(super) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The words before the first `q` or `O`, as far as they are parted by one blank each, and those behind them.
    pub(super) fn split_plain(&self) -> (&'a [u8], Each<'a>) {
        let (plain, rest) = self.text.split_at_checked(self.plain).unwrap_or((b"", self.text));
        (plain, Each(rest))
    }

    /// The letters, each with its token, in the order in which they were written.
    #[inline]
    pub fn iter(&self) -> Each<'a> {
        Each(self.text)
    }

    /// Which letters are among them.
    #[inline]
    pub fn letters(&self) -> Letters {
        self.letters
    }

    /// The length of the longest one.
    #[inline]
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether one of them stands twice, or is none.
    #[inline]
    fn may_be_wrong(&self) -> bool {
        self.letters.0 & !KNOWN.0 != 0 || self.letters.0.count_ones() != u32::from(self.count)
    }

    /// Whether memcached takes so many, if `before` words stand in front of them.
    pub fn are_few(&self, before: usize) -> bool {
        usize::from(self.count).saturating_add(before) <= WORDS_MAX
    }
}

impl std::fmt::Debug for Flags<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.text.escape_ascii())
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
    pub vivify: Option<i32>,
    /// `T`: the expiry, as [`expiry::read`] gives it.
    pub expiry: Option<i32>,
    /// `R`: who finds less time than this left has won the right to store anew.
    pub recache: Option<i32>,
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
    /// What the flags of a command for `key` say, and the key as they say it is written; `room` is for its bytes. The error
    /// is the line to answer with: where there are several mistakes, that of the last one, and of a flag that is none at once.
    #[inline]
    pub(super) fn read<'a>(
        flags: &Flags<'_>,
        key: Key<'a>,
        room: &'a mut KeyRoom,
    ) -> Result<(Options, Key<'a>), &'static [u8]> {
        let (letters, mut options, mut named) = (flags.letters, Options::default(), key);
        if flags.may_be_wrong() || letters.has_any(TAKEN) {
            named = options.take_all(flags, key, room)?;
        }
        options.is_quiet = letters.has(b'q');
        options.is_unnoticed = letters.has(b'u');
        options.wants_value = letters.has(b'v');
        options.invalidates = letters.has(b'I');
        options.empties = letters.has(b'x');
        Ok((options, named))
    }

    /// Takes the tokens of all flags, and tells the key as they say it is written.
    fn take_all<'a>(
        &mut self,
        flags: &Flags<'_>,
        key: Key<'a>,
        room: &'a mut KeyRoom,
    ) -> Result<Key<'a>, &'static [u8]> {
        let (mut named, mut room) = (key, Some(room));
        let (mut seen, mut mistake) = (Letters::default(), None);
        for (letter, token) in flags.iter() {
            if letter >= 127 || seen.has(letter) {
                return Err(DUPLICATE);
            }
            if !KNOWN.has(letter) {
                return Err(UNKNOWN);
            }
            seen = seen.and(letter);
            let taken = match (letter, room.take_if(|_| letter == b'b')) {
                (_, Some(room)) => key.decoded(room).map(|decoded| named = decoded),
                _ => self.take(letter, token),
            };
            match taken {
                Ok(()) => {}
                // Which has no words of its own, and leaves those of others.
                Err(BAD_FORMAT) => mistake = mistake.or(Some(BAD_FORMAT)),
                Err(reply) => mistake = Some(reply),
            }
        }
        mistake.map_or(Ok(named), Err)
    }

    /// Takes the token of a flag that has one.
    fn take(&mut self, letter: u8, token: &[u8]) -> Result<(), &'static [u8]> {
        let time = || parse_i64(token).map(expiry::read).ok_or(BAD_TOKEN);
        let id = || parse_u64(token).ok_or(BAD_TOKEN);
        match letter {
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
            // Its being there says it all, or it is about the answer only; `P` and `L` are for proxies.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
