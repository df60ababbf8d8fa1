//! Running an entry point over its seeds and what was made of them, and telling of a failure.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Target;
use crate::mutation::Mutator;

/// An input that an entry point does not pass.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The entry point's name.
    pub target: &'static str,
    /// The input.
    pub input: Vec<u8>,
    /// What it has said.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { target, input, message } = self;
        writeln!(f, "{target}: {message}\nits input: {}", input.escape_ascii())?;
        write!(f, "again: MOXI_FUZZ_TARGET={target} MOXI_FUZZ_INPUT={} cargo test -p moxi-fuzzing", hex(input))
    }
}

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many inputs besides the seeds.
    Inputs(u64),
    /// Not beyond this moment.
    Moment(Instant),
}

/// Where seeds, dictionaries and the targets of libFuzzer are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The seeds of the entry point of this name, with their names, in the order of those.
pub fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder().join("seeds").join(name)).into_iter().flatten().flatten();
    let read = |entry: fs::DirEntry| {
        let bytes = fs::read(entry.path()).unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
        (entry.file_name().to_string_lossy().into_owned(), bytes)
    };
    let mut seeds: Vec<_> = files.map(read).collect();
    seeds.sort();
    seeds
}

/// The words of its dictionary, which is libFuzzer's: a word in quotes on each line, `\xNN` and `\\` in it, comments after
/// `#`.
///
/// # Panics
/// When there is none, or a line is none.
pub fn words(name: &str) -> Vec<Vec<u8>> {
    let path = folder().join("dictionaries").join(format!("{name}.dict"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| word(line).unwrap_or_else(|| panic!("{}: {line}", path.display()))).collect()
}

fn word(line: &str) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let mut word = Vec::new();
    while let [first, after @ ..] = rest {
        (rest, word) = match (first, after) {
            (b'\\', [b'x', digits @ ..]) => {
                let byte = digits.get(..2).and_then(|digits| unhex(std::str::from_utf8(digits).ok()?))?;
                (&digits[2..], [word, byte].concat())
            }
            (b'\\', [escaped @ (b'\\' | b'"'), after @ ..]) => (after, [word, vec![*escaped]].concat()),
            (b'\\' | b'"', _) => return None,
            _ => (after, [word, vec![*first]].concat()),
        };
    }
    Some(word)
}

/// Runs an entry point with one input.
///
/// # Errors
/// When it does not pass.
pub fn try_one(target: &Target, input: &[u8]) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|payload| {
        let message = match payload.downcast::<String>() {
            Ok(message) => *message,
            Err(other) => other.downcast::<&str>().map_or_else(|_| "panic".to_owned(), |text| (*text).to_owned()),
        };
        Failure { target: target.name, input: input.to_vec(), message }
    })
}

/// Runs an entry point with its seeds, then with what is made of them. The result is how many inputs that were.
///
/// # Errors
/// The first input that does not pass.
pub fn run(target: &Target, seed: u64, until: Until) -> Result<u64, Failure> {
    let seeds: Vec<Vec<u8>> = seeds(target.name).into_iter().map(|(_, bytes)| bytes).collect();
    for input in &seeds {
        try_one(target, input)?;
    }
    let mut count = seeds.len() as u64;
    let mut mutator = Mutator::new(seed, seeds, words(target.name));
    let mut made = 0;
    while match until {
        Until::Inputs(most) => made < most,
        Until::Moment(end) => made % 16 != 0 || Instant::now() < end,
    } {
        try_one(target, &mutator.input())?;
        made += 1;
    }
    count += made;
    Ok(count)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hexadecimal digits stand for; `None` if they are none.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
