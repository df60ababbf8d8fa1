//! What is watched of a bucket's keys: which are asked for most (06 §7.1), and the numbers of each (06 §7).
//!
//! A worker counts for itself. Where nothing is watched, nothing is done but to find that out.

use crate::config::behavior::Behavior;
use crate::front_cache::Matcher;
use crate::metrics::counter::{Command, Field};
use crate::metrics::keys::board::KeyBoard;
use crate::metrics::keys::hot::Hot;
use crate::metrics::keys::stats::{KeyStats, Tracked};
use crate::protocol::binary::packet::Packet;
use crate::protocol::op::{self, Target};
use crate::protocol::{self, Request};

use crate::proxy::Engine;
use crate::proxy::request::{self, RequestId, Work};
use crate::proxy::statistics::kind;
use crate::proxy::timers::Micros;
use crate::proxy::upstream::ClientId;

/// What one worker watches of a bucket's keys.
#[derive(Debug)]
pub(in crate::proxy) struct Watch {
    hot: Option<HotKeys>,
    numbers: Option<Numbers>,
}

/// The keys that are asked for most.
#[derive(Debug)]
struct HotKeys {
    shown: u32,
    hot: Hot,
}

/// The numbers of the keys that the settings name.
#[derive(Debug)]
struct Numbers {
    settings: Settings,
    spec: Matcher,
    unspec: Matcher,
    stats: KeyStats,
}

/// Whose numbers are kept, how many, and how long.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    most: u32,
    lifespan: u32,
    spec: String,
    unspec: String,
}

impl Settings {
    fn of(behavior: &Behavior) -> Settings {
        Settings {
            most: behavior.key_stats_max,
            lifespan: behavior.key_stats_lifespan,
            spec: behavior.key_stats_spec.clone(),
            unspec: behavior.key_stats_unspec.clone(),
        }
    }
}

impl Numbers {
    /// `None`: there are to be none.
    fn start(board: &KeyBoard, bucket: usize, settings: Settings) -> Option<Numbers> {
        let (spec, unspec) = (Matcher::new(&settings.spec), Matcher::new(&settings.unspec));
        if settings.most == 0 || settings.lifespan == 0 || spec.is_empty() {
            return None;
        }
        let stats = board.stats(bucket, settings.most, u64::from(settings.lifespan) * 1000);
        Some(Numbers { settings, spec, unspec, stats })
    }

    fn covers(&self, key: &[u8]) -> bool {
        self.spec.matches(key) && !self.unspec.matches(key)
    }

    fn track(&mut self, key: &[u8], now: Micros) -> Tracked {
        if self.covers(key) { self.stats.track(key, now) } else { Tracked::NONE }
    }

    fn add(&self, tracked: Tracked, command: Command, field: Field, by: u64) {
        self.stats.add(tracked, false, command, field, by);
    }

    /// One of the keys of a get has come.
    fn count_key(&self, tracked: Tracked, length: usize) {
        self.add(tracked, Command::GetKey, Field::Seen, 1);
        self.add(tracked, Command::GetKey, Field::ReadBytes, length as u64);
    }
}

impl Watch {
    /// What the settings say; `None`: nothing. What `before` has counted stays where its settings do.
    pub(in crate::proxy) fn start(
        before: Option<Box<Watch>>,
        board: &KeyBoard,
        bucket: usize,
        behavior: &Behavior,
    ) -> Option<Box<Watch>> {
        let (hot, numbers) = before.map_or((None, None), |before| (before.hot, before.numbers));
        let (shown, settings) = (behavior.hot_keys, Settings::of(behavior));
        let hot = hot.filter(|hot| hot.shown == shown).or_else(|| {
            let hot = || HotKeys { shown, hot: board.hot(bucket, shown as usize) };
            (shown > 0).then(hot)
        });
        let numbers =
            numbers.filter(|numbers| numbers.settings == settings).or_else(|| Numbers::start(board, bucket, settings));
        (hot.is_some() || numbers.is_some()).then(|| Box::new(Watch { hot, numbers }))
    }

    /// A get of this key alone has come, in a line of `length` bytes.
    pub(in crate::proxy) fn count_get(&mut self, key: &[u8], length: usize, now: Micros) -> Tracked {
        self.count_hot(key);
        let Some(numbers) = &mut self.numbers else { return Tracked::NONE };
        let tracked = numbers.track(key, now);
        numbers.count_key(tracked, key.len());
        numbers.add(tracked, Command::Get, Field::Seen, 1);
        numbers.add(tracked, Command::Get, Field::ReadBytes, length.saturating_sub(2) as u64);
        tracked
    }

    /// What the answer to a get of this key is to be counted for.
    pub(in crate::proxy) fn track(&mut self, key: &[u8], now: Micros) -> Tracked {
        self.numbers.as_mut().map_or(Tracked::NONE, |numbers| numbers.track(key, now))
    }

    /// A line of `length` bytes has come, with its value and the last line end.
    fn count_request(&mut self, request: &Request<'_>, quiet: bool, length: usize, now: Micros) {
        let (key, read) = match request {
            Request::Get { keys, cas } | Request::Gat { keys, cas, .. } => {
                let is_single = keys.single().is_some();
                for (_, key) in keys.iter() {
                    let read = if is_single { length } else { key.len() + 2 };
                    let tracked = self.count_get(key, read, now);
                    if let Some(numbers) = self.numbers.as_ref().filter(|_| *cas) {
                        numbers.add(tracked, Command::Get, Field::Cas, 1);
                    }
                }
                return;
            }
            Request::Store(store) => (store.key, length),
            Request::Arith { key, .. }
            | Request::Delete { key }
            | Request::Touch { key, .. }
            | Request::Getl { key, .. }
            | Request::Unl { key, .. } => (*key, length),
            Request::Flush { .. }
            | Request::Stats { .. }
            | Request::StatsProxy { .. }
            | Request::Dump(_)
            | Request::MemLimit { .. }
            | Request::Version
            | Request::Verbosity { .. }
            | Request::Quit => return,
        };
        self.count_hot(key);
        let Some((numbers, (command, has_cas))) = self.numbers.as_mut().zip(kind(request)) else { return };
        let tracked = numbers.track(key, now);
        let stats = &numbers.stats;
        stats.add(tracked, quiet, command, Field::Seen, 1);
        stats.add(tracked, quiet, command, Field::ReadBytes, read.saturating_sub(2) as u64);
        stats.add(tracked, quiet, command, Field::Cas, u64::from(has_cas));
    }

    /// A get of these keys is refused before it is sent.
    fn count_refused(&mut self, keys: protocol::Keys<'_>, now: Micros) {
        let Some(numbers) = &mut self.numbers else { return };
        for (_, key) in keys.iter() {
            let tracked = numbers.track(key, now);
            numbers.add(tracked, Command::GetKey, Field::Misses, 1);
        }
    }

    fn count_hot(&mut self, key: &[u8]) {
        if let Some(hot) = &mut self.hot {
            hot.hot.count(key);
        }
    }

    /// A get was answered, or has failed.
    pub(in crate::proxy) fn count_answered(&self, request: &request::Request) {
        let Some(numbers) = &self.numbers else { return };
        match &request.work {
            Work::Get { .. } => {
                let hits = u64::from(request.hits);
                numbers.add(request.tracked, Command::GetKey, Field::Hits, hits);
                numbers.add(request.tracked, Command::GetKey, Field::WriteBytes, request.value_bytes);
                numbers.add(request.tracked, Command::GetKey, Field::Misses, 1u64.saturating_sub(hits));
            }
            // Its values were counted when they came.
            Work::MultiGet(multiget) => {
                for key in multiget.missing().filter(|key| numbers.covers(key)) {
                    numbers.add(numbers.stats.find(key), Command::GetKey, Field::Misses, 1);
                }
            }
            _ => {}
        }
    }

    /// A value has come for a key of several, that was named so often.
    pub(in crate::proxy) fn count_hit(&self, key: &[u8], length: usize, times: u32) {
        let Some(numbers) = self.numbers.as_ref().filter(|numbers| numbers.covers(key)) else { return };
        let (tracked, times) = (numbers.stats.find(key), u64::from(times));
        numbers.add(tracked, Command::GetKey, Field::Hits, times);
        numbers.add(tracked, Command::GetKey, Field::WriteBytes, (length as u64 + 2) * times);
    }
}

impl Engine {
    fn watch(&mut self, id: ClientId) -> Option<&mut Watch> {
        let bucket = self.upstream.clients.get(id)?.bucket;
        self.buckets.get_mut(bucket)?.watch.as_deref_mut()
    }

    /// The answer to the get of a single key is to be counted for that key.
    pub(in crate::proxy) fn track(&mut self, id: RequestId, key: &[u8]) {
        let Some(request) = self.flight.requests.get_mut(id) else { return };
        if let Some(watch) = self.buckets.get_mut(request.bucket).and_then(|bucket| bucket.watch.as_mut()) {
            request.tracked = watch.track(key, self.now);
        }
    }

    /// A get of these keys is refused before it is sent.
    pub(in crate::proxy) fn watch_refused(&mut self, id: ClientId, keys: protocol::Keys<'_>) {
        let now = self.now;
        if let Some(watch) = self.watch(id) {
            watch.count_refused(keys, now);
        }
    }

    /// The front cache has the value of a key of several, that was named so often.
    pub(in crate::proxy) fn watch_hit(&self, id: RequestId, key: &[u8], length: usize, times: u32) {
        let bucket = self.flight.requests.get(id).and_then(|request| self.buckets.get(request.bucket));
        if let Some(watch) = bucket.and_then(|bucket| bucket.watch.as_ref()) {
            watch.count_hit(key, length, times);
        }
    }

    /// A client's line was understood, and is on its way or answered.
    pub(in crate::proxy) fn watch_request(&mut self, id: ClientId, request: &Request<'_>, noreply: bool, len: usize) {
        let now = self.now;
        if let Some(watch) = self.watch(id) {
            watch.count_request(request, noreply, len, now);
        }
    }

    /// The same of a packet. Numbers are kept of lines only (06 §6.5).
    pub(in crate::proxy) fn watch_packet(&mut self, id: ClientId, packet: &Packet<'_>) {
        if let Some(watch) = self.watch(id)
            && !packet.key.is_empty()
            && op::of(packet.header.opcode).target == Target::Key
        {
            watch.count_hot(packet.key);
        }
    }
}
