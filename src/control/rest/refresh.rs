//! Asking an agent's thread to look again: somebody has seen that its newest document is out of date (03 §18).
//!
//! The thread is blocked in a stream that is silent for as long as the cluster manager thinks that nothing has changed.
//! Its socket is shut down under it; it then asks the same URL again, at once and without complaint. If it pauses, because
//! nobody has answered lately, the pause is over.

use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A document that is younger than this is what is asked for, or on its way to whoever asks.
const YOUNG: Duration = Duration::from_secs(1);
/// The cluster manager is not bothered more often than this.
const INTERVAL: Duration = Duration::from_secs(10);

/// What an agent's thread and those who may ask it share.
#[derive(Debug, Default)]
pub struct Refresh {
    state: Mutex<State>,
    /// Ends a pause.
    asked: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The socket of the response that is being read.
    socket: Option<TcpStream>,
    /// Whether the thread pauses. If it neither pauses nor reads, a request is about to be sent anyway.
    is_pausing: bool,
    /// Whether the socket was shut down, or the pause is to end.
    is_asked: bool,
    /// When the newest document came.
    document_at: Option<Instant>,
    /// When the thread was last asked.
    asked_at: Option<Instant>,
}

impl State {
    fn is_due(&self, now: Instant) -> bool {
        let is_past = |at: Option<Instant>, time| at.is_none_or(|at| now.saturating_duration_since(at) >= time);
        is_past(self.document_at, YOUNG) && is_past(self.asked_at, INTERVAL)
    }
}

impl Refresh {
    /// Has the thread ask for its documents anew, unless it has done so lately. Does not wait for it.
    pub fn ask(&self) {
        let now = Instant::now();
        self.with(|state| {
            if !state.is_due(now) || state.socket.is_none() && !state.is_pausing {
                return;
            }
            if let Some(socket) = &state.socket {
                // It may have been closed already: then the thread is on its way.
                let _ = socket.shutdown(Shutdown::Both);
            }
            (state.is_asked, state.asked_at) = (true, Some(now));
            self.asked.notify_all();
        });
    }

    /// Does nothing for `time`, or until somebody asks.
    pub(super) fn pause(&self, time: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.is_pausing, state.is_asked) = (true, false);
        let waited = self.asked.wait_timeout_while(state, time, |state| !state.is_asked);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (state.is_pausing, state.is_asked) = (false, false);
    }

    /// A request is about to be sent on `socket`, and its response to be read.
    pub(super) fn begin(&self, socket: &TcpStream) {
        // Without a copy nobody can ask; the thread goes on as it would without them.
        let socket = socket.try_clone().ok();
        self.with(|state| (state.socket, state.is_asked) = (socket, false));
    }

    /// A document has come.
    pub(super) fn note_document(&self) {
        self.with(|state| state.document_at = Some(Instant::now()));
    }

    /// The response has ended. `true`: because the thread was asked.
    pub(super) fn end(&self) -> bool {
        self.with(|state| {
            state.socket = None;
            std::mem::take(&mut state.is_asked)
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_too_often() {
        let begin = Instant::now();
        let after = |seconds: f64| begin + Duration::from_secs_f64(seconds);
        let state = |document_at, asked_at| State { document_at, asked_at, ..State::default() };
        for (state, second, want) in [
            (state(None, None), 0.0, true),
            (state(Some(begin), None), 0.9, false),
            (state(Some(begin), None), 1.0, true),
            (state(Some(begin), Some(begin)), 9.9, false),
            (state(None, Some(begin)), 9.9, false),
            (state(Some(begin), Some(begin)), 10.0, true),
            (state(Some(after(9.5)), Some(begin)), 10.0, false),
            (state(Some(after(5.0)), Some(after(5.0))), 1.0, false),
        ] {
            assert_eq!(state.is_due(after(second)), want, "{state:?} after {second} s");
        }
    }

    /// The second one is not: somebody has asked a moment ago.
    #[test]
    fn a_pause_ends_when_somebody_asks() {
        let refresh = std::sync::Arc::new(Refresh::default());
        let asking = std::sync::Arc::clone(&refresh);
        let begun = Instant::now();
        let thread = std::thread::spawn(move || {
            while !asking.with(|state| state.is_pausing) {
                std::thread::yield_now();
            }
            asking.ask();
        });
        refresh.pause(Duration::from_secs(600));
        assert!(begun.elapsed() < Duration::from_secs(300));
        thread.join().unwrap();
        assert!(refresh.with(|state| !state.is_pausing && !state.is_asked && state.asked_at.is_some()));
        refresh.pause(Duration::from_millis(1));
    }

    #[test]
    fn without_a_response_there_is_nothing_to_end() {
        let refresh = Refresh::default();
        refresh.ask();
        assert!(!refresh.end());
        refresh.with(|state| assert_eq!(state.asked_at, None));
    }
}
