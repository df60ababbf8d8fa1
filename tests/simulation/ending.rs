//! The end of a run: everything is answered, everybody goes, and nothing may be left.

use super::client::Client;
use super::history::Counts;
use super::truth::Mood;
use super::world::World;

/// How often in a row everybody may do what there is to do without anything coming of it.
const PATIENCE: u32 = 20_000;

impl World {
    /// Panics if no order of what was done explains what clients were told.
    pub fn explain(&self) -> Counts {
        let truth = &self.truth;
        let retries = truth.scenario.config.buckets[0].behavior.downstream_retry;
        let repeats = if truth.scenario.exact { 0 } else { retries };
        match truth.history.borrow().check(repeats, |server| truth.lying[server]) {
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
        self.truth.healed = true;
        self.truth.moods.fill(Mood::Well);
        (0..self.truth.moods.len()).for_each(|server| self.lay_ghosts(server));
        self.driver.network.heal();
        for peer in &mut self.peers {
            if peer.connects.is_none() && peer.pipe.ends().is_connecting() {
                peer.connects = Some((self.truth.now, true));
            }
        }
        for client in &mut self.clients {
            client.is_done = true;
        }
        let mut idle = 0;
        while idle < PATIENCE {
            let moved = self.moved;
            self.pump();
            let is_quiet = |client: &Client| client.pending.is_empty() && client.outgoing.is_empty();
            if self.clients.iter().all(is_quiet) && !self.is_awake() {
                return;
            }
            idle = if self.moved == moved { idle + 1 } else { 0 };
        }
        let waiting: Vec<_> = self.clients.iter().filter_map(|client| client.pending.front()).collect();
        panic!("never answered: {waiting:?}");
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
        if self.truth.scenario.exact {
            for id in &self.sure {
                assert_eq!(self.truth.log.of(*id).len(), 1, "executions of request {id}");
            }
        }
    }
}
