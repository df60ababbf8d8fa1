//! What is remembered of a request that may get a line, or whose answer counts for a key: what was asked for, and what became
//! of it on the way.

use crate::metrics::keys::stats::Tracked;
use crate::protocol::ascii::command;
use crate::protocol::ascii::meta::request::{Meta, Verb};
use crate::protocol::binary::packet::Packet;
use crate::protocol::op::{self, Target};
use crate::protocol::{KEY_MAX, Request};

use super::line::End;
use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::sums::Count as _;

/// What clients of lines speak.
const ASCII: &str = "ascii";

/// Names the note about a request. It is not more than a number, so that requests without one cost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteId(u32);

impl NoteId {
    /// No note.
    pub const NONE: NoteId = NoteId(u32::MAX);
}

impl Default for NoteId {
    fn default() -> NoteId {
        NoteId::NONE
    }
}

/// The notes about the requests in flight. Each belongs to one request, which gives it back when it ends.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Notes {
    all: Vec<Note>,
    free: Vec<NoteId>,
}

impl Notes {
    /// A note about which nothing is known yet.
    pub(in crate::proxy) fn take(&mut self) -> (NoteId, &mut Note) {
        let id = self.free.pop().unwrap_or_else(|| {
            let id = NoteId(self.all.len() as u32);
            self.all.push(Note::default());
            id
        });
        let note = self.note(id);
        note.begin();
        (id, note)
    }

    #[expect(clippy::indexing_slicing, reason = "notes stay, whether they are in use or not")]
    fn note(&mut self, id: NoteId) -> &mut Note {
        &mut self.all[id.0 as usize]
    }

    /// The note, if there is one.
    #[inline]
    pub(in crate::proxy) fn get_mut(&mut self, id: NoteId) -> Option<&mut Note> {
        self.all.get_mut(id.0 as usize)
    }

    /// The same, to read.
    pub(in crate::proxy) fn get(&self, id: NoteId) -> Option<&Note> {
        self.all.get(id.0 as usize)
    }

    /// The note is not needed any more.
    pub(in crate::proxy) fn give(&mut self, id: NoteId) {
        if id != NoteId::NONE {
            self.free.push(id);
        }
    }

    /// A server has answered the request of this note.
    #[cold]
    pub(in crate::proxy) fn answered_by(&mut self, id: NoteId, server: HostId) {
        if let Some(note) = self.get_mut(id) {
            note.server = Some(server);
        }
    }

    /// How many are in use.
    #[cfg(debug_assertions)]
    pub(in crate::proxy) fn len(&self) -> usize {
        self.all.len().saturating_sub(self.free.len())
    }

    /// Frees the memory if no note is in use.
    pub(in crate::proxy) fn trim(&mut self) {
        if self.free.len() == self.all.len() {
            *self = Notes::default();
        }
    }

    /// Whether it holds no memory.
    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.all.is_empty()
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
pub(in crate::proxy) struct Note {
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
    /// What has become of it; `None`: nothing yet.
    pub(super) end: Option<End>,
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
            end: None,
            tracked: Tracked::NONE,
        }
    }
}

impl Note {
    /// Nothing is known yet.
    fn begin(&mut self) {
        (self.length, self.more, self.retries) = (0, 0, 0);
        (self.server, self.failure, self.end, self.tracked) = (None, None, None, Tracked::NONE);
    }

    /// It is a get of this key by an ASCII client.
    pub(in crate::proxy) fn get(&mut self, key: &[u8]) {
        (self.word, self.protocol) = (Word::Text("get"), ASCII);
        self.set_key(key);
    }

    /// It is this request of an ASCII client.
    pub(in crate::proxy) fn line(&mut self, request: &Request<'_>) {
        (self.word, self.protocol) = (Word::Text(called(request)), ASCII);
        match request {
            Request::Keyed(command) => self.set_key(command.key()),
            Request::GetMany { keys, .. } => {
                self.more = keys.iter().count().saturating_sub(1);
                self.set_key(keys.iter().next().map_or(&[][..], |(_, key)| key));
            }
            _ => self.set_key(b""),
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
        self.length = 0;
        if let Some(place) = self.key.get_mut(..key.len()) {
            place.copy_from_slice(key);
            self.length = key.len();
        }
    }

    /// It is sent again.
    pub(in crate::proxy) fn retry(&mut self) {
        self.retries.up();
    }
}

/// The word of a line.
fn called(request: &Request<'_>) -> &'static str {
    match *request {
        Request::Keyed(ref command) => command::word(command),
        Request::GetMany { cas, exptime, .. } => command::get_word(cas, exptime.is_some()),
        Request::Keyless(ref command) => command::keyless_word(command),
        Request::StatsProxy { .. } => "stats",
        Request::Dump(_) => "dump",
        Request::Verbosity { .. } => "verbosity",
        Request::Quit => "quit",
    }
}

impl Engine {
    /// The request has failed as a whole.
    pub(in crate::proxy) fn note_failure(&mut self, id: RequestId, failure: Failure) {
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        let Some(note) = self.flight.notes.get_mut(request.note) else { return };
        note.failure = Some(failure);
        let conn = request.links().last().and_then(|conn| self.downstream.conns.must(conn));
        note.server = conn.map(|conn| conn.host()).or(note.server);
    }
}
