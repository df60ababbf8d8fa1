//! A key as text: on one line, in printable ASCII, so that it can be read back.

use std::fmt::{self, Display, Write};

/// Shows a key. What is not printable, blanks, and backslashes come out as `\xNN`.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a [u8]);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            b'!'..=b'~' if *byte != b'\\' => f.write_char(char::from(*byte)),
            _ => write!(f, "\\x{byte:02x}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_one_printable_word() {
        for (key, want) in [
            (&b"user:1~"[..], "user:1~"),
            (b"a b\0\r\n\x7f", "a\\x20b\\x00\\x0d\\x0a\\x7f"),
            (b"\\x20", "\\x5cx20"),
            ("\u{fc}".as_bytes(), "\\xc3\\xbc"),
            (b"", ""),
        ] {
            assert_eq!(Shown(key).to_string(), want);
        }
    }
}
