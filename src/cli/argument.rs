//! Checked conversions of a flag's argument.
//!
//! The C program read numbers with `atoi`: blanks and a sign in front are fine, anything else that it
//! accepted silently (`-c abc`, `-p 99999`) is refused here with the name of the flag (01 §22 item 11).

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::failure::{Failure, GENERAL, USAGE};

/// The argument of one flag.
#[derive(Clone, Copy, Debug)]
pub struct Argument<'a> {
    /// The flag as it is written.
    pub flag: &'a str,
    /// What was typed.
    pub value: &'a OsStr,
}

impl<'a> Argument<'a> {
    /// The argument as text.
    pub fn text(&self) -> Result<&'a str, Failure> {
        self.value.to_str().ok_or_else(|| self.refuse("UTF-8 text"))
    }

    /// The argument as a path; not empty.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        if self.value.is_empty() || self.value.as_bytes().contains(&0) {
            return Err(self.refuse("a path"));
        }
        Ok(PathBuf::from(self.value))
    }

    /// A whole decimal number within `range`.
    pub fn number(&self, range: RangeInclusive<i64>) -> Result<i64, Failure> {
        let wanted = || format!("a whole number from {} to {}", range.start(), range.end());
        match trimmed(self.text()?).parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(self.refuse(&wanted())),
        }
    }

    /// A whole number from 1 to `largest`. What the C program took for 0 or less (that includes words) has
    /// its own `message`, with the flag behind it, and exit code 1.
    pub fn positive(&self, largest: u32, message: &str) -> Result<u32, Failure> {
        let text = trimmed(self.text()?);
        if no_number(text) || text.parse::<i64>().is_ok_and(|number| number <= 0) {
            return Err(self.fail(message));
        }
        let number = self.number(1..=i64::from(largest))?;
        u32::try_from(number).map_err(|_| self.fail(message))
    }

    /// A number above 1, with or without a fraction; otherwise as [`Argument::positive`].
    pub fn factor(&self, message: &str) -> Result<f64, Failure> {
        let text = trimmed(self.text()?);
        match text.parse::<f64>() {
            Ok(factor) if factor <= 1.0 => Err(self.fail(message)),
            Ok(factor) if factor.is_finite() => Ok(factor),
            _ if no_number(text) => Err(self.fail(message)),
            _ => Err(self.refuse("a number above 1")),
        }
    }

    /// Permission bits in base 8; only the lowest nine are used.
    pub fn mode(&self) -> Result<u32, Failure> {
        match u32::from_str_radix(trimmed(self.text()?), 8) {
            Ok(mode) if mode <= 0o7777 => Ok(mode & 0o777),
            _ => Err(self.refuse("permission bits in octal, such as 0700")),
        }
    }

    /// A failure with a message of the C program's, which did not name the flag.
    pub fn fail(&self, message: &str) -> Failure {
        Failure::new(GENERAL, format!("{message} ({})\n", self.flag))
    }

    /// The failure that says what the flag expects. The value itself is not shown: it may be a secret.
    pub fn refuse(&self, wanted: &str) -> Failure {
        Failure::new(USAGE, format!("Invalid argument for {}: expected {wanted}\n", self.flag))
    }
}

/// `text` without the blanks and the plus sign that `atoi` skips.
fn trimmed(text: &str) -> &str {
    let text = text.trim_matches(|character: char| character.is_ascii_whitespace());
    match text.strip_prefix('+') {
        Some(rest) if rest.starts_with(|first: char| first.is_ascii_digit()) => rest,
        _ => text,
    }
}

/// Whether `atoi` would find no digit at the start of `text`, and so give 0.
fn no_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(value: &str) -> Argument<'_> {
        Argument { flag: "-x", value: OsStr::new(value) }
    }

    #[test]
    fn numbers() {
        assert_eq!(argument("12").number(0..=20), Ok(12));
        assert_eq!(argument(" +12 ").number(0..=20), Ok(12));
        assert_eq!(argument("-1").number(-1..=20), Ok(-1));
        for bad in ["", "21", "-2", "abc", "1x", "+-1", "++1", "99999999999999999999", "1.5"] {
            let failure = argument(bad).number(-1..=20).unwrap_err();
            assert_eq!(failure.code, USAGE, "{bad:?}");
            assert_eq!(failure.message, "Invalid argument for -x: expected a whole number from -1 to 20\n");
        }
    }

    #[test]
    fn positive_numbers_keep_the_old_message_for_what_atoi_called_zero() {
        assert_eq!(argument("3").positive(9, "no"), Ok(3));
        for zero in ["0", "-5", "abc", "", "+", "-99999"] {
            assert_eq!(argument(zero).positive(9, "no"), Err(Failure::new(GENERAL, "no (-x)\n")), "{zero:?}");
        }
        for bad in ["4x", "10", "99999999999999999999"] {
            assert_eq!(argument(bad).positive(9, "no").unwrap_err().code, USAGE, "{bad:?}");
        }
    }

    #[test]
    fn factors() {
        assert_eq!(argument("1.25").factor("no"), Ok(1.25));
        for low in ["1", "1.0", "0", "-3", "abc", "", "NaN"] {
            assert_eq!(argument(low).factor("no"), Err(Failure::new(GENERAL, "no (-x)\n")), "{low:?}");
        }
        for bad in ["1.2x", "1e999"] {
            assert_eq!(argument(bad).factor("no").unwrap_err().code, USAGE, "{bad:?}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(argument("0700").mode(), Ok(0o700));
        assert_eq!(argument("766").mode(), Ok(0o766));
        assert_eq!(argument("1777").mode(), Ok(0o777));
        for bad in ["", "8", "rwx", "-7", "10000"] {
            assert_eq!(argument(bad).mode().unwrap_err().code, USAGE, "{bad:?}");
        }
    }
}
