//! Asking an agent's thread to look again: somebody has seen that its newest document is out of date (03 §18).
//!
//! The thread is blocked in a stream that is silent for as long as the cluster manager thinks that nothing has changed.
//! Its socket is shut down under it; it then asks the same URL again, at once and without complaint.

use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A document that is younger than this is what is asked for, or on its way to whoever asks.
const YOUNG: Duration = Duration::from_secs(1);
/// The cluster manager is not bothered more often than this.
const INTERVAL: Duration = Duration::from_secs(10);

/// What an agent's thread and those who may ask it share.
#[derive(Debug, Default)]
pub struct Refresh {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The socket of the response that is being read. Without one a request is about to be sent anyway.
    socket: Option<TcpStream>,
    /// Whether that was shut down.
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
            if state.is_due(now)
                && let Some(socket) = &state.socket
            {
                // It may have been closed already: then the thread is on its way.
                let _ = socket.shutdown(Shutdown::Both);
                (state.is_asked, state.asked_at) = (true, Some(now));
            }
        });
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

    #[test]
    fn without_a_response_there_is_nothing_to_end() {
        let refresh = Refresh::default();
        refresh.ask();
        assert!(!refresh.end());
        refresh.with(|state| assert_eq!(state.asked_at, None));
    }
}
