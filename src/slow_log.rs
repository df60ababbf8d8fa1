//! Where the lines about slow and sampled requests go (06 §11.6): to the log, or to a file of their own.
//!
//! Whoever has a line hands it over, and never waits. A thread of its own writes the file: one that is full, on a disk
//! that hangs, or cannot be opened costs lines, and nothing else.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::failure::reason;
use crate::log;
use crate::sums::Count as _;

/// How many lines may wait to be written.
const WAITING: usize = 4096;

static QUEUE: OnceLock<SyncSender<Message>> = OnceLock::new();
/// Lines that there was no room for.
static OVERFLOWN: AtomicU64 = AtomicU64::new(0);

/// What the writer is told.
enum Message {
    Line(Timestamp, String),
    Reopen,
}

/// Has lines written to `path` from now on; to the log, if it is empty. A file that cannot be opened is told of, and tried
/// again.
///
/// # Errors
/// When there can be no thread for it.
pub fn start(path: &str) -> io::Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    // A daemon leaves the starting directory, and the file is opened again later.
    let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    let (sender, receiver) = sync_channel(WAITING);
    let mut writer = Writer::new(path);
    writer.open();
    thread::Builder::new().name("slow log".to_owned()).spawn(move || writer.run(&receiver))?;
    // There is one start.
    let _ = QUEUE.set(sender);
    Ok(())
}

/// Writes a line, or has it written.
pub fn write(line: String) {
    match QUEUE.get() {
        None => log!(0, "{line}"),
        Some(queue) => {
            if queue.try_send(Message::Line(Timestamp::now(), line)).is_err() {
                OVERFLOWN.fetch_add(1, Relaxed);
            }
        }
    }
}

/// Opens the file again, after a rotation has renamed the old one. `false`: there is none.
pub fn reopen() -> bool {
    let Some(queue) = QUEUE.get() else { return false };
    // While so many lines wait the file is in trouble, and opened again for that.
    let _ = queue.try_send(Message::Reopen);
    true
}

/// The file, and what is wrong with it.
struct Writer {
    path: PathBuf,
    file: Option<File>,
    /// It could not be opened or written, and nobody needs to be told again.
    is_in_trouble: bool,
    /// The last line was written in part.
    is_midway: bool,
    /// Lines that were not written since.
    lost: u64,
}

impl Writer {
    fn new(path: PathBuf) -> Writer {
        Writer { path, file: None, is_in_trouble: false, is_midway: false, lost: 0 }
    }

    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Line(time, text) => self.line(time, &text),
                Message::Reopen => self.open(),
            }
        }
    }

    /// If it cannot be opened the old one stays in use.
    fn open(&mut self) {
        match open(&self.path) {
            Ok(file) => (self.file, self.is_midway) = (Some(file), false),
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_in_trouble, true) {
            log!(0, "ERROR: cannot write the slow log {}: {}", self.path.display(), reason(error));
        }
    }

    fn line(&mut self, time: Timestamp, text: &str) {
        self.lost = self.lost.saturating_add(OVERFLOWN.swap(0, Relaxed));
        if self.file.is_none() {
            self.open();
        }
        let time = stamp(time);
        let lost = match self.lost {
            0 => String::new(),
            lost => format!("{time} lost={lost}\n"),
        };
        let start = if self.is_midway { "\n" } else { "" };
        let Some(file) = &mut self.file else {
            self.lost.up();
            return;
        };
        let line = format!("{start}{lost}{time} {text}\n");
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return self.failed(rest.len() < line.len(), &io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.failed(rest.len() < line.len(), &error),
            }
        }
        (self.is_midway, self.lost) = (false, 0);
        if std::mem::take(&mut self.is_in_trouble) {
            log!(0, "the slow log {} can be written again", self.path.display());
        }
    }

    /// A line was not written, or only `is_begun`.
    fn failed(&mut self, is_begun: bool, error: &io::Error) {
        self.is_midway |= is_begun;
        self.lost.up();
        self.complain(error);
    }
}

/// A fifo that nobody reads must not hold the start up.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(nix::libc::O_NONBLOCK).open(path)
}

/// Date and local time, to the millisecond.
fn stamp(time: Timestamp) -> String {
    // The zone is cached in the library, and looked up again from time to time.
    let time = TimeZone::system().to_datetime(time);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a file without their times.
    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).expect("a file");
        text.lines().map(|line| line.splitn(3, ' ').last().unwrap_or(line).to_owned()).collect()
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("there").join("slow.log");
        let mut writer = Writer::new(path.clone());
        writer.line(Timestamp::now(), "one");
        writer.line(Timestamp::now(), "two");
        std::fs::create_dir(folder.path().join("there")).expect("a folder");
        writer.line(Timestamp::now(), "three");
        assert_eq!(lines(&path), ["lost=2", "three"]);
        std::fs::rename(&path, folder.path().join("old")).expect("a file");
        writer.line(Timestamp::now(), "four");
        writer.open();
        writer.line(Timestamp::now(), "five");
        assert_eq!(lines(&folder.path().join("old")), ["lost=2", "three", "four"]);
        assert_eq!(lines(&path), ["five"]);
    }

    #[test]
    fn a_full_disk_is_no_end() {
        let mut writer = Writer::new(PathBuf::from("/dev/full"));
        writer.line(Timestamp::now(), "one");
        assert!(writer.is_in_trouble && writer.lost == 1);
        writer.is_midway = true;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("slow.log");
        writer.file = Some(open(&path).expect("a file"));
        writer.line(Timestamp::now(), "two");
        assert_eq!(lines(&path), ["", "lost=1", "two"]);
        assert!(!writer.is_in_trouble && !writer.is_midway);
    }

    #[test]
    fn a_fifo_that_nobody_reads_holds_nobody_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        let mut writer = Writer::new(path);
        writer.line(Timestamp::now(), "one");
        assert_eq!(writer.lost, 1);
    }

    #[test]
    fn times_have_milliseconds() {
        let shape: String = stamp(Timestamp::now()).chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "9999-99-99 99:99:99.999");
    }
}
