//! The end of a run: everything is answered, everybody goes, and nothing may be left.

use moxi::net::driver::Service;
use moxi::proxy::timers::Micros;

use super::client::Client;
use super::history::Counts;
use super::truth::Mood;
use super::world::World;

/// How often in a row everybody may do what there is to do without anything coming of it.
const PATIENCE: u32 = 20_000;

/// After how long a server that is well must have been found, in microseconds.
const RECOVERY: Micros = 5_000_000;
/// How long the proxy has to end, in microseconds.
const DRAIN: Micros = 600_000_000;
/// How many requests are made then by a client of each bucket.
const REQUESTS: u32 = 12;

impl World {
    /// Panics if no order of what was done explains what clients were told.
    pub fn explain(&self) -> Counts {
        let truth = &self.truth;
        let more = u32::from(truth.cluster.is_some());
        let repeats = if truth.scenario.exact { 0 } else { truth.most_tries() as u32 - 1 + more };
        match truth.history.borrow().check(repeats, truth) {
            Ok(counts) => counts,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn check_patience(&mut self) {
        for client in &mut self.clients {
            let ends = client.pipe.ends();
            let is_read = ends.outbound.is_empty() && ends.inbound.is_empty();
            drop(ends);
            client.check_patience(&self.truth, is_read);
        }
    }

    /// No more requests and no more faults: everything is answered.
    pub fn settle(&mut self) {
        self.truth.note(|| "no more requests".to_owned());
        self.heal();
        for client in &mut self.clients {
            client.is_done = true;
        }
        self.await_answers();
    }

    /// No more faults.
    fn heal(&mut self) {
        self.truth.healed = true;
        self.truth.moods.fill(Mood::Well);
        (0..self.truth.moods.len()).for_each(|server| self.lay_ghosts(server));
        self.driver.network.heal();
        for peer in &mut self.peers {
            if peer.connects.is_none() && peer.pipe.ends().is_connecting() {
                peer.connects = Some((self.truth.now, true));
            }
        }
    }

    /// The proxy is told to end while requests are under way: what has come is answered, and everybody is let go.
    pub fn drain(&mut self) {
        self.truth.note(|| "the proxy is to drain, with all that is under way".to_owned());
        self.heal();
        self.clients.iter_mut().for_each(Client::cut);
        self.driver.drain(self.truth.now + DRAIN);
        let late = self.driver.add_client(Service::Bucket(0), |_, _| panic!("a client was let in"));
        assert_eq!(late, None);
        let until = self.truth.now + DRAIN;
        for _ in 0..PATIENCE {
            if self.is_drained && self.clients.is_empty() {
                break;
            }
            self.pump();
        }
        let waiting: Vec<_> = self.clients.iter().map(|client| (client.number, client.pending.front())).collect();
        assert!(self.is_drained && waiting.is_empty(), "the proxy does not end: {waiting:?}");
        assert!(self.truth.now < until, "the proxy had to be stopped");
        self.check_sure();
    }

    fn await_answers(&mut self) {
        let mut idle = 0;
        while idle < PATIENCE {
            let moved = self.moved;
            self.pump();
            let is_read =
                |client: &Client| client.hostile || client.is_closing || client.pipe.ends().inbound.is_empty();
            let is_quiet = |client: &Client| client.pending.is_empty() && client.outgoing.is_empty() && is_read(client);
            if self.clients.iter().all(is_quiet) && !self.is_awake() {
                return;
            }
            idle = if self.moved == moved { idle + 1 } else { 0 };
        }
        let waiting: Vec<_> = self.clients.iter().filter_map(|client| client.pending.front()).collect();
        panic!("never answered: {waiting:?}");
    }

    /// All servers are well again, and those that were left alone are found by and by: then everything can be asked for.
    pub fn recover(&mut self) {
        let until = self.truth.now + RECOVERY;
        while self.truth.now < until {
            // Whoever is called answers before the caller loses its patience.
            (0..30).for_each(|_| self.pump());
            let next = self.driver.engine.next_deadline().unwrap_or(until).min(until);
            self.truth.now = self.truth.now.max(next);
            self.work();
        }
        // What servers that have left still have to answer may take more steps than that.
        for _ in 0..PATIENCE {
            if self.driver.network.left().is_empty() {
                break;
            }
            self.pump();
        }
        // Later they would be closed for being idle.
        let left = self.driver.network.left();
        assert!(left.is_empty(), "connections are left to servers that are in no bucket: {left:?}");
        self.truth.note(|| "all must be well".to_owned());
        self.truth.well_since = Some(self.truth.tick());
        for bucket in 0..self.truth.eras.present().buckets.len() {
            self.connect_to(bucket);
            let number = self.clients.last().map(|client| client.number);
            for _ in 0..REQUESTS {
                // It may have asked to be closed.
                let Some(client) = self.clients.last_mut().filter(|client| Some(client.number) == number) else {
                    break;
                };
                (client.hostile, client.is_done) = (false, false);
                client.produce(&mut self.truth);
                client.is_done = true;
                self.await_answers();
            }
        }
    }

    /// Everybody does what can be done at once; then time goes on.
    fn pump(&mut self) {
        for at in 0..self.clients.len() {
            self.send(at, true);
            self.receive(at, true);
        }
        for at in 0..self.peers.len() {
            self.serve(at);
        }
        self.truth.now += 20;
        if !self.is_awake() {
            self.truth.now += 1_000;
        }
        self.work();
    }

    /// All alarms ring; afterwards there is none. Who has drained hears of none.
    fn wait_for_alarms(&mut self) {
        for _ in 0..1_000 {
            // Whoever is called answers before the caller loses its patience.
            for _ in 0..30 {
                self.pump();
            }
            let Some(at) = self.driver.engine.next_deadline().filter(|_| !self.is_drained) else { return };
            self.truth.now = self.truth.now.max(at);
            self.work();
        }
        assert_eq!(self.driver.engine.next_deadline(), None, "an alarm is left");
    }

    /// All clients go, or the proxy does; nothing may be left.
    pub fn end(&mut self) {
        let is_draining = self.truth.random.once_in(3);
        self.truth.note(|| if is_draining { "the proxy is to drain" } else { "all clients go" }.to_owned());
        if is_draining {
            self.clients.iter_mut().for_each(|client| client.is_closing = true);
            self.driver.drain(self.truth.now + 1_000_000);
        }
        for client in self.clients.iter_mut().filter(|_| !is_draining) {
            match self.truth.random.below(3) {
                0 if !client.hostile => client.quit(),
                _ => {
                    client.is_closing = true;
                    client.pipe.finish();
                }
            }
        }
        for _ in 0..PATIENCE {
            self.pump();
            let engine = &self.driver.engine;
            let has_ended = self.is_drained || !is_draining && !self.driver.is_busy();
            if has_ended && self.clients.is_empty() && engine.client_count() == 0 {
                break;
            }
        }
        self.driver.network.is_over = true;
        let numbers: Vec<u64> = self.clients.iter().map(|client| client.number).collect();
        assert!(numbers.is_empty(), "clients {numbers:?} were not closed");
        assert_eq!(self.driver.engine.client_count(), 0);
        assert_eq!(self.is_drained, is_draining, "the proxy has drained");
        assert!(self.is_drained || !self.driver.is_busy(), "the proxy is never done");
        self.wait_for_alarms();
        for peer in &self.peers {
            if let Some((output, limit)) = self.driver.engine.conn_output(peer.id) {
                assert_eq!(output.unsent(), 0, "bytes are left on {:?}", peer.id);
                // A probe may be under way when the proxy has drained.
                assert!(limit == u64::MAX || self.is_drained, "{:?} waits for something", peer.id);
            }
        }
        self.check_sure();
    }

    /// Whatever must have been done was done once.
    fn check_sure(&self) {
        if self.truth.scenario.exact {
            for sure in self.sure.iter().filter(|sure| sure.is_owed(&self.truth)) {
                let done = self.truth.log.of(sure.id).iter().filter(|execution| !execution.is_refused()).count();
                assert_eq!(done, 1, "executions of request {}", sure.id);
            }
        }
    }
}
