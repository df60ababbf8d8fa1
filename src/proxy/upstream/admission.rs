//! Places among the concurrent requests of a bucket (`downstream_max`), and the queue of clients that wait for one.

use crate::metrics::counter::Counter;

use crate::proxy::Engine;
use crate::proxy::bucket::Bucket;
use crate::proxy::upstream::{Admission, Caller, Client, ClientId};
use crate::sums::Count as _;

/// The answer of [`Engine::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Admit {
    /// It has a place.
    Go,
    /// It waits; its bytes stay in the input.
    Wait,
    /// It has waited too long.
    TooLate,
}

impl Bucket {
    /// Whether one more request may be sent.
    pub(super) fn has_room(&self) -> bool {
        let most = self.config.behavior.downstream_max;
        most == 0 || self.active < most && self.waiting.is_empty()
    }
}

impl Engine {
    /// Whether the client's next request may be sent: it gets a place among the bucket's concurrent requests, or
    /// the client joins the wait queue.
    #[inline]
    pub(in crate::proxy) fn admit(&mut self, caller: &Caller) -> Admit {
        let Some(client) = self.upstream.clients.must_mut(caller.client) else { return Admit::Wait };
        let bucket = &mut self.buckets[caller.bucket];
        match client.admission {
            Admission::Granted => {
                // Counted when it was granted.
                client.admission = Admission::Unasked;
                Admit::Go
            }
            Admission::Expired => {
                client.admission = Admission::Unasked;
                Admit::TooLate
            }
            Admission::Unasked if bucket.has_room() => {
                bucket.active.up();
                Admit::Go
            }
            Admission::Unasked => {
                let since = (client.unanswered == 0).then_some(self.now);
                bucket.counters.count(Counter::MaxReached);
                client.admission = Admission::Waiting { since };
                client.stopped = true;
                bucket.waiting.push_back(caller.client);
                if since.is_some() {
                    self.arm_client(caller.client);
                }
                Admit::Wait
            }
            Admission::Waiting { .. } => {
                client.stopped = true;
                Admit::Wait
            }
        }
    }

    /// The client's next request was answered without the place that had been asked for it, because what it is for has
    /// changed meanwhile: servers have gone, or nobody listens any more.
    #[cold]
    pub(super) fn withdraw(&mut self, id: ClientId) {
        let Some(client) = self.upstream.clients.must_mut(id) else { return };
        let Some(bucket) = client.bucket() else { return };
        match std::mem::replace(&mut client.admission, Admission::Unasked) {
            Admission::Granted => self.return_place(bucket),
            Admission::Waiting { .. } => self.buckets[bucket].waiting.retain(|waiting| *waiting != id),
            Admission::Expired | Admission::Unasked => {}
        }
    }

    /// A request of bucket `bucket` has been answered: its place is free.
    pub(in crate::proxy) fn return_place(&mut self, bucket: usize) {
        let places = &mut self.buckets[bucket];
        places.active = places.active.saturating_sub(1);
        self.grant_places(bucket);
    }

    /// Gives free places of bucket `bucket` to clients in its wait queue.
    pub(in crate::proxy) fn grant_places(&mut self, bucket: usize) {
        let bucket = &mut self.buckets[bucket];
        let most = bucket.config.behavior.downstream_max;
        while most == 0 || bucket.active < most {
            let Some(id) = bucket.waiting.pop_front() else {
                bucket.is_crowded = false;
                return;
            };
            // It may have gone while it waited.
            let Some(client) = self.upstream.clients.get_mut(id) else { continue };
            if let Admission::Waiting { .. } = client.admission {
                client.admission = Admission::Granted;
                bucket.active.up();
                bucket.counters.count(Counter::AssignDownstream);
                bucket.counters.count(Counter::AssignUpstream);
                if !client.is_ready {
                    client.is_ready = true;
                    self.upstream.ready.push(id);
                }
            }
        }
    }

    /// The bucket is about to be shut down: what has arrived for it is sent while it still has servers. They answer it
    /// before their connections are closed.
    pub(in crate::proxy) fn send_waiting(&mut self, index: usize) {
        let waits = |client: &Client| client.bucket() == Some(index) && client.input.is_worth_parsing();
        let ids: Vec<ClientId> =
            self.upstream.clients.iter().filter(|(_, client)| waits(client)).map(|(id, _)| id).collect();
        for id in ids {
            // It may be forgotten with the last that it has sent.
            while let Some(client) = self.upstream.clients.get_mut(id).filter(|client| waits(client)) {
                let length = client.input.len();
                if let Admission::Waiting { .. } = client.admission {
                    client.admission = Admission::Granted;
                    self.buckets[index].active.up();
                }
                client.stopped = false;
                self.pump(id);
                if self.upstream.clients.get(id).is_none_or(|client| client.input.len() == length) {
                    break;
                }
            }
            // It was left unread, and its socket may hold more.
            self.make_ready(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{self, snapshot::Config};
    use crate::proxy::Settings;
    use crate::proxy::downstream::host::HealthTable;

    /// One place, and a server that is never reached: what is sent to it fails after 100 ms. A client waits for a place for
    /// 10 ms; as long as it has not taken so many bytes, its requests are left alone.
    fn config(upstream_output_max: u32) -> Config {
        let settings = format!(
            "downstream_protocol=ascii,downstream_max=1,wait_queue_timeout=10,connect_timeout=100,downstream_retry=0,\
             connect_max_errors=0,upstream_output_max={upstream_output_max}"
        );
        let loaded = config::load("11311=server:1", Some(&settings), &|_| None).expect("a good configuration");
        (*loaded.config).clone()
    }

    struct Bench {
        engine: Engine,
        now: u64,
    }

    impl Bench {
        fn new(config: &Config) -> Bench {
            let settings = Settings { requests_per_turn: 20, binding: None };
            Bench { engine: Engine::new(config, &HealthTable::default(), settings), now: 0 }
        }

        fn client(&mut self, requests: &[u8]) -> ClientId {
            let id = self.engine.add_client(0).expect("a client");
            self.sends(id, requests);
            id
        }

        fn sends(&mut self, id: ClientId, requests: &[u8]) {
            self.engine.client_space(id).expect("room")[..requests.len()].copy_from_slice(requests);
            self.engine.client_filled(id, requests.len());
            self.turn_after(0);
        }

        fn turn_after(&mut self, ms: u64) {
            self.now += ms * 1000;
            self.engine.set_time(self.now);
            self.engine.turn(&mut Vec::new());
        }

        fn serve(&mut self, config: &Config) {
            self.engine.reconfigure(config, &HealthTable::default());
            self.turn_after(0);
        }

        /// What is there for a client, which it takes.
        fn takes(&mut self, id: ClientId) -> String {
            let (output, end) = self.engine.client_output(id).expect("the client");
            let text = String::from_utf8_lossy(output.contiguous(end).expect("one piece")).into_owned();
            self.engine.client_sent(id, text.len());
            self.turn_after(0);
            text
        }

        /// The next request of a client comes while there are no servers.
        fn takes_without_servers(&mut self, id: ClientId, first: &str) {
            let mut without = config(1);
            without.buckets[0] = Arc::new(without.buckets[0].shut_down());
            self.serve(&without);
            assert_eq!(self.takes(id), first);
            assert_eq!(self.takes(id), "SERVER_ERROR proxy out of downstreams\r\n");
            self.serve(&config(1));
        }

        fn admission(&self, id: ClientId) -> Admission {
            self.engine.upstream.clients.get(id).expect("a client").admission
        }
    }

    #[test]
    fn a_place_that_is_not_needed_any_more_is_free_for_others() {
        let mut bench = Bench::new(&config(1));
        let first = bench.client(b"set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\n");
        bench.turn_after(100);
        assert_eq!(bench.admission(first), Admission::Granted, "for when it has taken its answer");
        bench.takes_without_servers(first, "SERVER_ERROR proxy write to downstream server\r\n");
        let second = bench.client(b"set c 0 0 1\r\n3\r\n");
        assert_eq!(bench.admission(second), Admission::Unasked, "it has got the place");
    }

    #[test]
    fn who_waited_too_long_for_what_was_answered_otherwise_asks_anew() {
        let mut bench = Bench::new(&config(1000));
        bench.client(b"set a 0 0 1\r\n1\r\n");
        let late = bench.client(b"what\r\nset b 0 0 1\r\n2\r\n");
        bench.serve(&config(1));
        bench.turn_after(10);
        assert_eq!(bench.admission(late), Admission::Expired, "it will be told so when it has taken its answer");
        bench.takes_without_servers(late, "ERROR\r\n");
        bench.sends(late, b"set c 0 0 1\r\n3\r\n");
        assert_eq!(bench.takes(late), "");
    }
}
