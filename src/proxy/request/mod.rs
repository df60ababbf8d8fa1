//! What is between clients and servers: requests in flight, what is already known of their answers, and what is asked again.
//!
//! **Owns** the requests ([`Request`]), with the parts of those that go to several servers.
//!
//! **Promises** that every request is completed exactly once, by its answer or by a documented failure ([`error`]); that
//! an answer goes to the request that asked for it; that what is refused or lost is asked again only where that cannot
//! change anything twice; and that a value is never another key's.
//!
//! **Called by** upstream, which makes requests, and by downstream, which brings answers and losses.
//!
//! | file | what |
//! |---|---|
//! | `flight`, `phases` | the state of one request, and where its time has gone |
//! | `awaiting` | what it waits for, and what other rooms tell it of that |
//! | `ascii_reply`, `binary_reply`, `translated_reply`, `meta_reply` | a server's answer, and whose it is |
//! | `multiget` | gets of several keys, repeated ones among them |
//! | `batch` | quiet packets and what closes them |
//! | `broadcast`, `roll` | orders to all servers, and whether all have confirmed |
//! | `dump` | lists of keys |
//! | `refused` | "not my vbucket": learn, and try the next server |
//! | `caching` | the front cache, and sets that are answered early |
//! | `error` | every failure and its reply |

mod ascii_reply;
mod awaiting;
pub(in crate::proxy) mod batch;
mod binary_reply;
pub(in crate::proxy) mod broadcast;
pub(in crate::proxy) mod caching;
pub(in crate::proxy) mod dump;
pub mod error;
mod flight;
mod meta_reply;
pub(in crate::proxy) mod multiget;
pub mod phases;
pub(in crate::proxy) mod refused;
pub(in crate::proxy) mod roll;
mod translated_reply;

pub use flight::{Links, Request, RequestId, Work};

use crate::arena::Arena;
use crate::buffer::Spare;
use crate::protocol::ascii::meta::asked::Asked;
use crate::protocol::ascii::meta::request::Meta;

use super::slow::{NoteId, Notes};
use super::upstream::ClientId;
use crate::sums::behind;
use multiget::{Duplicates, MultiGet};

/// How much spare memory for multi-key gets, and for meta commands, is kept at most, in pieces of each.
const SPARE: usize = 256;

/// The bytes of a value with its line end, so often.
pub(in crate::proxy) fn value_bytes(length: usize, times: u32) -> u64 {
    behind(2, length).saturating_mul(times.into())
}

/// What this room owns.
#[derive(Default)]
pub(in crate::proxy) struct Requests {
    pub(in crate::proxy) requests: Arena<Request>,
    /// Clients that have refused requests.
    refused: Vec<ClientId>,
    /// Some of these may be sent again.
    pub(in crate::proxy) is_refused_due: bool,
    pub(in crate::proxy) works: SpareWorks,
    duplicates: Duplicates,
    /// The number of the last meta command that was sent as it is.
    opaque: u32,
    /// About the line of a client that is being carried out, if it may get one in the log.
    pub(in crate::proxy) note: NoteId,
    pub(in crate::proxy) notes: Notes,
    /// Room for a key while its reply is written.
    pub(in crate::proxy) scratch: Vec<u8>,
}

impl Requests {
    /// Frees memory that was not needed lately.
    pub(in crate::proxy) fn trim(&mut self) {
        self.works.multigets.trim();
        self.works.metas.trim();
        self.notes.trim();
    }

    /// A meta command, as long as it is in flight.
    pub(in crate::proxy) fn keep(&mut self, meta: &Meta<'_>) -> Work {
        let mut asked = self.works.metas.take().unwrap_or_default();
        asked.keep(meta);
        Work::Meta(asked)
    }

    /// What is remembered of what is being carried out: for the request that comes of it.
    #[inline]
    pub(in crate::proxy) fn take_note(&mut self) -> NoteId {
        std::mem::replace(&mut self.note, NoteId::NONE)
    }

    /// A number by which the answer to a meta command is known.
    pub(in crate::proxy) fn next_opaque(&mut self) -> u32 {
        self.opaque = self.opaque.wrapping_add(1);
        self.opaque
    }

    /// Whether it holds memory that may not be needed.
    pub(in crate::proxy) fn holds_spare(&self) -> bool {
        !self.works.multigets.is_empty() || !self.works.metas.is_empty() || !self.notes.is_empty()
    }
}

/// Memory that requests of more than a few fields lend each other.
#[derive(Debug)]
pub(in crate::proxy) struct SpareWorks {
    multigets: Spare<Box<MultiGet>>,
    metas: Spare<Box<Asked>>,
}

impl Default for SpareWorks {
    fn default() -> SpareWorks {
        SpareWorks { multigets: Spare::new(SPARE), metas: Spare::new(SPARE) }
    }
}

impl SpareWorks {
    /// A request with these links is done: its memory is for others.
    #[inline]
    pub(in crate::proxy) fn take_back(&mut self, request: &mut Request) {
        let Request { work, links, .. } = request;
        if !matches!(work, Work::MultiGet(_) | Work::Meta(_)) {
            return; // it has none that others could use
        }
        match std::mem::replace(work, Work::Local) {
            Work::MultiGet(multiget) => multiget.recycle(std::mem::take(links), &mut self.multigets),
            Work::Meta(asked) => self.metas.give(asked),
            _ => {}
        }
    }
}
