//! Which servers there are: taken from the configuration, and forgotten when nothing needs them any more.

use std::sync::Arc;

use crate::config::snapshot::{BucketConfig, Server};
use crate::proxy::Engine;

use super::host::{HealthTable, Host, HostId};
use super::loss::Loss;
use super::{ConnId, Downstream, State};

impl Downstream {
    /// The worker's record of `server`, with the limits of `bucket`.
    pub(in crate::proxy) fn host(
        &mut self,
        server: &Arc<Server>,
        index: usize,
        bucket: &BucketConfig,
        health: &HealthTable,
    ) -> HostId {
        if let Some(id) = self.host_of.get(server)
            && let Some(host) = self.hosts.must_mut(*id)
        {
            host.behavior = Arc::clone(&bucket.behavior);
            host.bucket = index;
            host.is_retired = false;
            return *id;
        }
        let health = health.of(server);
        let tally = self.servers.register(server, None, &health);
        let id = self.hosts.insert(Host { tally, ..Host::new(server, &bucket.behavior, index, health) });
        self.host_of.insert(Arc::clone(server), id);
        id
    }
}

impl Engine {
    /// Servers of the configuration that are suspended, but new to this worker, or back again, are probed.
    pub(in crate::proxy) fn probe_suspended(&mut self) {
        let is_it = |(_, host): &(HostId, &Host)| !host.is_retired && host.health.is_suspended();
        let suspended: Vec<HostId> = self.downstream.hosts.iter().filter(is_it).map(|(id, _)| id).collect();
        suspended.into_iter().for_each(|id| self.probe_later(id));
    }

    /// Parts with servers that are in no bucket any more.
    pub(in crate::proxy) fn retire_hosts(&mut self) {
        let is_used = |host: &HostId| self.buckets.iter().any(|bucket| bucket.hosts.contains(host));
        // In an order of their own, so that a run of the simulation can be repeated.
        let gone: Vec<HostId> = self.downstream.hosts.iter().map(|(id, _)| id).filter(|id| !is_used(id)).collect();
        for id in gone {
            let Some(host) = self.downstream.hosts.must_mut(id) else { continue };
            host.is_retired = true;
            let idle: Vec<_> = host.conns.iter().copied().chain(host.dump).collect();
            for conn in idle {
                if self.downstream.conns.must(conn).is_some_and(|conn| conn.fifo.is_empty()) {
                    self.close_unneeded(conn);
                }
            }
            self.forget_retired(id);
        }
    }

    /// Closes a connection with nothing on it that nobody needs any more.
    pub(in crate::proxy) fn close_unneeded(&mut self, id: ConnId) {
        let Some(conn) = self.downstream.conns.must(id) else { return };
        // That it has not been made yet is no fault of the server's. And what is known of the server remains true while another
        // connection tells that it is there: behind the last one another version may take its place, and nobody notices.
        let is_own = conn.state != State::Ready || self.is_seen_beside(conn.host, id);
        self.close_conn(id, if is_own { Loss::Abandoned } else { Loss::Closed });
    }

    /// Whether the server has another connection, on which it answers.
    fn is_seen_beside(&self, host: HostId, id: ConnId) -> bool {
        let is_it = |other: &ConnId| {
            let conn = self.downstream.conns.must(*other).filter(|_| *other != id);
            conn.is_some_and(|conn| conn.state == State::Ready && !conn.is_stalled)
        };
        self.downstream.hosts.must(host).is_some_and(|host| host.conns.iter().any(is_it))
    }

    /// Forgets a server that is in no bucket any more, when its last connection has gone and nothing is to be sent to it again.
    pub(in crate::proxy) fn forget_retired(&mut self, id: HostId) {
        // It may be forgotten already, with another of its connections.
        if self.downstream.hosts.get(id).is_some_and(|host| host.is_retired && !host.is_connected())
            && !self.downstream.has_lost_of(id)
            && let Some(host) = self.downstream.hosts.remove(id)
        {
            self.downstream.host_of.remove(&host.server);
            // Nobody is left who could answer them: they go on with the servers that there are now.
            for client in host.curious {
                self.make_ready(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::Config;
    use crate::proxy::Settings;
    use crate::proxy::downstream::ConnId;
    use crate::proxy::downstream::hands::{self, asks, connects, says, takes};
    use crate::proxy::upstream::ClientId;

    /// A configuration with a server of this name, which speaks ASCII.
    fn config(server: &str) -> Config {
        hands::config(server, "downstream_protocol=ascii,connect_max_errors=1")
    }

    fn engine(server: &str, health: &HealthTable) -> Engine {
        Engine::new(&config(server), health, Settings { requests_per_turn: 20, binding: None })
    }

    /// The only connection that is asked for, which must be to the server of this name.
    fn connected(engine: &mut Engine, server: &str) -> ConnId {
        let asked = connects(engine);
        let [(id, name)] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!(name, server);
        engine.connected(*id);
        *id
    }

    fn assert_told(engine: &Engine, client: ClientId, reply: &str) {
        let (output, limit) = engine.client_output(client).expect("a reply");
        assert_eq!(output.contiguous(limit), Some(reply.as_bytes()));
    }

    #[test]
    fn what_is_to_be_sent_again_goes_to_its_server_although_that_has_left_the_configuration() {
        let health = HealthTable::default();
        let mut engine = engine("before", &health);
        let client = asks(&mut engine, b"get k\r\n");
        let id = connected(&mut engine, "before");
        takes(&mut engine, id, b"get k\r\n");
        engine.reconfigure(&config("after"), &health);
        engine.conn_closed(id);
        let id = connected(&mut engine, "before");
        takes(&mut engine, id, b"get k\r\n");
        says(&mut engine, id, b"VALUE k 0 1\r\n1\r\nEND\r\n");
        assert_told(&engine, client, "VALUE k 0 1\r\n1\r\nEND\r\n");
        assert!(engine.downstream.hosts.iter().all(|(_, host)| host.server.host == "after"));
    }

    #[test]
    fn a_failure_names_the_server_although_that_has_left_the_configuration() {
        let health = HealthTable::default();
        let mut engine = engine("before", &health);
        let client = asks(&mut engine, b"incr k 1\r\n");
        let id = connected(&mut engine, "before");
        takes(&mut engine, id, b"incr k 1\r\n");
        engine.reconfigure(&config("after"), &health);
        engine.conn_closed(id);
        assert_told(&engine, client, "SERVER_ERROR proxy downstream closed before\r\n");
    }

    /// Fails so often that the server is left alone.
    fn suspend(engine: &mut Engine) {
        for _ in 0..2 {
            asks(engine, b"get k\r\n");
            let asked = connects(engine);
            engine.connect_failed(asked.first().expect("a connection").0, "refused");
        }
        asks(engine, b"get k\r\n");
        assert_eq!(connects(engine), []);
    }

    #[test]
    fn a_server_that_returns_is_probed_if_it_is_suspended() {
        let health = HealthTable::default();
        let (mut one, mut other) = (engine("before", &health), engine("before", &health));
        asks(&mut other, b"get k\r\n");
        let id = connected(&mut other, "before");
        takes(&mut other, id, b"get k\r\n");
        suspend(&mut one);
        one.reconfigure(&config("after"), &health);
        other.reconfigure(&config("after"), &health);
        // Nobody probes it meanwhile.
        one.set_time(2_000_000);
        assert_eq!(connects(&mut one), []);
        for engine in [&mut one, &mut other] {
            engine.reconfigure(&config("before"), &health);
            engine.set_time(4_000_000);
        }
        let probes = [connects(&mut one), connects(&mut other)];
        assert!(probes.iter().all(|asked| matches!(&asked[..], [(_, name)] if name == "before")), "{probes:?}");
    }

    #[test]
    fn a_server_that_leaves_while_it_is_connected_to_has_not_failed() {
        let health = HealthTable::default();
        let mut engine = engine("before", &health);
        // What understands no meta commands cannot be told of this key.
        let misfit = b"\x80\x0c\0\x03\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0a b";
        asks(&mut engine, misfit);
        let id = connected(&mut engine, "before");
        takes(&mut engine, id, b"mn\r\n");
        says(&mut engine, id, b"ERROR\r\n");
        engine.turn(&mut Vec::new());
        asks(&mut engine, b"get x\r\n");
        takes(&mut engine, id, b"get x\r\n");
        // So nothing is on the connections that are begun for it.
        asks(&mut engine, misfit);
        asks(&mut engine, misfit);
        assert_eq!(connects(&mut engine).len(), 2);
        engine.reconfigure(&config("after"), &health);
        engine.reconfigure(&config("before"), &health);
        asks(&mut engine, b"get y\r\n");
        connected(&mut engine, "before");
    }
}
