//! Signals become events of the main thread's loop (01 §12).
//!
//! A handler only raises a flag and writes a byte to a socket that the loop watches. SIGPIPE is ignored by
//! Rust's runtime before `main`.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};

/// A signal that means something to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: stop at once.
    Interrupt,
    /// SIGTERM: stop in an orderly way.
    Terminate,
    /// SIGHUP: open the log file again, and read a static configuration file again.
    Hangup,
    /// SIGUSR2: start the program on disk in place of this process.
    Upgrade,
}

const WATCHED: [(i32, Signal); 4] =
    [(SIGINT, Signal::Interrupt), (SIGTERM, Signal::Terminate), (SIGHUP, Signal::Hangup), (SIGUSR2, Signal::Upgrade)];

/// Until [`Signals::new`] takes over, an interrupted start-up ends with exit code 0, as an interrupted
/// program does: whoever sent SIGINT does not have to know how far it had come. SIGHUP and SIGUSR2, which would
/// kill, have no effect yet: the log has just been opened, and the program has just been started.
#[derive(Debug)]
pub struct Starting(Arc<AtomicBool>);

impl Starting {
    /// Begins the start-up phase.
    pub fn new() -> io::Result<Starting> {
        let starting = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(SIGINT, 0, Arc::clone(&starting))?;
        for number in [SIGHUP, SIGUSR2] {
            signal_hook::flag::register(number, Arc::default())?;
        }
        Ok(Starting(starting))
    }
}

/// The watched signals, as something to poll.
#[derive(Debug)]
pub struct Signals {
    /// Readable after a signal.
    pub source: mio::net::UnixStream,
    raised: [(Signal, Arc<AtomicBool>); WATCHED.len()],
}

impl Signals {
    /// Installs the handlers, and ends the start-up phase.
    pub fn new(starting: Starting) -> io::Result<Signals> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let raised = WATCHED.map(|(_, signal)| (signal, Arc::new(AtomicBool::new(false))));
        for ((number, _), (_, flag)) in WATCHED.iter().zip(&raised) {
            // In this order: the flag must be up when the loop wakes.
            signal_hook::flag::register(*number, Arc::clone(flag))?;
            signal_hook::low_level::pipe::register(*number, writer.try_clone()?)?;
        }
        starting.0.store(false, Ordering::SeqCst);
        Ok(Signals { source: mio::net::UnixStream::from_std(reader), raised })
    }

    /// The signals that have arrived since the last call, each once, the most urgent first.
    pub fn take(&mut self) -> impl Iterator<Item = Signal> {
        let mut bytes = [0; 64];
        while matches!(self.source.read(&mut bytes), Ok(length) if length > 0) {}
        self.raised.iter().filter(|(_, flag)| flag.swap(false, Ordering::SeqCst)).map(|(signal, _)| *signal)
    }
}

/// Reads until there is a line end or nothing more, and says which: `EOL` or `EOF`, the words of the C
/// program's message (01 §12). An error is an end, too: whoever held the other side is gone.
pub fn stdin_end(mut stdin: impl Read) -> &'static str {
    let mut bytes = [0; 256];
    loop {
        match stdin.read(&mut bytes) {
            Ok(0) => return "EOF",
            Ok(length) => {
                let read = bytes.get(..length).unwrap_or_default();
                if read.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
                    return "EOL";
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return "EOF",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_standard_input() {
        assert_eq!(stdin_end(&b""[..]), "EOF");
        assert_eq!(stdin_end(&b"abc"[..]), "EOF");
        assert_eq!(stdin_end(&b"abc\nd"[..]), "EOL");
        assert_eq!(stdin_end(&b"\r"[..]), "EOL");
    }

    #[test]
    fn a_signal_is_seen_once() {
        let mut signals = Signals::new(Starting::new().unwrap()).unwrap();
        assert_eq!(signals.take().count(), 0);
        signal_hook::low_level::raise(SIGHUP).unwrap();
        signal_hook::low_level::raise(SIGHUP).unwrap();
        assert_eq!(signals.take().collect::<Vec<_>>(), [Signal::Hangup]);
        assert_eq!(signals.take().count(), 0);
    }
}
