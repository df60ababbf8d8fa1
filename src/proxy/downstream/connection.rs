//! Server connections: their handshake (03 §16.2), and their replies one by one.
//!
//! The event loop may speak of a connection that the engine has forgotten: it learns of that when it looks at the actions.

use crate::buffer::Input;
use crate::metrics::counter::Counter;
use crate::protocol::Protocol;
use crate::protocol::ascii;
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::packet::{self, Packet};

use crate::proxy::Engine;
use crate::proxy::downstream::loss::Loss;
use crate::proxy::downstream::{ConnId, Entry, Expect, State, Step};
use crate::proxy::request::RequestId;

/// A server sent something that does not fit what was asked: the connection is out of step and must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Unfit;

impl Engine {
    /// The TCP connection is made.
    pub fn connected(&mut self, id: ConnId) {
        self.next_step(id, State::Connecting);
    }

    /// The TCP connection could not be made.
    pub fn connect_failed(&mut self, id: ConnId, reason: &str) {
        self.not_connected(id, Loss::Unreachable, reason);
    }

    /// The server's name could not be resolved.
    pub fn resolve_failed(&mut self, id: ConnId, reason: &str) {
        self.not_connected(id, Loss::Unresolved, reason);
    }

    fn not_connected(&mut self, id: ConnId, loss: Loss, reason: &str) {
        if let Some(host) = self.downstream.conns.get(id).and_then(|conn| self.downstream.hosts.must(conn.host)) {
            // Of a suspended server everybody knows.
            let level = if host.health.is_suspended() { 2 } else { 1 };
            let text = format!("{loss}: {}: {reason}", host.server);
            self.log(level, text);
        }
        self.close_conn(id, loss);
    }

    /// What is spoken on the connection.
    pub(in crate::proxy) fn speak(&self, id: ConnId) -> Protocol {
        self.downstream.conns.must(id).map_or(Protocol::Binary, |conn| conn.speak)
    }

    /// The server's connection was closed or broke.
    pub fn conn_closed(&mut self, id: ConnId) {
        self.end_parting(id);
        self.close_conn(id, Loss::Closed);
    }

    /// Goes on from a finished step of the handshake.
    fn next_step(&mut self, id: ConnId, done: State) {
        let Some(conn) = self.downstream.conns.get_mut(id) else { return };
        let rest = match done {
            State::Connecting => 0,
            State::Handshake(Step::Authenticate) => 1,
            State::Handshake(Step::Select) | State::Ready => 2,
        };
        let next = conn.handshake.iter().skip(rest).flatten().next().map(|(step, _)| *step);
        let (host_id, since) = (conn.host, conn.state_since);
        conn.state = next.map_or(State::Ready, State::Handshake);
        conn.state_since = self.now;
        let is_ready = conn.state == State::Ready;
        self.count_step(host_id, done, is_ready, since);
        if is_ready {
            self.tally_ready(id);
        }
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        if conn.state == State::Ready {
            conn.head_since = self.now;
            if let Some(host) = self.downstream.hosts.must_mut(conn.host) {
                host.note_reachable();
            }
            if let Some(host) = self.downstream.hosts.must(conn.host)
                && host.health.succeed()
            {
                let text = format!("{} is back", host.server);
                self.log(0, text);
            }
            if self.is_outdated(id) {
                return self.close_conn(id, Loss::Outdated);
            }
            self.begin_queue(id);
            if !self.downstream.conns.contains(id) {
                return; // nobody needs it any more
            }
        }
        self.arm_conn(id);
        self.mark_conn(id);
    }

    /// The connection has become ready: what waits behind its first request counts as queued from now on.
    fn begin_queue(&mut self, id: ConnId) {
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        if conn.fifo.is_empty() {
            return self.make_idle(id);
        }
        let mut clients = Vec::new();
        let (head, first) = (conn.fifo.head_len(), conn.fifo.front().map(|entry| entry.request));
        let is_other = |entry: &Entry| entry.request == RequestId::NONE || Some(entry.request) != first;
        for entry in conn.fifo.iter_mut().skip(head).filter(|entry| is_other(entry)) {
            entry.is_queued = true;
            // Others have been given up, or are questions of our own.
            if let Some(request) = self.flight.requests.get_mut(entry.request).filter(|request| !request.is_done) {
                let bucket = &self.buckets[request.bucket];
                bucket.counters.count(Counter::ConnQueueAdd);
                request.begin_queued(self.now);
                clients.push(request.client);
            }
        }
        for client in clients {
            self.arm_client(client);
        }
    }

    /// Puts the connection on its host's list of idle ones.
    fn make_idle(&mut self, id: ConnId) {
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        conn.output.release(conn.answered_to);
        conn.output.rest(&mut self.spare);
        conn.head_since = self.now;
        let Some(host) = self.downstream.hosts.must_mut(conn.host) else { return };
        if host.is_retired || conn.is_elder {
            return self.close_unneeded(id);
        }
        host.is_crowded = false;
        if conn.is_for_dumps {
            return self.arm_conn(id);
        }
        if !conn.is_idle && !conn.is_stalled {
            conn.is_idle = true;
            host.lane(conn.is_side).idle.push(id);
            self.arm_conn(id);
        }
    }

    /// Understands as much as possible of what the server has sent.
    pub(in crate::proxy) fn parse_replies(&mut self, id: ConnId) {
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        let mut input = std::mem::take(&mut conn.input);
        let speak = conn.speak;
        let mut fits = Ok(());
        while fits.is_ok() && input.is_worth_parsing() {
            // (The reply may have been its end.)
            let Some(conn) = self.downstream.conns.get(id).filter(|conn| !conn.is_paused) else { break };
            if let Some(head) = conn.awaited() {
                match head.expect {
                    Expect::Get { .. } => self.take_values(id, speak, &mut input),
                    Expect::MultiGet { part } if speak == Protocol::Ascii => {
                        self.take_part(head.request, part, &mut input);
                    }
                    _ => {}
                }
                if !input.is_worth_parsing() {
                    break;
                }
            }
            match self.next_reply(id, speak, &mut input) {
                Some(Ok(length)) => input.consume(length),
                Some(Err(Unfit)) => fits = Err(Unfit),
                None => break,
            }
        }
        input.rest(&mut self.downstream.buffers);
        if let Some(conn) = self.downstream.conns.get_mut(id) {
            // Whatever is left must be the beginning of an answer to something that was sent.
            let is_asked = conn.state != State::Ready || conn.output.sent() > conn.range(0).start;
            if !input.is_empty() && !is_asked {
                fits = Err(Unfit);
            }
            conn.input = input;
        }
        if fits.is_err() {
            self.close_conn(id, Loss::Malformed);
        } else if self.downstream.conns.get(id).is_some_and(|conn| conn.has_new_head) {
            self.settle_head(id);
        }
    }

    /// Understands the next reply, and tells its length. `None`: not all of it is there.
    #[inline(always)] // into the loop: a reply of many values would call it for each
    fn next_reply(&mut self, id: ConnId, speak: Protocol, input: &mut Input) -> Option<Result<usize, Unfit>> {
        let (fits, length) = match speak {
            Protocol::Ascii => {
                let mut scanned = input.scanned;
                match ascii::reply::parse(input.value(), &mut scanned) {
                    ascii::reply::Parsed::Incomplete { need } => {
                        input.scanned = scanned;
                        input.expect(need, &mut self.downstream.buffers);
                        return None;
                    }
                    ascii::reply::Parsed::Reply { reply, len } => (self.ascii_reply(id, &reply), len),
                    ascii::reply::Parsed::Malformed => return Some(Err(Unfit)),
                }
            }
            Protocol::Binary => match packet::parse_reply(input.value()) {
                packet::Parsed::Incomplete { need } => {
                    input.expect(need, &mut self.downstream.buffers);
                    return None;
                }
                packet::Parsed::Packet { packet, len } => {
                    let fits = match self.downstream.conns.must(id).map(|conn| conn.state) {
                        Some(State::Handshake(step)) => self.handshake_reply(id, step, &packet),
                        _ => self.binary_reply(id, &packet),
                    };
                    (fits, len)
                }
                packet::Parsed::Malformed(_) => return Some(Err(Unfit)),
            },
        };
        Some(fits.map(|()| length))
    }

    fn handshake_reply(&mut self, id: ConnId, step: Step, packet: &Packet<'_>) -> Result<(), Unfit> {
        let expected = match step {
            Step::Authenticate => opcode::SASL_AUTH,
            Step::Select => opcode::BUCKET,
        };
        if packet.header.opcode != expected {
            return Err(Unfit);
        }
        if packet.header.vbucket_or_status == status::SUCCESS {
            self.next_step(id, State::Handshake(step));
        } else {
            self.close_conn(id, Loss::Refused);
        }
        Ok(())
    }

    /// The request at the head of the connection is answered: the next one becomes the head.
    pub(in crate::proxy) fn pop_head(&mut self, id: ConnId) {
        if self.pass_head(id) {
            self.make_idle(id);
        }
    }

    /// The same when more is about to be sent on it, so that it is not idle, and not closed for that. Tells whether nothing
    /// else is expected.
    #[inline]
    pub(in crate::proxy) fn pass_head(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.downstream.conns.must_mut(id) else { return false };
        conn.pop_group();
        conn.cursor = 0;
        conn.held_at = None;
        conn.head_since = self.now;
        conn.writes.forget(conn.answered_to);
        if !conn.abandoned.is_empty() {
            self.settle_abandoned(id);
        }
        let Some(conn) = self.downstream.conns.must_mut(id) else { return false };
        if conn.alone.front().is_some_and(|range| range.end <= conn.answered_to) {
            conn.alone.pop_front();
        }
        if std::mem::take(&mut conn.is_stalled)
            && let Some(host) = self.downstream.hosts.must(conn.host)
        {
            host.health.succeed();
        }
        conn.has_new_head = true;
        conn.fifo.is_empty()
    }

    /// Does what follows from a new head: once for all replies that have come together.
    fn settle_head(&mut self, id: ConnId) {
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        conn.has_new_head = false;
        conn.output.release(conn.answered_to);
        if conn.fifo.is_empty() {
            return;
        }
        // A request that has several entries here is not behind others any more once the first of them is the head.
        if let Some((first, true)) = conn.fifo.front().map(|first| (first.request, first.is_queued)) {
            let head = conn.fifo.head_len();
            for (index, entry) in conn.fifo.iter_mut().enumerate() {
                if index >= head && (entry.request != first || first == RequestId::NONE) {
                    break;
                }
                if std::mem::take(&mut entry.is_queued)
                    && let Some(request) =
                        self.flight.requests.get_mut(entry.request).filter(|request| !request.is_done)
                {
                    request.end_queued();
                    let bucket = &self.buckets[request.bucket];
                    bucket.counters.count(Counter::ConnQueueRemove);
                }
            }
        }
        if !conn.alone.is_empty() || !conn.output.is_sent() {
            self.mark_conn(id);
        }
        self.arm_conn(id);
    }
}
