//! A server connection as the engine sees it: connect, authenticate, select the bucket, ready; and its queue of
//! expected replies.
//!
//! Its states are in LIFECYCLE.md beside this file.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::arena::Id;
use crate::buffer::{Input, Output, Spare};
use crate::metrics::server::Tally;
use crate::protocol::Protocol;

use crate::proxy::downstream::abandoned::Abandoned;
use crate::proxy::downstream::fifo::Fifo;
use crate::proxy::downstream::group::Open;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::sent::Writes;
use crate::proxy::downstream::{Entry, Expect};
use crate::proxy::request::RequestId;
use crate::proxy::timers::Micros;

/// How many requests, and how many bytes of them, are put together in one write rather than spread over connections.
const BATCH: usize = 32;
const BATCH_BYTES: u64 = 16 * 1024;

/// Names a server connection.
pub type ConnId = Id<Conn>;

/// How far a server connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The name is being resolved, or the TCP handshake is under way.
    Connecting,
    /// The handshake packet of this step was sent; nothing else goes out before it is answered.
    Handshake(Step),
    /// Requests go out.
    Ready,
}

impl State {
    /// Its name in log lines.
    pub fn phase(self) -> &'static str {
        match self {
            State::Connecting => "connect",
            State::Handshake(_) => "authenticate",
            State::Ready => "reply",
        }
    }
}

/// The steps of the handshake (03 §16.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// SASL PLAIN.
    Authenticate,
    /// Bucket selection.
    Select,
}

/// What was counted of the requests on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// How many there ever were.
    pub requests: u64,
    /// How many are there.
    pub unanswered: u64,
    /// Of these, how many were not sent yet.
    pub queued: u64,
}

/// A server connection.
#[derive(Debug)]
pub struct Conn {
    /// The server.
    pub(super) host: HostId,
    /// The server's protocol.
    pub(super) speak: Protocol,
    /// What this worker counts of the server.
    pub(super) tally: Arc<Tally>,
    /// What of its requests is in there.
    pub(super) shown: Shown,
    /// How far it has come.
    pub(super) state: State,
    /// When that state began.
    pub(super) state_since: Micros,
    /// Where the handshake packets end in the output.
    pub(super) handshake: [Option<(Step, u64)>; 2],
    /// Received and not yet understood.
    pub(super) input: Input,
    /// Everything that is not yet answered, sent or not.
    pub(super) output: Output,
    /// The expected replies, oldest first.
    pub(super) fifo: Fifo,
    /// Where the answered requests end in the output.
    pub(super) answered_to: u64,
    /// When what of the output was sent.
    pub(super) writes: Writes,
    /// When the oldest expected reply became the oldest.
    pub(super) head_since: Micros,
    /// How many of the expected replies somebody still waits for.
    pub(super) wanted: u32,
    /// What ends the output and others of this turn may join: nothing has closed it yet.
    pub(super) open: Option<Open>,
    /// Its head has changed since that was last looked at.
    pub(super) has_new_head: bool,
    /// Within the request at the head, if it has several entries: where to look for the one that is answered next.
    pub(super) cursor: usize,
    /// The oldest reply is overdue; the connection gets no new work until a reply comes.
    pub(super) is_stalled: bool,
    /// It was there when another connection was closed that a write stands on yet, and might be read before that one:
    /// it gets no work but of those who have some on it, and is closed when it has none.
    pub(super) is_elder: bool,
    /// Requests on it that were given up, and what they change, oldest first.
    pub(super) abandoned: VecDeque<Abandoned>,
    /// One that was sent has waited too long: up to here it may be sent, until the next reply comes.
    pub(super) held_at: Option<u64>,
    /// Where in the output the requests are that travel alone: all before them must be answered before they are
    /// sent, and they before anything behind them is.
    pub(super) alone: VecDeque<Range<u64>>,
    /// It could not be begun for want of something on this machine.
    pub(super) is_short: bool,
    /// When that is tried again.
    pub(super) retry_at: Option<Micros>,
    /// It speaks ASCII to a server with which moxi speaks binary: for meta commands.
    pub(super) is_side: bool,
    /// It is the one that lists of keys come on, and takes nothing else.
    pub(super) is_for_dumps: bool,
    /// It is not to be read from: the client has not read enough of the list that comes on it.
    pub(super) is_paused: bool,
    /// It is on its host's list of idle connections.
    pub(super) is_idle: bool,
    /// It is on the worker's list of connections to flush.
    pub(super) is_dirty: bool,
    /// The deadline it has an entry for.
    pub(super) timer: Option<Micros>,
}

impl Conn {
    /// A connection that is about to be made.
    pub fn new(host: HostId, speak: Protocol, tally: Arc<Tally>, now: Micros) -> Conn {
        Conn {
            host,
            speak,
            tally,
            shown: Shown::default(),
            state: State::Connecting,
            state_since: now,
            handshake: [None; 2],
            input: Input::default(),
            output: Output::default(),
            fifo: Fifo::default(),
            answered_to: 0,
            writes: Writes::default(),
            head_since: now,
            wanted: 0,
            open: None,
            has_new_head: false,
            cursor: 0,
            is_stalled: false,
            is_elder: false,
            abandoned: VecDeque::new(),
            held_at: None,
            alone: VecDeque::new(),
            is_short: false,
            retry_at: None,
            is_side: false,
            is_for_dumps: false,
            is_paused: false,
            is_idle: false,
            is_dirty: false,
            timer: None,
        }
    }

    /// Its server.
    #[inline]
    pub(in crate::proxy) fn host(&self) -> HostId {
        self.host
    }

    /// What is expected next, if what it answers was sent at least in part.
    #[inline]
    pub(in crate::proxy) fn awaited(&self) -> Option<&Entry> {
        self.fifo.front().filter(|_| self.output.sent() > self.answered_to)
    }

    /// The expected reply with this index.
    pub(in crate::proxy) fn entry(&self, index: usize) -> Option<&Entry> {
        self.fifo.get(index)
    }

    /// All expected replies.
    pub(in crate::proxy) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.fifo.iter()
    }

    /// How many expected replies end together with the oldest one.
    pub(in crate::proxy) fn head_len(&self) -> usize {
        self.fifo.head_len()
    }

    /// What was asked: the bytes of its output in this range, if they lie together.
    #[inline]
    pub(in crate::proxy) fn asked(&self, range: Range<u64>) -> Option<&[u8]> {
        self.output.slice(range)
    }

    /// The same, copied.
    pub(in crate::proxy) fn read_asked(&self, range: Range<u64>, into: &mut Vec<u8>) {
        self.output.read(range, into);
    }

    /// The request of entry `index`, as it was written.
    pub(in crate::proxy) fn request(&self, index: usize) -> Output {
        let mut bytes = Output::default();
        bytes.copy_from(&self.output, self.range(index));
        bytes
    }

    /// Where the next request is written to; what others could join was sealed.
    #[inline]
    pub(in crate::proxy) fn writer(&mut self, spare: &mut Spare<Vec<u8>>) -> &mut Output {
        self.output.wake(spare);
        &mut self.output
    }

    /// The oldest request has its time anew.
    pub(in crate::proxy) fn note_progress(&mut self, now: Micros) {
        self.head_since = now;
    }

    /// Its server is left unread.
    pub(in crate::proxy) fn pause(&mut self) {
        self.is_paused = true;
    }

    /// It is read again; tells whether it was not.
    pub(in crate::proxy) fn resume(&mut self, now: Micros) -> bool {
        let was_paused = std::mem::take(&mut self.is_paused);
        if was_paused {
            self.head_since = now;
        }
        was_paused
    }

    /// Whether it brings a list of keys to this request, which does not want it any more.
    pub(in crate::proxy) fn drop_list(&mut self, request: RequestId) -> bool {
        let head = self.fifo.get_mut(0).filter(|head| self.is_for_dumps && head.request == request);
        head.map(|head| head.request = RequestId::NONE).is_some()
    }

    /// Up to which position the output may be sent.
    pub fn send_limit(&self) -> u64 {
        match self.state {
            State::Connecting => 0,
            State::Handshake(step) => {
                self.handshake.iter().flatten().find(|(other, _)| *other == step).map_or(0, |(_, end)| *end)
            }
            State::Ready => {
                let alone = match self.alone.front() {
                    None => u64::MAX,
                    Some(range) if self.answered_to >= range.start => range.end,
                    Some(range) => range.start,
                };
                alone.min(self.held_at.unwrap_or(u64::MAX))
            }
        }
    }

    /// Sends nothing more before the next reply comes, except the rest of what was begun.
    pub fn hold(&mut self) {
        if self.held_at.is_some() {
            return;
        }
        let sent = self.output.sent();
        let begun = self.fifo.iter().skip_while(|entry| entry.end < sent).find(|entry| entry.is_last());
        self.held_at = Some(begun.map_or(sent, |entry| entry.end));
    }

    /// Whether it is about to be written to, with room for more in the same write: that saves system calls here and at
    /// the server, and costs no time, as one write of this size is answered at once.
    pub fn takes_more(&self) -> bool {
        self.is_dirty
            && self.state == State::Ready
            && !self.is_stalled
            && !self.is_elder
            && self.held_at.is_none()
            && self.alone.is_empty()
            && self.fifo.len() < BATCH
            && self.output.unsent() < BATCH_BYTES
    }

    /// Where the request of entry `index` lies in the output.
    pub fn range(&self, index: usize) -> Range<u64> {
        let start = match index.checked_sub(1).and_then(|before| self.fifo.get(before)) {
            Some(before) => before.end,
            None => self.answered_to,
        };
        start..self.fifo.get(index).map_or(start, |entry| entry.end)
    }

    /// Whether something of entry `index` was sent.
    pub fn is_begun(&self, index: usize) -> bool {
        self.range(index).start < self.output.sent()
    }

    /// Adds an expected reply, and notes in it whether it is behind those of other requests; tells that. What travels
    /// alone is kept apart.
    #[inline(always)] // the entry is made where this is called, and is not to be moved twice
    pub fn expect(&mut self, mut entry: Entry) -> bool {
        let is_behind =
            self.fifo.front().is_some_and(|first| first.request != entry.request) && !self.is_open_at_head();
        entry.is_queued = is_behind && self.state == State::Ready;
        // A server that speaks nothing but binary has no answer to a question in ASCII.
        let is_doubtful = self.is_side && matches!(entry.expect, Expect::Probe(_));
        if is_doubtful || entry.travels_alone(self.speak) {
            let start = self.fifo.back().map_or(self.answered_to, |before| before.end);
            self.alone.push_back(start..entry.end);
        }
        self.fifo.push(entry);
        entry.is_queued
    }
}
