//! The log: standard error, a file, or syslog (01 §10).
//!
//! One line is one `write`, so lines of several threads and processes never mix. What a caller says is
//! written whole, on one line: line ends and other control characters, which may come from a client, are
//! shown escaped.
//!
//! ```
//! moxi::log!(0, "ERROR: {} is on fire", "the printer"); // always
//! moxi::log!(2, "new client");                          // only with -vv
//! ```

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{PoisonError, RwLock};

use nix::syslog::{Facility, LogFlags, Priority, Severity};

use crate::failure::reason;

/// Longest line in bytes, with its line end: what POSIX lets several writers send through one pipe without
/// mixing. (The C program cut at 999.)
const LINE_MAX: usize = 4096;

static VERBOSITY: AtomicU8 = AtomicU8::new(0);
static LOGGER: RwLock<Logger> = RwLock::new(Logger { sink: Sink::Stderr, fallback: Fallback::Stderr });

/// Where lines go.
#[derive(Debug)]
enum Sink {
    Stderr,
    File {
        file: File,
        path: PathBuf,
        /// Whether this process has made it.
        is_new: bool,
    },
    Syslog,
}

/// Where lines go when the log file cannot be opened at the start, and where it is said that it cannot be later.
///
/// C builds were fixed to one of the two. Here it is syslog for a daemon, whose standard error nobody sees,
/// and standard error for a process in the foreground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Standard error.
    Stderr,
    /// The system log.
    Syslog,
}

#[derive(Debug)]
struct Logger {
    sink: Sink,
    fallback: Fallback,
}

/// What [`reopen`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopened {
    /// A log file: it was opened again, or the old one stays in use.
    File,
    /// A log that cannot be reopened.
    NotAFile,
}

/// Writes a line if the verbosity is at least `$level`; 0 is always.
#[macro_export]
macro_rules! log {
    ($level:expr, $($message:tt)+) => {
        if $crate::log::enabled($level) {
            $crate::log::write(module_path!(), line!(), format_args!($($message)+));
        }
    };
}

/// The verbosity in force: how often `-v` was given, or what the `verbosity` command set.
pub fn verbosity() -> u8 {
    VERBOSITY.load(Ordering::Relaxed)
}

/// Changes the verbosity.
pub fn set_verbosity(level: u8) {
    VERBOSITY.store(level, Ordering::Relaxed);
}

/// Whether lines of this level are written.
pub fn enabled(level: u8) -> bool {
    level <= verbosity()
}

/// Opens the log: `path`, or standard error if there is none. A file that cannot be opened is not fatal:
/// the fallback takes over, and standard error is told.
pub fn init(path: Option<&Path>, fallback: Fallback) {
    let sink = match path {
        None => Sink::Stderr,
        Some(path) => {
            // A daemon leaves the starting directory, and the file is opened again later.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
            match open(&path) {
                Ok((file, is_new)) => Sink::File { file, path, is_new },
                Err(error) => {
                    let _ = writeln!(
                        io::stderr(),
                        "ERROR: opening errorlog '{}' failed. error: {}, Switching to {}.",
                        path.display(),
                        reason(&error),
                        match fallback {
                            Fallback::Stderr => "stderr",
                            Fallback::Syslog => "syslog",
                        }
                    );
                    fallback.sink()
                }
            }
        }
    };
    *LOGGER.write().unwrap_or_else(PoisonError::into_inner) = Logger { sink, fallback };
    let (mode, name) = describe();
    log!(1, "moxi log, mode={mode}, file={name}");
}

/// Gives a log file that this process has made to `user`, who is to open it again after a rotation: who rotates logs
/// gives the new file the owner of the old one. A file that was there before keeps its owner: somebody else may have put
/// it, or a link, in that place.
pub fn give_to(user: nix::unistd::Uid) {
    let guard = LOGGER.read().unwrap_or_else(PoisonError::into_inner);
    if let Sink::File { file, is_new: true, path } = &guard.sink
        && let Err(error) = std::os::unix::fs::fchown(file, Some(user.as_raw()), None)
    {
        let (path, why) = (path.display(), reason(&error));
        guard.emit(module_path!(), line!(), format_args!("WARNING: cannot give {path} to its user: {why}"));
    }
}

/// Opens the log file again under its name, after a rotation has renamed the old one (01 §10). If that cannot be done
/// the old file stays in use. (The C program went over to syslog or standard error.)
pub fn reopen() -> Reopened {
    let mut guard = LOGGER.write().unwrap_or_else(PoisonError::into_inner);
    let logger = &mut *guard;
    let Sink::File { file, path, .. } = &mut logger.sink else {
        return Reopened::NotAFile;
    };
    emit_file(file, "About to cycle log ");
    match open(path) {
        Ok((new, is_new)) => {
            emit_file(&new, "Log Cycled ");
            logger.sink = Sink::File { file: new, path: std::mem::take(path), is_new };
        }
        Err(error) => {
            let why = reason(&error);
            let line = format!("cycling errorlog '{}' failed: {why}. The old file stays in use", path.display());
            emit_file(file, &line);
            // The old file may be about to be packed, or deleted.
            let other = Logger { sink: logger.fallback.sink(), fallback: logger.fallback };
            other.emit(module_path!(), line!(), format_args!("{line}"));
        }
    }
    Reopened::File
}

/// Whether lines go to standard error.
pub fn is_stderr() -> bool {
    let logger = LOGGER.read().unwrap_or_else(PoisonError::into_inner);
    matches!(logger.sink, Sink::Stderr)
}

/// Writes a line at any verbosity, and to standard error, too, if the log is elsewhere: for what the C program wrote
/// there, where operators look for it (01 §6.4, §14).
#[track_caller]
pub fn report(line: &str) {
    let caller = std::panic::Location::caller();
    let module = caller.file().trim_end_matches(".rs").rsplit('/').next().unwrap_or("");
    write(module, caller.line(), format_args!("{line}"));
    if !is_stderr() {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Writes a line; `log!` is the way to call it.
pub fn write(module: &str, line: u32, message: fmt::Arguments<'_>) {
    let logger = LOGGER.read().unwrap_or_else(PoisonError::into_inner);
    logger.emit(module, line, message);
}

/// The mode number and the path that the first line shows: 1 standard error, 2 file, 4 syslog.
fn describe() -> (u8, String) {
    let logger = LOGGER.read().unwrap_or_else(PoisonError::into_inner);
    match &logger.sink {
        Sink::Stderr => (1, "(null)".to_owned()),
        Sink::File { path, .. } => (2, path.display().to_string()),
        Sink::Syslog => (4, "(null)".to_owned()),
    }
}

/// The file, and whether it was not there before.
fn open(path: &Path) -> io::Result<(File, bool)> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    let options = options.append(true).mode(0o644);
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.create(true).open(path).map(|file| (file, false))
        }
        opened => opened.map(|file| (file, true)),
    }
}

fn emit_file(mut file: &File, message: &str) {
    let mut text = stamp();
    compose(&mut text, module_path!(), line!(), format_args!("{message}"));
    text.push('\n');
    let _ = file.write_all(text.as_bytes());
}

impl Fallback {
    fn sink(self) -> Sink {
        match self {
            Fallback::Stderr => Sink::Stderr,
            Fallback::Syslog => {
                let options = LogFlags::LOG_CONS | LogFlags::LOG_PID;
                let _ = nix::syslog::openlog(Some(c"moxi"), options, Facility::LOG_DAEMON);
                Sink::Syslog
            }
        }
    }
}

impl Logger {
    /// A log that cannot be written has nobody left to tell, so errors are dropped.
    fn emit(&self, module: &str, line: u32, message: fmt::Arguments<'_>) {
        let mut text = match self.sink {
            Sink::Syslog => String::new(),
            Sink::Stderr | Sink::File { .. } => stamp(),
        };
        compose(&mut text, module, line, message);
        match &self.sink {
            Sink::Syslog => {
                let priority = Priority::new(Severity::LOG_ERR, Facility::LOG_DAEMON);
                let _ = nix::syslog::syslog(priority, &text);
            }
            Sink::Stderr => {
                text.push('\n');
                let _ = io::stderr().lock().write_all(text.as_bytes());
            }
            Sink::File { file, .. } => {
                text.push('\n');
                let mut file: &File = file;
                let _ = file.write_all(text.as_bytes());
            }
        }
    }
}

/// The date and local time that begin a line.
fn stamp() -> String {
    // The zone is cached in the library, and looked up again from time to time.
    let now = jiff::tz::TimeZone::system().to_datetime(jiff::Timestamp::now());
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}: ",
        now.year(),
        now.month(),
        now.day(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

/// Appends `(<module>.<line>) <message>`, on one line, cut to what fits.
fn compose(text: &mut String, module: &str, line: u32, message: fmt::Arguments<'_>) {
    let module = module.rsplit("::").next().unwrap_or(module);
    // Writing to a String cannot fail; the message's own formatting may, and then ends there.
    let _ = write!(text, "({module}.{line}) ");
    let _ = Escaped(text).write_fmt(message);
}

/// Appends text with its control characters escaped, up to the longest line.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            // The longest escape, \u{9f}, is 6 bytes; one more is for the line end.
            if self.0.len() + 7 > LINE_MAX {
                return Err(fmt::Error);
            }
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(message: fmt::Arguments<'_>) -> String {
        let mut text = String::new();
        compose(&mut text, "moxi::net::listener", 12, message);
        text
    }

    #[test]
    fn lines_name_module_and_line_and_keep_their_last_character() {
        assert_eq!(composed(format_args!("in use {}", 1)), "(listener.12) in use 1");
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(composed(format_args!("a\r\nb\x1b[1m\u{9f}ü")), "(listener.12) a\\r\\nb\\u{1b}[1m\\u{9f}ü");
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let long = "ü".repeat(5000);
        let line = composed(format_args!("{long}"));
        assert!(line.len() < LINE_MAX && line.len() > LINE_MAX - 10, "{}", line.len());
    }

    #[test]
    fn stamps_have_the_shape_that_log_parsers_expect() {
        let stamp = stamp();
        let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "9999-99-99 99:99:99: ");
    }
}
