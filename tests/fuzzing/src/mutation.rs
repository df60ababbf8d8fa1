//! Inputs from inputs, under a seed: what is made of the same inputs with the same seed is the same everywhere.

use crate::memory::Random;

/// Longest input that is made.
const LONGEST: usize = 4096;
/// How many of the inputs that were made are kept, to make others from.
const KEPT: usize = 512;
/// Numbers at the edges of what parsers take.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "250",
    "65535",
    "65536",
    "2147483647",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
];

/// Makes inputs.
#[derive(Debug)]
pub struct Mutator {
    random: Random,
    /// What others are made from; the first ones are those that were given, and stay.
    bases: Vec<Vec<u8>>,
    given: usize,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// Makes inputs from `bases`, now and then with one of `words` in it.
    pub fn new(seed: u64, bases: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> Mutator {
        let given = bases.len();
        Mutator { random: Random::new(seed), bases, given, words }
    }

    /// Another input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.base();
        for _ in 0..self.random.pick(&[1, 1, 2, 3, 5, 9]) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        if self.random.once_in(8) {
            self.keep(input.clone());
        }
        input
    }

    fn base(&mut self) -> Vec<u8> {
        let at = self.random.index(self.bases.len());
        self.bases.get(at).cloned().unwrap_or_default()
    }

    fn keep(&mut self, input: Vec<u8>) {
        if self.bases.len() < self.given + KEPT {
            self.bases.push(input);
        } else {
            let at = self.given + self.random.index(KEPT);
            self.bases[at] = input;
        }
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        input.truncate(LONGEST);
        let (start, end) = self.range(input.len());
        match self.random.below(12) {
            0 => drop(input.drain(start..end)),
            1 => {
                let part = input[start..end].to_vec();
                for _ in 0..self.random.pick(&[1, 2, 40]) {
                    input.splice(start..start, part.iter().copied().take(LONGEST));
                    input.truncate(LONGEST);
                }
            }
            2 => {
                let other = self.base();
                let (from, to) = self.range(other.len());
                input.splice(start..end, other[from..to].iter().copied());
            }
            3 => {
                let number = self.random.pick(&NUMBERS);
                input.splice(start..end, number.bytes());
            }
            4 | 5 => {
                let word = self.word();
                input.splice(start..start, word);
            }
            6 => {
                let word = self.word();
                input.splice(start..end, word);
            }
            7 => input.truncate(start),
            8 => input.insert(start, self.random.number() as u8),
            _ => {
                if let Some(byte) = input.get_mut(start) {
                    *byte = match self.random.below(3) {
                        0 => *byte ^ 1 << self.random.below(8),
                        1 => self.random.number() as u8,
                        _ => byte.wrapping_add(self.random.pick(&[1, 255])),
                    };
                }
            }
        }
    }

    /// A range, most often a short one.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let start = self.random.index(length + 1);
        let most = if self.random.once_in(4) { length } else { 8 };
        (start, (start + self.random.index(most + 1)).min(length))
    }

    fn word(&mut self) -> Vec<u8> {
        let at = self.random.index(self.words.len());
        self.words.get(at).cloned().unwrap_or_default()
    }
}
