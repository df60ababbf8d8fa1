//! A request in flight: what it is, which answers it waits for, what is already known of its reply.

use crate::arena::Id;
use crate::buffer::Output;
use crate::protocol::ascii::answer;
use crate::protocol::ascii::meta::asked::Asked;
use crate::protocol::op;
use crate::protocol::status::CommandClass;
use crate::protocol::{Answered, Reply};

use crate::proxy::downstream::ConnId;
use crate::proxy::downstream::host::HostId;
use crate::proxy::request::batch::Batch;
use crate::proxy::request::broadcast::Broadcast;
use crate::proxy::request::caching::Caching;
use crate::proxy::request::dump::Dump;
use crate::proxy::request::error::Failure;
use crate::proxy::request::multiget::MultiGet;
use crate::proxy::request::phases::Delays;
use crate::proxy::request::value_bytes;
use crate::proxy::slow::NoteId;
use crate::proxy::timers::Micros;
use crate::proxy::upstream::{Caller, ClientId};

/// Names a request.
pub type RequestId = Id<Request>;

/// What kind of answer a request waits for.
#[derive(Debug)]
pub enum Work {
    /// None: the reply was known at once, and only waits for its turn.
    Local,
    /// A get of one key.
    Get {
        /// Whether the reply carries the CAS id.
        cas: bool,
        /// It sets the item's expiry, too.
        touch: bool,
    },
    /// One key, one line or status.
    Line(CommandClass),
    /// A meta command for one key.
    Meta(Box<Asked>),
    /// A get of several keys.
    MultiGet(Box<MultiGet>),
    /// The same command on all servers.
    Broadcast(Box<Broadcast>),
    /// A list of keys from all servers.
    Dump(Box<Dump>),
    /// A packet of a binary client, to the server of its key.
    Packet {
        /// Its opcode.
        opcode: u8,
        /// Its opaque.
        opaque: u32,
    },
    /// Quiet packets of a binary client, and the one that closed them.
    Batch(Box<Batch>),
}

impl Work {
    /// Whether it changes nothing on any server, so that nobody but its client misses it.
    pub(in crate::proxy) fn is_read(&self) -> bool {
        match self {
            Work::Local | Work::Dump(_) | Work::Line(CommandClass::Getl | CommandClass::Version) => true,
            Work::Get { touch, .. } => !touch,
            Work::Meta(asked) => asked.is_read(),
            Work::MultiGet(multiget) => !multiget.touches(),
            Work::Broadcast(broadcast) => broadcast.is_read(),
            Work::Batch(batch) => batch.is_read(),
            Work::Packet { opcode, .. } => op::of(*opcode).is_needless(),
            Work::Line(_) => false,
        }
    }

    /// If it is for one key: the class of its command, and whether a value is to have its CAS id with it.
    #[inline]
    pub(in crate::proxy) fn class(&self) -> (CommandClass, bool) {
        match self {
            Work::Line(class) => (*class, *class == CommandClass::Getl),
            Work::Get { cas, .. } => (CommandClass::Get, *cas),
            Work::Meta(asked) => (asked.class(), asked.needs_cas()),
            _ => (CommandClass::Get, false),
        }
    }

    /// Writes what a client of lines is told, if it is for one key, of what its server has said. (That is put together where
    /// it is needed: for most clients it is not written anywhere.)
    #[inline(always)] // as `answer::reply`
    pub(in crate::proxy) fn answer<'a>(&self, out: &mut Output, reply: impl FnOnce() -> Reply<'a>) {
        match self {
            Work::Meta(asked) => asked.reply(out, reply()),
            _ => answer::reply(out, reply(), || self.class()),
        }
    }
}

/// A request in flight. Each is moved when it is made and when it is done: what few of them need is kept elsewhere.
#[derive(Debug)]
pub struct Request {
    /// Whose it is.
    pub client: ClientId,
    /// Index of its bucket.
    pub bucket: usize,
    /// Its number among the client's requests.
    pub sequence: u64,
    /// What kind of answer it waits for.
    pub work: Work,
    /// When its client hears of it.
    pub answered: Answered,
    /// A server may be asked again although it may have done it already (03 §8.1).
    pub(super) may_repeat: bool,
    /// It changes something at its servers.
    pub(super) changes: bool,
    /// It holds one of the bucket's places (`downstream_max`).
    pub(super) has_place: bool,
    /// All servers have answered, or were given up.
    pub is_done: bool,
    /// When it got its place, or was made: what `tot_cmd_time` counts from.
    pub since: Micros,
    /// Where its time has gone until it was sent.
    pub(in crate::proxy) delays: Delays,
    /// How many values have come, of a get.
    pub(super) hits: u32,
    /// How many bytes these had, line ends included.
    pub(super) value_bytes: u64,
    /// What is remembered of it, if it is watched.
    pub note: NoteId,
    /// What comes of its answer for the front cache.
    pub caching: Caching,
    /// How often a server has refused a part of it as "not my vbucket".
    pub(super) refusals: u16,
    /// How many answers are missing.
    pub(super) pending: u32,
    /// Of these, how many were refused and not asked for again yet.
    pub(super) refused: u32,
    /// How many are behind others on a ready connection.
    pub(super) queued: u32,
    /// When the first of these became so.
    pub(super) queued_since: Micros,
    /// Where the answers are expected: one entry for each missing one.
    pub(super) links: Links,
    /// The server it was sent to last, to be named when it fails; [`HostId::NONE`]: it was not sent.
    pub(super) target: HostId,
    /// The first failure of a part of it.
    pub(super) failure: Option<Failure>,
    /// The complete part of its reply, while it is not its turn. By itself, because few requests need it.
    pub(super) parked: Option<Box<Output>>,
}

impl Request {
    /// A request that has not been sent yet.
    pub(in crate::proxy) fn new(caller: &Caller, sequence: u64, work: Work, answered: Answered) -> Request {
        Request {
            client: caller.client,
            bucket: caller.bucket,
            sequence,
            work,
            answered,
            may_repeat: true,
            changes: false,
            has_place: false,
            is_done: false,
            since: 0,
            delays: Delays::default(),
            hits: 0,
            value_bytes: 0,
            note: NoteId::NONE,
            caching: Caching::None,
            refusals: 0,
            pending: 0,
            refused: 0,
            queued: 0,
            queued_since: 0,
            links: Links::default(),
            target: HostId::NONE,
            failure: None,
            parked: None,
        }
    }
}

impl Request {
    /// A get of one key that holds a place.
    pub(in crate::proxy) fn get(caller: &Caller, sequence: u64, now: Micros) -> Request {
        let work = Work::Get { cas: false, touch: false };
        Request { has_place: true, since: now, ..Request::new(caller, sequence, work, Answered::Always) }
    }

    /// It is made now, after these delays.
    #[inline]
    pub(in crate::proxy) fn begun(self, now: Micros, delays: Delays, note: NoteId) -> Request {
        Request { since: now, delays, note, ..self }
    }

    /// A value has come for a get: so many bytes, so often.
    pub(in crate::proxy) fn note_hit(&mut self, bytes: usize, times: u32) {
        self.note_hits(times, value_bytes(bytes, times));
    }

    /// So many values have come for a get, with so many bytes, line ends included.
    pub(in crate::proxy) fn note_hits(&mut self, count: u32, bytes: u64) {
        self.hits = self.hits.saturating_add(count);
        self.value_bytes = self.value_bytes.saturating_add(bytes);
    }

    /// The server it was sent to last.
    pub(in crate::proxy) fn target(&self) -> Option<HostId> {
        (self.target != HostId::NONE).then_some(self.target)
    }
}

/// The connections on which a request's answers are expected. If there is one only, no allocation is made; requests of
/// many keys lend the memory of those before them.
#[derive(Debug)]
pub struct Links {
    /// [`ConnId::NONE`]: there is none, nor any more. (An `Option` would make every request larger.)
    first: ConnId,
    more: Vec<ConnId>,
}

impl Default for Links {
    fn default() -> Links {
        Links::with_memory(Vec::new())
    }
}

impl Links {
    /// No links, with memory for them.
    pub fn with_memory(more: Vec<ConnId>) -> Links {
        Links { first: ConnId::NONE, more }
    }

    /// The memory, for other links.
    pub fn into_memory(mut self) -> Vec<ConnId> {
        self.more.clear();
        self.more
    }

    /// One more answer is expected on `conn`.
    pub fn add(&mut self, conn: ConnId) {
        match self.is_empty() {
            true => self.first = conn,
            false => self.more.push(conn),
        }
    }

    /// One answer less is expected on `conn`.
    pub fn remove(&mut self, conn: ConnId) {
        if self.first == conn {
            self.first = self.more.pop().unwrap_or(ConnId::NONE);
        } else if let Some(at) = self.more.iter().position(|other| *other == conn) {
            self.more.swap_remove(at);
        }
    }

    /// Whether an answer is expected on `conn`.
    pub fn contains(&self, conn: ConnId) -> bool {
        self.first == conn || self.more.contains(&conn)
    }

    /// One of them.
    pub fn last(&self) -> Option<ConnId> {
        self.more.last().copied().or(self.first())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = ConnId> {
        self.first().into_iter().chain(self.more.iter().copied())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first == ConnId::NONE
    }

    fn first(&self) -> Option<ConnId> {
        (!self.is_empty()).then_some(self.first)
    }
}
