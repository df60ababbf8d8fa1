//! A client connection as the engine sees it: what it sent, what it is owed, in which order.
//!
//! Its states are in LIFECYCLE.md beside this file.

use crate::arena::{Arena, Id};
use crate::buffer::{Input, Output, Spare};
use crate::memcached::Session;
use crate::protocol::{Answered, Protocol};

use crate::proxy::downstream::ConnId;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::masters::View;
use crate::proxy::request::batch::Packets;
use crate::proxy::request::refused::Refusals;
use crate::proxy::request::{Request, RequestId, SpareWorks, Work};
use crate::proxy::timers::Micros;
use crate::proxy::upstream::order::Order;
use crate::sums::Count as _;

/// Names a client.
pub type ClientId = Id<Client>;

/// How far the client's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It sends and receives.
    Open,
    /// It has finished sending. What it sent is answered, then the connection is closed.
    HalfClosed,
    /// It asked to quit, or sent what cannot be understood: no more requests; what is owed is sent, then the
    /// connection is closed.
    Quitting,
    /// Its connection has gone. What it sent in full is carried out, then it is forgotten.
    Gone,
}

/// Whether the client's next request has a place among the bucket's concurrent ones (`downstream_max`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has not been asked yet.
    Unasked,
    /// It is in the wait queue. `since` is when it became the client's oldest unanswered one.
    Waiting {
        /// `None` while older requests of the client are unanswered.
        since: Option<Micros>,
    },
    /// A place is kept for it.
    Granted,
    /// `wait_queue_timeout` has passed: it is answered with an error.
    Expired,
}

/// The server connection that holds unanswered work of a client, or writes of it that were given up. Later work for the
/// same server follows it there, so that a client's requests for one key stay in order.
#[derive(Clone, Copy, Debug)]
pub struct Sticky {
    /// The server.
    pub host: HostId,
    /// The connection.
    pub conn: ConnId,
    /// How many of its expected replies are for this client.
    pub count: u32,
}

/// What serves a client.
#[derive(Debug)]
pub enum Service {
    /// The servers of the bucket with this index.
    Bucket(usize),
    /// The built-in server. Nothing is ever owed to such a client except what is in its output.
    Memcached(Session),
}

/// A client connection.
#[derive(Debug)]
pub struct Client {
    /// What serves it.
    pub(super) service: Service,
    /// What it speaks; `None`: no byte has come yet. The first one decides: 0x80 is binary, anything else ASCII.
    pub(super) protocol: Option<Protocol>,
    /// How far its life has come.
    pub(super) phase: Phase,
    /// Nothing can be sent to it any more: its replies are dropped.
    pub(super) is_deaf: bool,
    /// What it sent and was not looked at yet.
    pub(super) input: Input,
    /// What it is to receive.
    pub(super) output: Output,
    /// Everything before this position in `output` may be sent. What is behind it belongs to a reply that is
    /// not complete.
    pub(super) committed: u64,
    /// Its unanswered quiet packets, if it is a binary client.
    pub(super) packets: Packets,
    /// Bytes of a refused value that are still to be dropped.
    pub(super) swallow: u64,
    /// Its requests that get a reply, oldest first. The first one is unfinished; finished ones behind it wait
    /// for their turn.
    pub(super) order: Order,
    /// Its requests without a reply, oldest first, with finished ones in between.
    pub(super) quiet: Order,
    /// How many of all these the servers have not answered.
    pub(super) unanswered: u32,
    /// When its oldest unanswered request became the oldest.
    pub(super) oldest_since: Micros,
    /// When the last byte came from it or went to it, or a request of it was answered.
    pub(super) active_at: Micros,
    /// The sequence number of its next request.
    pub(super) next_sequence: u64,
    /// See [`Admission`].
    pub(super) admission: Admission,
    /// When its next request was first looked at, if that had to wait for whatever reason.
    pub(super) waits_since: Option<Micros>,
    /// Where its unanswered work is.
    pub(super) sticky: Vec<Sticky>,
    /// By what its unanswered requests were sent.
    pub(super) view: View,
    /// What servers have refused and is to be sent again, oldest request first.
    pub(super) refused: Refusals,
    /// The servers whose commands its next request has waited to know. It does not wait for one of them again, even if
    /// that is forgotten while it waits for another.
    pub(super) asked: Vec<HostId>,
    /// Since when it has waited for that.
    pub(super) asks_since: Option<Micros>,
    /// It has waited for longer than it may behind the requests of others.
    pub(super) asks_long: bool,
    /// How many connections that were closed may still bring a server something of it.
    pub(super) parting: u32,
    /// Its input was left alone for a reason that goes away by itself: look again when a request is finished or
    /// output was taken.
    pub(super) stopped: bool,
    /// Its input is being worked on, and therefore not in `input`.
    pub(super) is_pumped: bool,
    /// It is on the worker's list of clients to look at again.
    pub(super) is_ready: bool,
    /// It is on the worker's list of clients to flush.
    pub(super) is_dirty: bool,
    /// The deadline it has an entry for.
    pub(super) timer: Option<Micros>,
}

impl Client {
    /// A client that has just connected, is served by `service`, and must speak `binding` if that is one.
    pub fn new(service: Service, binding: Option<Protocol>) -> Client {
        Client {
            service,
            protocol: binding,
            phase: Phase::Open,
            is_deaf: false,
            input: Input::default(),
            output: Output::default(),
            committed: 0,
            packets: Packets::default(),
            swallow: 0,
            order: Order::default(),
            quiet: Order::default(),
            unanswered: 0,
            oldest_since: 0,
            active_at: 0,
            next_sequence: 0,
            admission: Admission::Unasked,
            waits_since: None,
            sticky: Vec::new(),
            view: View::default(),
            refused: Refusals::default(),
            asked: Vec::new(),
            asks_since: None,
            asks_long: false,
            parting: 0,
            stopped: false,
            is_pumped: false,
            is_ready: false,
            is_dirty: false,
            timer: None,
        }
    }

    /// Whether nothing is owed to it and nothing is left to send.
    pub fn is_settled(&self) -> bool {
        self.order.is_empty() && self.output.is_sent()
    }

    /// One more request is owed an answer, or at least to be done.
    pub(in crate::proxy) fn owe(&mut self, request: RequestId, answered: Answered, now: Micros) {
        self.next_sequence.up();
        self.packets.leave();
        if answered.says_anything() { &mut self.order } else { &mut self.quiet }.push(request);
        self.unanswered.up();
        if self.unanswered == 1 {
            self.oldest_since = now;
        }
    }

    /// Where the reply of `request`, one of its own with this name, is written: straight into the output if it is its
    /// turn; and what the request is. `None` if nobody wants it.
    #[inline]
    pub(in crate::proxy) fn sink<'a>(
        &'a mut self,
        request: &'a mut Request,
        id: RequestId,
        spare: &mut Spare<Vec<u8>>,
    ) -> Option<(&'a mut Output, &'a Work)> {
        if !request.answered.says_anything() || request.is_done || self.is_deaf {
            return None;
        }
        let (work, parked) = request.reply_parts();
        let output = match self.order.is_front(id) {
            true => &mut self.output,
            false => parked.get_or_insert_default().as_mut(),
        };
        output.wake(spare);
        Some((output, work))
    }

    /// Whether other requests of it are unanswered, or its next one waits.
    pub(in crate::proxy) fn has_more(&self) -> bool {
        self.unanswered > 0 || self.stopped || matches!(self.admission, Admission::Waiting { .. })
    }

    /// One of its requests is answered.
    #[inline]
    pub(super) fn note_answered(&mut self, now: Micros) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.active_at = now;
    }

    /// Whether one reply is all that is owed to it, and it can receive it.
    #[inline]
    pub(super) fn owes_one(&self) -> bool {
        !self.is_deaf && self.order.has_one()
    }

    /// The reply that is all that is owed to it is complete, in the output.
    #[inline]
    pub(super) fn pass_one(&mut self, requests: &mut Arena<Request>) {
        if let Some(front) = self.order.front() {
            requests.discard(front);
        }
        self.order.pop();
        self.committed = self.output.end();
    }

    /// Whether this request is all that it waits for.
    #[inline]
    pub(in crate::proxy) fn awaits_only(&self, request: RequestId) -> bool {
        self.order.is_front(request)
            && self.unanswered == 1
            && self.owes_one()
            && !self.stopped
            && self.admission == Admission::Unasked
            && self.refused.is_empty()
    }

    /// Gives it the reply to the only request that it waits for, which has ended. Tells whether it is not on the list of
    /// those to flush yet.
    #[inline]
    pub(in crate::proxy) fn give_only(
        &mut self,
        now: Micros,
        spare: &mut Spare<Vec<u8>>,
        write: impl FnOnce(&mut Output),
    ) -> bool {
        self.note_answered(now);
        self.output.wake(spare);
        write(&mut self.output);
        self.order.pop();
        self.committed = self.output.end();
        !std::mem::replace(&mut self.is_dirty, true)
    }

    /// Moves complete replies whose turn has come into the output. The oldest request is complete.
    pub(in crate::proxy) fn pass_on(
        &mut self,
        requests: &mut Arena<Request>,
        spare: &mut Spare<Vec<u8>>,
        works: &mut SpareWorks,
    ) {
        let mut is_moving = false;
        while let Some(front) = self.order.front() {
            // Those that are just being forgotten are still in the list.
            let Some(request) = requests.get_mut(front) else {
                self.order.pop();
                continue;
            };
            if !request.is_done && is_moving {
                self.committed = self.output.end();
            }
            if let Some(mut parked) = request.take_parked() {
                self.output.wake(spare);
                self.output.append(&mut parked);
                parked.rest(spare);
            }
            if !request.is_done {
                break;
            }
            is_moving = true;
            works.take_back(request);
            requests.discard(front);
            self.order.pop();
        }
        if self.order.is_empty() {
            self.committed = self.output.end();
        }
        if self.is_deaf {
            self.drop_output();
        }
    }

    /// Drops answered requests without reply from the front of the list.
    pub(in crate::proxy) fn forget_quiet(&mut self, requests: &mut Arena<Request>) {
        while let Some(front) = self.quiet.front() {
            if requests.get(front).is_some_and(|request| !request.is_done) {
                break;
            }
            requests.discard(front);
            self.quiet.pop();
        }
    }

    /// Drops what it cannot receive any more.
    pub fn drop_output(&mut self) {
        self.output.clear();
        self.committed = self.output.end();
    }

    /// Its bucket; `None`: the built-in server serves it.
    #[inline]
    pub(in crate::proxy) fn bucket(&self) -> Option<usize> {
        match self.service {
            Service::Bucket(bucket) => Some(bucket),
            Service::Memcached(_) => None,
        }
    }

    /// The connection to `host` that holds unanswered work of this client.
    pub fn sticky(&self, host: HostId) -> Option<ConnId> {
        self.sticky.iter().find(|sticky| sticky.host == host).map(|sticky| sticky.conn)
    }

    /// Notes one more expected reply on `conn`.
    pub fn stick(&mut self, host: HostId, conn: ConnId) {
        match self.sticky.iter_mut().find(|sticky| sticky.conn == conn) {
            Some(sticky) => sticky.count.up(),
            None => self.sticky.push(Sticky { host, conn, count: 1 }),
        }
    }

    /// Notes one expected reply less on `conn`.
    pub fn unstick(&mut self, conn: ConnId) {
        if let Some((at, sticky)) = self.sticky.iter_mut().enumerate().find(|(_, sticky)| sticky.conn == conn) {
            sticky.count.down();
            if sticky.count == 0 {
                self.sticky.swap_remove(at);
            }
        }
    }
}
