//! Server connections that cannot be made for want of something on this machine: a descriptor, memory, a port.
//!
//! That says nothing of the server, and is not counted against it. The requests go to another connection of the same
//! server if there is one; else it is tried again until `connect_timeout` has passed.

use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::loss::Loss;
use crate::proxy::downstream::{ConnId, State};
use crate::proxy::timers::{Micros, deadline};

/// How soon it is tried again, and how long no further connection to the server is begun if it has one.
const PAUSE: Micros = 20_000;
/// How often the log is told of one server, at most.
const TELL: Micros = 10_000_000;

/// What is missing for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A descriptor.
    Descriptor,
    /// Something else.
    Other,
    /// Nothing: the server's queue of connections is full, and unix sockets do not wait for a place by themselves. It is
    /// the server's fault if that goes on for `connect_timeout`.
    Queue,
}

impl Engine {
    /// The connection could not be begun; that is not the server's fault, or not yet.
    pub fn connect_short(&mut self, id: ConnId, lack: Lack, reason: &str) {
        let now = self.now;
        // The engine may have forgotten it, and the event loop not looked at the actions yet.
        let Some(conn) = self.downstream.conns.get_mut(id).filter(|conn| conn.state == State::Connecting) else {
            return;
        };
        conn.is_short |= lack != Lack::Queue;
        conn.retry_at = Some(now.saturating_add(PAUSE));
        let (host_id, has_requests, is_side) = (conn.host, !conn.fifo.is_empty(), conn.is_side);
        let is_for_dumps = conn.is_for_dumps;
        let Some(host) = self.downstream.hosts.must_mut(host_id) else { return };
        host.short_until = now.saturating_add(PAUSE);
        if lack != Lack::Queue && host.short_told.is_none_or(|told| now >= told.saturating_add(TELL)) {
            host.short_told = Some(now);
            let text = format!(
                "{}: cannot connect, for a reason of this machine and not of the server: {reason}",
                host.server
            );
            self.log(0, text);
        }
        if !has_requests || !is_for_dumps && self.has_usable(host_id, is_side) {
            return self.close_conn(id, Loss::Local);
        }
        if lack == Lack::Descriptor {
            self.give_up_idle();
        }
        self.arm_conn(id);
    }

    /// Tries again, unless it is too late; tells whether it does.
    pub(in crate::proxy) fn connect_again(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.downstream.conns.must_mut(id).filter(|conn| conn.state == State::Connecting) else {
            return false;
        };
        let patience = self.downstream.hosts.must(conn.host).map_or(0, |host| host.behavior.connect_timeout);
        let is_too_late = deadline(conn.state_since, patience).is_some_and(|at| at <= self.now);
        if is_too_late || conn.retry_at.take_if(|at| *at <= self.now).is_none() {
            return false;
        }
        let (host, is_for_dumps, is_side) = (conn.host, conn.is_for_dumps, conn.is_side);
        if !is_for_dumps && self.has_usable(host, is_side) {
            self.close_conn(id, Loss::Local);
            return true;
        }
        let Some(host) = self.downstream.hosts.must(host) else { return false };
        self.actions.push(crate::proxy::Action::Connect(id, std::sync::Arc::clone(&host.server)));
        self.arm_conn(id);
        true
    }

    /// Whether the server has a connection that takes requests, of those that are, or are not, side ones.
    pub(in crate::proxy) fn has_usable(&self, host: HostId, is_side: bool) -> bool {
        let is_ready = |id: &ConnId| {
            let conn = self.downstream.conns.must(*id).filter(|conn| conn.is_side == is_side);
            conn.is_some_and(|conn| conn.state == State::Ready && !conn.is_stalled && !conn.is_elder)
        };
        self.downstream.hosts.must(host).is_some_and(|host| host.conns.iter().any(is_ready))
    }

    /// Closes an idle connection to some server: another server needs the descriptor more.
    fn give_up_idle(&mut self) {
        let is_idle = |id: &ConnId| self.downstream.conns.must(*id).is_some_and(|conn| conn.is_idle);
        let mut lanes = self.downstream.hosts.iter().flat_map(|(_, host)| host.lanes());
        let found = lanes.find_map(|lane| lane.idle.iter().copied().find(is_idle));
        drop(lanes);
        if let Some(id) = found {
            self.close_unneeded(id);
        }
    }
}
