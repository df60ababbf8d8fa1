//! A get of several keys: split over the servers, merged again (04 §7).
//!
//! Every server is asked once for each key, however often the client named it. If one server has all the keys, and
//! each is named once, its values are passed on as they come; all others are put into the order of the request, a
//! repeated key's value in every place where it was named. What the front cache has comes first, unless a key is
//! repeated.

mod answers;
mod duplicates;

use std::ops::Range;

use crate::buffer::{Output, Spare};
use crate::front_cache::Value;
use crate::metrics::counter::Counter;
use crate::protocol::ascii::command as ascii;
use crate::protocol::binary::command as binary;
use crate::protocol::{Answered, Keys, Protocol};

use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::{ConnId, Entry, Expect};
use crate::proxy::request::caching::{Asked, write_value};
use crate::proxy::request::error::Failure;
use crate::proxy::request::{Links, RequestId, Work};
use crate::proxy::statistics::count_keys;
use crate::proxy::upstream::Caller;
use crate::sums::{Count as _, behind, sum};

pub(in crate::proxy) use answers::Named;
pub use duplicates::Duplicates;

/// A get of several keys in flight.
#[derive(Debug, Default)]
pub struct MultiGet {
    /// Whether the reply carries CAS ids.
    pub cas: bool,
    /// `gat`: the new expiry.
    exptime: Option<i64>,
    /// The client's command line; the keys lie in it.
    line: Vec<u8>,
    keys: Vec<Key>,
    /// The first `used` ones are in use; the others keep their memory for the next request.
    parts: Vec<Part>,
    used: usize,
    /// Memory for the links of the request.
    links: Vec<ConnId>,
    /// The values have to be put into the order of the request: they come from several servers, or one of them belongs
    /// in several places; or a key was refused, and its value will come late. (What was passed on before a key was
    /// refused stands before it.)
    is_ordered: bool,
    /// The values, while they cannot be passed on because of that.
    values: Output,
}

/// A key of the request.
#[derive(Debug)]
struct Key {
    /// Where it stands in the line; also its opaque (04 §6.1).
    at: u32,
    len: u32,
    vbucket: u16,
    /// The index of its first occurrence; its own, if this is it.
    first: u32,
    /// How often it occurs; kept at the first occurrence.
    times: u32,
    has_value: bool,
    /// A server has refused it as "not my vbucket".
    is_refused: bool,
    /// Its value may be kept in the front cache.
    asked: Option<Asked>,
    /// Where its value lies in [`MultiGet::values`].
    value: Range<u64>,
}

impl Key {
    /// Its text in the request's line.
    fn text<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.range()).unwrap_or_default()
    }

    /// Where it stands there.
    fn range(&self) -> Range<usize> {
        let start = self.at as usize;
        start..sum([start, self.len as usize])
    }
}

/// The keys that one server has.
#[derive(Debug)]
struct Part {
    host: HostId,
    keys: Vec<u32>,
    /// Where to look for the next value's key.
    cursor: usize,
}

impl MultiGet {
    /// Forgets the request and keeps its memory for the next one.
    pub(in crate::proxy) fn recycle(mut self: Box<MultiGet>, links: Links, spare: &mut Spare<Box<MultiGet>>) {
        self.links = links.into_memory();
        self.line.clear();
        self.keys.clear();
        self.used = 0;
        self.is_ordered = false;
        self.values.clear();
        spare.give(self);
    }

    fn key(&self, index: u32) -> &[u8] {
        self.keys.get(index as usize).map_or(&[], |key| key.text(&self.line))
    }

    /// The part of `host`, made if it is new.
    fn part_of(&mut self, host: HostId) -> &mut Part {
        let parts = self.parts.get(..self.used).unwrap_or_default();
        match parts.iter().position(|part| part.host == host) {
            Some(index) => self.part_mut(index),
            None => self.push_part(host),
        }
    }

    fn push_part(&mut self, host: HostId) -> &mut Part {
        match self.parts.get_mut(self.used) {
            Some(part) => {
                part.host = host;
                part.keys.clear();
            }
            None => self.parts.push(Part { host, keys: Vec::new(), cursor: 0 }),
        }
        let index = self.used;
        self.used.up();
        self.part_mut(index)
    }

    #[expect(clippy::indexing_slicing, reason = "who names a part has found or made it, and a request keeps its parts")]
    fn part_mut(&mut self, index: usize) -> &mut Part {
        &mut self.parts[index]
    }

    #[expect(clippy::indexing_slicing, reason = "who names a key has found it in the request, which keeps its keys")]
    fn entry(&self, index: u32) -> &Key {
        &self.keys[index as usize]
    }

    /// Whether it sets the expiry of what it gets.
    pub(in crate::proxy) fn touches(&self) -> bool {
        self.exptime.is_some()
    }

    /// How many keys were asked for, repeated ones included.
    pub(in crate::proxy) fn key_count(&self) -> u64 {
        self.keys.len() as u64
    }

    /// The keys that have no value, a repeated one as often as it was named.
    pub(in crate::proxy) fn missing(&self) -> impl Iterator<Item = &[u8]> {
        let is_missing = |key: &Key| self.keys.get(key.first as usize).is_some_and(|first| !first.has_value);
        self.keys.iter().filter(move |key| is_missing(key)).map(|key| self.key(key.first))
    }

    /// Keeps the value of the key with this index for its places in the reply. `write` gets the key.
    fn put(&mut self, index: u32, write: impl FnOnce(&mut Output, &[u8])) {
        let MultiGet { values, keys, line, .. } = self;
        let Some(key) = keys.get_mut(index as usize) else { return };
        let start = values.end();
        write(values, key.text(line));
        key.value = start..values.end();
    }

    /// Whether a key of `part` has no value yet.
    fn wants(&self, part: u32) -> bool {
        let keys = self.parts.get(part as usize).map_or(&[][..], |part| &part.keys);
        keys.iter().any(|index| self.keys.get(*index as usize).is_some_and(|key| !key.has_value))
    }

    /// The index of the key that a value from part `part` belongs to, if it was asked for and has none yet.
    fn find(&mut self, part: u32, is_it: impl Fn(&MultiGet, u32) -> bool) -> Option<u32> {
        let Part { keys, cursor, .. } = self.parts.get(part as usize)?;
        // Servers answer in the order of the keys; others are looked for, too.
        let (from, count) = (*cursor, keys.len());
        let is_there = |at: &usize| keys.get(*at).is_some_and(|index| is_it(self, *index));
        let at = (from..count).chain(0..from.min(count)).find(is_there)?;
        let index = *keys.get(at)?;
        self.part_mut(part as usize).cursor = sum([at, 1]);
        let key = self.keys.get_mut(index as usize)?;
        (!std::mem::replace(&mut key.has_value, true)).then_some(index)
    }
}

/// What was found when the keys of a request were sorted.
struct Sorted {
    /// What the front cache has: the value of the key with this index.
    cached: Vec<(u32, Value)>,
    /// A key is named more than once.
    has_repeated: bool,
    /// A key has no server.
    failure: Option<Failure>,
}

impl Engine {
    /// A get of several keys.
    pub(in crate::proxy) fn get_many(&mut self, caller: &Caller, keys: Keys<'_>, cas: bool, exptime: Option<i64>) {
        let mut multiget = self.flight.works.multigets.take().unwrap_or_default();
        multiget.cas = cas;
        multiget.exptime = exptime;
        multiget.line.extend_from_slice(keys.line());
        let Sorted { cached, has_repeated, failure } = self.sort_keys(caller, &keys, &mut multiget);
        let parts = multiget.used as u32;
        multiget.is_ordered = parts > 1 || has_repeated;
        let links = Links::with_memory(std::mem::take(&mut multiget.links));
        let id = self.one(caller, Work::MultiGet(multiget), Answered::Always, true);
        if let Some(request) = self.flight.requests.must_mut(id) {
            (request.failure, request.links, request.changes) = (failure, links, exptime.is_some());
        }
        if !cached.is_empty() {
            self.take_cached(id, &cached, has_repeated);
        }
        if exptime.is_some() {
            keys.iter().for_each(|(_, key)| self.note_change(id, Some(key)));
        }
        for part in 0..parts {
            self.send_part(id, part, 0);
        }
        if self.flight.requests.must(id).is_some_and(|request| request.pending == 0 && !request.is_done) {
            self.finish_multiget(id);
        }
    }

    /// Notes every key, and who has it.
    fn sort_keys(&mut self, caller: &Caller, keys: &Keys<'_>, multiget: &mut MultiGet) -> Sorted {
        let bucket = caller.bucket;
        self.flight.duplicates.clear();
        let mut sorted = Sorted { cached: Vec::new(), has_repeated: false, failure: None };
        let (mut repeated, mut bytes) = (0, 0);
        let has_front = multiget.exptime.is_none() && self.buckets[bucket].front.is_some();
        for (index, (at, key)) in keys.iter().enumerate() {
            let index = index as u32;
            let first = self.flight.duplicates.first(key, index, |other| multiget.key(other));
            let mut entry = Key {
                at: at as u32,
                len: key.len() as u32,
                vbucket: 0,
                first,
                times: 1,
                has_value: false,
                is_refused: false,
                asked: None,
                value: 0..0,
            };
            bytes = sum([bytes, key.len()]);
            if self.is_watching
                && let Some(watch) = &mut self.buckets[bucket].watch
            {
                watch.track(key, self.now);
            }
            if first == index {
                if has_front
                    && let Some(front) = &self.buckets[bucket].front
                    && let Some(asked) = front.ask(key)
                {
                    entry.asked = Some(asked);
                    if let Some(value) = if multiget.cas { None } else { self.cached(bucket, key, asked) } {
                        entry.has_value = true;
                        sorted.cached.push((index, value));
                        multiget.keys.push(entry);
                        continue;
                    }
                }
                let (host, vbucket) = self.route_for(caller, key);
                entry.vbucket = vbucket;
                match host {
                    Some(host) => multiget.part_of(host).keys.push(index),
                    None => sorted.failure = Some(Failure::NoServer),
                }
            } else if let Some(first) = multiget.keys.get_mut(first as usize) {
                sorted.has_repeated = true;
                first.times.up();
                repeated = behind(repeated, usize::from(!first.has_value));
            }
            multiget.keys.push(entry);
        }
        let counters = &self.buckets[bucket].counters;
        count_keys(counters, multiget.key_count(), bytes);
        counters.add(Counter::MultigetKeysDedupe, repeated);
        sorted
    }

    /// Answers what the front cache has, before anything that the servers have; or in its places, if keys are repeated.
    fn take_cached(&mut self, id: RequestId, cached: &[(u32, Value)], has_repeated: bool) {
        let Some(Work::MultiGet(multiget)) = self.flight.requests.must_mut(id).map(|request| &mut request.work) else {
            return;
        };
        let mut multiget = std::mem::take(&mut **multiget);
        for (index, value) in cached {
            let times = multiget.entry(*index).times;
            self.note_hit(id, value.data.len(), times);
            self.watch_hit(id, multiget.key(*index), value.data.len(), times);
            // The look-up has counted one.
            (1..times).for_each(|_| self.count_cached(id, value));
            if has_repeated {
                multiget.put(*index, |out, key| write_value(out, key, value));
            } else if let Some(sink) = self.sink(id) {
                write_value(sink, multiget.key(*index), value);
            }
        }
        if let Some(Work::MultiGet(place)) = self.flight.requests.must_mut(id).map(|request| &mut request.work) {
            **place = multiget;
        }
        self.commit_part(id);
    }

    /// Asks a server for those of its keys that have no value yet.
    pub(in crate::proxy) fn send_part(&mut self, id: RequestId, part: u32, retries: u32) {
        let Some(request) = self.flight.requests.must(id) else { return };
        let Work::MultiGet(multiget) = &request.work else { return };
        let Some(host) = multiget.parts.get(part as usize).map(|part| part.host) else { return };
        if !multiget.wants(part) {
            return; // only the end was missing when the connection was lost
        }
        let conn_id = match self.pick(request.client, host, false) {
            Ok(conn) => conn,
            Err(failure) => {
                if let Some(request) = self.flight.requests.must_mut(id) {
                    request.failure.get_or_insert(failure);
                }
                return;
            }
        };
        let speak = self.speak(conn_id);
        self.seal(conn_id);
        let Some(Work::MultiGet(multiget)) = self.flight.requests.must_mut(id).map(|request| &mut request.work) else {
            return;
        };
        let Some(conn) = self.downstream.conns.must_mut(conn_id) else { return };
        let out = conn.writer(&mut self.spare);
        multiget.part_mut(part as usize).cursor = 0;
        multiget.write(part as usize, speak, out);
        let end = out.end();
        self.enqueue(
            conn_id,
            Entry {
                request: id,
                expect: Expect::MultiGet { part },
                opaque: 0,
                end,
                retries,
                may_repeat: true,
                is_queued: false,
            },
        );
    }
}

impl MultiGet {
    /// Writes the request for the keys of `part` that have no value.
    fn write(&self, part: usize, speak: Protocol, out: &mut Output) {
        let keys = self.parts.get(part).map_or(&[][..], |part| &part.keys);
        let wanted = keys.iter().filter(|index| !self.entry(**index).has_value);
        let out = out.tail();
        match (speak, self.exptime) {
            (Protocol::Ascii, exptime) => {
                match exptime {
                    None => ascii::get_start(out, self.cas),
                    Some(exptime) => ascii::gat_start(out, self.cas, exptime),
                }
                wanted.for_each(|index| ascii::key(out, self.key(*index)));
                ascii::end(out);
            }
            (Protocol::Binary, exptime) => {
                for index in wanted {
                    let (key, entry) = (self.key(*index), self.entry(*index));
                    match exptime {
                        None => binary::getq(out, key, entry.vbucket, entry.at),
                        Some(exptime) => binary::gatq(out, key, exptime, entry.vbucket, entry.at),
                    }
                }
                binary::noop(out, 0);
            }
        }
    }
}
