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
