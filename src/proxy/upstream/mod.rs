//! Where clients are: what they have sent, what they are owed and in which order, what is on its way to them.
//!
//! **Owns** the clients ([`Client`]) and the lists of those to look at again and of those to flush.
//!
//! **Promises** that a client gets exactly one reply to each request that is answered, in the order of its requests, each
//! in whole pieces; that what it has sent in full is carried out, even if it has gone since; that none of its requests
//! overtakes another for the same key; and that it is looked at again when the reason for which it was left alone ends.
//!
//! **Called by** the event loop (bytes in, bytes out, the end of a stream) and by the other rooms, which owe it replies.
//!
//! | file | what |
//! |---|---|
//! | `client` | the state of one client; LIFECYCLE.md has its states |
//! | `order` | its requests, oldest first |
//! | `relations` | what other rooms ask of a client, and tell it |
//! | `caller` | whose request is at hand, and whom it is for |
//! | `face` | what the event loop calls |
//! | `pump` | a client's input, request by request; back-pressure |
//! | `admission` | places among the concurrent requests, and who waits for one |
//! | `waiting` | since when a request waits to be looked at again |
//! | `ascii_request`, `meta_request`, `binary_request`, `sasl` | what each command does |
//! | `bound` | what waits because its client's work for the server is told in lines |
//! | `answered` | the end of a request: its reply, what is counted of it, whose turn is next |
//! | `finish` | replies in order |
//! | `leaving`, `idle` | clients that end, are lost, or do nothing for long |
//! | `resting` | clients that another process can take over |
//! | `overdue` | requests that wait too long |
//! | `crowded` | telling that requests wait for places |
//! | `memcached` | clients of the built-in server |
//! | `mcmux` | clients that name the server of each request (`-X`) |
//! | `invariants` | what must hold; only in debug builds |

pub(in crate::proxy) mod admission;
pub(in crate::proxy) mod answered;
pub(in crate::proxy) mod ascii_request;
pub(in crate::proxy) mod binary_request;
mod bound;
mod caller;
mod client;
mod crowded;
mod face;
mod finish;
pub(in crate::proxy) mod idle;
#[cfg(debug_assertions)]
mod invariants;
mod leaving;
pub(in crate::proxy) mod mcmux;
pub(in crate::proxy) mod memcached;
mod meta_request;
mod order;
mod overdue;
pub(in crate::proxy) mod pump;
mod relations;
mod resting;
mod sasl;
mod waiting;

pub(in crate::proxy) use caller::Caller;
pub use client::{Admission, Client, ClientId, Phase, Service, Sticky};
pub use resting::{Home, Rest};

use crate::arena::Arena;
use crate::buffer::{Input, Pool};

use idle::Idle;
use memcached::Served;

/// The size of the buffer a client's bytes are read into.
const BUFFER: usize = 16 * 1024;

/// What this room owns.
pub(in crate::proxy) struct Upstream {
    pub(in crate::proxy) clients: Arena<Client>,
    /// When clients have been idle for too long.
    idle: Idle,
    /// Clients whose input is to be looked at again.
    ready: Vec<ClientId>,
    /// Clients that have something to be sent.
    dirty: Vec<ClientId>,
    buffers: Pool,
    /// What was just read from a client of which nothing else is there: only what has to wait gets memory by itself.
    pub(in crate::proxy) reading: Input,
    /// The built-in server, if this worker has clients for it.
    memcached: Option<Served>,
}

impl Default for Upstream {
    fn default() -> Upstream {
        Upstream {
            clients: Arena::default(),
            idle: Idle::default(),
            ready: Vec::new(),
            dirty: Vec::new(),
            buffers: Pool::new(BUFFER),
            reading: Input::default(),
            memcached: None,
        }
    }
}

impl Upstream {
    /// Whether clients are to be looked at again.
    pub(in crate::proxy) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A client that was not there has come to the list of those to flush.
    #[inline]
    pub(in crate::proxy) fn flush_later(&mut self, client: ClientId) {
        self.dirty.push(client);
    }

    /// Whether clients may have something to be sent.
    pub(in crate::proxy) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Frees memory that was not needed lately.
    pub(in crate::proxy) fn trim(&mut self) {
        self.reading.rest(&mut self.buffers);
        self.buffers.trim();
    }

    /// Whether it holds memory that may not be needed.
    pub(in crate::proxy) fn holds_spare(&self) -> bool {
        !self.buffers.is_empty() || self.reading.has_memory()
    }
}
