//! The walk over the words of the command line (01 §3, §8).
//!
//! Words are looked at from left to right, and the first one that ends the program does so at once: `-h`
//! hides an error to its right but not one to its left. Flags may be bundled (`-vvdp 11211`), operands may
//! stand between them, and `--` ends them.

use std::ffi::{OsStr, OsString};

use super::argument::Argument;
use super::flags::{self, Action, Flag};
use super::{Depth, Options, ServerPort};
use crate::config::address::Address;
use crate::failure::{Failure, GENERAL, USAGE};
use crate::protocol::Protocol;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Run with these options.
    Run(Box<Options>),
    /// Only check these options, so far.
    Check(Box<Options>, Depth),
    /// Only show what these options come to.
    PrintConfig(Box<Options>),
    /// Only ask whether somebody answers there, in this protocol.
    CheckAlive(Address, Option<Protocol>),
    /// Print this text on standard output and stop with exit code 0.
    Print(String),
}

/// Reads the words of the command line; the first one is the program's name.
pub fn parse<I, W>(words: I) -> Result<Command, Failure>
where
    I: IntoIterator<Item = W>,
    W: Into<OsString>,
{
    let mut words = words.into_iter().map(Into::into);
    let program = words.next().unwrap_or_else(|| OsString::from("moxi"));
    let mut parser = lexopt::Parser::from_args(words);
    // As getopt does: the argument of `-z=x` is `=x`.
    parser.set_short_equals(false);

    let mut options = Options::default();
    let mut operands = Vec::new();
    loop {
        let flag = match parser.next() {
            Ok(None) => break,
            Ok(Some(lexopt::Arg::Value(operand))) => {
                operands.push(operand);
                continue;
            }
            Ok(Some(lexopt::Arg::Short(letter))) => flags::by_letter(letter)
                .ok_or_else(|| illegal(&program, &format!("invalid option -- '{letter}'"), &format!("-{letter}")))?,
            Ok(Some(lexopt::Arg::Long(name))) => {
                let flag = flags::by_name(name).ok_or_else(|| {
                    illegal(&program, &format!("unrecognized option '--{name}'"), &format!("--{name}"))
                })?;
                if flag.argument().is_none() && parser.optional_value().is_some() {
                    let name = flag.name.unwrap_or_default();
                    let complaint = format!("option '--{name}' doesn't allow an argument");
                    return Err(illegal(&program, &complaint, &format!("--{name}")));
                }
                flag
            }
            Err(error) => return Err(illegal(&program, &error.to_string(), "?")),
        };
        if let Some(command) = apply(flag, &mut parser, &program, &mut options)? {
            return Ok(command);
        }
    }
    if let Some(address) = options.check_alive {
        return Ok(Command::CheckAlive(address, options.binding));
    }
    take_operands(&mut options, &operands)?;
    check(&options)?;
    Ok(match options.check {
        _ if options.print_config => Command::PrintConfig(Box::new(options)),
        Some(depth) => Command::Check(Box::new(options), depth),
        None => Command::Run(Box::new(options)),
    })
}

/// Does what a flag says. A command is all that is asked for: what follows it is not read.
fn apply(
    flag: &'static Flag,
    parser: &mut lexopt::Parser,
    program: &OsStr,
    options: &mut Options,
) -> Result<Option<Command>, Failure> {
    let form = flag.form();
    match flag.action {
        Action::Print(text) => return Ok(Some(Command::Print(text()))),
        Action::PrintFor(_, text) => {
            let value = parser.value().map_err(|_| missing(program, flag))?;
            return text(&value).map(|text| Some(Command::Print(text)));
        }
        Action::Switch(set) => {
            set(options);
            options.typed.push((form, String::new()));
        }
        Action::Optional(_, set) => {
            let value = parser.optional_value();
            let argument = value.as_ref().map(|value| Argument { flag: &form, value });
            set(options, argument.as_ref())?;
        }
        Action::Value(_, set) => {
            let value = parser.value().map_err(|_| missing(program, flag))?;
            set(options, &Argument { flag: &form, value: &value })?;
            options.typed.push((form, value.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// What getopt and then the program say about a word that is no flag. (The C program's second line named `?`.)
fn illegal(program: &OsStr, complaint: &str, word: &str) -> Failure {
    let program = program.to_string_lossy();
    Failure::new(GENERAL, format!("{program}: {complaint}\nIllegal argument \"{word}\". See usage (-h).\n"))
}

fn missing(program: &OsStr, flag: &Flag) -> Failure {
    let word = flag.form();
    illegal(program, &format!("option requires an argument -- '{}'", word.trim_start_matches('-')), &word)
}

/// The one operand stands for `-z` if it looks like a cluster configuration. Launchers pass an empty one,
/// which means nothing.
fn take_operands(options: &mut Options, operands: &[OsString]) -> Result<(), Failure> {
    let mut operands = operands.iter().filter(|operand| !operand.is_empty());
    let Some(operand) = operands.next() else {
        return Ok(());
    };
    if operands.next().is_some() {
        return Err(Failure::new(USAGE, "More than one cluster configuration: join several URLs with commas\n"));
    }
    match operand.to_str() {
        Some(text) if names_a_cluster(text) && options.cluster.is_none() && !options.mcmux => {
            options.cluster = Some(text.to_owned());
        }
        _ => options.stray_operand = true,
    }
    Ok(())
}

fn names_a_cluster(text: &str) -> bool {
    ["apikey=", "auth=", "url=", "http://", "https://"].iter().any(|start| text.starts_with(start))
        || text.contains('@')
}

/// What is only known when all words have been read.
fn check(options: &Options) -> Result<(), Failure> {
    let listener =
        options.socket.is_some() || matches!(options.tcp_port, Some(ServerPort::Fixed(_) | ServerPort::Ephemeral));
    if options.mcmux && !listener {
        return Err(Failure::new(USAGE, "-X needs a listener: -p PORT or -s FILE\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &[&str]) -> Options {
        let words = std::iter::once("moxi").chain(line.iter().copied());
        match parse(words) {
            Ok(Command::Run(options)) => *options,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    fn fail(line: &[&str]) -> Failure {
        let words = std::iter::once("moxi").chain(line.iter().copied());
        parse(words).expect_err("must fail")
    }

    #[test]
    fn nothing_gives_the_defaults() {
        assert_eq!(run(&[]), Options::default());
        assert_eq!(parse(Vec::<OsString>::new()), Ok(Command::Run(Box::default())));
    }

    #[test]
    fn flags_may_be_bundled_and_the_last_one_wins() {
        let options = run(&["-vvdp", "11211", "-vp11212"]);
        assert_eq!(options.verbosity, 3);
        assert!(options.daemon);
        assert_eq!(options.tcp_port, Some(ServerPort::Fixed(11212)));
    }

    #[test]
    fn an_argument_may_look_like_a_flag_or_begin_with_an_equals_sign() {
        assert_eq!(run(&["-p", "-1"]).tcp_port, Some(ServerPort::Ephemeral));
        assert_eq!(run(&["-z=x"]).cluster.as_deref(), Some("=x"));
        assert_eq!(run(&["-z", "--"]).cluster.as_deref(), Some("--"));
    }

    #[test]
    fn operands() {
        let url = "http://a.example,http://b.example";
        assert_eq!(run(&[url, "-v"]).cluster.as_deref(), Some(url));
        assert_eq!(run(&["-v", "--", url]).cluster.as_deref(), Some(url));
        for text in ["apikey=x", "https://a.example", "user@a.example", "url=http://a.example"] {
            assert_eq!(run(&[text]).cluster.as_deref(), Some(text));
        }
        assert_eq!(run(&["-z", "1=a", ""]).cluster.as_deref(), Some("1=a"));
        assert!(!run(&["-z", "1=a", ""]).stray_operand);
        let both = run(&["-z", "1=a", url]);
        assert_eq!(both.cluster.as_deref(), Some("1=a"));
        assert!(both.stray_operand);
        let file = run(&["./file"]);
        assert_eq!(file.cluster, None);
        assert!(file.stray_operand);
        assert_eq!(fail(&[url, url]).code, USAGE);
        assert_eq!(fail(&[url, "", "--", "-v"]).code, USAGE);
    }

    #[test]
    fn an_argument_with_an_at_sign_is_not_an_operand() {
        let options = run(&["-O", "/var/log/a@b"]);
        assert_eq!(options.cluster, None);
        assert_eq!(options.log_file.as_deref(), Some("/var/log/a@b".as_ref()));
    }

    #[test]
    fn the_first_word_that_ends_the_program_does() {
        assert!(matches!(parse(["moxi", "-h", "-B", "http"]), Ok(Command::Print(_))));
        assert!(matches!(parse(["moxi", "-vh"]), Ok(Command::Print(_))));
        assert_eq!(fail(&["-B", "http", "-h"]).code, USAGE);
    }

    #[test]
    fn unknown_flags_and_missing_arguments() {
        for (line, complaint, word) in [
            (["-I"], "invalid option -- 'I'", "-I"),
            (["--frob"], "unrecognized option '--frob'", "--frob"),
            (["--help=x"], "option '--help' doesn't allow an argument", "--help"),
            (["-p"], "option requires an argument -- 'p'", "-p"),
            (["-vz"], "option requires an argument -- 'z'", "-z"),
        ] {
            let failure = fail(&line);
            assert_eq!(failure.code, GENERAL);
            let want = format!("moxi: {complaint}\nIllegal argument \"{word}\". See usage (-h).\n");
            assert_eq!(failure.message, want);
        }
    }

    #[test]
    fn protocols() {
        assert_eq!(run(&["-B", "ascii"]).binding, Some(Protocol::Ascii));
        assert_eq!(run(&["-B", "binary"]).binding, Some(Protocol::Binary));
        assert_eq!(run(&["-B", "auto"]).binding, None);
        assert_eq!(
            fail(&["-B", "http"]).message,
            "Invalid value for binding protocol: http (-B)\n -- should be one of auto, binary, or ascii\n"
        );
    }

    #[test]
    fn mcmux_needs_a_listener() {
        assert_eq!(fail(&["-X"]).code, USAGE);
        assert_eq!(fail(&["-X", "-p", "0"]).code, USAGE);
        assert!(run(&["-X", "-p", "1"]).mcmux);
        assert!(run(&["-X", "-s", "moxi.sock"]).mcmux);
    }
}
