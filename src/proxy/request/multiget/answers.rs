//! What servers answer to the parts of a get of several keys, and what the client is told.

use crate::buffer::{Input, Output, Value};
use crate::metrics::counter::Counter;
use crate::protocol::ascii::answer;
use crate::protocol::ascii::reply::block_of;
use crate::protocol::binary::packet::Packet;
use crate::proxy::Engine;
use crate::proxy::downstream::ConnId;
use crate::proxy::request::error::Failure;
use crate::proxy::request::value_bytes;
use crate::proxy::request::{RequestId, Work};
use crate::sums::sum;

use super::{Key, MultiGet, Part};

/// What a value is recognised by.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) enum Named<'a> {
    /// An ASCII server repeats the key.
    Key(&'a [u8]),
    /// A binary server repeats the opaque, and usually the key.
    Opaque(u32, &'a [u8]),
}

impl MultiGet {
    /// The key of this part whose value comes next, if that has not come, and it was named once.
    #[inline]
    fn next_key(&mut self, part: u32) -> Option<(&mut Part, &mut Key, &[u8], &mut Output)> {
        let MultiGet { parts, keys, line, values, .. } = self;
        let part = parts.get_mut(part as usize)?;
        let index = *part.keys.get(part.cursor)?;
        let key = keys.get_mut(index as usize).filter(|key| !key.has_value && key.times == 1 && key.asked.is_none())?;
        let text = line.get(key.range())?;
        Some((part, key, text, values))
    }
}

impl Engine {
    /// Takes the values at the beginning of `input` that are for the next keys of this part, as long as nothing else has to be
    /// done with them than to keep them until all have come.
    pub(in crate::proxy) fn take_part(&mut self, id: RequestId, part: u32, input: &mut Input) {
        // It may have been given up.
        let Some(request) = self.flight.requests.get_mut(id).filter(|request| !request.is_done) else { return };
        let Work::MultiGet(multiget) = &mut request.work else { return };
        if !multiget.is_ordered || self.buckets[request.bucket].watch.is_some() {
            return;
        }
        let (mut hits, mut bytes) = (0u32, 0u64);
        while let Some((part, key, text, values)) = multiget.next_key(part) {
            let all = input.value();
            let Some((length, data)) = block_of(&all, text) else { break };
            let Some(raw) = all.get(..length) else { break };
            let start = values.end();
            values.push(all.with(raw));
            key.value = start..values.end();
            key.has_value = true;
            part.cursor = sum([part.cursor, 1]);
            hits = hits.saturating_add(1);
            bytes = bytes.saturating_add(value_bytes(data, 1));
            input.consume(length);
        }
        request.note_hits(hits, bytes);
    }

    /// A value has come from a server. `write` appends the whole block. `false` if no such key was
    /// asked for.
    pub(in crate::proxy) fn multiget_value(
        &mut self,
        id: RequestId,
        part: u32,
        named: Named<'_>,
        (flags, data): (u32, Value<'_>),
        mut write: impl FnMut(&mut Output, bool, &[u8]),
    ) -> bool {
        // It may have been given up.
        let Some(request) = self.flight.requests.get_mut(id).filter(|request| !request.is_done) else { return true };
        let Work::MultiGet(multiget) = &mut request.work else { return false };
        let found = match named {
            Named::Key(key) => multiget.find(part, |multiget, index| multiget.key(index) == key),
            Named::Opaque(at, name) => multiget.find(part, |multiget, index| {
                let is_it = multiget.keys.get(index as usize).is_some_and(|key| key.at == at);
                is_it && (name.is_empty() || multiget.key(index) == name)
            }),
        };
        let Some(index) = found else { return false };
        let (cas, asked_for) = (multiget.cas, multiget.entry(index));
        let (times, asked) = (asked_for.times, asked_for.asked);
        let bucket = &self.buckets[request.bucket];
        if let Some(asked) = asked
            && let Some(front) = &bucket.front
        {
            front.keep(asked, multiget.key(index), flags, &data, self.now);
        }
        if let Some(watch) = &bucket.watch {
            watch.count_hit(multiget.key(index), data.len(), times);
        }
        if times > 1 {
            bucket.counters.add(Counter::MultigetBytesDedupe, value_bytes(data.len(), times.saturating_sub(1)));
        }
        if multiget.is_ordered {
            multiget.put(index, |out, key| write(out, cas, key));
            request.note_hit(data.len(), times);
            return true;
        }
        request.note_hit(data.len(), times);
        let Some(client) = self.upstream.clients.must_mut(request.client) else { return true };
        if let Some((sink, Work::MultiGet(multiget))) = client.sink(request, id, &mut self.spare) {
            write(sink, cas, multiget.key(index));
        }
        self.commit_part(id);
        true
    }

    /// A server has refused a key as "not my vbucket": it is asked for elsewhere when all have answered.
    pub(in crate::proxy) fn multiget_refused(&mut self, conn: ConnId, id: RequestId, packet: &Packet<'_>) {
        let Some(host) = self.downstream.conns.must(conn).map(|conn| conn.host()) else { return };
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        let is_first = request.refused == 0;
        let Work::MultiGet(multiget) = &mut request.work else { return };
        let Some(key) = multiget.keys.iter_mut().find(|key| key.at == packet.header.opaque) else { return };
        key.is_refused = true;
        multiget.is_ordered = true;
        let vbucket = key.vbucket;
        self.learn_of(id, vbucket, host, &packet.value);
        if is_first {
            self.send_keys_again(id);
        }
    }

    /// Asks other servers for the keys that were refused, unless the request has failed anyway.
    pub(in crate::proxy) fn send_refused_keys(&mut self, id: RequestId) {
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        if request.failure.is_some_and(Failure::is_overdue) {
            return self.part_done(id);
        }
        let bucket = request.bucket;
        let Work::MultiGet(multiget) = &mut request.work else { return };
        let mut multiget = std::mem::take(&mut **multiget);
        let first_new = multiget.used;
        for index in 0..multiget.keys.len() {
            if !multiget.keys.get_mut(index).is_some_and(|key| std::mem::take(&mut key.is_refused)) {
                continue;
            }
            if let (Some(host), _) = self.route(bucket, multiget.key(index as u32)) {
                // A part of its own: the old ones have been answered.
                match multiget.parts.iter_mut().take(multiget.used).skip(first_new).find(|part| part.host == host) {
                    Some(part) => part.keys.push(index as u32),
                    None => multiget.push_part(host).keys.push(index as u32),
                }
            }
        }
        let (from, to) = (first_new as u32, multiget.used as u32);
        if let Some(Work::MultiGet(place)) = self.flight.requests.must_mut(id).map(|request| &mut request.work) {
            **place = multiget;
        }
        for part in from..to {
            self.send_part(id, part, 0);
        }
        self.part_done(id);
    }

    /// All servers have answered, or failed: the values in order, then the end.
    pub(in crate::proxy) fn finish_multiget(&mut self, id: RequestId) {
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        let (bucket, failure) = (request.bucket, request.failure);
        let Work::MultiGet(multiget) = &mut request.work else { return };
        let multiget = std::mem::take(&mut **multiget);
        let is_error = self.buckets[bucket].config.get_errors
            && match failure {
                None | Some(Failure::Closed) => false,
                Some(Failure::Connect | Failure::NoServer) => multiget.keys.iter().all(|key| !key.has_value),
                Some(_) => true,
            };
        if let Some(sink) = self.sink(id) {
            if multiget.is_ordered {
                for key in &multiget.keys {
                    if let Some(first) = multiget.keys.get(key.first as usize) {
                        sink.copy_from(&multiget.values, first.value.clone());
                    }
                }
            }
            match failure.filter(|_| is_error) {
                Some(failure) => failure.write_ascii(sink.tail(), None),
                None => sink.tail().extend_from_slice(answer::END),
            }
        }
        if let Some(Work::MultiGet(place)) = self.flight.requests.must_mut(id).map(|request| &mut request.work) {
            **place = multiget;
        }
        self.complete(id);
    }
}
