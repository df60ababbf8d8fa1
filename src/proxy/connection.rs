//! Server connections coming and going: handshake, replies, loss, and what is sent again (03 §8.1, §16.2).

use crate::config::behavior::DownstreamProtocol;
use crate::protocol::ascii;
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::packet::{self, Packet};
use crate::stats::counter::Counter;

use super::Action;
use super::Engine;
use super::downstream::{Conn, ConnId, Entry, Expect, State, Step};
use super::error::Failure;
use super::host::{Dialect, HostId};
use super::request::RequestId;

/// A server sent something that does not fit what was asked: the connection is out of step and must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfit;

/// Why a connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The server closed it, or it broke.
    Closed,
    /// The server was not reached.
    Unreachable,
    /// The server's name has no address.
    Unresolved,
    /// The server refused the user or the bucket.
    Refused,
    /// It took too long.
    Overdue,
    /// The server sent something that does not fit.
    Malformed,
    /// It did not answer a command that it may not know; that says nothing about its health.
    Unknown,
    /// This machine lacks what it takes to connect; that says nothing about the server at all.
    Local,
    /// Nobody wants the list of keys that it is sending.
    Abandoned,
    /// What was written to it is in commands that the server may not know any more.
    Outdated,
}

impl Loss {
    /// Whether the server is to blame for it.
    fn is_servers(self) -> bool {
        !matches!(self, Loss::Unknown | Loss::Local | Loss::Abandoned | Loss::Outdated)
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Loss::Closed => "connection closed",
            Loss::Unreachable => "connect failed",
            Loss::Unresolved => "name not resolved",
            Loss::Refused => "user or bucket refused",
            Loss::Overdue => "timeout",
            Loss::Malformed => "reply that does not fit",
            Loss::Unknown => "no answer to an unusual command",
            Loss::Local => "connect failed on this machine",
            Loss::Abandoned => "list no longer wanted",
            Loss::Outdated => "another version of the server",
        })
    }
}

/// A lost connection, and the requests on it that are to be sent again. Its output holds what was sent.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) id: ConnId,
    conn: Conn,
    again: Vec<(RequestId, usize)>,
    /// Those that are not to be sent before the server is through with this connection.
    later: Vec<(RequestId, usize)>,
}

impl Lost {
    /// The server, and the expected replies to this request.
    pub(super) fn entries(&self, id: RequestId) -> impl Iterator<Item = (HostId, &Entry)> {
        let of_it = self.again.iter().chain(&self.later).filter(move |(request, _)| *request == id);
        of_it.filter_map(|(_, index)| Some((self.conn.host, self.conn.fifo.get(*index)?)))
    }
}

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
        if let Some(host) = self.conns.get(id).and_then(|conn| self.hosts.get(conn.host)) {
            // Of a suspended server everybody knows.
            let level = if host.health.is_suspended() { 2 } else { 1 };
            let text = format!("{loss}: {}: {reason}", host.server);
            self.log(level, text);
        }
        self.close_conn(id, loss);
    }

    /// The server's connection was closed or broke.
    pub fn conn_closed(&mut self, id: ConnId) {
        self.end_parting(id);
        self.close_conn(id, Loss::Closed);
    }

    /// Goes on from a finished step of the handshake.
    fn next_step(&mut self, id: ConnId, done: State) {
        let Some(conn) = self.conns.get_mut(id) else { return };
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
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.state == State::Ready {
            conn.head_since = self.now;
            if let Some(host) = self.hosts.get_mut(conn.host) {
                host.note_reachable();
            }
            if let Some(host) = self.hosts.get(conn.host)
                && host.health.succeed()
            {
                let text = format!("{} is back", host.server);
                self.log(0, text);
            }
            if self.is_outdated(id) {
                return self.close_conn(id, Loss::Outdated);
            }
            self.begin_queue(id);
        }
        self.arm_conn(id);
        self.mark_conn(id);
    }

    /// The connection has become ready: what waits behind its first request counts as queued from now on.
    fn begin_queue(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.fifo.is_empty() {
            return self.make_idle(id);
        }
        let mut clients = Vec::new();
        let (head, first) = (conn.fifo.head_len(), conn.fifo.front().map(|entry| entry.request));
        for entry in conn.fifo.iter_mut().skip(head).filter(|entry| Some(entry.request) != first) {
            if let Some(request) = self.requests.get_mut(entry.request).filter(|request| !request.is_done) {
                entry.is_queued = true;
                request.queued += 1;
                if let Some(bucket) = self.buckets.get(request.bucket) {
                    bucket.counters.count(Counter::ConnQueueAdd);
                }
                request.queued_since = self.now;
                clients.push(request.client);
            }
        }
        for client in clients {
            self.arm_client(client);
        }
    }

    /// Puts the connection on its host's list of idle ones.
    fn make_idle(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.output.release(conn.answered_to);
        conn.output.rest(&mut self.spare);
        conn.head_since = self.now;
        let Some(host) = self.hosts.get_mut(conn.host) else { return };
        if host.is_retired {
            return self.close_conn(id, Loss::Closed);
        }
        host.is_crowded = false;
        if conn.is_for_dumps {
            return self.arm_conn(id);
        }
        if !conn.is_idle && !conn.is_stalled {
            conn.is_idle = true;
            host.idle.push(id);
            self.arm_conn(id);
        }
    }

    /// Understands as much as possible of what the server has sent.
    pub(super) fn parse_replies(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let mut input = std::mem::take(&mut conn.input);
        let speak = self.speak(id);
        let mut fits = Ok(());
        while fits.is_ok() && input.is_worth_parsing() && self.conns.get(id).is_some_and(|conn| !conn.is_paused) {
            let owner = input.owner();
            let used = match speak {
                DownstreamProtocol::Ascii => {
                    let mut scanned = input.scanned;
                    match ascii::reply::parse(input.data(), &mut scanned) {
                        ascii::reply::Parsed::Incomplete { need } => {
                            input.scanned = scanned;
                            input.expect(need, &mut self.server_buffers);
                            break;
                        }
                        ascii::reply::Parsed::Reply { reply, len } => {
                            fits = self.ascii_reply(id, &reply, owner.as_ref());
                            len
                        }
                        ascii::reply::Parsed::Malformed => {
                            fits = Err(Unfit);
                            0
                        }
                    }
                }
                DownstreamProtocol::Binary => match packet::parse_reply(input.data()) {
                    packet::Parsed::Incomplete { need } => {
                        input.expect(need, &mut self.server_buffers);
                        break;
                    }
                    packet::Parsed::Packet { packet, len } => {
                        fits = match self.conns.get(id).map(|conn| conn.state) {
                            Some(State::Handshake(step)) => self.handshake_reply(id, step, &packet),
                            _ => self.binary_reply(id, &packet, owner.as_ref()),
                        };
                        len
                    }
                    packet::Parsed::Malformed(_) => {
                        fits = Err(Unfit);
                        0
                    }
                },
            };
            drop(owner);
            input.consume(used);
        }
        input.rest(&mut self.server_buffers);
        if let Some(conn) = self.conns.get_mut(id) {
            // Whatever is left must be the beginning of an answer to something that was sent.
            let is_asked = conn.state != State::Ready || conn.output.sent() > conn.range(0).start;
            if !input.is_empty() && !is_asked {
                fits = Err(Unfit);
            }
            conn.input = input;
        }
        if fits.is_err() {
            self.close_conn(id, Loss::Malformed);
        }
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
    pub(super) fn pop_head(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        for _ in 0..conn.fifo.head_len() {
            if let Some(entry) = conn.fifo.pop() {
                conn.answered_to = entry.end;
            }
        }
        conn.cursor = 0;
        conn.held_at = None;
        conn.head_since = self.now;
        conn.output.release(conn.answered_to);
        if !conn.abandoned.is_empty() {
            self.settle_abandoned(id);
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.alone.front().is_some_and(|range| range.end <= conn.answered_to) {
            conn.alone.pop_front();
        }
        let waits_alone = !conn.alone.is_empty();
        if std::mem::take(&mut conn.is_stalled)
            && let Some(host) = self.hosts.get(conn.host)
        {
            host.health.succeed();
        }
        if conn.fifo.is_empty() {
            return self.make_idle(id);
        }
        // A request that has several entries here is not behind others any more once the first of them is the head.
        if let Some(first) = conn.fifo.front().copied().filter(|first| first.is_queued) {
            let head = conn.fifo.head_len();
            for (index, entry) in conn.fifo.iter_mut().enumerate() {
                if index >= head && entry.request != first.request {
                    break;
                }
                if std::mem::take(&mut entry.is_queued)
                    && let Some(request) = self.requests.get_mut(entry.request).filter(|request| !request.is_done)
                {
                    request.queued = request.queued.saturating_sub(1);
                    if let Some(bucket) = self.buckets.get(request.bucket) {
                        bucket.counters.count(Counter::ConnQueueRemove);
                    }
                }
            }
        }
        if waits_alone || !conn.output.is_sent() {
            self.mark_conn(id);
        }
        self.arm_conn(id);
    }

    /// Forgets the connection. Its requests fail, or are sent again at the end of this turn.
    pub(super) fn close_conn(&mut self, id: ConnId, loss: Loss) {
        self.seal(id);
        let Some(conn) = self.conns.get(id) else { return };
        let (was_ready, count, host_id) = (conn.state == State::Ready, conn.fifo.len(), conn.host);
        let sent = conn.output.sent();
        let is_parting = self.begin_parting(id, loss);
        let (mut again, mut later) = (Vec::new(), Vec::new());
        let mut failed = Vec::new();
        let mut is_probed = false;
        // What has not been sent can go to another connection.
        let may_move = was_ready || loss == Loss::Local && self.has_usable(host_id);
        for index in 0..count {
            let Some(entry) = self.conns.get(id).and_then(|conn| conn.fifo.get(index)).copied() else { break };
            is_probed |= matches!(entry.expect, Expect::Probe(_));
            let Some(request) = self.unlink(id, index) else { continue };
            let is_unsent = self.conns.get(id).is_some_and(|conn| conn.range(index).start >= sent);
            let may_retry = may_move && self.may_retry(request, &entry, sent, is_unsent);
            // Kept from being finished until all its entries here have been sent again, or have failed.
            let client = self.requests.get_mut(request).map(|request| {
                request.pending += 1;
                request.client
            });
            if may_retry && is_parting && client.is_some_and(|client| self.is_parting(id, client)) {
                later.push((request, index));
            } else if may_retry {
                again.push((request, index));
            } else {
                failed.push((request, entry));
            }
        }
        let retried = again.len() + later.len();
        self.count_loss(id, loss, failed.len() + retried, retried);
        if is_probed && self.hosts.get(host_id).is_some_and(|host| host.dialect == Dialect::Asked) {
            self.dialect_known(host_id, Dialect::Unreachable);
        }
        while self.conns.get(id).is_some_and(|conn| !conn.abandoned.is_empty()) {
            self.leave(id, 0);
        }
        self.actions.push(if is_parting { Action::FinishConn(id) } else { Action::CloseConn(id) });
        let Some(mut conn) = self.conns.remove(id) else { return };
        conn.input.consume(usize::MAX);
        conn.input.rest(&mut self.server_buffers);
        let mut dead_idle = Vec::new();
        if let Some(host) = self.hosts.get_mut(host_id) {
            host.conns.retain(|other| *other != id);
            host.idle.retain(|other| *other != id);
            host.dump = host.dump.filter(|other| *other != id);
            if !matches!(loss, Loss::Local | Loss::Abandoned | Loss::Outdated) {
                host.forget_dialect();
            }
            if (retried > 0 || is_parting) && loss.is_servers() {
                // The server has probably gone: its other connections are not to be trusted with a second try. Nor is
                // what comes next to be read from one of them before what stands in this one.
                dead_idle = std::mem::take(&mut host.idle);
            }
            if loss.is_servers() && (count > 0 || !was_ready) && host.health.fail(&host.behavior) {
                let server = &host.server;
                let text = format!(
                    "{server} has failed {} times in a row, last with {loss}: no new connections until it answers a probe",
                    u64::from(host.behavior.connect_max_errors) + 1
                );
                self.actions.push(Action::Log(0, text));
                self.probe_later(host_id);
            }
        }
        if count > 0
            && let Some(host) = self.hosts.get(host_id)
        {
            let (server, age) = (&host.server, (self.now - conn.head_since) / 1000);
            let text =
                format!("{server}: {loss} in phase {}, after {age} ms, with {count} requests", conn.state.phase());
            self.actions.push(Action::Log(1, text));
        }
        for other in dead_idle {
            if self.conns.get(other).is_some_and(|conn| conn.is_idle) {
                self.close_conn(other, Loss::Closed);
            }
        }
        self.forget_retired(host_id);
        let failure = match loss {
            _ if was_ready => Failure::Closed,
            Loss::Unresolved => Failure::NoServer,
            _ => Failure::Connect,
        };
        for (request, entry) in failed {
            if let Some(request) = self.requests.get_mut(request) {
                request.pending = request.pending.saturating_sub(1);
            }
            self.entry_failed(request, &entry, Some(host_id), failure);
        }
        if retried > 0 {
            self.lost.push(Lost { id, conn, again, later });
        }
    }

    /// Whether a request may be sent again (03 §8.1): what a server may have executed is not, if that would change
    /// more than once.
    fn may_retry(&self, id: RequestId, entry: &Entry, sent: u64, is_unsent: bool) -> bool {
        let Some(request) = self.requests.get(id) else { return false };
        let most = self.buckets[request.bucket].config.behavior.downstream_retry;
        let begun = matches!(entry.expect, Expect::Broadcast { begun: true, .. } | Expect::Dump { begun: true });
        // What was not even begun to be sent has not had its first try yet.
        entry.retries < most + u32::from(is_unsent) && !begun && (entry.may_repeat || entry.end > sent)
    }

    /// Sends again what was on the connections lost in this turn, in the same order.
    pub(super) fn resend_lost(&mut self) {
        for Lost { id: conn_id, conn, again, later } in std::mem::take(&mut self.lost) {
            for (place, (id, index)) in again.iter().enumerate() {
                let Some(request) = self.requests.get_mut(*id) else { continue };
                request.pending = request.pending.saturating_sub(1);
                if request.is_done {
                    continue;
                }
                let sent_on = self.resend(*id, &conn, *index);
                // A group whose closing packet is not repeated gets another one.
                if let Some(sent_on) = sent_on
                    && again.get(place + 1).is_none_or(|(next, _)| next != id)
                {
                    self.reclose_group(*id, sent_on);
                }
            }
            if !later.is_empty() {
                self.send_later(Lost { id: conn_id, conn, again: later, later: Vec::new() });
            }
        }
    }

    /// Sends one of them again; gives the connection if it was copied as it was.
    fn resend(&mut self, id: RequestId, old: &Conn, index: usize) -> Option<ConnId> {
        let entry = old.fifo.get(index)?;
        let retries = entry.retries + 1;
        match entry.expect {
            Expect::Get { key_at, key_len, .. } => {
                let Some(key) = old.output.slice(key_at..key_at + u64::from(key_len)) else {
                    self.fail(id, Failure::Closed);
                    return None;
                };
                let bucket = self.requests.get(id).map(|request| request.bucket)?;
                let (_, cas) = self.class(id);
                let (_, vbucket) = self.route(bucket, key);
                self.send_get(id, old.host, key, vbucket, cas, retries);
                None
            }
            Expect::MultiGet { part } => {
                self.send_part(id, part, retries);
                self.part_done(id);
                None
            }
            Expect::Probe(_) => None,
            Expect::One { .. }
            | Expect::Value { .. }
            | Expect::Packet { .. }
            | Expect::Quiet { .. }
            | Expect::Close
            | Expect::Translated(_)
            | Expect::Create { .. }
            | Expect::Dump { .. }
            | Expect::Broadcast { .. } => {
                if self.is_unknown_now(old.host, entry) {
                    self.entry_failed(id, entry, Some(old.host), Failure::Closed);
                    return None;
                }
                let client = self.requests.get(id).map(|request| request.client)?;
                let picked = match entry.expect {
                    Expect::Dump { .. } => self.pick_dump(old.host),
                    _ => self.pick(client, old.host, false),
                };
                let conn_id = match picked {
                    Ok(conn) => conn,
                    Err(failure) => {
                        self.entry_failed(id, entry, Some(old.host), failure);
                        return None;
                    }
                };
                self.ask_before(conn_id, entry);
                let range = old.range(index);
                let conn = self.begin(conn_id)?;
                let start = conn.output.end();
                conn.output.copy_from(&old.output, range.clone());
                let end = conn.output.end();
                if old.alone.contains(&range) {
                    conn.alone.push_back(start..end);
                }
                let mut expect = entry.expect;
                if let Some(key_at) = expect.key_at() {
                    *key_at = *key_at - range.start + start;
                }
                self.enqueue(conn_id, Entry { expect, end, retries, request: id, ..*entry });
                Some(conn_id)
            }
        }
    }
}
