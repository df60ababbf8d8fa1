//! Counting, and answering `stats proxy` (06 §3, §6).

use std::sync::Arc;

use crate::metrics::counter::{Command, Counter, Counters, Field, Timing};
use crate::protocol::Protocol;
use crate::protocol::ascii::answer;
use crate::protocol::ascii::meta::request::{Meta, Verb};
use crate::protocol::binary::opcode::status;
use crate::protocol::binary::packet::Packet;
use crate::protocol::binary::reply::Reply;
use crate::protocol::keyed::Keyed;
use crate::protocol::keyless::Keyless;
use crate::protocol::{Answered, Arith, Request, StoreVerb};

use crate::proxy::Engine;
use crate::proxy::bucket::Bucket;
use crate::proxy::downstream::host::HostId;
use crate::proxy::report::{self, Question, Report, Sources};
use crate::proxy::request::RequestId;
use crate::proxy::request::caching::Front;
use crate::proxy::tallying::Got;
use crate::proxy::timers::Micros;
use crate::proxy::upstream::Caller;
use crate::proxy::watch::Watch;

/// Verbs of storage commands: a malformed one is counted as theirs.
const STORAGE: [(&[u8], Command); 6] = [
    (b"set", Command::Set),
    (b"add", Command::Add),
    (b"replace", Command::Replace),
    (b"append", Command::Append),
    (b"prepend", Command::Prepend),
    (b"cas", Command::Cas),
];

/// Verbs of the others that are refused for their words with another line than `ERROR`.
const OTHERS: [(&[u8], Command); 12] = [
    (b"get", Command::Get),
    (b"gets", Command::Get),
    (b"gat", Command::Get),
    (b"gats", Command::Get),
    (b"delete", Command::Delete),
    (b"touch", Command::Touch),
    (b"incr", Command::Incr),
    (b"decr", Command::Decr),
    (b"flush_all", Command::FlushAll),
    (b"stats", Command::Stats),
    (b"getl", Command::Getl),
    (b"unl", Command::Unl),
];

/// Keys were asked for: so many, with so many bytes in all.
pub(in crate::proxy) fn count_keys(counters: &Counters, count: u64, bytes: usize) {
    counters.add(Counter::MultigetKeys, count);
    counters.command(false, Command::GetKey, Field::Seen, count);
    counters.command(false, Command::GetKey, Field::ReadBytes, bytes as u64);
}

/// As what a request is counted, and whether it has to do with a CAS id; `None`: as nothing.
fn kind(request: &Request<'_>) -> Option<(Command, bool)> {
    Some(match request {
        Request::Keyed(command) => keyed_kind(command),
        Request::GetMany { cas, .. } => (Command::Get, *cas),
        Request::Keyless(Keyless::Flush { .. }) => (Command::FlushAll, false),
        Request::Keyless(Keyless::Stats { args: b"reset" }) => (Command::StatsReset, false),
        Request::Keyless(Keyless::Stats { .. }) | Request::StatsProxy { .. } | Request::Dump(_) => {
            (Command::Stats, false)
        }
        Request::Keyless(Keyless::Version) => (Command::Version, false),
        // The C program does not know them, and has no counters.
        Request::Keyless(Keyless::MemLimit { .. } | Keyless::Noop) => return None,
        Request::Verbosity { .. } => (Command::Verbosity, false),
        Request::Quit => (Command::Quit, false),
    })
}

/// The same for a command for one key.
#[inline(always)] // into the counting of each request, although it has two callers
pub(in crate::proxy) fn keyed_kind(command: &Keyed<'_>) -> (Command, bool) {
    match command {
        Keyed::Get { cas, .. } | Keyed::Gat { cas, .. } => (Command::Get, *cas),
        Keyed::Store(store) => (storing(store.verb, store.cas.is_some()), store.cas.is_some()),
        Keyed::Arith(Arith { decr: false, .. }) => (Command::Incr, false),
        Keyed::Arith(Arith { decr: true, .. }) => (Command::Decr, false),
        Keyed::Delete { .. } => (Command::Delete, false),
        Keyed::Touch { .. } => (Command::Touch, false),
        Keyed::Getl { .. } => (Command::Getl, true),
        Keyed::Unl { .. } => (Command::Unl, false),
    }
}

/// As what a storage command is counted.
fn storing(verb: StoreVerb, has_cas: bool) -> Command {
    match verb {
        _ if has_cas => Command::Cas,
        StoreVerb::Set => Command::Set,
        StoreVerb::Add => Command::Add,
        StoreVerb::Replace => Command::Replace,
        StoreVerb::Append => Command::Append,
        StoreVerb::Prepend => Command::Prepend,
    }
}

/// As what a meta command is counted: by its word, and as the classic command that does the same, if there is one.
pub(in crate::proxy) fn meta_kind(meta: &Meta<'_>) -> (Counter, Option<Command>) {
    match meta.verb {
        Verb::Noop => (Counter::CmdMn, None),
        Verb::Debug => (Counter::CmdMe, None),
        Verb::Get => (Counter::CmdMg, Some(Command::Get)),
        Verb::Store(verb) => (Counter::CmdMs, Some(storing(verb, meta.options.cas.is_some()))),
        Verb::Delete => (Counter::CmdMd, Some(Command::Delete)),
        Verb::Arith { decr: false } => (Counter::CmdMa, Some(Command::Incr)),
        Verb::Arith { decr: true } => (Counter::CmdMa, Some(Command::Decr)),
    }
}

impl Bucket {
    /// A `get` of one key has come: the lengths of the key and of the line.
    pub(in crate::proxy) fn count_get(&self, key: usize, line: usize) {
        let counters = &self.counters;
        counters.count(Counter::Reserved);
        counters.count(Counter::UpstreamPaused);
        count_keys(counters, 1, key);
        counters.command(false, Command::Get, Field::Seen, 1);
        counters.command(false, Command::Get, Field::ReadBytes, line.saturating_sub(2) as u64);
    }

    /// A `set` has come, in so many bytes.
    #[inline]
    pub(in crate::proxy) fn count_set(&self, length: usize) {
        self.counters.command(false, Command::Set, Field::Seen, 1);
        self.counters.command(false, Command::Set, Field::ReadBytes, length.saturating_sub(2) as u64);
    }

    /// Requests for values have been answered, or have failed.
    pub(in crate::proxy) fn count_got(&self, Got { keys, hits, bytes }: Got) {
        if keys > 0 {
            let counters = &self.counters;
            counters.command(false, Command::GetKey, Field::Hits, hits);
            counters.command(false, Command::GetKey, Field::WriteBytes, bytes);
            counters.command(false, Command::GetKey, Field::Misses, keys.saturating_sub(hits));
        }
    }

    /// So many requests that held a place have been answered, or have failed, each after this time. `host` is their server,
    /// if they had one each.
    pub(in crate::proxy) fn count_answered(&self, host: HostId, time: Micros, count: u64) {
        let (counters, times) = (&self.counters, time.wrapping_mul(count));
        counters.add(Counter::Released, count);
        counters.add(Counter::UpstreamUnpaused, count);
        counters.add(Counter::CmdCount, count);
        counters.add(Counter::CmdTime, times);
        let behavior = &self.config.behavior;
        // What the cluster manager calls local: its own node is the first in the list that it serves.
        if behavior.downstream_protocol == Protocol::Binary && self.hosts.first() == Some(&host) {
            counters.add(Counter::LocalCmdCount, count);
            counters.add(Counter::LocalCmdTime, times);
        }
        if behavior.time_stats {
            counters.sample(Timing::Reserved, time, count);
            counters.add(Counter::ReservedTime, times);
            counters.raise(Counter::MaxReservedTime, time);
        }
    }

    /// A request that had been refused before was answered, or has failed, after this time.
    pub(in crate::proxy) fn count_retried(&self, time: Micros) {
        if self.config.behavior.time_stats {
            self.counters.add(Counter::RetryTime, time);
            self.counters.raise(Counter::MaxRetryTime, time);
        }
    }
}

impl Engine {
    /// Counts on the board of `sources` from now on, and answers with what all workers have counted there.
    pub fn report_to(&mut self, sources: Arc<Sources>) {
        for (index, bucket) in self.buckets.iter_mut().enumerate() {
            bucket.counters = sources.board.register(index);
            bucket.front = Front::start(sources.caches.of(index), &bucket.config);
            bucket.watch = Watch::start(None, &sources.keys, index, &bucket.config.behavior);
        }
        self.traffic = sources.board.register_traffic();
        self.downstream.count_on(&sources.servers);
        self.sources = sources;
    }

    /// Counts one more of something that happened in a bucket.
    pub(in crate::proxy) fn count(&self, bucket: usize, counter: Counter) {
        self.buckets[bucket].counters.count(counter);
    }

    /// A client's line was understood: `length` bytes with its value and the last line end.
    pub(in crate::proxy) fn count_request(
        &self,
        bucket: usize,
        request: &Request<'_>,
        answered: Answered,
        length: usize,
    ) {
        let counters = &self.buckets[bucket].counters;
        if let Request::Keyed(Keyed::Get { key, .. } | Keyed::Gat { key, .. }) = request {
            count_keys(counters, 1, key.len());
        }
        let Some((command, has_cas)) = kind(request) else { return };
        counters.command(answered.is_quiet(), command, Field::Seen, 1);
        counters.command(answered.is_quiet(), command, Field::ReadBytes, length.saturating_sub(2) as u64);
        if has_cas {
            counters.command(answered.is_quiet(), command, Field::Cas, 1);
        }
    }

    /// A client's meta command was understood: `length` bytes with its value and the last line end.
    pub(in crate::proxy) fn count_meta(&self, bucket: usize, meta: &Meta<'_>, length: usize) {
        let counters = &self.buckets[bucket].counters;
        let (counter, command) = meta_kind(meta);
        counters.count(counter);
        let Some(command) = command else { return };
        if command == Command::Get {
            count_keys(counters, 1, meta.key.name().len());
        }
        let is_quiet = meta.answered().is_quiet();
        counters.command(is_quiet, command, Field::Seen, 1);
        counters.command(is_quiet, command, Field::ReadBytes, length.saturating_sub(2) as u64);
        if meta.needs_cas() {
            counters.command(is_quiet, command, Field::Cas, 1);
        }
    }

    /// A client's line was refused with `reply`.
    pub(in crate::proxy) fn count_refused(&self, bucket: usize, line: &[u8], answered: Answered, reply: &[u8]) {
        let counters = &self.buckets[bucket].counters;
        let length = memchr::memchr(b'\n', line).unwrap_or(line.len());
        let read = line.get(..length).unwrap_or_default().trim_ascii_end().len() as u64;
        let verb = line.trim_ascii_start().split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
        let named = |verbs: &[(&[u8], Command)]| verbs.iter().find(|(name, _)| *name == verb).map(|(_, it)| *it);
        let storage = named(&STORAGE);
        let command = match reply.starts_with(b"ERROR") {
            true => Some(Command::Error),
            false => storage.or_else(|| named(&OTHERS)),
        };
        let Some(command) = command else { return }; // `lru_crawler` and the like: as if they had been understood
        counters.command(answered.is_quiet(), command, Field::Seen, 1);
        counters.command(answered.is_quiet(), command, Field::ReadBytes, read);
        if storage == Some(command) {
            counters.command(answered.is_quiet(), command, Field::Misses, 1);
        }
    }

    /// A value has come for a get: so many bytes, so often.
    pub(in crate::proxy) fn note_hit(&mut self, id: RequestId, bytes: usize, times: u32) {
        if let Some(request) = self.flight.requests.must_mut(id) {
            request.note_hit(bytes, times);
        }
    }

    fn report(&self, bucket: usize) -> Report<'_> {
        Report { sources: &self.sources, config: &self.config, bucket, now: self.now }
    }

    /// `stats proxy`, with the word behind it.
    pub(in crate::proxy) fn stats_proxy(&mut self, caller: &Caller, word: &[u8]) {
        self.settle_times();
        let report = self.report(caller.bucket);
        let (text, end) = match Question::parse(word) {
            Err(complaint) => (complaint, &[][..]),
            Ok(question) => {
                let mut text = String::new();
                report.answer(question, &mut |name, value| report::line(&mut text, name, value));
                (text, if question == Question::Reset { answer::OK } else { answer::END })
            }
        };
        self.local_reply(caller, |out| {
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(end);
        });
    }

    /// The same as a binary STAT: its key is `proxy` or begins with `proxy `. (The C program knew only `proxy buckets`
    /// (06 §3.8), and asked the servers for the others.)
    pub(in crate::proxy) fn stats_proxy_packets(&mut self, caller: &Caller, packet: &Packet<'_>) {
        self.settle_times();
        let Some(word) = proxy_word(packet.key) else { return };
        let report = self.report(caller.bucket);
        let (opcode, opaque) = (packet.header.opcode, packet.header.opaque);
        let mut packets = Vec::new();
        let mut stat = |status: u16, name: &[u8], value: &[u8]| {
            Reply { status, key: name, value, ..Reply::to(opcode, opaque) }.write(&mut packets);
        };
        match Question::parse(word) {
            Err(complaint) => stat(status::INVALID, b"", complaint.trim_end().as_bytes()),
            Ok(question) => {
                report.answer(question, &mut |name, value| {
                    stat(status::SUCCESS, name.as_bytes(), value.to_string().as_bytes());
                });
                stat(status::SUCCESS, b"", b"");
            }
        }
        self.local_reply(caller, |out| out.extend_from_slice(&packets));
    }
}

/// The word behind `proxy` in the key of a binary STAT; `None`: servers are asked.
pub(in crate::proxy) fn proxy_word(key: &[u8]) -> Option<&[u8]> {
    match key.strip_prefix(b"proxy")? {
        b"" => Some(b""),
        rest => rest.strip_prefix(b" ").map(<[u8]>::trim_ascii),
    }
}
