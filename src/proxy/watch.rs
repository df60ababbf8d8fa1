//! What is watched of a bucket's requests: which keys are asked for most (06 §7.1), the numbers of each (06 §7), and which
//! requests get a line in the log (06 §11.6).
//!
//! A worker counts for itself. Where nothing is watched, nothing is done but to find that out.

use crate::config::behavior::Behavior;
use crate::front_cache::Matcher;
use crate::metrics::counter::{Command, Field};
use crate::metrics::keys::board::KeyBoard;
use crate::metrics::keys::hot::Hot;
use crate::metrics::keys::stats::{KeyStats, Tracked};
use crate::protocol::ascii::meta::request::{Meta, Verb};
use crate::protocol::binary::packet::Packet;
use crate::protocol::keyed::Keyed;
use crate::protocol::op::{self, Target};
use crate::protocol::{self, Answered, Request};

use crate::proxy::Engine;
use crate::proxy::bucket::Bucket;
use crate::proxy::request::value_bytes;
use crate::proxy::request::{self, RequestId, Work};
use crate::proxy::slow::{Note, NoteId, Notes, Slow};
use crate::proxy::statistics::{keyed_kind, meta_kind};
use crate::proxy::timers::Micros;
use crate::sums::sum;

/// What one worker watches of a bucket's keys.
#[derive(Debug)]
pub(in crate::proxy) struct Watch {
    hot: Option<HotKeys>,
    numbers: Option<Numbers>,
    /// Which requests get a line in the log; it has little to do with keys, but is wanted in the same places.
    slow: Option<Slow>,
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
        let (hot, numbers, slow) =
            before.map_or((None, None, None), |before| (before.hot, before.numbers, before.slow));
        let slow = slow.filter(|slow| slow.is_for(behavior)).or_else(|| Slow::start(behavior));
        let (shown, settings) = (behavior.hot_keys, Settings::of(behavior));
        let hot = hot.filter(|hot| hot.shown == shown).or_else(|| {
            let hot = || HotKeys { shown, hot: board.hot(bucket, shown as usize) };
            (shown > 0).then(hot)
        });
        let numbers =
            numbers.filter(|numbers| numbers.settings == settings).or_else(|| Numbers::start(board, bucket, settings));
        (hot.is_some() || numbers.is_some() || slow.is_some()).then(|| Box::new(Watch { hot, numbers, slow }))
    }

    pub(in crate::proxy) fn slow(&mut self) -> Option<&mut Slow> {
        self.slow.as_mut()
    }

    /// A get of this key alone has come, in a line of `length` bytes: what is to be remembered of it.
    #[inline(never)]
    pub(in crate::proxy) fn get(&mut self, key: &[u8], length: usize, now: Micros, notes: &mut Notes) -> NoteId {
        let tracked = self.count_get(key, length, now);
        if self.slow.is_none() && tracked == Tracked::NONE {
            return NoteId::NONE;
        }
        let (id, note) = notes.take();
        note.get(key);
        note.tracked = tracked;
        id
    }

    /// Whether there is to be a note about each request.
    fn takes_notes(&self) -> bool {
        self.slow.is_some() || self.numbers.is_some()
    }

    /// A get of this key alone has come, in a line of `length` bytes.
    fn count_get(&mut self, key: &[u8], length: usize, now: Micros) -> Tracked {
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
        match request {
            Request::Keyed(Keyed::Get { key, cas } | Keyed::Gat { key, cas, .. }) => {
                self.count_one_get(key, *cas, length, now);
            }
            Request::Keyed(command) => self.count_keyed(command, quiet, length, now),
            Request::GetMany { keys, cas, .. } => {
                keys.iter().for_each(|(_, key)| self.count_one_get(key, *cas, sum([key.len(), 2]), now));
            }
            Request::Keyless(_)
            | Request::StatsProxy { .. }
            | Request::Dump(_)
            | Request::Verbosity { .. }
            | Request::Quit => {}
        }
    }

    /// A get of this key, with or without its CAS id, has come in `length` bytes: alone, or as one of several.
    fn count_one_get(&mut self, key: &[u8], cas: bool, length: usize, now: Micros) {
        let tracked = self.count_get(key, length, now);
        if let Some(numbers) = self.numbers.as_ref().filter(|_| cas) {
            numbers.add(tracked, Command::Get, Field::Cas, 1);
        }
    }

    /// Another command for one key has come, in `length` bytes with its value and the last line end.
    fn count_keyed(&mut self, command: &Keyed<'_>, quiet: bool, length: usize, now: Micros) {
        self.count_hot(command.key());
        let Some(numbers) = &mut self.numbers else { return };
        let (tracked, (kind, has_cas)) = (numbers.track(command.key(), now), keyed_kind(command));
        let stats = &numbers.stats;
        stats.add(tracked, quiet, kind, Field::Seen, 1);
        stats.add(tracked, quiet, kind, Field::ReadBytes, length.saturating_sub(2) as u64);
        stats.add(tracked, quiet, kind, Field::Cas, u64::from(has_cas));
    }

    /// A meta command has come, in `length` bytes with its value and the last line end.
    fn count_meta(&mut self, meta: &Meta<'_>, length: usize, now: Micros) {
        if meta.verb == Verb::Noop {
            return;
        }
        let key = meta.key.name();
        self.count_hot(key);
        let Some((numbers, command)) = self.numbers.as_mut().zip(meta_kind(meta).1) else { return };
        let (tracked, quiet) = (numbers.track(key, now), meta.answered().is_quiet());
        if command == Command::Get {
            numbers.count_key(tracked, key.len());
        }
        let stats = &numbers.stats;
        stats.add(tracked, quiet, command, Field::Seen, 1);
        stats.add(tracked, quiet, command, Field::ReadBytes, length.saturating_sub(2) as u64);
        stats.add(tracked, quiet, command, Field::Cas, u64::from(meta.needs_cas()));
    }

    /// A get of several keys is refused before it is sent.
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
    fn count_answered(&self, request: &request::Request, tracked: Tracked) {
        let Some(numbers) = &self.numbers else { return };
        match &request.work {
            Work::Get { .. } | Work::Meta(_) => {
                let hits = u64::from(request.hits());
                numbers.add(tracked, Command::GetKey, Field::Hits, hits);
                numbers.add(tracked, Command::GetKey, Field::WriteBytes, request.value_bytes());
                numbers.add(tracked, Command::GetKey, Field::Misses, 1u64.saturating_sub(hits));
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
        let tracked = numbers.stats.find(key);
        numbers.add(tracked, Command::GetKey, Field::Hits, times.into());
        numbers.add(tracked, Command::GetKey, Field::WriteBytes, value_bytes(length, times));
    }
}

impl Bucket {
    /// The request, of which there is a note, has been answered, or has failed.
    #[cold]
    pub(in crate::proxy) fn settle_note(&self, request: &request::Request, notes: &mut Notes, now: Micros) {
        let Some(note) = notes.get_mut(request.note) else { return };
        note.settle(request, now);
        if let Some(watch) = &self.watch {
            watch.count_answered(request, note.tracked);
        }
    }
}

impl Engine {
    /// What is watched of a bucket, if anything is.
    fn watch(&mut self, bucket: usize) -> Option<&mut Watch> {
        self.buckets[bucket].watch.as_deref_mut()
    }

    /// A line is about to be carried out.
    #[inline]
    pub(in crate::proxy) fn watch_line(&mut self, bucket: usize, request: &Request<'_>) {
        if self.is_watching {
            let now = self.now;
            self.begin_note(bucket, &mut |watch, note| {
                note.line(request);
                if let Request::Keyed(Keyed::Get { key, .. } | Keyed::Gat { key, .. }) = request {
                    note.tracked = watch.track(key, now);
                }
            });
        }
    }

    /// A line of `length` bytes, with its value and the last line end, was carried out.
    #[inline]
    pub(in crate::proxy) fn line_taken(
        &mut self,
        bucket: usize,
        request: &Request<'_>,
        answered: Answered,
        length: usize,
    ) {
        if self.is_watching {
            let now = self.now;
            self.end_note(bucket, &mut |watch| watch.count_request(request, answered.is_quiet(), length, now));
        }
    }

    /// A meta command is about to be carried out.
    #[inline]
    pub(in crate::proxy) fn watch_meta(&mut self, bucket: usize, meta: &Meta<'_>) {
        if self.is_watching {
            let now = self.now;
            self.begin_note(bucket, &mut |watch, note| {
                note.meta(meta);
                if meta.verb == Verb::Get {
                    note.tracked = watch.track(meta.key.name(), now);
                }
            });
        }
    }

    /// A meta command of `length` bytes, with its value and the last line end, was carried out.
    #[inline]
    pub(in crate::proxy) fn meta_taken(&mut self, bucket: usize, meta: &Meta<'_>, length: usize) {
        if self.is_watching {
            let now = self.now;
            self.end_note(bucket, &mut |watch| watch.count_meta(meta, length, now));
        }
    }

    /// A packet is about to be carried out.
    #[inline]
    pub(in crate::proxy) fn watch_packet(&mut self, bucket: usize, packet: &Packet<'_>) {
        if self.is_watching {
            self.begin_note(bucket, &mut |_, note| note.packet(packet));
        }
    }

    /// A packet was carried out. Numbers are kept of lines only (06 §6.5).
    #[inline]
    pub(in crate::proxy) fn packet_taken(&mut self, bucket: usize, packet: &Packet<'_>) {
        if self.is_watching {
            self.end_note(bucket, &mut |watch| {
                if !packet.key.is_empty() && op::of(packet.header.opcode).target == Target::Key {
                    watch.count_hot(packet.key);
                }
            });
        }
    }

    /// What the client has sent is about to be carried out: a note is made for the request that comes of it.
    #[cold]
    fn begin_note(&mut self, bucket: usize, fill: &mut dyn FnMut(&mut Watch, &mut Note)) {
        let Some(watch) = self.buckets[bucket].watch.as_deref_mut() else { return };
        if watch.takes_notes() {
            let (id, note) = self.flight.notes.take();
            fill(watch, note);
            self.flight.note = id;
        }
    }

    /// It was carried out. If no request has come of it the note is not needed.
    #[cold]
    fn end_note(&mut self, bucket: usize, count: &mut dyn FnMut(&mut Watch)) {
        self.drop_note();
        if let Some(watch) = self.watch(bucket) {
            count(watch);
        }
    }

    /// What comes of it is no request that is watched, or it has to wait.
    #[inline]
    pub(in crate::proxy) fn drop_note(&mut self) {
        let note = self.flight.take_note();
        self.flight.notes.give(note);
    }

    /// A get of several keys is refused before it is sent.
    pub(in crate::proxy) fn watch_refused(&mut self, bucket: usize, keys: protocol::Keys<'_>) {
        let now = self.now;
        if self.is_watching
            && let Some(watch) = self.watch(bucket)
        {
            watch.count_refused(keys, now);
        }
    }

    /// The front cache has the value of a key of several, that was named so often.
    pub(in crate::proxy) fn watch_hit(&self, id: RequestId, key: &[u8], length: usize, times: u32) {
        let Some(request) = self.flight.requests.must(id) else { return };
        if let Some(watch) = &self.buckets[request.bucket].watch {
            watch.count_hit(key, length, times);
        }
    }
}
