//! Clients that have been idle for too long (`client_idle_timeout`): they are closed, so that others find a place.
//!
//! A client is idle while none of its requests is unanswered and no byte moves between it and us: one that sends a
//! large value slowly is not idle as long as a byte comes in time, and one that takes its replies slowly is not
//! either. One that does nothing of that is, whatever it has begun.
//!
//! Nothing is done for this per request but to note the time. There is one deadline for each place in the arena, not
//! for each client: it stays when the client goes, and serves the next one there. So clients that come and go by the
//! thousand leave nothing behind.

use crate::metrics::counter::Counter;
use crate::proxy::Engine;
use crate::proxy::timers::{Micros, Owner, deadline};
use crate::proxy::upstream::{Admission, Client, ClientId};
use crate::sums::sum;

/// The deadline that each place in the arena of clients has an entry for.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Idle {
    armed: Vec<Option<Micros>>,
}

impl Idle {
    #[expect(clippy::indexing_slicing, reason = "the place has just been made")]
    fn place(&mut self, index: usize) -> &mut Option<Micros> {
        if self.armed.len() <= index {
            self.armed.resize(sum([index, 1]), None);
        }
        &mut self.armed[index]
    }
}

/// Whether it waits for us.
fn is_owed(client: &Client) -> bool {
    client.unanswered > 0
        || !client.order.is_empty()
        || client.admission != Admission::Unasked
        || !client.refused.is_empty()
        || client.is_ready
        // Its next request waits, unless it is for the client to take its replies.
        || client.stopped && client.output.is_sent()
}

impl Engine {
    /// Until when the client may be idle.
    fn idle_deadline(&self, id: ClientId) -> Option<Micros> {
        let client = self.upstream.clients.must(id)?;
        let limit = self.buckets[client.bucket()?].config.behavior.client_idle_timeout;
        deadline(if is_owed(client) { self.now } else { client.active_at }, limit)
    }

    /// Makes sure that the client is looked at when it may have been idle for too long.
    pub(in crate::proxy) fn arm_idle(&mut self, id: ClientId) {
        let Some(at) = self.idle_deadline(id) else { return };
        let armed = self.upstream.idle.place(id.index());
        if armed.is_none_or(|armed| at < armed) {
            *armed = Some(at);
            self.timers.add(at, Owner::Idle(id.index()));
        }
    }

    /// The deadline of a place has come: its client goes, or has a later one.
    pub(in crate::proxy) fn expire_idle(&mut self, index: usize, at: Micros) {
        let armed = self.upstream.idle.place(index);
        if *armed != Some(at) {
            return;
        }
        *armed = None;
        let Some(id) = self.upstream.clients.at(index) else { return };
        if self.idle_deadline(id).is_some_and(|at| at <= self.now) {
            if let Some(bucket) = self.upstream.clients.must(id).and_then(Client::bucket) {
                self.count(bucket, Counter::IdleClosed);
            }
            return self.client_lost(id);
        }
        self.arm_idle(id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::snapshot::Config;
    use crate::proxy::downstream::host::HealthTable;
    use crate::proxy::{Action, Settings};

    const MS: Micros = 1000;

    /// An engine with two buckets; clients of the first may be idle for 100 ms, those of the second for ever.
    struct Bench {
        engine: Engine,
        now: Micros,
    }

    fn config(limits: [u32; 2]) -> Config {
        let mut config = Config::default();
        for (port, limit) in (1..).zip(limits) {
            let text = format!("client_idle_timeout={limit},downstream_protocol=ascii");
            let loaded = crate::config::load(&format!("{port}=127.0.0.1:1"), Some(&text), &|_| None).unwrap();
            config.buckets.extend(loaded.config.buckets.iter().cloned());
        }
        config
    }

    impl Bench {
        fn new() -> Bench {
            let settings = Settings { requests_per_turn: 20, binding: None };
            Bench { engine: Engine::new(&config([100, 0]), &HealthTable::default(), settings), now: 0 }
        }

        /// One turn, so many milliseconds later. The result is who was closed.
        fn turn(&mut self, ms: Micros) -> Vec<ClientId> {
            self.now += ms * MS;
            self.engine.set_time(self.now);
            self.engine.turn(&mut Vec::new());
            let mut actions = Vec::new();
            self.engine.take_actions(&mut actions);
            let closed = actions.iter().filter_map(|action| match action {
                Action::CloseClient(id) => Some(*id),
                _ => None,
            });
            closed.collect()
        }

        fn sends(&mut self, id: ClientId, bytes: &[u8]) {
            self.engine.client_space(id).expect("room")[..bytes.len()].copy_from_slice(bytes);
            self.engine.client_filled(id, bytes.len());
        }

        /// The client takes so much of what there is for it.
        fn takes(&mut self, id: ClientId, count: usize) {
            self.engine.client_sent(id, count);
        }

        fn deadlines(&self) -> usize {
            self.engine.timers.count()
        }
    }

    #[test]
    fn who_does_nothing_is_closed_in_time() {
        let mut bench = Bench::new();
        let first = bench.engine.add_client(0).unwrap();
        let other = bench.engine.add_client(1).unwrap();
        assert_eq!(bench.turn(99), []);
        assert_eq!(bench.turn(1), [first]);
        assert_eq!(bench.turn(1_000_000), []);
        assert!(bench.engine.upstream.clients.contains(other));
        let sum = crate::metrics::counter::Sum::of([bench.engine.buckets[0].counters.as_ref()].into_iter());
        assert_eq!(sum.counters().find(|(name, _)| *name == "tot_upstream_idle_closed").unwrap().1, 1);
    }

    #[test]
    fn bytes_in_either_direction_count() {
        let mut bench = Bench::new();
        let id = bench.engine.add_client(0).unwrap();
        // A slow upload: each piece gives it the whole time again.
        for piece in [&b"set k 0 "[..], b"0 3\r\n", b"a", b"b"] {
            assert_eq!(bench.turn(99), []);
            bench.sends(id, piece);
        }
        // An empty read is nothing.
        assert_eq!(bench.turn(50), []);
        bench.engine.client_filled(id, 0);
        assert_eq!(bench.turn(50), [id]);

        let id = bench.engine.add_client(0).unwrap();
        bench.sends(id, b"version\r\n");
        for _ in 0..5 {
            assert_eq!(bench.turn(99), []);
            bench.takes(id, 1);
        }
        assert_eq!(bench.turn(100), [id], "it does not take the rest");
    }

    #[test]
    fn who_is_owed_an_answer_is_not_idle() {
        let mut bench = Bench::new();
        // Before it is sent, the server is asked what it knows.
        let packet = *b"\x80\x01\0\x01\x08\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0k1";
        for request in [&b"get k\r\n"[..], b"set k 0 0 1 noreply\r\n1\r\n", b"set k 0 0 1\r\n1\r\n", &packet] {
            let id = bench.engine.add_client(0).unwrap();
            bench.sends(id, request);
            // The server is never reached: connect_timeout is 400 ms, and the question comes before the request.
            let tries = if request == packet { 2 } else { 1 };
            for _ in 0..tries {
                for _ in 0..3 {
                    assert_eq!(bench.turn(110), []);
                }
                // Its failure and the end of the idle time come in one turn: the reply is still to be sent.
                assert_eq!(bench.turn(120), []);
            }
            let unsent = bench.engine.client_output(id).map_or(0, |(output, _)| output.unsent());
            assert_eq!(unsent > 0, !request.ends_with(b"noreply\r\n1\r\n"), "{request:?}");
            assert_eq!(bench.turn(99), []);
            assert_eq!(bench.turn(1), [id]);
        }
    }

    #[test]
    fn clients_that_come_and_go_leave_no_deadlines() {
        let mut bench = Bench::new();
        bench.engine.is_trimming = true; // its deadline is not of interest here
        for _ in 0..1000 {
            let id = bench.engine.add_client(0).unwrap();
            bench.engine.client_lost(id);
        }
        assert_eq!(bench.deadlines(), 1);
        bench.turn(60);
        // It finds an early deadline, and is not closed before its time.
        let late = bench.engine.add_client(0).unwrap();
        assert_eq!(bench.turn(40), []);
        assert_eq!(bench.deadlines(), 1);
        assert_eq!(bench.turn(59), []);
        assert_eq!(bench.turn(1), [late]);
        assert_eq!(bench.deadlines(), 0);
    }

    #[test]
    fn another_limit_counts_at_once() {
        let mut bench = Bench::new();
        let (one, two) = (bench.engine.add_client(0).unwrap(), bench.engine.add_client(1).unwrap());
        bench.turn(10);
        let health = HealthTable::default();
        bench.engine.reconfigure(&config([0, 20]), &health);
        assert_eq!(bench.turn(10), [two]);
        assert_eq!(bench.turn(500), []);
        let mut both = config([100, 20]);
        both.buckets[1] = Arc::clone(&bench.engine.config.buckets[1]);
        bench.engine.reconfigure(&both, &health);
        assert_eq!(bench.turn(0), [one]);
    }
}
