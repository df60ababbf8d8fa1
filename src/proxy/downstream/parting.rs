//! Connections that moxi closes while the server may still carry out what was sent on them.
//!
//! A server that was stopped reads what its socket holds when it goes on, also of a connection that has been closed, even
//! of one that was reset. So such a connection is closed for sending only, and read until the server, which is through
//! with it then, closes it, too. Meanwhile those clients wait whose writes are on it, at most as long as a request may
//! wait behind others; and what was sent and may be repeated waits as well. What they send afterwards goes on
//! connections that are younger than these writes.

use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::loss::{Loss, Lost};
use crate::proxy::downstream::{ConnId, State};
use crate::proxy::downstream::{Downstream, Entry};
use crate::proxy::request::RequestId;
use crate::proxy::timers::{Micros, Owner, deadline};
use crate::proxy::upstream::ClientId;
use crate::proxy::{Action, Engine};

/// How long is waited for a server, in milliseconds, if no limit is set.
const PATIENCE: u32 = 200;

/// A connection that moxi has closed, and the server has not.
#[derive(Debug)]
pub(in crate::proxy) struct Parting {
    id: ConnId,
    /// Who waits for it.
    clients: Vec<ClientId>,
    /// What they have sent and is to be sent again.
    lost: Option<Lost>,
}

impl Parting {
    /// What is to be sent again when the server is through with it.
    pub(in crate::proxy) fn lost(&self) -> Option<&Lost> {
        self.lost.as_ref()
    }

    /// Whether the client waits for it.
    pub(in crate::proxy) fn has(&self, client: ClientId) -> bool {
        self.clients.contains(&client)
    }
}

impl Downstream {
    /// What of a request was on lost connections, and is to be sent again.
    pub(in crate::proxy) fn lost_entries(&self, id: RequestId) -> impl Iterator<Item = (HostId, &Entry)> {
        let lost = self.lost.iter().chain(self.partings.iter().filter_map(Parting::lost));
        lost.flat_map(move |lost| lost.entries(id))
    }

    /// Whether something that was on lost connections to this server is to be sent again.
    pub(in crate::proxy) fn has_lost_of(&self, host: HostId) -> bool {
        let mut lost = self.lost.iter().chain(self.partings.iter().filter_map(Parting::lost));
        lost.any(|lost| lost.conn.host == host)
    }

    /// For how many connections the client waits that moxi has closed, and the server has not.
    #[cfg(debug_assertions)]
    pub(in crate::proxy) fn partings_of(&self, client: ClientId) -> usize {
        self.partings.iter().filter(|parting| parting.has(client)).count()
    }
}

impl Engine {
    /// The connection is about to be closed. Whether something that was sent on it may be carried out yet, and has
    /// clients that wait for that.
    pub(in crate::proxy) fn begin_parting(&mut self, id: ConnId, loss: Loss) -> bool {
        let Some(conn) = self.downstream.conns.must(id) else { return false };
        if !matches!(loss, Loss::Overdue | Loss::Malformed) || conn.state != State::Ready {
            return false;
        }
        let mut clients: Vec<ClientId> = conn.abandoned.iter().map(|abandoned| abandoned.client).collect();
        for (index, entry) in conn.fifo.iter().enumerate() {
            if conn.is_begun(index)
                // (Others have been given up, and are among the abandoned if they change something.)
                && let Some(request) = self.flight.requests.get(entry.request)
                && request.changes()
            {
                clients.push(request.client);
            }
        }
        clients.retain(|client| self.upstream.clients.contains(*client));
        clients.sort_unstable();
        clients.dedup();
        let Some(until) = self.patience(id).filter(|_| !clients.is_empty()) else { return false };
        for client in &clients {
            if let Some(client) = self.upstream.clients.must_mut(*client) {
                client.begin_parting();
            }
        }
        self.timers.add(until, Owner::Parting(id));
        self.downstream.partings.push(Parting { id, clients, lost: None });
        true
    }

    /// A connection to this server was closed that a write stands on yet. Those that are there may be read before it:
    /// who has waited for it goes on with younger ones. There is room for one, in the place of the closed one.
    pub(in crate::proxy) fn note_elders(&mut self, host_id: HostId) {
        let Some(host) = self.downstream.hosts.must_mut(host_id) else { return };
        host.main.fresh = None;
        host.side.fresh = None;
        for id in &host.conns {
            if let Some(conn) = self.downstream.conns.must_mut(*id) {
                conn.is_elder = true;
            }
        }
        if let Some(open) = host.open {
            self.seal(open);
        }
    }

    /// Until when those wait that have a write on this connection.
    fn patience(&self, id: ConnId) -> Option<Micros> {
        let behavior = &self.downstream.hosts.must(self.downstream.conns.must(id)?.host)?.behavior;
        let limits = [behavior.downstream_conn_queue_timeout, behavior.downstream_timeout, PATIENCE];
        deadline(self.now, limits.into_iter().find(|limit| *limit > 0)?)
    }

    /// Whether the client waits for this connection.
    pub(in crate::proxy) fn is_parting(&self, id: ConnId, client: ClientId) -> bool {
        self.downstream.partings.iter().any(|parting| parting.id == id && parting.has(client))
    }

    /// Keeps what is to be sent again until the server is through with the connection that it was on.
    pub(in crate::proxy) fn send_later(&mut self, lost: Lost) {
        match self.downstream.partings.iter_mut().find(|parting| parting.id == lost.id) {
            Some(parting) => parting.lost = Some(lost),
            None => self.downstream.lost.push(lost),
        }
    }

    /// The server is through with the connection, or it has been waited for long enough.
    pub(in crate::proxy) fn end_parting(&mut self, id: ConnId) {
        let Some(at) = self.downstream.partings.iter().position(|parting| parting.id == id) else { return };
        let parting = self.downstream.partings.swap_remove(at);
        self.actions.push(Action::CloseConn(id));
        self.downstream.lost.extend(parting.lost);
        for id in parting.clients {
            // It may have gone while it waited.
            let Some(client) = self.upstream.clients.get_mut(id) else { continue };
            client.end_parting();
            self.wake_client(id);
        }
    }
}
