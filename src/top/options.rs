//! The command line of `moxi-top`.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::prelude::*;

use crate::config::address::{Address, is_path};
use crate::failure::{Failure, USAGE};

const HELP: &str = "\
moxi-top [OPTION...] [HOST:PORT]

  Shows what a running moxi does, from the differences of its statistics. HOST:PORT
  is a port on which it serves clients, or the path of its unix socket; the default
  is 127.0.0.1:11211.

  --interval SECONDS   between two samples, from 0.1 to 3600; the default is 1
  --once               print it once, after one interval, and exit
  --help, -h           this text
  --version, -V        the version

  Keys: q ends it; the arrows and the page keys move it up and down.
";

/// What is to be watched, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where it is.
    pub address: Address,
    /// The time between two samples.
    pub interval: Duration,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// This text.
    Print(String),
    /// The numbers of one interval.
    Once(Options),
    /// The full screen.
    Live(Options),
}

impl Command {
    /// Reads the words that follow the program's name.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Failure> {
        let mut parser = lexopt::Parser::from_args(words);
        let mut options = Options {
            address: Address { host: "127.0.0.1".to_owned(), port: 11211 },
            interval: Duration::from_secs(1),
        };
        let (mut once, mut addresses) = (false, 0);
        while let Some(word) = parser.next().map_err(refused)? {
            match word {
                Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
                Short('V') | Long("version") => {
                    return Ok(Command::Print(format!("moxi-top {}\n", env!("CARGO_PKG_VERSION"))));
                }
                Long("once") => once = true,
                Long("interval") => options.interval = interval(&parser.value().map_err(refused)?)?,
                Value(text) if addresses == 0 => {
                    options.address = address(&text)?;
                    addresses += 1;
                }
                _ => return Err(refused(word.unexpected())),
            }
        }
        Ok(if once { Command::Once(options) } else { Command::Live(options) })
    }
}

fn refused(error: lexopt::Error) -> Failure {
    Failure::new(USAGE, format!("{error}: expected [--interval SECONDS] [--once] [HOST:PORT], see moxi-top --help"))
}

fn interval(text: &OsString) -> Result<Duration, Failure> {
    let seconds = text.to_str().and_then(|text| text.parse::<f64>().ok());
    match seconds.filter(|seconds| (0.1..=3600.0).contains(seconds)) {
        Some(seconds) => Ok(Duration::from_secs_f64(seconds)),
        None => Err(Failure::new(USAGE, "Invalid argument for --interval: expected seconds from 0.1 to 3600")),
    }
}

fn address(text: &OsString) -> Result<Address, Failure> {
    let parsed = text.to_str().and_then(|text| {
        // Any other path becomes one that begins at the root, as socket addresses have it.
        let is_relative = text.contains('/') && !is_path(text);
        let path = is_relative.then(|| std::path::absolute(text).ok()).flatten();
        Address::parse(path.as_deref().and_then(|path| path.to_str()).unwrap_or(text)).ok()
    });
    parsed.ok_or_else(|| {
        let text = text.to_string_lossy();
        Failure::new(USAGE, format!("\"{text}\": expected HOST:PORT, [IPV6]:PORT, or the path of a unix socket"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Command, String> {
        Command::parse(words.iter().map(OsString::from)).map_err(|failure| {
            assert_eq!(failure.code, USAGE);
            failure.message
        })
    }

    fn options(host: &str, port: u16, millis: u64) -> Options {
        Options { address: Address { host: host.to_owned(), port }, interval: Duration::from_millis(millis) }
    }

    #[test]
    fn what_may_be_typed() {
        assert_eq!(parse(&[]), Ok(Command::Live(options("127.0.0.1", 11211, 1000))));
        assert_eq!(parse(&["--once", "a:1"]), Ok(Command::Once(options("a", 1, 1000))));
        assert_eq!(parse(&["[::1]:2", "--interval=0.5"]), Ok(Command::Live(options("::1", 2, 500))));
        assert_eq!(parse(&["/run/moxi.sock"]), Ok(Command::Live(options("/run/moxi.sock", 0, 1000))));
        let here = std::env::current_dir().unwrap().join("a.sock");
        assert_eq!(parse(&["./a.sock"]), Ok(Command::Live(options(here.to_str().unwrap(), 0, 1000))));
        assert!(matches!(parse(&["-h"]), Ok(Command::Print(text)) if text == HELP));
        assert!(matches!(parse(&["--version"]), Ok(Command::Print(text)) if text.starts_with("moxi-top ")));
    }

    #[test]
    fn what_may_not_says_what_was_expected() {
        for words in [&["--interval", "0"][..], &["--interval", "x"], &["--interval", "3601"], &["--interval=nan"]] {
            let why = "Invalid argument for --interval: expected seconds from 0.1 to 3600";
            assert_eq!(parse(words), Err(why.to_owned()), "{words:?}");
        }
        for word in ["host", "host:", "host:0", "host:65536", ":1"] {
            let why = format!("\"{word}\": expected HOST:PORT, [IPV6]:PORT, or the path of a unix socket");
            assert_eq!(parse(&[word]), Err(why));
        }
        let usage = ": expected [--interval SECONDS] [--once] [HOST:PORT], see moxi-top --help";
        for (words, why) in [
            (&["--twice"][..], "invalid option '--twice'"),
            (&["a:1", "b:2"], "unexpected argument \"b:2\""),
            (&["--interval"], "missing argument for option '--interval'"),
        ] {
            assert_eq!(parse(words), Err(format!("{why}{usage}")));
        }
    }
}
