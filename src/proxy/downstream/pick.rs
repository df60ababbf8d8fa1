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

use super::host::HostId;
use super::loss::Loss;
use super::{Conn, ConnId, Step};

impl Engine {
    /// The connection that takes the client's next request for `host`.
    pub(in crate::proxy) fn pick(
        &mut self,
        client: ClientId,
        host_id: HostId,
        joinable: bool,
    ) -> Result<ConnId, Failure> {
        if let Some(conn) = self.stuck(client, host_id) {
            return Ok(conn);
        }
        // What is sent again may be for a server that is in no bucket any more.
        let Some(host) = self.downstream.hosts.get_mut(host_id) else { return Err(Failure::NoServer) };
        if joinable
            && let Some(conn) = host.open
            && self.downstream.conns.must(conn).and_then(Conn::open_get).is_some_and(|open| open.takes_keys())
        {
            return Ok(conn);
        }
        self.pick_among(host_id, false)
    }

    /// The connection that takes the client's next line for `host`: with a server that speaks binary a side one. The client
    /// has no unanswered work on another one, or is asked for nothing.
    pub(in crate::proxy) fn pick_line(&mut self, client: ClientId, host_id: HostId) -> Result<ConnId, Failure> {
        let stuck = self.stuck(client, host_id);
        if let Some(id) = stuck.filter(|id| self.speak(*id) == Protocol::Ascii) {
            return Ok(id);
        }
        // What is sent again may be for a server that is in no bucket any more.
        let is_binary = self.downstream.hosts.get(host_id).is_some_and(|host| host.server.protocol == Protocol::Binary);
        self.pick_among(host_id, is_binary)
    }

    /// Where the client's unanswered work for this server is: its order is kept there; also behind what it has given up.
    #[inline]
    pub(in crate::proxy) fn stuck(&self, client: ClientId, host: HostId) -> Option<ConnId> {
        let id = self.upstream.clients.must(client)?.sticky(host)?;
        self.downstream.conns.contains(id).then_some(id)
    }

    /// Whether what the client sends next for this server has to wait until its work there is done, because that is on a
    /// connection which cannot take it, and would be overtaken.
    pub(in crate::proxy) fn is_stuck_elsewhere(&self, client: ClientId, host: HostId, speak: Protocol) -> bool {
        self.stuck(client, host).is_some_and(|id| self.speak(id) != speak)
    }

    /// One of those connections that are, or are not, side ones.
    #[inline]
    fn pick_among(&mut self, host_id: HostId, is_side: bool) -> Result<ConnId, Failure> {
        // What is sent again may be for a server that is in no bucket any more.
        let Some(host) = self.downstream.hosts.get_mut(host_id) else { return Err(Failure::NoServer) };
        let lane = host.lane(is_side);
        // It may have been closed since.
        if let Some(id) = lane.fresh
            && self.downstream.conns.get(id).is_some_and(Conn::takes_more)
        {
            return Ok(id);
        }
        while let Some(conn) = lane.idle.pop() {
            if self.downstream.conns.must(conn).is_some_and(|conn| conn.is_idle) {
                return Ok(conn);
            }
        }
        let conns = &self.downstream.conns;
        let is_such = |id: &&ConnId| conns.must(**id).is_some_and(|conn| conn.is_side == is_side && !conn.is_elder);
        let (all, count) = (host.conns.len(), host.conns.iter().filter(is_such).count());
        let most = host.behavior.downstream_conn_max as usize;
        let is_short = self.now < host.short_until && count > 0;
        let (bucket, is_suspended, is_full) = (host.bucket, host.health.is_suspended(), most > 0 && all >= most);
        if !is_short {
            // Each kind has half of them if it needs them, and one in any case.
            let needs_more = !is_suspended && count < most / 2;
            let has_room = !is_full || needs_more && self.make_room(host_id, !is_side) || count == 0;
            if has_room && !is_suspended {
                return Ok(self.connect_as(host_id, is_side));
            }
            self.count(bucket, if has_room { Counter::ConnectInterval } else { Counter::ConnectMaxReached });
        }
        let Some(host) = self.downstream.hosts.must(host_id) else { return Err(Failure::NoServer) };
        let load = |id: &&ConnId| {
            self.downstream.conns.must(**id).map(|conn| (conn.is_stalled || !conn.alone.is_empty(), conn.fifo.len()))
        };
        let is_such = |id: &&ConnId| {
            self.downstream.conns.must(**id).is_some_and(|conn| conn.is_side == is_side && !conn.is_elder)
        };
        host.conns.iter().filter(is_such).min_by_key(load).copied().ok_or(Failure::NoServer)
    }

    /// Closes an idle connection of the other kind, so that this one has its share; tells whether there was one.
    fn make_room(&mut self, host: HostId, is_side: bool) -> bool {
        let Some(host) = self.downstream.hosts.must_mut(host) else { return false };
        let is_idle = |id: &&ConnId| self.downstream.conns.must(**id).is_some_and(|conn| conn.is_idle);
        let Some(id) = host.lane(is_side).idle.iter().find(is_idle).copied() else { return false };
        self.close_conn(id, Loss::Abandoned);
        true
    }

    /// The connection that takes the command with this opcode. If the server may not know it, and may never answer: there
    /// is at most one such connection to a server, so that a client which sends such commands does not keep others from
    /// it.
    pub(in crate::proxy) fn pick_for(&mut self, client: ClientId, id: HostId, code: u8) -> Result<ConnId, Failure> {
        match op::of(code).is_foreign && self.downstream.protocol(id) == Protocol::Binary {
            true => self.pick_alone(client, id),
            false => self.pick(client, id, false),
        }
    }

    fn pick_alone(&mut self, client: ClientId, host_id: HostId) -> Result<ConnId, Failure> {
        let is_sticky = self.upstream.clients.must(client).is_some_and(|client| client.sticky(host_id).is_some());
        let is_alone = |id: &&ConnId| {
            self.downstream
                .conns
                .must(**id)
                .is_some_and(|conn| !conn.alone.is_empty() && !conn.is_elder && !conn.is_side)
        };
        let found = self.downstream.hosts.get(host_id).and_then(|host| host.conns.iter().find(is_alone));
        match found {
            Some(id) if !is_sticky => Ok(*id),
            _ => self.pick(client, host_id, false),
        }
    }

    /// The connection, if it takes what is written in this protocol already.
    pub(in crate::proxy) fn speaking(&mut self, id: ConnId, speak: Protocol) -> Result<ConnId, Failure> {
        if self.speak(id) == speak {
            return Ok(id);
        }
        self.give_back(id);
        Err(Failure::Closed)
    }

    /// The server's connection for lists. It is one more than `downstream_conn_max` allows, as long as it is needed.
    pub(in crate::proxy) fn pick_dump(&mut self, host_id: HostId) -> Result<ConnId, Failure> {
        // What is sent again may be for a server that is in no bucket any more.
        let Some(host) = self.downstream.hosts.get(host_id) else { return Err(Failure::NoServer) };
        if let Some(id) = host.dump
            && self.downstream.conns.must(id).is_some_and(|conn| !conn.is_stalled)
        {
            return Ok(id);
        }
        if host.health.is_suspended() || host.dump.is_some() {
            return Err(Failure::NoServer);
        }
        let id = self.connect(host_id);
        if let Some(conn) = self.downstream.conns.must_mut(id) {
            conn.is_for_dumps = true;
        }
        if let Some(host) = self.downstream.hosts.must_mut(host_id) {
            host.conns.retain(|other| *other != id);
            host.dump = Some(id);
        }
        Ok(id)
    }

    /// The connection was picked, but nothing has been written to it.
    pub(in crate::proxy) fn give_back(&mut self, id: ConnId) {
        let Some(conn) = self.downstream.conns.must(id).filter(|conn| conn.is_idle) else { return };
        let is_side = conn.is_side;
        if let Some(host) = self.downstream.hosts.must_mut(conn.host)
            && let idle = &mut host.lane(is_side).idle
            && !idle.contains(&id)
        {
            idle.push(id);
        }
    }

    /// Begins a new connection to `host`, in its protocol.
    pub(in crate::proxy) fn connect(&mut self, host_id: HostId) -> ConnId {
        self.connect_as(host_id, false)
    }

    fn connect_as(&mut self, host_id: HostId, is_side: bool) -> ConnId {
        let known = self.downstream.hosts.must(host_id).map(|host| (host.server.protocol, Arc::clone(&host.tally)));
        let (speak, tally) = known.unwrap_or((Protocol::Binary, Arc::default()));
        let speak = if is_side { Protocol::Ascii } else { speak };
        tally.begin();
        [Count::Conns, Count::Connecting].into_iter().for_each(|count| tally.add(count, 1));
        let mut conn = Conn { is_side, ..Conn::new(host_id, speak, tally, self.now) };
        if let Some(host) = self.downstream.hosts.must(host_id)
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
        if let Some(host) = self.downstream.hosts.must_mut(host_id) {
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
