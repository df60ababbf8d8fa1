//! What ties a connection's expected replies to their requests, and how that is undone.

use crate::metrics::counter::Counter;

use crate::proxy::Engine;
use crate::proxy::request::RequestId;
use crate::proxy::slow::NoteId;

use super::ConnId;

impl Engine {
    /// Nobody waits any more for the answers of this connection to the request.
    pub(in crate::proxy) fn release_links(&mut self, conn_id: ConnId, id: RequestId) {
        // It may be finished in between, with a list that nobody wants.
        while let Some(request) = self.flight.requests.get_mut(id).filter(|request| request.links().contains(conn_id)) {
            let (client, bucket, queued) = (request.client, request.bucket, request.forget_conn(conn_id));
            let counters = &self.buckets[bucket].counters;
            counters.add(Counter::ConnQueueRemove, u64::from(queued));
            counters.count(Counter::ConnReleased);
            if let Some(client) = self.upstream.clients.must_mut(client) {
                client.unstick(conn_id);
            }
            if let Some(conn) = self.downstream.conns.must_mut(conn_id) {
                conn.wanted = conn.wanted.saturating_sub(1);
            }
            self.drop_dump(conn_id, id);
        }
    }

    /// Takes entry `index` of the connection's expected replies from its request: the answer is there, or will not
    /// come. `None` if nobody waits for it.
    pub(in crate::proxy) fn unlink(&mut self, conn_id: ConnId, index: usize) -> Option<RequestId> {
        let conn = self.downstream.conns.must_mut(conn_id)?;
        let entry = conn.fifo.get_mut(index)?;
        let id = std::mem::replace(&mut entry.request, RequestId::NONE);
        // Questions of our own are no request; others have been given up, or are answered.
        let request = self.flight.requests.get_mut(id).filter(|request| !request.is_done)?;
        conn.wanted = conn.wanted.saturating_sub(1);
        // It stays marked: what was joined with it looks there when all of them come to the head.
        let was_queued = entry.is_queued;
        self.flight.is_refused_due |= request.answered_on(conn_id, conn.writes.at(entry.end), was_queued);
        if request.note != NoteId::NONE {
            self.flight.notes.answered_by(request.note, conn.host);
        }
        if !request.is_single() {
            request.note_part(&conn.tally, &entry.expect, self.now);
        }
        let bucket = &self.buckets[request.bucket];
        bucket.counters.count(Counter::ConnReleased);
        if was_queued {
            bucket.counters.count(Counter::ConnQueueRemove);
        }
        if let Some(client) = self.upstream.clients.must_mut(request.client) {
            client.unstick(conn_id);
        }
        Some(id)
    }
}
