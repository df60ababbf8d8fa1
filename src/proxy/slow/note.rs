//! What is remembered of a request that may get a line, or whose answer counts for a key: what was asked for, and what became
//! of it on the way.

use crate::buffer::Spare;
use crate::metrics::keys::stats::Tracked;
use crate::protocol::ascii::meta::request::{Meta, Verb};
use crate::protocol::binary::packet::Packet;
use crate::protocol::op::{self, Target};
use crate::protocol::{KEY_MAX, Request};

use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;

/// How much spare memory for notes is kept at most, in pieces.
const SPARE: usize = 1024;

/// What clients of lines speak.
const ASCII: &str = "ascii";

/// Memory that notes lend each other.
#[derive(Debug)]
pub(in crate::proxy) struct Notes(Spare<Box<Note>>);

impl Default for Notes {
    fn default() -> Notes {
        Notes(Spare::new(SPARE))
    }
}

impl Notes {
    /// A note about a request.
    pub(in crate::proxy) fn take(&mut self) -> Box<Note> {
        let mut note = self.0.take().unwrap_or_default();
        note.begin();
        note
    }

    /// The note is not needed any more.
    pub(in crate::proxy) fn give(&mut self, note: Box<Note>) {
        self.0.give(note);
    }

    /// Frees memory that was not needed lately.
    pub(in crate::proxy) fn trim(&mut self) {
        self.0.trim();
    }

    /// Whether it holds no memory.
    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a request is called.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    Text(&'static str),
    /// A packet without a name.
    Opcode(u8),
}

/// What is remembered of a request that may get a line.
#[derive(Debug)]
pub struct Note {
    pub(super) word: Word,
    pub(super) key: [u8; KEY_MAX],
    pub(super) length: usize,
    /// How many other keys it names.
    pub(super) more: usize,
    pub(super) protocol: &'static str,
    /// How often it was sent again.
    pub(super) retries: u32,
    /// Whose answer came last, or has not come.
    pub(super) server: Option<HostId>,
    pub(super) failure: Option<Failure>,
    /// For which key's numbers the answer to a get of one key counts.
    pub(in crate::proxy) tracked: Tracked,
}

impl Default for Note {
    fn default() -> Note {
        Note {
            word: Word::Text(""),
            key: [0; KEY_MAX],
            length: 0,
            more: 0,
            protocol: ASCII,
            retries: 0,
            server: None,
            failure: None,
            tracked: Tracked::NONE,
        }
    }
}

impl Note {
    /// Nothing is known yet.
    fn begin(&mut self) {
        (self.length, self.more, self.retries) = (0, 0, 0);
        (self.server, self.failure, self.tracked) = (None, None, Tracked::NONE);
    }

    /// It is a get of this key by an ASCII client.
    pub(in crate::proxy) fn get(&mut self, key: &[u8]) {
        (self.word, self.protocol) = (Word::Text("get"), ASCII);
        self.set_key(key);
    }

    /// It is this request of an ASCII client.
    pub(in crate::proxy) fn line(&mut self, request: &Request<'_>) {
        let (word, key) = called(request);
        (self.word, self.protocol) = (Word::Text(word), ASCII);
        match request {
            Request::Get { keys, .. } | Request::Gat { keys, .. } => {
                self.more = keys.iter().count().saturating_sub(1);
                self.set_key(keys.iter().next().map_or(&[][..], |(_, key)| key));
            }
            _ => self.set_key(key),
        }
    }

    /// It is this meta command.
    pub(in crate::proxy) fn meta(&mut self, meta: &Meta<'_>) {
        let word = match meta.verb {
            Verb::Noop => "mn",
            Verb::Get => "mg",
            Verb::Store(_) => "ms",
            Verb::Delete => "md",
            Verb::Arith { .. } => "ma",
            Verb::Debug => "me",
        };
        (self.word, self.protocol) = (Word::Text(word), "meta");
        self.set_key(meta.key.name());
    }

    /// It is this packet.
    pub(in crate::proxy) fn packet(&mut self, packet: &Packet<'_>) {
        let op = op::of(packet.header.opcode);
        self.word = match op.word {
            "" => Word::Opcode(packet.header.opcode),
            word => Word::Text(word),
        };
        self.protocol = "binary";
        // Others have a key that is none.
        self.set_key(if op.target == Target::Key { packet.key } else { &[] });
    }

    fn set_key(&mut self, key: &[u8]) {
        let key = key.get(..KEY_MAX).unwrap_or(key);
        self.key[..key.len()].copy_from_slice(key);
        self.length = key.len();
    }

    /// It is sent again.
    pub(in crate::proxy) fn retry(&mut self) {
        self.retries += 1;
    }

    /// A server has answered.
    pub(in crate::proxy) fn answered_by(&mut self, server: HostId) {
        self.server = Some(server);
    }
}

/// The word of a line, and its key if it has just one.
fn called<'a>(request: &Request<'a>) -> (&'static str, &'a [u8]) {
    match request {
        Request::Get { cas, .. } => (if *cas { "gets" } else { "get" }, b""),
        Request::Gat { cas, .. } => (if *cas { "gats" } else { "gat" }, b""),
        Request::Getl { key, .. } => ("getl", key),
        Request::Store(store) => match store.cas {
            Some(_) => ("cas", store.key),
            None => (op::Op::store(store.verb).word, store.key),
        },
        Request::Arith { key, decr, .. } => (if *decr { "decr" } else { "incr" }, key),
        Request::Delete { key } => ("delete", key),
        Request::Touch { key, .. } => ("touch", key),
        Request::Unl { key, .. } => ("unl", key),
        Request::Flush { .. } => ("flush_all", b""),
        Request::Stats { .. } | Request::StatsProxy { .. } => ("stats", b""),
        Request::Dump(_) => ("dump", b""),
        Request::MemLimit { .. } => ("cache_memlimit", b""),
        Request::Version => ("version", b""),
        Request::Verbosity { .. } => ("verbosity", b""),
        Request::Quit => ("quit", b""),
    }
}

impl Engine {
    /// The request has failed as a whole.
    pub(in crate::proxy) fn note_failure(&mut self, id: RequestId, failure: Failure) {
        let Some(request) = self.flight.requests.get_mut(id) else { return };
        let Some(note) = &mut request.note else { return };
        note.failure = Some(failure);
        let conn = request.links.last().and_then(|conn| self.downstream.conns.get(conn));
        note.server = conn.map(|conn| conn.host).or(note.server);
    }
}
