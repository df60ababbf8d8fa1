//! Clients that leave, one way or another. What a client has sent in full is carried out whether or not it is still
//! there: a memcached executes what it has read, too, and a client that wants no answers need not wait for them.
//!
//! So the engine keeps a client whose connection has gone until its requests are done, those included that still
//! wait in its input. It is treated like any other, except that its replies are dropped. Only what changes nothing is
//! forgotten at once.
//!
//! The event loop may speak of a client that the engine has forgotten: it learns of that when it looks at the actions.

use crate::metrics::counter::Counter;

use crate::proxy::request::{Request, RequestId};
use crate::proxy::upstream::{Admission, ClientId, Phase};
use crate::proxy::{Action, Engine};

impl Engine {
    /// Whether nobody hears the answers to the client's requests: those that change nothing are not sent any more.
    pub(in crate::proxy) fn is_deaf(&self, id: ClientId) -> bool {
        self.upstream.clients.must(id).is_some_and(|client| client.is_deaf)
    }

    /// The client has finished sending.
    pub fn client_eof(&mut self, id: ClientId) {
        let Some(client) = self.upstream.clients.get_mut(id) else { return };
        if client.is_deaf {
            return self.client_lost(id);
        }
        if client.phase == Phase::Open {
            client.phase = Phase::HalfClosed;
        }
        client.input.rest(&mut self.upstream.buffers);
        self.note_parting(id);
        self.settle_client(id);
    }

    /// Nothing can be sent to the client any more; what it has sent before is to be read.
    pub fn client_deaf(&mut self, id: ClientId) {
        let Some(client) = self.upstream.clients.get_mut(id) else { return };
        if client.phase != Phase::Open {
            return self.client_lost(id); // all has been read
        }
        client.is_deaf = true;
        client.drop_output();
        if client.stopped {
            self.make_ready(id); // perhaps for what it had not taken
        }
    }

    /// The client has gone: nothing more comes from it, and nothing can be sent to it.
    pub fn client_lost(&mut self, id: ClientId) {
        let Some(client) = self.upstream.clients.get_mut(id).filter(|client| client.phase != Phase::Gone) else {
            return;
        };
        if client.phase == Phase::Quitting {
            client.input.consume(usize::MAX);
        }
        client.input.rest(&mut self.upstream.buffers);
        (client.phase, client.is_deaf) = (Phase::Gone, true);
        client.drop_output();
        let (bucket, is_owed) = (client.bucket(), client.unanswered > 0);
        if client.stopped {
            self.make_ready(id);
        }
        if let Some(bucket) = bucket {
            let counters = &self.buckets[bucket].counters;
            counters.drop_one(Counter::Upstreams);
            if is_owed {
                counters.count(Counter::CloseOnUpstreamClose);
            }
        }
        self.actions.push(Action::CloseClient(id));
        self.note_parting(id);
        self.forget_reads(id);
        self.settle_client(id);
    }

    /// Forgets those requests of a client that has gone which nobody else would miss.
    fn forget_reads(&mut self, id: ClientId) {
        self.forget_requests(id, |request| request.work.is_read());
        // This may have ended a connection, and with it other requests.
        self.forget_requests(id, |request| request.is_done);
        // With the last of its requests it is forgotten itself.
        let Some(client) = self.upstream.clients.get_mut(id) else { return };
        let open = client.requests().filter_map(|id| self.flight.requests.get(id));
        client.unanswered = open.filter(|request| !request.is_done).count() as u32;
        self.flight.is_refused_due |= !client.refused.is_empty();
        if client.unanswered > 0 {
            client.oldest_since = self.now;
        } else if let Admission::Waiting { since: since @ None } = &mut client.admission {
            *since = Some(self.now);
        }
        self.arm_client(id);
    }

    fn forget_requests(&mut self, id: ClientId, is_needless: impl Fn(&Request) -> bool) {
        // With the last of its requests it is forgotten itself.
        let Some(client) = self.upstream.clients.get(id) else { return };
        let is_it = |id: &RequestId| self.flight.requests.get(*id).is_some_and(&is_needless);
        let needless: Vec<RequestId> = client.requests().filter(is_it).collect();
        for request in needless {
            self.forget_request(request);
        }
        let Some(client) = self.upstream.clients.get_mut(id) else { return };
        client.order.retain(|id| self.flight.requests.contains(id));
        client.quiet.retain(|id| self.flight.requests.contains(id));
    }

    /// Closes the client if it has finished and got everything; gives back memory that it does not need.
    pub(in crate::proxy) fn settle_client(&mut self, id: ClientId) {
        // What was done for it just before may have been its end.
        let Some(client) = self.upstream.clients.get_mut(id) else { return };
        if client.is_pumped || !client.is_settled() {
            return;
        }
        client.output.rest(&mut self.spare);
        let is_over = match client.phase {
            Phase::Open => false,
            Phase::HalfClosed | Phase::Gone => !client.stopped && !client.is_ready && !client.input.is_worth_parsing(),
            Phase::Quitting => true,
        };
        if is_over && client.quiet.is_empty() {
            self.forget_client(id);
        }
    }

    /// Nothing is left to be done for the client.
    fn forget_client(&mut self, id: ClientId) {
        let Some(mut client) = self.upstream.clients.remove(id) else { return };
        if let Some(bucket) = client.bucket()
            && client.admission == Admission::Granted
        {
            self.return_place(bucket);
        }
        client.input.consume(usize::MAX);
        client.input.rest(&mut self.upstream.buffers);
        if client.phase != Phase::Gone {
            if let Some(bucket) = client.bucket() {
                self.buckets[bucket].counters.drop_one(Counter::Upstreams);
            }
            self.actions.push(Action::CloseClient(id));
        }
    }
}
