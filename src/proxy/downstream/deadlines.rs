//! What is overdue: connecting, authenticating, answering; waiting for a place, waiting behind others (03 §7).

use crate::metrics::counter::Counter;
use crate::metrics::server::Cause;

use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::loss::Loss;
use crate::proxy::downstream::{ConnId, Entry, Expect, State};
use crate::proxy::request::error::Failure;
use crate::proxy::timers::{Micros, Owner, deadline};

/// How long a server connection may be idle.
const IDLE: Micros = 60_000_000;

/// How long a server that may understand nothing but packets has for the answer to a question in ASCII, in milliseconds.
const QUESTION_MS: u32 = 1000;

/// How often a suspended server is probed, unless `connect_retry_interval` is shorter.
const PROBE_MS: u32 = 1000;

impl Engine {
    /// This worker probes the suspended server: it has suspended it, or does not know whether somebody else who has still
    /// knows it.
    pub(in crate::proxy) fn probe_later(&mut self, id: HostId) {
        let Some(host) = self.downstream.hosts.must_mut(id).filter(|host| !host.is_probed) else { return };
        if let Some(at) = deadline(self.now, host.behavior.connect_retry_interval.clamp(1, PROBE_MS)) {
            host.is_probed = true;
            self.timers.add(at, Owner::Host(id));
        }
    }

    /// Tries to connect to a suspended server, as long as it is in any bucket.
    fn probe(&mut self, id: HostId) {
        // It may have been forgotten since.
        let Some(host) = self.downstream.hosts.get_mut(id) else { return };
        host.is_probed = false;
        if !host.health.is_suspended() || host.is_retired {
            return;
        }
        let is_busy = host
            .conns
            .iter()
            .any(|conn| self.downstream.conns.must(*conn).is_some_and(|conn| conn.state != State::Ready));
        if !is_busy {
            self.connect(id);
        }
        self.probe_later(id);
    }

    /// Handles everything whose deadline has come.
    pub(in crate::proxy) fn expire(&mut self) {
        // Deadlines are not taken out: whose they are may have gone before.
        while let Some((at, owner)) = self.timers.pop_due(self.now) {
            match owner {
                Owner::Client(id) => self.expire_client(id, at),
                Owner::Idle(index) => self.expire_idle(index, at),
                Owner::Host(id) => self.probe(id),
                Owner::Memory => self.trim(),
                Owner::LeftOut(bucket) => self.tell_left_out(bucket),
                Owner::Parting(id) => self.end_parting(id),
                Owner::Refused => self.flight.is_refused_due = true,
                Owner::Conn(id) => {
                    let Some(conn) = self.downstream.conns.get_mut(id) else { continue };
                    if conn.timer == Some(at) {
                        conn.timer = None;
                        self.expire_conn(id);
                    }
                }
            }
        }
    }

    /// Until when the server connection has to make progress.
    fn conn_deadline(&self, id: ConnId) -> Option<Micros> {
        let conn = self.downstream.conns.must(id)?;
        let behavior = &self.downstream.hosts.must(conn.host)?.behavior;
        match conn.state {
            State::Connecting => {
                deadline(conn.state_since, behavior.connect_timeout).into_iter().chain(conn.retry_at).min()
            }
            State::Handshake(_) => deadline(conn.state_since, behavior.auth_timeout),
            State::Ready if conn.fifo.is_empty() => Some(conn.head_since.saturating_add(IDLE)),
            State::Ready
                if conn.is_side && matches!(conn.fifo.front(), Some(Entry { expect: Expect::Probe(_), .. })) =>
            {
                // Who does not understand it may never answer.
                let limits = [behavior.downstream_timeout, QUESTION_MS].into_iter();
                deadline(conn.head_since, limits.filter(|limit| *limit > 0).min()?)
            }
            State::Ready => deadline(conn.head_since, behavior.downstream_timeout),
        }
    }

    /// Makes sure that the connection is looked at when it is overdue.
    pub(in crate::proxy) fn arm_conn(&mut self, id: ConnId) {
        let Some(at) = self.conn_deadline(id) else { return };
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        if conn.timer.is_none_or(|armed| at < armed) {
            conn.timer = Some(at);
            self.timers.add(at, Owner::Conn(id));
        }
    }

    /// The same for all connections of a server, whose limits may be new.
    pub(in crate::proxy) fn arm_host(&mut self, id: HostId) {
        let Some(host) = self.downstream.hosts.must(id) else { return };
        for conn in host.conns.iter().copied().chain(host.dump).collect::<Vec<_>>() {
            self.arm_conn(conn);
        }
    }

    fn expire_conn(&mut self, id: ConnId) {
        match self.conn_deadline(id) {
            Some(at) if at > self.now => self.arm_conn(id),
            Some(_) if self.connect_again(id) => {}
            Some(_) => match self.downstream.conns.must(id).map(|conn| conn.state) {
                Some(State::Ready) if self.downstream.conns.must(id).is_some_and(|conn| conn.fifo.is_empty()) => {
                    self.close_conn(id, Loss::Overdue);
                }
                Some(State::Ready) => self.head_overdue(id),
                Some(State::Connecting) if self.downstream.conns.must(id).is_some_and(|conn| conn.is_short) => {
                    self.close_conn(id, Loss::Local);
                }
                Some(_) => self.close_conn(id, Loss::Overdue),
                None => {}
            },
            None => {}
        }
    }

    /// The oldest request on the connection was not answered in time: it fails, and the connection gets no new
    /// work. The next one that was sent and that somebody waits for is given the same time; when that passes too, or
    /// there is none, the connection is closed.
    fn head_overdue(&mut self, id: ConnId) {
        self.hold(id);
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        let is_alone = conn.alone.front().is_some_and(|range| conn.answered_to >= range.start);
        let second = std::mem::replace(&mut conn.is_stalled, true);
        let host = conn.host;
        let count = if second { conn.fifo.len() } else { conn.fifo.head_len() };
        for index in 0..count {
            // It is closed when the failure of an entry leaves nobody who waits for it.
            let Some(conn) = self.downstream.conns.get(id) else { return };
            let Some(entry) = conn.fifo.get(index).copied().filter(|_| !second || conn.is_begun(index)) else { break };
            if let Some(request) = self.abandon(id, index) {
                if let Some(bucket) = self.flight.requests.must(request).map(|request| request.bucket) {
                    self.count(bucket, Counter::Timeout);
                }
                if let Some(conn) = self.downstream.conns.must(id) {
                    conn.tally.fail(Cause::Timeout, self.now);
                }
                self.entry_failed(request, &entry, Some(host), Failure::Timeout);
                if second {
                    break;
                }
            }
        }
        if is_alone {
            // What is behind it was not sent yet, and need not wait.
            // (The failure of an entry may have closed it.)
            let is_paused = self.downstream.conns.get(id).is_some_and(|conn| conn.is_paused);
            self.close_conn(id, if is_paused { Loss::Abandoned } else { Loss::Unknown });
        } else if second || !self.is_awaited(id) {
            self.close_conn(id, Loss::Overdue);
        } else if let Some(conn) = self.downstream.conns.get_mut(id) {
            conn.head_since = self.now;
            self.arm_conn(id);
        }
    }

    /// Whether somebody waits for the answer to something that was sent on the connection. What was not is better off
    /// elsewhere.
    fn is_awaited(&self, id: ConnId) -> bool {
        // Others have been given up.
        let is_live = |id| self.flight.requests.get(id).is_some_and(|request| !request.is_done);
        self.downstream.conns.get(id).is_some_and(|conn| {
            let mut begun = conn.fifo.iter().enumerate().take_while(|(index, _)| conn.is_begun(*index));
            conn.wanted > 0 && begun.any(|(_, entry)| is_live(entry.request))
        })
    }
}
