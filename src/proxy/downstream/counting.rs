//! What is counted of servers and their connections, where it happens (06 §6.4, §16).

use crate::metrics::counter::{Counter, Timing};
use crate::metrics::server::{Cause, Count};
use crate::proxy::Engine;
use crate::proxy::timers::Micros;
use crate::sums::Count as _;

use super::host::HostId;
use super::loss::Loss;
use super::{Conn, ConnId, Shown, State, Step};

impl Conn {
    /// Tells how many requests are on it, how many of them were not sent yet, and how many there ever were.
    pub(in crate::proxy) fn show(&mut self) {
        let shown = Shown {
            requests: self.fifo.next_number(),
            unanswered: self.fifo.len() as u64,
            queued: self.fifo.count_behind(self.output.sent()) as u64,
        };
        let before = std::mem::replace(&mut self.shown, shown);
        for (count, from, to) in [
            (Count::Requests, before.requests, shown.requests),
            (Count::Unanswered, before.unanswered, shown.unanswered),
            (Count::Queued, before.queued, shown.queued),
        ] {
            if from != to {
                self.tally.shift(count, from, to);
            }
        }
    }
}

impl Engine {
    /// Counts one more of something that happened to a server's connection.
    pub(in crate::proxy) fn count_host(&self, host: HostId, counter: Counter) {
        if let Some(host) = self.downstream.hosts.must(host) {
            self.count(host.bucket, counter);
        }
    }

    /// A step of the handshake with a server is done; `since` is when it began.
    pub(in crate::proxy) fn count_step(&self, host: HostId, done: State, is_ready: bool, since: Micros) {
        let Some(host) = self.downstream.hosts.must(host) else { return };
        let counters = &self.buckets[host.bucket].counters;
        if done == State::Connecting && host.behavior.time_stats {
            counters.sample(Timing::Connect, self.now.saturating_sub(since), 1);
        }
        // Steps that a server does not ask for count as done.
        let has_user = !host.server.user.is_empty();
        if done == State::Handshake(Step::Authenticate) || is_ready && !has_user {
            counters.count(Counter::Auth);
        }
        if is_ready {
            counters.count(Counter::Bucket);
            counters.count(Counter::Connect);
        }
    }

    /// A server connection is lost, with so many requests that waited for it, of which some are sent again.
    pub(in crate::proxy) fn count_loss(&self, id: ConnId, loss: Loss, requests: usize, retries: usize) {
        let Some(conn) = self.downstream.conns.must(id) else { return };
        let Some(host) = self.downstream.hosts.must(conn.host) else { return };
        let counters = &self.buckets[host.bucket].counters;
        counters.drop_one(Counter::Conns);
        counters.add(Counter::QuitServer, requests as u64);
        counters.add(Counter::Retry, retries as u64);
        if conn.state == State::Ready || loss == Loss::Abandoned {
            return;
        }
        counters.count(Counter::ConnectFailed);
        counters.add(Counter::WaitingErrors, requests as u64);
        match conn.state {
            State::Connecting => counters.add(Counter::ConnectTimeout, u64::from(loss == Loss::Overdue)),
            State::Handshake(Step::Authenticate) => {
                counters.count(Counter::AuthFailed);
                counters.add(Counter::AuthTimeout, u64::from(loss == Loss::Overdue));
            }
            State::Handshake(Step::Select) => counters.count(Counter::BucketFailed),
            State::Ready => {}
        }
    }

    /// A connection has become ready.
    pub(in crate::proxy) fn tally_ready(&mut self, id: ConnId) {
        let Some(conn) = self.downstream.conns.must(id) else { return };
        conn.tally.drop_one(Count::Connecting);
        conn.tally.add(Count::Connects, 1);
        if let Some(host) = self.downstream.hosts.must_mut(conn.host)
            && host.lost > 0
        {
            host.lost.down();
            conn.tally.add(Count::Reconnects, 1);
        }
    }

    /// A connection with so many requests is lost.
    pub(in crate::proxy) fn tally_loss(&mut self, id: ConnId, loss: Loss, requests: usize) {
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        conn.tally.drop_one(Count::Conns);
        conn.show();
        conn.tally.shift(Count::Unanswered, conn.shown.unanswered, 0);
        conn.tally.shift(Count::Queued, conn.shown.queued, 0);
        let is_ready = conn.state == State::Ready;
        if !is_ready {
            conn.tally.drop_one(Count::Connecting);
        }
        let Some(cause) = loss.cause(is_ready, requests > 0) else { return };
        conn.tally.fail(cause, self.now);
        if is_ready && let Some(host) = self.downstream.hosts.must_mut(conn.host) {
            host.lost = host.lost.saturating_add(1);
        }
    }
}

impl Loss {
    /// As which error of the server it counts; `None`: as none.
    fn cause(self, is_ready: bool, has_requests: bool) -> Option<Cause> {
        Some(match self {
            // Idle connections are closed by either side.
            Loss::Closed | Loss::Overdue if is_ready && !has_requests => return None,
            Loss::Abandoned | Loss::Outdated | Loss::Unanswered => return None,
            Loss::Overdue if is_ready => Cause::Silent,
            Loss::Overdue => Cause::Late,
            Loss::Closed => Cause::Closed,
            Loss::Unreachable => Cause::Unreachable,
            Loss::Unresolved => Cause::Unresolved,
            Loss::Refused => Cause::Refused,
            Loss::Malformed => Cause::Malformed,
            Loss::Unknown => Cause::Unknown,
            Loss::Local => Cause::Local,
        })
    }
}
