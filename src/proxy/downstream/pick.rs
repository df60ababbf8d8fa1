//! Which connection a request takes: where the client's work for the server is, one that is written to anyway, an idle one, a
//! new one, or the least loaded.

use std::sync::Arc;

use crate::metrics::counter::Counter;
use crate::metrics::server::Count;
use crate::protocol::binary::command as binary;
use crate::protocol::{Protocol, op};
use crate::proxy::request::error::Failure;
use crate::proxy::upstream::ClientId;
use crate::proxy::{Action, Engine};

use super::dispatch::JOIN_KEYS;
use super::host::HostId;
use super::{Conn, ConnId, Step};

impl Engine {
    /// The connection that takes the client's next request for `host`.
    pub(in crate::proxy) fn pick(
        &mut self,
        client: ClientId,
        host_id: HostId,
        joinable: bool,
    ) -> Result<ConnId, Failure> {
        // Where the client's unanswered work for this server is, its order is kept; also behind what it has given up.
        if let Some(conn) = self.upstream.clients.get(client).and_then(|client| client.sticky(host_id))
            && self.downstream.conns.contains(conn)
        {
            return Ok(conn);
        }
        let Some(host) = self.downstream.hosts.get_mut(host_id) else { return Err(Failure::NoServer) };
        if joinable
            && let Some(conn) = host.open
            && self.downstream.conns.get(conn).and_then(|conn| conn.open).is_some_and(|open| open.keys < JOIN_KEYS)
        {
            return Ok(conn);
        }
        if let Some(id) = host.fresh
            && self.downstream.conns.get(id).is_some_and(Conn::takes_more)
        {
            return Ok(id);
        }
        while let Some(conn) = host.idle.pop() {
            if self.downstream.conns.get(conn).is_some_and(|conn| conn.is_idle) {
                return Ok(conn);
            }
        }
        let most = host.behavior.downstream_conn_max as usize;
        let takes_work = |id: &&ConnId| self.downstream.conns.get(**id).is_some_and(|conn| !conn.is_elder);
        let has_none = !host.conns.iter().any(|id| takes_work(&id));
        let is_short = self.now < host.short_until && !has_none;
        if (most == 0 || host.conns.len() < most || has_none) && !is_short {
            if !host.health.is_suspended() {
                return Ok(self.connect(host_id));
            }
            let bucket = host.bucket;
            self.count(bucket, Counter::ConnectInterval);
            if has_none {
                return Err(Failure::NoServer);
            }
        } else if !is_short {
            let bucket = host.bucket;
            self.count(bucket, Counter::ConnectMaxReached);
        }
        let Some(host) = self.downstream.hosts.get(host_id) else { return Err(Failure::NoServer) };
        let load = |id: &&ConnId| {
            self.downstream.conns.get(**id).map(|conn| (conn.is_stalled || !conn.alone.is_empty(), conn.fifo.len()))
        };
        host.conns.iter().filter(takes_work).min_by_key(load).copied().ok_or(Failure::NoServer)
    }

    /// The connection that takes the command with this opcode. If the server may not know it, and may never answer: there
    /// is at most one such connection to a server, so that a client which sends such commands does not keep others from
    /// it.
    pub(in crate::proxy) fn pick_for(&mut self, client: ClientId, id: HostId, code: u8) -> Result<ConnId, Failure> {
        let is_binary = self.downstream.hosts.get(id).is_some_and(|host| host.server.protocol == Protocol::Binary);
        match is_binary && op::of(code).is_foreign {
            true => self.pick_alone(client, id),
            false => self.pick(client, id, false),
        }
    }

    fn pick_alone(&mut self, client: ClientId, host_id: HostId) -> Result<ConnId, Failure> {
        let is_sticky = self.upstream.clients.get(client).is_some_and(|client| client.sticky(host_id).is_some());
        let is_alone =
            |id: &&ConnId| self.downstream.conns.get(**id).is_some_and(|conn| !conn.alone.is_empty() && !conn.is_elder);
        let found = self.downstream.hosts.get(host_id).and_then(|host| host.conns.iter().find(is_alone));
        match found {
            Some(id) if !is_sticky => Ok(*id),
            _ => self.pick(client, host_id, false),
        }
    }

    /// The connection was picked, but nothing has been written to it.
    pub(in crate::proxy) fn give_back(&mut self, id: ConnId) {
        let Some(conn) = self.downstream.conns.get(id).filter(|conn| conn.is_idle) else { return };
        if let Some(host) = self.downstream.hosts.get_mut(conn.host)
            && !host.idle.contains(&id)
        {
            host.idle.push(id);
        }
    }

    /// Begins a new connection to `host`.
    pub(in crate::proxy) fn connect(&mut self, host_id: HostId) -> ConnId {
        let known = self.downstream.hosts.get(host_id).map(|host| (host.server.protocol, Arc::clone(&host.tally)));
        let (speak, tally) = known.unwrap_or((Protocol::Binary, Arc::default()));
        tally.begin();
        [Count::Conns, Count::Connecting].into_iter().for_each(|count| tally.add(count, 1));
        let mut conn = Conn::new(host_id, speak, tally, self.now);
        if let Some(host) = self.downstream.hosts.get(host_id)
            && speak == Protocol::Binary
        {
            let server = &host.server;
            if !server.user.is_empty() {
                binary::sasl_plain(conn.output.tail(), server.user.as_bytes(), server.password.reveal().as_bytes());
                conn.handshake[0] = Some((Step::Authenticate, conn.output.end()));
            }
            if !server.bucket.is_empty() {
                binary::select_bucket(conn.output.tail(), server.bucket.as_bytes());
                conn.handshake[1] = Some((Step::Select, conn.output.end()));
            }
            conn.answered_to = conn.output.end();
        }
        let id = self.downstream.conns.insert(conn);
        if let Some(host) = self.downstream.hosts.get_mut(host_id) {
            host.conns.push(id);
            self.actions.push(Action::Connect(id, Arc::clone(&host.server)));
        }
        for counter in [Counter::Conns, Counter::TotConn, Counter::ConnectStarted, Counter::ConnectWait] {
            self.count_host(host_id, counter);
        }
        self.arm_conn(id);
        id
    }
}
