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
//! | `ascii_reply`, `binary_reply`, `translated_reply` | a server's answer, and whose it is |
//! | `multiget` | gets of several keys, repeated ones among them |
//! | `batch` | quiet packets and what closes them |
//! | `broadcast`, `roll` | orders to all servers, and whether all have confirmed |
//! | `dump` | lists of keys |
//! | `refused` | "not my vbucket": learn, and try the next server |
//! | `caching` | the front cache, and sets that are answered early |
//! | `error` | every failure and its reply |

mod ascii_reply;
pub(in crate::proxy) mod batch;
mod binary_reply;
pub(in crate::proxy) mod broadcast;
pub(in crate::proxy) mod caching;
pub(in crate::proxy) mod dump;
pub mod error;
mod flight;
pub(in crate::proxy) mod multiget;
pub mod phases;
pub(in crate::proxy) mod refused;
pub(in crate::proxy) mod roll;
mod translated_reply;

pub use flight::{Links, Request, RequestId, Work};

use crate::arena::Arena;
use crate::buffer::Spare;

use super::upstream::ClientId;
use multiget::{Duplicates, MultiGet};

/// How much spare memory for multi-key gets is kept at most, in pieces.
const SPARE: usize = 256;

/// What this room owns.
pub(in crate::proxy) struct Requests {
    pub(in crate::proxy) requests: Arena<Request>,
    /// Clients that have refused requests.
    refused: Vec<ClientId>,
    /// Some of these may be sent again.
    pub(in crate::proxy) is_refused_due: bool,
    pub(in crate::proxy) spare: Spare<Box<MultiGet>>,
    duplicates: Duplicates,
    /// Room for a key while its reply is written.
    pub(in crate::proxy) scratch: Vec<u8>,
}

impl Default for Requests {
    fn default() -> Requests {
        Requests {
            requests: Arena::default(),
            refused: Vec::new(),
            is_refused_due: false,
            spare: Spare::new(SPARE),
            duplicates: Duplicates::default(),
            scratch: Vec::new(),
        }
    }
}

impl Requests {
    /// Frees memory that was not needed lately.
    pub(in crate::proxy) fn trim(&mut self) {
        self.spare.trim();
    }

    /// Whether it holds memory that may not be needed.
    pub(in crate::proxy) fn holds_spare(&self) -> bool {
        !self.spare.is_empty()
    }
}
