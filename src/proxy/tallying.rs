//! How long requests take, noted where they end (06 §15, §16).

use crate::metrics::latency::{Kind, Spent};
use crate::metrics::server::Tally;
use crate::protocol::ascii::meta::request::Verb;
use crate::protocol::op;
use crate::protocol::status::CommandClass;
use crate::proxy::Engine;
use crate::proxy::bucket::Buckets;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::{Downstream, Expect, Translated};
use crate::proxy::request::phases::{Delays, Phases};
use crate::proxy::request::{Request, Work};
use crate::proxy::timers::Micros;
use crate::sums::Count as _;

impl From<CommandClass> for Kind {
    fn from(class: CommandClass) -> Kind {
        match class {
            CommandClass::Get | CommandClass::Getl => Kind::Get,
            CommandClass::Store(_) => Kind::Set,
            CommandClass::Touch
            | CommandClass::Delete
            | CommandClass::Arith
            | CommandClass::Flush
            | CommandClass::Unl
            | CommandClass::Other
            | CommandClass::Version => Kind::Other,
        }
    }
}

impl Expect {
    /// Whether it is the answer to something that moxi asks of its own accord.
    pub(in crate::proxy) fn is_own(&self) -> bool {
        matches!(self, Expect::Close | Expect::Probe(_))
    }

    /// The kind of what was asked.
    fn kind(&self) -> Kind {
        match *self {
            Expect::Get { .. } | Expect::MultiGet { .. } => Kind::Get,
            Expect::One { opcode }
            | Expect::Value { opcode, .. }
            | Expect::Packet { opcode }
            | Expect::Quiet { opcode, .. }
            | Expect::Broadcast { opcode, .. }
            | Expect::Translated(Translated { opcode, .. })
            | Expect::Create { opcode, .. } => op::of(opcode).class.into(),
            Expect::Meta { .. } | Expect::Close | Expect::Probe(_) | Expect::Dump { .. } => Kind::Other,
        }
    }
}

impl Request {
    /// Its kind, for its times. Packets that were sent together are of the kind of the one that was answered last.
    pub(in crate::proxy) fn kind(&self) -> Kind {
        match &self.work {
            Work::Get { .. } | Work::MultiGet(_) => Kind::Get,
            Work::Line(class) => (*class).into(),
            Work::Packet { opcode, .. } => op::of(*opcode).class.into(),
            Work::Broadcast(_) | Work::Dump(_) => Kind::Other,
            Work::Meta(asked) => match asked.verb() {
                Verb::Get => Kind::Get,
                Verb::Store(_) => Kind::Set,
                Verb::Noop | Verb::Delete | Verb::Arith { .. } | Verb::Debug => Kind::Other,
            },
            Work::Local | Work::Batch(_) => self.delays.kind(),
        }
    }

    /// Whether it is one command to one server: its time is that server's, too.
    #[inline]
    pub(in crate::proxy) fn is_single(&self) -> bool {
        matches!(self.work, Work::Get { .. } | Work::Line(_) | Work::Packet { .. } | Work::Meta(_))
    }

    /// A part of it has been answered, or was given up: notes its time for its server.
    pub(in crate::proxy) fn note_part(&mut self, tally: &Tally, expect: &Expect, now: Micros) {
        if expect.is_own() {
            return;
        }
        let kind = match self.work {
            Work::Batch(_) => expect.kind(),
            _ => self.kind(),
        };
        if !matches!(expect, Expect::Broadcast { .. }) {
            self.delays.set_kind(kind);
        }
        if let Some(latency) = tally.latency() {
            let Phases { queue, server, .. } = self.phases(now);
            latency.note(kind, Spent { queue, server }, 1);
        }
    }
}

/// What requests for values have got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Got {
    /// How many keys they have named.
    pub(in crate::proxy) keys: u64,
    /// How many of these had values.
    pub(in crate::proxy) hits: u64,
    /// How many bytes those had, line ends included.
    pub(in crate::proxy) bytes: u64,
}

impl Got {
    /// What this one has got.
    #[inline]
    pub(in crate::proxy) fn of(request: &Request) -> Got {
        let keys = match &request.work {
            Work::Get { .. } => 1,
            Work::Meta(asked) if asked.verb() == Verb::Get => 1,
            Work::MultiGet(multiget) => multiget.key_count(),
            _ => return Got::default(),
        };
        Got { keys, hits: request.hits().into(), bytes: request.value_bytes() }
    }

    #[inline]
    fn add(&mut self, other: Got) {
        self.keys = self.keys.wrapping_add(other.keys);
        self.hits = self.hits.wrapping_add(other.hits);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

/// Requests that were made at one moment and ended at one: what a server answers together is noted, and counted, together.
#[derive(Debug)]
pub(in crate::proxy) struct Alike {
    bucket: usize,
    /// Their server, if each has one.
    host: HostId,
    kind: Kind,
    /// When they were made.
    since: Micros,
    /// Where their time went from there on.
    delays: Delays,
    /// When they ended.
    end: Micros,
    count: u64,
    got: Got,
}

impl Default for Alike {
    fn default() -> Alike {
        Alike {
            bucket: 0,
            host: HostId::NONE,
            kind: Kind::Other,
            since: 0,
            delays: Delays::default(),
            end: 0,
            count: 0,
            got: Got::default(),
        }
    }
}

impl Alike {
    #[inline]
    fn of(request: &Request, now: Micros) -> Alike {
        let is_get = matches!(request.work, Work::Get { .. });
        Alike {
            bucket: request.bucket,
            host: if is_get || request.is_single() { request.target().unwrap_or(HostId::NONE) } else { HostId::NONE },
            kind: if is_get { Kind::Get } else { request.kind() },
            since: request.since,
            delays: request.delays,
            end: now,
            count: 1,
            got: Got::of(request),
        }
    }

    /// One more has ended. `false`: it is not like those before it, and was not added.
    #[inline(always)] // it is nearly always like them, and is done for each
    pub(in crate::proxy) fn add(&mut self, request: &Request, now: Micros) -> bool {
        let Alike { bucket, host, kind, since, delays, end, got, .. } = Alike::of(request, now);
        let is_like = self.since == since
            && self.end == end
            && self.host == host
            && self.delays == delays
            && self.kind == kind
            && self.bucket == bucket;
        if is_like {
            self.count.up();
            self.got.add(got);
        }
        is_like
    }

    /// One has ended that is not like those before it, which are noted.
    pub(in crate::proxy) fn begin(&mut self, request: &Request, now: Micros, buckets: &Buckets, servers: &Downstream) {
        self.note(buckets, servers);
        *self = Alike::of(request, now);
    }

    /// Notes how long they have taken, for their bucket and for their server, and counts them.
    fn note(&mut self, buckets: &Buckets, servers: &Downstream) {
        let count = std::mem::take(&mut self.count);
        if count == 0 {
            return;
        }
        let Phases { queue, server, .. } = self.delays.phases(self.since, self.end);
        let spent = Spent { queue, server };
        let bucket = &buckets[self.bucket];
        bucket.counters.latency.note(self.kind, spent, count);
        bucket.count_answered(self.host, self.end.saturating_sub(self.since), count);
        bucket.count_got(self.got);
        // The server may be in no bucket any more.
        if let Some(latency) = servers.hosts.get(self.host).and_then(|host| host.latency()) {
            latency.note(self.kind, spent, count);
        }
    }
}

impl Engine {
    /// Notes what is left to be noted.
    pub(in crate::proxy) fn settle_times(&mut self) {
        if self.alike.count > 0 {
            self.alike.note(&self.buckets, &self.downstream);
        }
    }
}
