//! Lost connections, and what becomes of the requests on them (03 §8.1, §17).

use crate::proxy::Action;
use crate::proxy::Engine;
use crate::proxy::downstream::host::{Dialect, Host, HostId};
use crate::proxy::downstream::{Conn, ConnId, Entry, Expect, State};
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::sums::sum;

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
    /// It did not answer the question whether it understands ASCII, which it need not.
    Unanswered,
    /// This machine lacks what it takes to connect; that says nothing about the server at all.
    Local,
    /// Nobody wants the list of keys that it is sending, or needs it at all, or another connection needs its place.
    Abandoned,
    /// What was written to it is in commands that the server may not know any more.
    Outdated,
}

impl Loss {
    /// Whether the server is to blame for it.
    fn is_servers(self) -> bool {
        !matches!(self, Loss::Unknown | Loss::Unanswered | Loss::Local | Loss::Abandoned | Loss::Outdated)
    }

    /// How requests fail that wait for a connection which could not be made.
    fn failure(self) -> Failure {
        if self == Loss::Unresolved { Failure::NoServer } else { Failure::Connect }
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
            Loss::Unanswered => "no answer in ASCII",
            Loss::Unknown => "no answer to an unusual command",
            Loss::Local => "connect failed on this machine",
            Loss::Abandoned => "list no longer wanted",
            Loss::Outdated => "another version of the server",
        })
    }
}

/// A lost connection, and the requests on it that are to be sent again. Its output holds what was sent.
#[derive(Debug)]
pub(in crate::proxy) struct Lost {
    pub(in crate::proxy) id: ConnId,
    pub(in crate::proxy) conn: Conn,
    pub(in crate::proxy) loss: Loss,
    pub(in crate::proxy) again: Vec<(RequestId, usize)>,
    /// Those that are not to be sent before the server is through with this connection.
    pub(in crate::proxy) later: Vec<(RequestId, usize)>,
}

impl Lost {
    /// The server, and the expected replies to this request.
    pub(in crate::proxy) fn entries(&self, id: RequestId) -> impl Iterator<Item = (HostId, &Entry)> {
        let of_it = self.again.iter().chain(&self.later).filter(move |(request, _)| *request == id);
        of_it.filter_map(|(_, index)| Some((self.conn.host, self.conn.fifo.get(*index)?)))
    }

    /// How often entry `index` has been tried.
    pub(in crate::proxy) fn tries(&self, index: usize) -> u32 {
        let before = self.conn.fifo.get(index).map_or(0, |entry| entry.retries);
        before.saturating_add((!is_own(self.loss, self.conn.is_begun(index))).into())
    }
}

/// Whether it is no try that a request was on a connection with this loss: nothing of it was sent, and moxi has closed the
/// connection so that it is said otherwise.
fn is_own(loss: Loss, is_begun: bool) -> bool {
    loss == Loss::Outdated && !is_begun
}

/// What becomes of the requests on a lost connection.
#[derive(Default)]
struct Fates {
    /// These are sent again.
    again: Vec<(RequestId, usize)>,
    /// These, too, when the server is through with the connection.
    later: Vec<(RequestId, usize)>,
    failed: Vec<(RequestId, Entry)>,
    /// An ASCII server had been asked what it understands.
    is_probed: bool,
}

impl Fates {
    /// How many are sent again.
    fn retried(&self) -> usize {
        sum([self.again.len(), self.later.len()])
    }
}

impl Engine {
    /// Forgets the connection. Its requests fail, or are sent again at the end of this turn.
    pub(in crate::proxy) fn close_conn(&mut self, id: ConnId, loss: Loss) {
        self.seal(id);
        let loss = if self.asks_in_vain(id, loss) { Loss::Unanswered } else { loss };
        // It may be closed already, while its socket is still there, or what follows from one loss has closed it.
        let Some(conn) = self.downstream.conns.get(id) else { return };
        let (was_ready, count, host_id) = (conn.state == State::Ready, conn.fifo.len(), conn.host);
        let is_parting = self.begin_parting(id, loss);
        let fates = self.fates(id, loss, is_parting);
        let retried = fates.retried();
        self.count_loss(id, loss, sum([fates.failed.len(), retried]), retried);
        self.tally_loss(id, loss, count);
        if fates.is_probed && self.downstream.hosts.must(host_id).is_some_and(|host| host.dialect == Dialect::Asked) {
            self.not_asked(host_id, loss);
        }
        while self.downstream.conns.must(id).is_some_and(|conn| !conn.abandoned.is_empty()) {
            self.leave(id, 0);
        }
        self.actions.push(if is_parting { Action::FinishConn(id) } else { Action::CloseConn(id) });
        let Some(mut conn) = self.downstream.conns.remove(id) else { return };
        conn.input.consume(usize::MAX);
        conn.input.rest(&mut self.downstream.buffers);
        // The server has probably gone: its other connections are not to be trusted with a second try. Nor is what
        // comes next to be read from one of them before what stands in this one.
        let is_distrusted = (retried > 0 || is_parting) && loss.is_servers();
        self.leave_host(id, host_id, loss, conn.is_side);
        if is_parting {
            self.note_elders(host_id);
        }
        let idle = self.downstream.hosts.must_mut(host_id).filter(|_| is_distrusted).map(Host::take_idle);
        if loss.is_servers() && (count > 0 || !was_ready) {
            self.blame(host_id, loss);
        }
        if count > 0 {
            self.tell_of_loss(&conn, loss);
        }
        for other in idle.unwrap_or_default() {
            if self.downstream.conns.must(other).is_some_and(|conn| conn.is_idle) {
                self.close_conn(other, Loss::Closed);
            }
        }
        if retried > 0 {
            self.downstream.lost.push(Lost { id, conn, loss, again: fates.again, later: fates.later });
        }
        self.fail_entries(fates.failed, host_id, if was_ready { Failure::Closed } else { loss.failure() });
        self.forget_retired(host_id);
    }

    /// Takes the requests off the connection, and decides what becomes of each.
    fn fates(&mut self, id: ConnId, loss: Loss, is_parting: bool) -> Fates {
        let mut fates = Fates::default();
        let Some(conn) = self.downstream.conns.must(id) else { return fates };
        let (count, sent, host_id) = (conn.fifo.len(), conn.output.sent(), conn.host);
        // What has not been sent can go to another connection.
        let may_move = conn.state == State::Ready || loss == Loss::Local && self.has_usable(host_id, conn.is_side);
        for index in 0..count {
            let Some(entry) = self.downstream.conns.must(id).and_then(|conn| conn.fifo.get(index)).copied() else {
                break;
            };
            fates.is_probed |= matches!(entry.expect, Expect::Probe(_));
            let Some(request) = self.unlink(id, index) else { continue };
            let is_unsent = self.downstream.conns.must(id).is_some_and(|conn| conn.range(index).start >= sent);
            let may_retry = may_move && (is_own(loss, !is_unsent) || self.may_retry(request, &entry, sent, is_unsent));
            // Kept from being finished until all its entries here have been sent again, or have failed.
            let client = self.flight.requests.must_mut(request).map(|request| {
                request.hold();
                request.client
            });
            if may_retry && is_parting && client.is_some_and(|client| self.is_parting(id, client)) {
                fates.later.push((request, index));
            } else if may_retry {
                fates.again.push((request, index));
            } else {
                fates.failed.push((request, entry));
            }
        }
        fates
    }

    /// The server has one connection less.
    fn leave_host(&mut self, id: ConnId, host_id: HostId, loss: Loss, is_side: bool) {
        let Some(host) = self.downstream.hosts.must_mut(host_id) else { return };
        host.conns.retain(|other| *other != id);
        host.lane(is_side).idle.retain(|other| *other != id);
        host.dump = host.dump.filter(|other| *other != id);
        if !matches!(loss, Loss::Local | Loss::Abandoned | Loss::Outdated | Loss::Unanswered) {
            host.forget_dialect();
        }
    }

    /// Counts one more failure of the server; if it is one too many, the server is left alone for a while.
    fn blame(&mut self, host_id: HostId, loss: Loss) {
        let Some(host) = self.downstream.hosts.must(host_id) else { return };
        if !host.health.fail(&host.behavior) {
            return;
        }
        host.health.note_suspended(self.now);
        let times = u64::from(host.behavior.connect_max_errors) + 1;
        let text = format!(
            "{} has failed {times} times in a row, last with {loss}: no new connections until it answers a probe",
            host.server
        );
        self.log(0, text);
        self.probe_later(host_id);
    }

    fn tell_of_loss(&mut self, conn: &Conn, loss: Loss) {
        let Some(host) = self.downstream.hosts.must(conn.host) else { return };
        let (age, phase, count) =
            (self.now.saturating_sub(conn.head_since) / 1000, conn.state.phase(), conn.fifo.len());
        let text = format!("{}: {loss} in phase {phase}, after {age} ms, with {count} requests", host.server);
        self.log(1, text);
    }

    fn fail_entries(&mut self, failed: Vec<(RequestId, Entry)>, host_id: HostId, failure: Failure) {
        for (request, entry) in failed {
            if let Some(request) = self.flight.requests.must_mut(request) {
                self.flight.is_refused_due |= request.let_go();
            }
            self.entry_failed(request, &entry, Some(host_id), failure);
        }
    }

    /// Whether a request may be sent again (03 §8.1): what a server may have executed is not, if that would change
    /// more than once.
    fn may_retry(&self, id: RequestId, entry: &Entry, sent: u64, is_unsent: bool) -> bool {
        let Some(request) = self.flight.requests.must(id) else { return false };
        let most = self.buckets[request.bucket].config.behavior.downstream_retry;
        let begun = matches!(entry.expect, Expect::Broadcast { begun: true, .. } | Expect::Dump { begun: true });
        // What was not even begun to be sent has not had its first try yet.
        entry.retries < most.saturating_add(is_unsent.into()) && !begun && (entry.may_repeat || entry.end > sent)
    }
}
