//! The words of a line that holds few of them.

use crate::protocol::Answered;

/// How many words are kept. No command but the retrieval ones, which are not split here, has more (04 §2.2).
const KEPT: usize = 7;

/// The first words of a line, and how many there are.
pub(crate) struct Words<'a> {
    line: &'a [u8],
    words: [&'a [u8]; KEPT],
    /// `KEPT + 1` stands for any larger number.
    count: usize,
}

impl<'a> Words<'a> {
    /// Splits at blanks, and only at blanks: a tab is part of a word (04 §2.2).
    pub(crate) fn split(line: &'a [u8]) -> Words<'a> {
        let mut split = Words { line, words: [b""; KEPT], count: 0 };
        for word in line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()) {
            if let Some(slot) = split.words.get_mut(split.count) {
                *slot = word;
            }
            split.count = split.count.saturating_add(1);
            if split.count > KEPT {
                break;
            }
        }
        split
    }

    /// How many words there are; 8 stands for any larger number.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// A word; empty if there is none at this place.
    pub(crate) fn get(&self, at: usize) -> &'a [u8] {
        self.words.get(at).copied().unwrap_or_default()
    }

    /// All from this word on, without blanks behind the last one.
    pub(crate) fn from(&self, at: usize) -> &'a [u8] {
        let mut rest = self.line.trim_ascii();
        for _ in 0..at {
            let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
            rest = rest.get(end..).unwrap_or_default().trim_ascii_start();
        }
        rest
    }

    /// When the command is answered: never if the last word, at place `from` or later, is `noreply`.
    pub(crate) fn answered(&self, from: usize) -> Answered {
        let last = self.words.get(..self.count).and_then(<[_]>::last);
        match self.count > from && last.is_some_and(|last| *last == b"noreply") {
            true => Answered::Never,
            false => Answered::Always,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_runs_of_blanks_only() {
        let words = Words::split(b"  set   a\tb 5  ");
        assert_eq!(words.count(), 3);
        assert_eq!(words.get(0), b"set");
        assert_eq!(words.get(1), b"a\tb");
        assert_eq!(words.get(2), b"5");
        assert_eq!(words.get(3), b"");
        assert_eq!(words.get(99), b"");
        assert_eq!([0, 1, 2, 3].map(|at| words.from(at)), [&b"set   a\tb 5"[..], b"a\tb 5", b"5", b""]);
        assert_eq!(Words::split(b"   ").count(), 0);
    }

    #[test]
    fn keeps_seven_words_and_counts_no_further_than_eight() {
        let words = Words::split(b"1 2 3 4 5 6 7");
        assert_eq!((words.count(), words.get(6)), (7, &b"7"[..]));
        let words = Words::split(b"1 2 3 4 5 6 7 8 9 10");
        assert_eq!((words.count(), words.get(6), words.get(7)), (8, &b"7"[..], &b""[..]));
    }

    #[test]
    fn noreply_is_the_last_word_exactly() {
        assert_eq!(Words::split(b"delete k noreply  ").answered(2), Answered::Never);
        assert_eq!(Words::split(b"delete noreply").answered(2), Answered::Always);
        assert_eq!(Words::split(b"flush_all noreply").answered(1), Answered::Never);
        assert_eq!(Words::split(b"delete noreply x").answered(2), Answered::Always);
        assert_eq!(Words::split(b"delete k noreplyx").answered(2), Answered::Always);
        assert_eq!(Words::split(b"cas k 1 2 3 4 noreply").answered(2), Answered::Never);
        assert_eq!(Words::split(b"cas k 1 2 3 4 noreply x").answered(2), Answered::Always);
        assert_eq!(Words::split(b"").answered(0), Answered::Always);
    }
}
