//! How the process ends when it cannot go on: one sentence and one exit code (01 §14).

use std::fmt;

/// Start-up failed for a reason that has no code of its own.
pub const GENERAL: u8 = 1;
/// The command line is wrong (`EX_USAGE` of sysexits.h).
pub const USAGE: u8 = 64;
/// The user to become does not exist (`EX_NOUSER`).
pub const NO_USER: u8 = 67;
/// The operating system refused something (`EX_OSERR`).
pub const SYSTEM: u8 = 71;

/// A reason to stop, with the exit code that tells it to whoever started the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// The sentence for the operator, without a line end unless it has several lines.
    pub message: String,
}

impl Failure {
    /// A failure that ends the program with `code`.
    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.trim_end_matches('\n'))
    }
}

impl std::error::Error for Failure {}

/// The system's own words for `error` (`strerror`), without the number that Rust appends.
pub fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_like_strerror() {
        let in_use = std::io::Error::from(nix::errno::Errno::EADDRINUSE);
        assert_eq!(reason(&in_use), "Address already in use");
        assert_eq!(reason(&std::io::Error::other("no such name")), "no such name");
    }
}
