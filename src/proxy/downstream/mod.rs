//! Where servers are: their connections, what is expected on each, their health, and what is known of who has which keys.
//!
//! **Owns** the servers ([`host::Host`]) and the connections to them ([`Conn`]), with their queues of expected replies.
//!
//! **Promises** that what a client sends for one key stays in order on one connection; that nothing is sent behind what
//! may not be understood; that a connection out of step is closed before anybody gets a wrong answer; that nobody waits
//! longer for a server than its limits say; and that a failing server costs its own requests only.
//!
//! **Called by** the event loop (connected, bytes in, bytes out, closed) and by the other rooms, which have something to
//! send.
//!
//! | file | what |
//! |---|---|
//! | `conn`, `expect`, `fifo` | the state of one connection, what it expects, and in which order; LIFECYCLE.md has its states |
//! | `host`, `hosts` | one server, and what all workers know of it; which ones there are |
//! | `named` | servers that clients have named (`-X`) |
//! | `face` | what the event loop calls |
//! | `dispatch`, `pick` | sending; which connection a request takes |
//! | `straight` | gets and sets that nothing is in the way of |
//! | `connection` | handshakes, and replies one by one |
//! | `values` | the values of gets, as many of them as come together |
//! | `matching`, `links` | which expected reply a server's answer is; what ties it to its request |
//! | `group` | groups on the wire: joined gets and quiet packets, and what closes them |
//! | `sent` | when what was sent |
//! | `counting` | what is counted of connections and servers |
//! | `servers` | what all workers count of a server |
//! | `loss`, `resend`, `deadlines` | lost connections, what of them is sent again, and what is overdue |
//! | `abandoned`, `parting` | what was given up and may be carried out yet; nothing overtakes it |
//! | `dialect` | which ASCII commands a server understands |
//! | `shortage` | connections that this machine has no room for |
//! | `masters` | which vbuckets are where |
//! | `hands` | what the tests of this room do in the place of others |
//! | `invariants` | what must hold; only in debug builds |

pub(in crate::proxy) mod abandoned;
mod conn;
pub(in crate::proxy) mod connection;
mod counting;
mod deadlines;
mod dialect;
pub(in crate::proxy) mod dispatch;
mod expect;
mod face;
pub mod fifo;
mod group;
#[cfg(test)]
mod hands;
pub mod host;
mod hosts;
#[cfg(debug_assertions)]
mod invariants;
pub(in crate::proxy) mod links;
pub(in crate::proxy) mod loss;
pub(in crate::proxy) mod masters;
mod matching;
mod named;
pub(in crate::proxy) mod parting;
mod pick;
pub(in crate::proxy) mod resend;
mod sent;
pub mod servers;
pub mod shortage;
mod straight;
mod values;

pub use conn::{Conn, ConnId, Shown, State, Step};
pub use expect::{Entry, Expect, PacketName, Question, Translated};
pub(in crate::proxy) use resend::Written;

use std::collections::HashMap;
use std::sync::Arc;

use crate::arena::Arena;
use crate::buffer::Pool;
use crate::config::snapshot::Server;
use crate::protocol::Protocol;

use host::{Dialect, Host, HostId};
use loss::Lost;
use named::Directory;
use parting::Parting;
use servers::Servers;

/// The size of the buffer a server's bytes are read into: many replies arrive together.
const BUFFER: usize = 64 * 1024;

/// What this room owns.
pub(in crate::proxy) struct Downstream {
    pub(in crate::proxy) conns: Arena<Conn>,
    pub(in crate::proxy) hosts: Arena<Host>,
    host_of: HashMap<Arc<Server>, HostId>,
    /// Where all workers count.
    servers: Arc<Servers>,
    /// The servers that clients have named (`-X`).
    directory: Directory,
    /// Connections that were lost in this turn, with the requests to be sent again.
    lost: Vec<Lost>,
    /// Connections that were closed, but not by their servers yet.
    partings: Vec<Parting>,
    /// Connections that have something to be sent.
    dirty: Vec<ConnId>,
    buffers: Pool,
}

impl Default for Downstream {
    fn default() -> Downstream {
        Downstream {
            conns: Arena::default(),
            hosts: Arena::default(),
            host_of: HashMap::new(),
            servers: Arc::default(),
            directory: Directory::default(),
            lost: Vec::new(),
            partings: Vec::new(),
            dirty: Vec::new(),
            buffers: Pool::new(BUFFER),
        }
    }
}

impl Downstream {
    /// What the server speaks; of one that is in no bucket any more that does not matter.
    pub(in crate::proxy) fn protocol(&self, host: HostId) -> Protocol {
        self.hosts.get(host).map_or(Protocol::Binary, |host| host.server.protocol)
    }

    /// The server, unless it is in no bucket any more.
    pub(in crate::proxy) fn server(&self, host: HostId) -> Option<&Arc<Server>> {
        self.hosts.get(host).map(|host| &host.server)
    }

    /// What is known of the commands of a server that speaks ASCII.
    pub(in crate::proxy) fn dialect(&self, host: HostId) -> Option<Dialect> {
        let host = self.hosts.must(host).filter(|host| host.server.protocol == Protocol::Ascii);
        host.map(|host| host.dialect)
    }

    /// Requests have waited too long behind others on the server's connections. If that is news: which server it is, how many
    /// connections it has, and how many requests are on them.
    pub(in crate::proxy) fn note_crowded(&mut self, host: HostId) -> Option<(&Arc<Server>, usize, usize)> {
        // It may be in no bucket any more, while the request waits to be sent again.
        let host = self.hosts.get_mut(host).filter(|host| !host.is_crowded)?;
        host.is_crowded = true;
        let conns = host.conns.iter().filter_map(|conn| self.conns.must(*conn));
        Some((&host.server, host.conns.len(), conns.map(|conn| conn.fifo.len()).sum()))
    }

    /// Whether connections were lost whose requests are to be sent again.
    pub(in crate::proxy) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether connections may have something to be sent.
    pub(in crate::proxy) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Counts on `servers` from now on.
    pub(in crate::proxy) fn count_on(&mut self, servers: &Arc<Servers>) {
        self.servers = Arc::clone(servers);
        let ids: Vec<HostId> = self.hosts.iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(host) = self.hosts.must_mut(id) {
                host.tally = servers.register(&host.server, None, &host.health);
            }
        }
    }

    /// Frees memory that was not needed lately.
    pub(in crate::proxy) fn trim(&mut self) {
        self.buffers.trim();
    }

    /// Whether it holds memory that may not be needed.
    pub(in crate::proxy) fn holds_spare(&self) -> bool {
        !self.buffers.is_empty()
    }
}
