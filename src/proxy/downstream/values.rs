//! The values that a server gives for the gets of a turn, as many of them as have come together. It is to answers what
//! [`Engine::join_get`] is to requests: what is usual is carried out where it was read, and nothing is looked up twice. Whatever
//! is not usual is left to the way that all replies can go.

use crate::buffer::{Input, Output, Value};
use crate::protocol::Protocol;
use crate::protocol::ascii::answer;
use crate::protocol::ascii::reply::block_of;
use crate::protocol::binary::opcode;
use crate::protocol::binary::packet::{Packet, Parsed, parse_reply};
use crate::protocol::binary::said;
use crate::proxy::Engine;
use crate::proxy::request::{RequestId, Work};
use crate::proxy::slow::NoteId;
use crate::sums::{behind, sum};

use super::{Conn, ConnId, Entry, Expect};

/// A get whose answer comes next.
struct Next<'a> {
    entry: &'a Entry,
    /// What it has asked for.
    key: &'a [u8],
    /// Others were joined with it.
    is_joined: bool,
}

impl Next<'_> {
    /// If `all` begins with its value, as a server of lines gives it: how long that is in all, how long the value itself, and
    /// what the client is given.
    #[inline(always)] // into the loop
    fn block<'v>(&self, work: &Work, all: Value<'v>) -> Option<(usize, usize, Value<'v>)> {
        matches!(work, Work::Get { .. }).then_some(())?; // else it is told in other words
        let (length, bytes) = block_of(all.bytes, self.key)?;
        Some((length, bytes, all.with(all.bytes.get(..length)?)))
    }

    /// The same of a server of packets.
    #[inline(always)] // as above
    fn packet<'v>(&self, all: Value<'v>) -> Option<(usize, usize, Packet<'v>)> {
        let Parsed::Packet { packet, len } = parse_reply(all) else { return None };
        let is_it = self.is_joined
            && packet.header.opcode == opcode::GETKQ
            && packet.header.opaque == self.entry.opaque
            && packet.key == self.key
            && said::is_value(&packet);
        is_it.then_some((len, packet.value.len(), packet))
    }
}

impl Conn {
    /// The get at the head that is answered next, if its value has not come.
    #[inline]
    fn next_get(&self) -> Option<Next<'_>> {
        let entry = self.fifo.get(self.cursor)?;
        match entry.expect {
            Expect::Get { key_at, key_len, answered: false, .. } => {
                let key = self.output.slice(key_at..behind(key_at, key_len.into()))?;
                Some(Next { entry, key, is_joined: self.fifo.head_len() > 1 })
            }
            _ => None,
        }
    }

    /// That entry is answered.
    #[inline]
    fn note_get(&mut self) {
        if let Some(Entry { request, expect: Expect::Get { answered, .. }, .. }) = self.fifo.get_mut(self.cursor) {
            (*request, *answered) = (RequestId::NONE, true);
        }
        self.wanted = self.wanted.saturating_sub(1);
        self.cursor = sum([self.cursor, 1]);
    }
}

impl Engine {
    /// Takes the values at the beginning of `input` that are for those who have asked next on this connection, whose oldest
    /// get was sent, as long as nothing else has to be done with them.
    #[inline]
    pub(super) fn take_values(&mut self, id: ConnId, speak: Protocol, input: &mut Input) {
        match speak {
            Protocol::Ascii => {
                let write = |out: &mut Output, _: &Work, raw: Value<'_>| answer::last_block(out, raw);
                while let Some(length) = self.take_value(id, input, |next, work, all| next.block(work, all), write) {
                    input.consume(length);
                }
            }
            Protocol::Binary => {
                let write = |out: &mut Output, work: &Work, packet: Packet<'_>| {
                    work.answer(out, || said::value(&packet, packet.key));
                };
                while let Some(length) = self.take_value(id, input, |next, _, all| next.packet(all), write) {
                    input.consume(length);
                }
            }
        }
    }

    #[inline(always)] // it is all that `take_values` does
    fn take_value<'v, T>(
        &mut self,
        id: ConnId,
        input: &'v Input,
        find: impl FnOnce(&Next<'_>, &Work, Value<'v>) -> Option<(usize, usize, T)>,
        write: impl FnOnce(&mut Output, &Work, T),
    ) -> Option<usize> {
        let all = input.value();
        let conn = self.downstream.conns.must_mut(id)?;
        let next = conn.next_get()?;
        let (request_id, end, was_queued) = (next.entry.request, next.entry.end, next.entry.is_queued);
        // Others have been given up.
        let request = self.flight.requests.get_mut(request_id).filter(|request| request.is_plain_get())?;
        let (length, bytes, found) = find(&next, &request.work, all)?;
        let client_id = request.client;
        let client = self.upstream.clients.must_mut(client_id).filter(|client| client.awaits_only(request_id))?;
        let bucket = &mut self.buckets[request.bucket];
        bucket.is_uncrowded().then_some(())?;
        // Nothing is in the way.
        conn.note_get();
        request.answered_on(id, conn.writes.at(end), was_queued);
        request.note_hit(bytes, 1);
        request.finish();
        bucket.count_released(was_queued);
        bucket.active = bucket.active.saturating_sub(1);
        client.unstick(id);
        let is_new = client.give_only(self.now, &mut self.spare, |out| write(out, &request.work, found));
        let note = request.note;
        if note != NoteId::NONE {
            self.flight.notes.answered_by(note, conn.host);
            bucket.settle_note(request, &mut self.flight.notes, self.now);
        }
        if !self.alike.add(request, self.now) {
            self.alike.begin(request, self.now, &self.buckets, &self.downstream);
        }
        if matches!(request.work, Work::Meta(_)) {
            self.flight.works.take_back(request);
        }
        self.flight.requests.discard(request_id);
        if is_new {
            self.upstream.flush_later(client_id);
        }
        if note != NoteId::NONE {
            self.tell_end(note);
        }
        Some(length)
    }
}
