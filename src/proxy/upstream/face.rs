//! What the event loop calls for a client. It may ask for one that the engine has forgotten: it learns of that when it looks
//! at the actions. What it tells of bytes is of those that are there: their bytes lie in the client's own buffers.

use crate::buffer::Output;
use crate::metrics::counter::Counter;
use crate::proxy::Engine;

use super::{Client, ClientId, Phase, Service, Upstream};

impl Engine {
    /// A client has connected to bucket `bucket`. `None`: it is to be turned away.
    pub fn add_client(&mut self, bucket: usize) -> Option<ClientId> {
        let counters = &self.buckets.find(bucket)?.counters;
        counters.count(Counter::Upstreams);
        counters.count(Counter::TotUpstream);
        let id = self
            .upstream
            .clients
            .insert(Client { active_at: self.now, ..Client::new(Service::Bucket(bucket), self.settings.binding) });
        self.arm_idle(id);
        Some(id)
    }

    /// Where the client's next bytes are to be read to; `None` while it is not to be read from.
    pub fn client_space(&mut self, id: ClientId) -> Option<&mut [u8]> {
        let Upstream { clients, reading, buffers, .. } = &mut self.upstream;
        let client = clients.get_mut(id)?;
        if client.stopped || client.is_ready || client.phase != Phase::Open {
            return None;
        }
        let input = if client.input.is_empty() { reading } else { &mut client.input };
        Some(input.space(buffers))
    }

    /// `count` bytes were read into [`Engine::client_space`]. Tells whether what the client has sent ends inside a request.
    pub fn client_filled(&mut self, id: ClientId, count: usize) -> bool {
        let Upstream { clients, reading, .. } = &mut self.upstream;
        let Some(client) = clients.must_mut(id) else { return false };
        let is_new = client.input.is_empty();
        if is_new { reading } else { &mut client.input }.filled(count);
        if count > 0 {
            client.active_at = self.now;
        }
        if client.bucket().is_some() {
            self.traffic.count_read(count);
        }
        if !is_new {
            return self.pump(id);
        }
        if self.join_get(id) {
            self.upstream.reading.clear();
            return false;
        }
        let mut input = std::mem::take(&mut self.upstream.reading);
        self.pump_input(id, &mut input)
    }

    /// The next client that has something to be sent, with up to where.
    pub fn next_dirty_client(&mut self) -> Option<ClientId> {
        // Some have gone since they were put on the list.
        while let Some(id) = self.upstream.dirty.pop() {
            if let Some(client) = self.upstream.clients.get_mut(id) {
                client.is_dirty = false;
                return Some(id);
            }
        }
        None
    }

    /// The client's output, and the position up to which it may be sent.
    pub fn client_output(&self, id: ClientId) -> Option<(&Output, u64)> {
        self.upstream.clients.get(id).map(|client| (&client.output, client.committed))
    }

    /// The client's socket took `count` bytes. Tells whether there is more for it.
    pub fn client_sent(&mut self, id: ClientId, count: usize) -> bool {
        let Some(client) = self.upstream.clients.must_mut(id) else { return false };
        client.active_at = self.now;
        client.output.advance(count);
        let has_more = client.output.sent() < client.committed;
        client.output.release_sent();
        if client.bucket().is_some() {
            self.traffic.count_written(count);
        }
        let owes_nothing = client.order.is_empty();
        if owes_nothing && !client.stopped && client.phase == Phase::Open {
            client.output.rest(&mut self.spare);
            return has_more;
        }
        if client.stopped {
            self.make_ready(id);
        }
        if !owes_nothing {
            self.resume_dump(id);
        }
        self.settle_client(id);
        has_more
    }

    /// How many clients are connected.
    pub fn client_count(&self) -> usize {
        self.upstream.clients.len()
    }

    /// Puts the client on the list of those to look at again, if it is still there: who remembers it for that need not look.
    pub(in crate::proxy) fn make_ready(&mut self, id: ClientId) {
        if let Some(client) = self.upstream.clients.get_mut(id)
            && !client.is_ready
        {
            client.is_ready = true;
            self.upstream.ready.push(id);
        }
    }

    /// Puts the client on the list of those to flush.
    pub(in crate::proxy) fn mark_client(&mut self, id: ClientId) {
        if let Some(client) = self.upstream.clients.must_mut(id)
            && !client.is_dirty
        {
            client.is_dirty = true;
            self.upstream.dirty.push(id);
        }
    }
}
