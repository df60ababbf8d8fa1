//! `moxi-top`: what a running moxi does, second by second, from its statistics (06).
//!
//! | file | what |
//! |---|---|
//! | `options` | the command line |
//! | `server` | asks, over a connection that is opened again when it is lost |
//! | `sample` | what was answered, by name |
//! | `change` | two samples to rates |
//! | `bucket` | what the view shows of one bucket |
//! | `latency`, `servers` | the same of its times, and of its servers |
//! | `view` | rates to lines of text |
//! | `number` | numbers to a few characters |
//! | `terminal` | the lines on the screen, keys; all that knows of terminals |
//!
//! Everything from `sample` to `view` is a function of bytes and times, without a clock.

mod bucket;
mod change;
mod latency;
mod number;
mod options;
mod sample;
mod server;
mod servers;
mod terminal;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::thread;

pub use change::Change;
pub use sample::Sample;
pub use view::lines;

use crate::failure::{Failure, GENERAL};
use options::{Command, Options};
use server::Server;

/// Runs the program with the words of the command line.
pub fn main() -> ExitCode {
    match Command::parse(std::env::args_os().skip(1)).and_then(run) {
        Ok(text) => {
            // Who closes the pipe early has read enough.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let _ = writeln!(io::stderr(), "moxi-top: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

/// What is left to be printed.
fn run(command: Command) -> Result<String, Failure> {
    match command {
        Command::Print(text) => Ok(text),
        Command::Once(options) => once(&options).map_err(|why| Failure::new(GENERAL, why)),
        Command::Live(_) if !io::stdout().is_terminal() => {
            Err(Failure::new(GENERAL, "standard output is no terminal: expected one, or --once"))
        }
        Command::Live(options) => terminal::run(options).map(|()| String::new()),
    }
}

/// Two samples, one interval apart, as text.
fn once(options: &Options) -> Result<String, String> {
    let mut server = Server::new(options.address.clone());
    let before = server.ask()?;
    thread::sleep(options.interval);
    let now = server.ask()?;
    let mut text = String::new();
    for line in lines(&options.address.to_string(), &Change::new(Some(&before), &now)) {
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}
