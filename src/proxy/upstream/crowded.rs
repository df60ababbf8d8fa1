//! Queues in which requests wait too long: told in the log once for each queue, until it has been empty.

use crate::proxy::Engine;
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::proxy::upstream::{Admission, ClientId};

impl Engine {
    /// The request, the oldest of its client, has waited too long behind others on a connection to its server.
    pub(in crate::proxy) fn tell_of_conn_queue(&mut self, id: RequestId) {
        let Some(request) = self.flight.requests.must(id) else { return };
        let Some(client) = self.upstream.clients.must(request.client) else { return };
        let since = client.oldest_since.max(request.queued_since().unwrap_or_default());
        let now = self.now;
        let Some((server, conns, requests)) = request.target().and_then(|host| self.downstream.note_crowded(host))
        else {
            return;
        };
        let phase = Failure::ConnQueue.phase();
        let text = format!(
            "{server}: timeout in phase {phase}, after {} ms, with {requests} requests on {conns} connections",
            now.saturating_sub(since) / 1000
        );
        self.log(1, text);
    }

    /// The client's next request has waited too long for a place among those of its bucket.
    pub(in crate::proxy) fn tell_of_wait_queue(&mut self, id: ClientId) {
        let Some(client) = self.upstream.clients.must(id) else { return };
        let (Admission::Waiting { since: Some(since) }, Some(bucket)) = (client.admission, client.bucket()) else {
            return;
        };
        let bucket = &mut self.buckets[bucket];
        if std::mem::replace(&mut bucket.is_crowded, true) {
            return;
        }
        let text = format!(
            "bucket {} on port {}: timeout in phase {}, after {} ms, with {} requests under way",
            bucket.config.name,
            bucket.config.port,
            Failure::WaitQueue.phase(),
            self.now.saturating_sub(since) / 1000,
            bucket.active
        );
        self.log(1, text);
    }
}
