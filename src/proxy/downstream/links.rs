//! What ties a connection's expected replies to their requests, and how that is undone.

use crate::metrics::counter::Counter;

use crate::proxy::Engine;
use crate::proxy::bucket::Bucket;
use crate::proxy::request::{Request, RequestId, Requests};
use crate::proxy::slow::{NoteId, Notes};
use crate::proxy::timers::Micros;

use super::connection::Unfit;
use super::{Conn, ConnId, Downstream};

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
        let taken = self.downstream.take_entry(conn_id, |_| Some(index), &mut self.flight, self.now);
        let Taken { id, request, was_queued, .. } = taken.ok()??;
        self.buckets[request.bucket].count_released(was_queued);
        if let Some(client) = self.upstream.clients.must_mut(request.client) {
            client.unstick(conn_id);
        }
        Some(id)
    }
}

impl Bucket {
    /// A request waits for one answer less; it was behind others, or not.
    #[inline]
    pub(in crate::proxy) fn count_released(&self, was_queued: bool) {
        self.counters.count(Counter::ConnReleased);
        if was_queued {
            self.counters.count(Counter::ConnQueueRemove);
        }
    }
}

/// What an entry was taken from.
pub(in crate::proxy) struct Taken<'a> {
    pub(in crate::proxy) id: RequestId,
    pub(in crate::proxy) request: &'a mut Request,
    /// It was behind others.
    pub(in crate::proxy) was_queued: bool,
    /// What is remembered of requests.
    pub(in crate::proxy) notes: &'a mut Notes,
}

impl Downstream {
    /// Takes an entry of the connection's expected replies, of which `find` gives the index, from its request: all of
    /// [`Engine::unlink`] that does not need the request's client and bucket.
    ///
    /// # Errors
    /// When there is no such entry.
    #[inline(always)] // it is done for each answer
    pub(in crate::proxy) fn take_entry<'a>(
        &mut self,
        conn_id: ConnId,
        find: impl FnOnce(&mut Conn) -> Option<usize>,
        flight: &'a mut Requests,
        now: Micros,
    ) -> Result<Option<Taken<'a>>, Unfit> {
        let Some(conn) = self.conns.must_mut(conn_id) else { return Ok(None) };
        let index = find(conn).ok_or(Unfit)?;
        let entry = conn.fifo.get_mut(index).ok_or(Unfit)?;
        let id = std::mem::replace(&mut entry.request, RequestId::NONE);
        // Questions of our own are no request; others have been given up, or are answered.
        let Requests { requests, notes, is_refused_due, .. } = flight;
        let Some(request) = requests.get_mut(id).filter(|request| !request.is_done) else { return Ok(None) };
        conn.wanted = conn.wanted.saturating_sub(1);
        // It stays marked: what was joined with it looks there when all of them come to the head.
        let was_queued = entry.is_queued;
        *is_refused_due |= request.answered_on(conn_id, conn.writes.at(entry.end), was_queued);
        if request.note != NoteId::NONE {
            notes.answered_by(request.note, conn.host);
        }
        if !request.is_single() {
            request.note_part(&conn.tally, &entry.expect, now);
        }
        Ok(Some(Taken { id, request, was_queued, notes }))
    }
}
