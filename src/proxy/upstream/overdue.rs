//! Clients whose oldest request waits too long for its turn, or whose next one for a place (03 §7).

use crate::proxy::Engine;
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::proxy::timers::{Micros, Owner, deadline};
use crate::proxy::upstream::order::Order;
use crate::proxy::upstream::{Admission, ClientId};

impl Engine {
    /// The oldest of a client's unanswered requests.
    pub(in crate::proxy) fn oldest(&self, id: ClientId) -> Option<RequestId> {
        let client = self.upstream.clients.must(id)?;
        let first = |queue: &Order| {
            // Those that are just being forgotten are still in the list.
            let mut waiting = queue.iter().filter_map(|id| Some((self.flight.requests.get(id)?, id)));
            waiting.find(|(request, _)| !request.is_done).map(|(request, id)| (request.sequence, id))
        };
        first(&client.order).into_iter().chain(first(&client.quiet)).min().map(|(_, id)| id)
    }

    /// Until when the client's oldest request may go on waiting for its turn, or its next one for what servers know.
    pub(in crate::proxy) fn client_deadline(&self, id: ClientId) -> Option<Micros> {
        [self.turn_deadline(id), self.dialect_deadline(id)].into_iter().flatten().min()
    }

    /// A question may stand behind the requests of others for as long as a request may, and take as long as one in all, however
    /// often the server for the request at hand becomes another one meanwhile.
    fn dialect_deadline(&self, id: ClientId) -> Option<Micros> {
        let client = self.upstream.clients.get(id)?;
        let since = client.asks_since?;
        let behavior = &self.buckets[client.bucket()?].config.behavior;
        let queue = behavior.downstream_conn_queue_timeout;
        let others = [behavior.connect_timeout, behavior.auth_timeout, behavior.downstream_timeout];
        match client.asks_long {
            false => deadline(since, queue),
            true if others.contains(&0) => None,
            true => deadline(since, others.into_iter().fold(queue, u32::saturating_add)),
        }
    }

    fn turn_deadline(&self, id: ClientId) -> Option<Micros> {
        // With its last request a client that has gone is forgotten.
        let client = self.upstream.clients.get(id)?;
        // Clients of the built-in server wait for nobody.
        let behavior = &self.buckets[client.bucket()?].config.behavior;
        if let Some(request) = self.oldest(id).and_then(|oldest| self.flight.requests.must(oldest)) {
            let since = client.oldest_since.max(request.queued_since()?);
            return deadline(since, behavior.downstream_conn_queue_timeout);
        }
        match client.admission {
            Admission::Waiting { since: Some(since) } => deadline(since, behavior.wait_queue_timeout),
            _ => None,
        }
    }

    /// A deadline of a client has come.
    pub(in crate::proxy) fn expire_client(&mut self, id: ClientId, at: Micros) {
        let client = self.upstream.clients.get_mut(id).filter(|client| client.timer == Some(at));
        if let Some(client) = client {
            client.timer = None;
            self.fail_overdue(id);
        }
    }

    fn fail_overdue(&mut self, id: ClientId) {
        while let Some(at) = self.client_deadline(id) {
            if at > self.now {
                return self.arm_client(id);
            }
            if self.dialect_deadline(id) == Some(at) {
                let Some(client) = self.upstream.clients.must_mut(id) else { return };
                let is_last = std::mem::replace(&mut client.asks_long, true);
                client.asks_since = client.asks_since.filter(|_| !is_last);
                self.go_on_unasked(id, is_last);
                continue;
            }
            match self.oldest(id) {
                Some(request) => {
                    self.tell_of_conn_queue(request);
                    self.fail(request, Failure::ConnQueue);
                }
                None => {
                    self.tell_of_wait_queue(id);
                    if let Some(client) = self.upstream.clients.must_mut(id) {
                        client.admission = Admission::Expired;
                    }
                    return self.make_ready(id);
                }
            }
        }
    }

    /// Makes sure that the client is looked at when its oldest request, or its place in the wait queue, is overdue.
    pub(in crate::proxy) fn arm_client(&mut self, id: ClientId) {
        if let Some(at) = self.client_deadline(id) {
            self.arm_client_at(id, at);
        }
    }

    /// Makes sure that each client of a bucket is looked at when anything of it is overdue, by limits that may be new.
    pub(in crate::proxy) fn arm_clients(&mut self, bucket: usize) {
        let clients = self.upstream.clients.iter().filter(|(_, client)| client.bucket() == Some(bucket));
        for id in clients.map(|(id, _)| id).collect::<Vec<_>>() {
            self.arm_client(id);
            self.arm_idle(id);
        }
    }

    /// The same as `arm_client` when a request of the client, if not its only one, has come to be behind others.
    pub(in crate::proxy) fn arm_queued(&mut self, id: ClientId, queued_since: Micros) {
        let Some(client) = self.upstream.clients.must(id) else { return };
        if client.unanswered != 1 {
            return self.arm_client(id);
        }
        // It is the oldest one itself.
        let Some(bucket) = client.bucket() else { return };
        let limit = self.buckets[bucket].config.behavior.downstream_conn_queue_timeout;
        if let Some(at) = deadline(client.oldest_since.max(queued_since), limit)
            && client.timer.is_none_or(|armed| at < armed)
        {
            self.arm_client_at(id, at);
        }
    }

    fn arm_client_at(&mut self, id: ClientId, at: Micros) {
        let Some(client) = self.upstream.clients.must_mut(id) else { return };
        if client.timer.is_none_or(|armed| at < armed) {
            client.timer = Some(at);
            self.timers.add(at, Owner::Client(id));
        }
    }
}
