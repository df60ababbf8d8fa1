//! One scraper: what it has sent, what it is still to get, and how long it may take for either.
//!
//! ```text
//!            request complete                 all sent, more may follow
//!  Listening ────────────────► Telling ─────────────────────────────────► Listening
//!                                 │ all sent, and nothing may follow
//!                                 └────────────────────────────────────► Parting ──► closed
//! ```
//!
//! Each of them ends at a deadline. One that parts is read from for a moment, without being listened to: a connection that
//! is closed with bytes unread is reset, and the reply may be lost on its way.

use std::time::{Duration, Instant};

use super::http::{HEAD_MAX, Method, Parsed, Reply, parse};
use super::{Scene, answer};

/// How long a request may take from its first byte to its last, and the reply to it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a scraper may keep its connection without a request: Prometheus asks once a minute by default.
const IDLE: Duration = Duration::from_secs(150);
/// How long a scraper may still send that is not listened to any more.
const PARTING: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Listening,
    /// And whether it is listened to again afterwards.
    Telling(bool),
    Parting,
}

/// So much later. No clock comes to where there would be no such time.
fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now)
}

/// One scraper.
#[derive(Debug)]
pub struct Conversation {
    phase: Phase,
    /// What it has sent and was not answered. Never longer than [`HEAD_MAX`].
    input: Vec<u8>,
    /// Whether that begins with something that can be answered.
    is_whole: bool,
    /// The reply, and how much of it has been sent.
    output: Vec<u8>,
    sent: usize,
    until: Instant,
}

impl Conversation {
    /// Has connected just now, and is to ask soon.
    pub fn new(now: Instant) -> Conversation {
        let (input, output) = (Vec::new(), Vec::new());
        Conversation { phase: Phase::Listening, input, is_whole: false, output, sent: 0, until: after(now, PATIENCE) }
    }

    /// When it is closed unless something happens before.
    pub fn deadline(&self) -> Instant {
        self.until
    }

    /// How many bytes may be read now; 0: none are to be read, it is to take its reply first.
    pub fn room(&self) -> usize {
        match self.phase {
            Phase::Listening => HEAD_MAX.saturating_sub(self.input.len()),
            Phase::Telling(_) => 0,
            Phase::Parting => HEAD_MAX,
        }
    }

    /// Takes bytes that were read, no more than there was room for.
    pub fn filled(&mut self, bytes: &[u8], now: Instant) {
        if self.phase == Phase::Listening {
            if self.input.is_empty() {
                self.until = self.until.min(after(now, PATIENCE));
            }
            self.input.extend_from_slice(bytes);
            self.is_whole = parse(&self.input) != Parsed::Partial;
        }
    }

    /// Whether an answer has to be made.
    pub fn has_question(&self) -> bool {
        self.phase == Phase::Listening && self.is_whole
    }

    /// Whether nothing has been asked since the last answer.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Listening && self.input.is_empty()
    }

    /// Makes the answer.
    pub fn answer(&mut self, scene: &Scene<'_>, now: Instant) {
        let (output, keeps, used) = match parse(&self.input) {
            Parsed::Partial => return,
            Parsed::Whole(request, length) => {
                let with_body = request.method != Method::Head;
                let keeps = request.keeps && !scene.is_parting;
                (answer(&request, scene).encode(with_body, keeps), keeps, length)
            }
            Parsed::Refused(status) => {
                (Reply::error(status, &status.1.to_lowercase()).encode(true, false), false, self.input.len())
            }
        };
        self.input.drain(..used);
        self.is_whole = parse(&self.input) != Parsed::Partial;
        (self.output, self.sent) = (output, 0);
        (self.phase, self.until) = (Phase::Telling(keeps), after(now, PATIENCE));
    }

    /// What is to be sent.
    pub fn output(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    /// So many bytes of it were sent. The result is whether the scraper is to be told that nothing follows.
    pub fn sent(&mut self, count: usize, now: Instant) -> bool {
        self.sent = self.sent.saturating_add(count);
        let Phase::Telling(keeps) = self.phase else { return false };
        if self.sent < self.output.len() {
            return false;
        }
        (self.output, self.sent) = (Vec::new(), 0);
        (self.phase, self.until) = match keeps {
            true if self.input.is_empty() => (Phase::Listening, after(now, IDLE)),
            true => (Phase::Listening, after(now, PATIENCE)),
            false => (Phase::Parting, after(now, PARTING)),
        };
        !keeps
    }

    /// How little it would lose if it were closed to make room for another: the least is closed first. Who is being told
    /// something is the last to go; else who has been silent the longest is the first.
    pub fn value(&self) -> (bool, Instant) {
        (matches!(self.phase, Phase::Telling(_)), self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::Config;
    use crate::proxy::downstream::host::HealthTable;
    use crate::proxy::report::Sources;

    fn tell(conversation: &mut Conversation, now: Instant) -> String {
        let (sources, health, config) = (Sources::default(), HealthTable::default(), Config::default());
        let (sources, health, config) = (&sources, &health, &config);
        conversation
            .answer(&Scene { sources, health, config, obstacle: None, is_parting: false, start: 0, uptime: 0.0 }, now);
        String::from_utf8(conversation.output().to_vec()).unwrap()
    }

    #[test]
    fn one_request_after_the_other() {
        let now = Instant::now();
        let mut conversation = Conversation::new(now);
        conversation.filled(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r", now);
        assert!(!conversation.has_question());
        conversation.filled(b"\nHEAD /healthz HTTP/1.0\r\n\r\n", now);
        assert!(conversation.has_question());
        let reply = tell(&mut conversation, now);
        assert!(reply.starts_with("HTTP/1.1 200 ") && reply.ends_with("\r\n\r\nalive\n"), "{reply}");
        assert_eq!((conversation.room(), conversation.has_question()), (0, false));
        assert!(!conversation.sent(1, now));
        assert_eq!(conversation.output(), &reply.as_bytes()[1..]);
        assert!(!conversation.sent(reply.len() - 1, now));
        assert!(conversation.has_question());
        let reply = tell(&mut conversation, now);
        assert!(reply.contains("Content-Length: 6\r\n") && reply.ends_with("close\r\n\r\n"), "{reply}");
        assert!(conversation.sent(reply.len(), now));
        assert!(conversation.room() > 0 && conversation.output().is_empty());
        conversation.filled(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", now);
        assert!(!conversation.has_question(), "it was told that nothing follows");
    }

    #[test]
    fn each_phase_has_its_deadline() {
        let start = Instant::now();
        let mut conversation = Conversation::new(start);
        let soon = start + Duration::from_secs(5);
        conversation.filled(b"G", soon);
        conversation.filled(b"E", soon + Duration::from_secs(1));
        assert_eq!(conversation.deadline(), start + PATIENCE, "a byte now and then makes it no later");
        conversation.filled(b"T /x HTTP/1.1\r\nHost: a\r\n\r\n", soon);
        let length = tell(&mut conversation, soon).len();
        assert_eq!(conversation.deadline(), soon + PATIENCE);
        conversation.sent(length, soon);
        assert_eq!(conversation.deadline(), soon + IDLE);
        conversation.filled(b"\x01", soon);
        assert_eq!(conversation.deadline(), soon + PATIENCE);
        let reply = tell(&mut conversation, soon);
        assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
        assert!(conversation.sent(reply.len(), soon));
        assert_eq!(conversation.deadline(), soon + PARTING);
    }

    #[test]
    fn who_is_told_something_goes_last() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let silent = Conversation::new(now);
        let new = Conversation::new(later);
        let mut told = Conversation::new(now);
        told.filled(b"\x01", now);
        tell(&mut told, now);
        assert!(silent.value() < new.value() && new.value() < told.value());
    }

    #[test]
    fn memory_is_bounded() {
        let now = Instant::now();
        let mut conversation = Conversation::new(now);
        conversation.filled(b"GET / HTTP/1.1\r\nx: ", now);
        while conversation.room() > 0 {
            conversation.filled(b"y", now);
        }
        assert_eq!(conversation.input.len(), HEAD_MAX);
        assert!(conversation.has_question());
        assert!(tell(&mut conversation, now).starts_with("HTTP/1.1 431 "));
    }
}
