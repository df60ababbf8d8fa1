//! The end of a request: its reply is written, counted, and passed on. What is needed for that is looked up once, whatever
//! has to be done with it.

use crate::buffer::{Output, Spare};
use crate::proxy::Engine;
use crate::proxy::bucket::Bucket;
use crate::proxy::downstream::connection::Unfit;
use crate::proxy::downstream::links::Taken;
use crate::proxy::downstream::{Conn, ConnId};
use crate::proxy::request::caching::Caching;
use crate::proxy::request::{Request, RequestId, Requests, Work};
use crate::proxy::slow::NoteId;
use crate::proxy::tallying::Got;
use crate::proxy::timers::Micros;
use crate::proxy::upstream::{Admission, Client, ClientId};

/// A value that a reply has with it.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Hit<'a> {
    /// How long it is.
    pub(in crate::proxy) length: usize,
    /// Key, flags and value, if a server has just given it: for the front cache, if that covers the key.
    pub(in crate::proxy) fresh: Option<(&'a [u8], u32, &'a [u8])>,
}

impl<'a> Hit<'a> {
    /// A value that a server has given.
    #[inline]
    pub(in crate::proxy) fn fresh(key: &'a [u8], flags: u32, data: &'a [u8]) -> Hit<'a> {
        Hit { length: data.len(), fresh: Some((key, flags, data)) }
    }

    /// One of this length, with which nothing else is to be done.
    pub(in crate::proxy) fn of(length: usize) -> Hit<'a> {
        Hit { length, fresh: None }
    }
}

/// Whose reply is at hand.
enum Whose<F> {
    /// This request's.
    Request(RequestId),
    /// That of the request of which an entry on this connection is the only one.
    Entry(ConnId, F),
}

impl Bucket {
    /// A request has ended: counts that. Tells whether others may wait for the place that it has held.
    #[inline]
    fn note_end(&mut self, request: &Request, now: Micros) -> bool {
        if self.front.is_some() {
            self.settle_changes(&request.caching);
        }
        if !request.has_place() {
            self.count_got(Got::of(request));
            return false;
        }
        if request.refusals() > 0 {
            self.count_retried(now.saturating_sub(request.since));
        }
        self.active = self.active.saturating_sub(1);
        self.is_crowded || !self.waiting.is_empty()
    }
}

impl Client {
    /// This request of it is done: passes on what is complete. `says`: it is answered, with something that leaves nothing but
    /// what is in the output, or not. Tells whether the client has just come to be one that is to be flushed.
    #[inline(always)] // into what ends each request
    fn pass(&mut self, id: RequestId, says: Option<bool>, flight: &mut Requests, spare: &mut Spare<Vec<u8>>) -> bool {
        let Some(is_plain) = says else {
            self.forget_quiet(&mut flight.requests);
            return false;
        };
        if !self.order.is_front(id) {
            return false;
        }
        match is_plain && self.owes_one() {
            true => self.pass_one(&mut flight.requests),
            false => self.pass_on(&mut flight.requests, spare, &mut flight.works),
        }
        !self.is_deaf && !std::mem::replace(&mut self.is_dirty, true)
    }
}

impl Requests {
    /// The request, unless it is done.
    #[inline]
    fn unfinished(&mut self, id: RequestId) -> Option<Taken<'_>> {
        let Requests { requests, notes, .. } = self;
        let request = requests.must_mut(id).filter(|request| !request.is_done)?;
        Some(Taken { id, request, was_queued: false, notes })
    }
}

impl Engine {
    /// Has the reply of this request written, or what is missing of it, unless nobody wants it, and passes on whatever may
    /// be sent now.
    #[inline]
    pub(in crate::proxy) fn reply(
        &mut self,
        id: RequestId,
        hit: Option<Hit<'_>>,
        write: impl FnOnce(&mut Output, &Work),
    ) {
        let whose: Whose<fn(&mut Conn) -> Option<usize>> = Whose::Request(id);
        // Only entries are looked for.
        let _ = self.end(whose, hit, write);
    }

    /// The same for the request of an entry on this connection, of which `find` gives the index, and which is answered with
    /// that. Nothing is written if nobody waits for it.
    ///
    /// # Errors
    /// When there is no such entry.
    #[inline(always)] // as `end`
    pub(in crate::proxy) fn answer_entry(
        &mut self,
        conn: ConnId,
        find: impl FnOnce(&mut Conn) -> Option<usize>,
        hit: Option<Hit<'_>>,
        write: impl FnOnce(&mut Output, &Work),
    ) -> Result<(), Unfit> {
        self.end(Whose::Entry(conn, find), hit, write)
    }

    #[inline(always)] // it is all that each of the two does
    fn end(
        &mut self,
        whose: Whose<impl FnOnce(&mut Conn) -> Option<usize>>,
        hit: Option<Hit<'_>>,
        write: impl FnOnce(&mut Output, &Work),
    ) -> Result<(), Unfit> {
        let now = self.now;
        let (taken, conn) = match whose {
            Whose::Request(id) => (self.flight.unfinished(id), None),
            Whose::Entry(conn, find) => (self.downstream.take_entry(conn, find, &mut self.flight, now)?, Some(conn)),
        };
        let Some(Taken { id, request, was_queued, notes }) = taken else { return Ok(()) };
        let (client_id, bucket_id, answered, note) = (request.client, request.bucket, request.answered, request.note);
        let bucket = &mut self.buckets[bucket_id];
        let mut client = self.upstream.clients.must_mut(client_id);
        if let Some(conn) = conn {
            bucket.count_released(was_queued);
            if let Some(client) = client.as_deref_mut() {
                client.unstick(conn);
            }
        }
        if let Some(Hit { length, fresh }) = hit {
            request.note_hit(length, 1);
            if let (Some((key, flags, data)), Some(front), Caching::Keep(asked)) =
                (fresh, &bucket.front, &request.caching)
            {
                front.keep(*asked, key, flags, data, now);
            }
        }
        if let Some(client) = client.as_deref_mut()
            && let Some((out, work)) = client.sink(request, id, &mut self.spare)
        {
            write(out, work);
        }
        request.finish();
        let is_awaited = bucket.note_end(request, now);
        if note != NoteId::NONE {
            bucket.settle_note(request, notes, now);
        }
        if request.has_place() && !self.alike.add(request, now) {
            self.alike.begin(request, now, &self.buckets, &self.downstream);
        }
        let (sequence, is_plain) = (request.sequence, request.leaves_nothing());
        if let Some(client) = client {
            client.note_answered(now);
            self.flight.is_refused_due |= !client.refused.is_empty();
            let says = answered.says_anything().then_some(is_plain);
            if client.pass(id, says, &mut self.flight, &mut self.spare) {
                self.upstream.dirty.push(client_id);
            }
            if client.has_more() {
                self.go_on(client_id, sequence);
            } else if client.is_settled() {
                // If there is nothing to send, nobody else looks at a client that waits to be closed.
                self.settle_client(client_id);
            }
        }
        if is_awaited {
            self.grant_places(bucket_id);
        }
        if note != NoteId::NONE {
            self.tell_end(note);
        }
        Ok(())
    }

    /// The request with this number was answered, and its client has others, or waits.
    fn go_on(&mut self, id: ClientId, sequence: u64) {
        let Some(client) = self.upstream.clients.must_mut(id) else { return };
        if client.unanswered > 0 {
            let next = self.oldest(id).and_then(|oldest| self.flight.requests.must(oldest));
            let was_oldest = next.is_some_and(|next| next.sequence > sequence);
            if was_oldest && let Some(client) = self.upstream.clients.must_mut(id) {
                client.oldest_since = self.now;
                self.arm_client(id);
            }
        } else if let Admission::Waiting { since: since @ None } = &mut client.admission {
            *since = Some(self.now);
            self.arm_client(id);
        }
        let Some(client) = self.upstream.clients.must(id) else { return };
        if client.stopped && !matches!(client.admission, Admission::Waiting { .. }) {
            self.make_ready(id);
        }
        self.settle_client(id);
    }
}
