//! The proxy engine: clients, server connections and the requests between them, without any I/O.
//!
//! One [`Engine`] serves one worker. It is given bytes, events and the time; it produces bytes and
//! [`Action`]s. The event loop (`net::driver`) moves these between the engine and sockets: a worker's, or those of a
//! simulation, which are memory.
//!
//! ```text
//!  client bytes ─► pump ─► ascii_request ─► dispatch ─► downstream.output ─► server
//!                            (or multiget, broadcast)      + fifo entry
//!  client bytes ◄─ upstream.output ◄─ finish ◄─ ascii_reply, binary_reply ◄─ downstream.input ◄─ server
//!                                       ▲
//!                             failing: deadlines, lost connections
//! ```
//!
//! [`upstream`] has the state of clients, [`downstream`] that of server connections, [`request`] what is between them;
//! everything else is the engine, by subject. `docs/ARCHITECTURE.md` says which file has what, and follows a get through
//! them; `LIFECYCLE.md` beside this file has the states.

mod abandoned;
mod ascii_reply;
mod ascii_request;
mod batch;
mod binary_reply;
mod binary_request;
mod broadcast;
mod caching;
mod connection;
mod crowded;
mod deadlines;
mod dialect;
mod dispatch;
pub mod downstream;
mod dump;
pub mod error;
pub mod fifo;
mod finish;
pub mod host;
mod idle;
#[cfg(debug_assertions)]
mod invariants;
mod leaving;
mod loss;
mod masters;
mod mcmux;
mod memcached;
mod merge;
mod multiget;
mod parting;
mod pump;
mod reconfigure;
mod refused;
pub mod report;
pub mod request;
mod resend;
mod roll;
mod sasl;
pub mod shortage;
mod statistics;
pub mod timers;
mod translated_reply;
mod trimming;
pub mod upstream;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::arena::Arena;
use crate::buffer::{Output, Pool, Spare};
use crate::config::snapshot::{BucketConfig, Config, Server};
use crate::front_cache::Matcher;
use crate::metrics::board::Traffic;
use crate::metrics::counter::{Counter, Counters};
use crate::protocol::Protocol;
use crate::protocol::binary::breach::Breach;

use caching::Front;
use downstream::{Conn, ConnId};
use host::{HealthTable, Host, HostId};
use idle::Idle;
use loss::Lost;
use masters::Masters;
use mcmux::Directory;
use memcached::Served;
use multiget::{Duplicates, MultiGet};
use parting::Parting;
use refused::Told;
use report::Sources;
use request::Request;
use timers::{Micros, Timers};
use upstream::{Client, ClientId, Phase};

/// The size of the buffer a client's bytes are read into.
const CLIENT_BUFFER: usize = 16 * 1024;
/// The size of the buffer a server's bytes are read into: many replies arrive together.
const SERVER_BUFFER: usize = 64 * 1024;

/// How much spare memory for outputs and for multi-key gets is kept at most, in pieces.
const SPARE_OUTPUTS: usize = 1024;
const SPARE_MULTIGETS: usize = 256;

/// What the version commands answer.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the event loop is to do.
#[derive(Debug)]
pub enum Action {
    /// Connect to this server, then call [`Engine::connected`], [`Engine::connect_failed`] or
    /// [`Engine::connect_short`]. It may come again for the same connection after the last.
    Connect(ConnId, Arc<Server>),
    /// Close this server connection's socket; the engine has forgotten it.
    CloseConn(ConnId),
    /// Read from this server connection again: it was left unread for a while.
    ReadConn(ConnId),
    /// Send nothing more on this server connection, drop what comes, and call [`Engine::conn_closed`] when the server
    /// has closed it; unless [`Action::CloseConn`] comes before.
    FinishConn(ConnId),
    /// Close this client's socket; the engine has forgotten it.
    CloseClient(ClientId),
    /// Set the log level of the process.
    SetVerbosity(u8),
    /// This client is being closed for what it has sent: tell the log.
    Breach(ClientId, Breach),
    /// Show this request of a client in the log.
    Trace(ClientId, String),
    /// Write to the log at this verbosity.
    Log(u8, String),
    /// Have the agent with this index ask for its documents anew.
    Refresh(usize),
}

/// What applies to all clients of a worker.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many requests of one client are handled in a row (`-R`).
    pub requests_per_turn: u32,
    /// Which protocol clients must speak (`-B`); `None`: either, as their first byte tells.
    pub binding: Option<Protocol>,
}

/// A bucket as one worker sees it.
#[derive(Debug)]
struct Bucket {
    config: Arc<BucketConfig>,
    /// What this worker counts of it.
    counters: Arc<Counters>,
    /// The server of each index; one server may stand at several.
    hosts: Vec<HostId>,
    /// Which vbuckets have moved.
    masters: Masters,
    /// How many requests are unanswered, and places kept for admitted ones.
    active: u32,
    /// Clients whose next request waits for a place. May name ones that no longer wait.
    waiting: VecDeque<ClientId>,
    /// Its front cache, if it is in use.
    front: Option<Front>,
    /// The keys whose sets are answered before the server has answered.
    optimize_set: Matcher,
    /// Some have waited too long, and no place has been free since.
    is_crowded: bool,
    /// What a server has said last about who has what.
    told: Option<Told>,
}

/// All proxying of one worker.
pub struct Engine {
    settings: Settings,
    now: Micros,
    buckets: Vec<Bucket>,
    clients: Arena<Client>,
    requests: Arena<Request>,
    conns: Arena<Conn>,
    hosts: Arena<Host>,
    host_of: HashMap<Arc<Server>, HostId>,
    directory: Directory,
    timers: Timers,
    /// When clients have been idle for too long.
    idle: Idle,
    /// Connections that were lost in this turn, with the requests to be sent again.
    lost: Vec<Lost>,
    /// Connections that were closed, but not by their servers yet.
    partings: Vec<Parting>,
    /// Clients that have refused requests.
    refused: Vec<ClientId>,
    /// Some of these may be sent again.
    is_refused_due: bool,
    /// Clients whose input is to be looked at again.
    ready: Vec<ClientId>,
    dirty_clients: Vec<ClientId>,
    dirty_conns: Vec<ConnId>,
    actions: Vec<Action>,
    client_buffers: Pool,
    server_buffers: Pool,
    spare: Spare<Vec<u8>>,
    /// Room for a key while its reply is written.
    scratch: Vec<u8>,
    spare_multigets: Spare<Box<MultiGet>>,
    /// Requests are to be shown in the log.
    is_tracing: bool,
    /// There is a deadline for looking at spare memory.
    is_trimming: bool,
    duplicates: Duplicates,
    /// The configuration in force, for statistics.
    config: Config,
    /// Where all workers count.
    sources: Arc<Sources>,
    /// The bytes of this worker's sockets.
    traffic: Arc<Traffic>,
    /// The built-in server, if this worker has clients for it.
    memcached: Option<Served>,
}

impl Engine {
    /// An engine for the buckets of `config`. `health` is shared by all workers.
    pub fn new(config: &Config, health: &HealthTable, settings: Settings) -> Engine {
        let mut engine = Engine {
            settings,
            now: 0,
            buckets: Vec::new(),
            clients: Arena::default(),
            requests: Arena::default(),
            conns: Arena::default(),
            hosts: Arena::default(),
            host_of: HashMap::new(),
            directory: Directory::default(),
            timers: Timers::default(),
            idle: Idle::default(),
            lost: Vec::new(),
            partings: Vec::new(),
            refused: Vec::new(),
            is_refused_due: false,
            ready: Vec::new(),
            dirty_clients: Vec::new(),
            dirty_conns: Vec::new(),
            actions: Vec::new(),
            client_buffers: Pool::new(CLIENT_BUFFER),
            server_buffers: Pool::new(SERVER_BUFFER),
            spare: Spare::new(SPARE_OUTPUTS),
            scratch: Vec::new(),
            spare_multigets: Spare::new(SPARE_MULTIGETS),
            is_tracing: false,
            is_trimming: false,
            duplicates: Duplicates::default(),
            config: Config::default(),
            sources: Arc::default(),
            traffic: Arc::default(),
            memcached: None,
        };
        engine.reconfigure(config, health);
        engine
    }

    /// Tells the time, once per turn of the event loop.
    pub fn set_time(&mut self, now: Micros) {
        self.now = now;
    }

    /// Whether there is to be an [`Action::Trace`] for each request.
    pub fn set_tracing(&mut self, is_tracing: bool) {
        self.is_tracing = is_tracing;
    }

    /// When [`Engine::turn`] must be called at the latest.
    pub fn next_deadline(&self) -> Option<Micros> {
        self.timers.next()
    }

    /// Whether there is work left that no event will announce.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.lost.is_empty() || self.is_refused_due
    }

    /// The next thing the event loop is to do.
    pub fn take_actions(&mut self, into: &mut Vec<Action>) {
        into.append(&mut self.actions);
    }

    /// Does what follows from the events of this turn: overdue requests, retries, clients that can go on.
    /// Names of clients that were looked at again are added to `looked_at`: their sockets may have more to read.
    pub fn turn(&mut self, looked_at: &mut Vec<ClientId>) {
        self.expire();
        while !self.lost.is_empty() {
            self.resend_lost();
        }
        if self.is_refused_due {
            self.resend_refused();
        }
        let ready = std::mem::take(&mut self.ready);
        for id in &ready {
            if let Some(client) = self.clients.get_mut(*id) {
                client.is_ready = false;
                client.stopped = false;
                self.pump(*id);
                looked_at.push(*id);
            }
        }
        if self.ready.is_empty() && ready.capacity() > 0 {
            self.ready = ready;
            self.ready.clear();
        }
        self.arm_trimming();
        #[cfg(debug_assertions)]
        self.check_invariants();
    }

    /// A client has connected to bucket `bucket`. `None`: it is to be turned away.
    pub fn add_client(&mut self, bucket: usize) -> Option<ClientId> {
        let counters = self.counters(bucket)?;
        counters.count(Counter::Upstreams);
        counters.count(Counter::TotUpstream);
        let id = self.clients.insert(Client { active_at: self.now, ..Client::new(bucket, self.settings.binding) });
        self.arm_idle(id);
        Some(id)
    }

    /// Where the client's next bytes are to be read to; `None` while it is not to be read from.
    pub fn client_space(&mut self, id: ClientId) -> Option<&mut [u8]> {
        let client = self.clients.get_mut(id)?;
        if client.stopped || client.is_ready || client.phase != Phase::Open {
            return None;
        }
        Some(client.input.space(&mut self.client_buffers))
    }

    /// `count` bytes were read into [`Engine::client_space`].
    pub fn client_filled(&mut self, id: ClientId, count: usize) {
        if let Some(client) = self.clients.get_mut(id) {
            client.input.filled(count);
            if count > 0 {
                client.active_at = self.now;
            }
            if client.session.is_none() {
                self.traffic.count_read(count);
            }
        }
        self.pump(id);
    }

    /// Whether the client's last bytes end inside a request.
    pub fn is_mid_request(&self, id: ClientId) -> bool {
        self.clients.get(id).is_some_and(|client| !client.input.is_empty() && !client.stopped && !client.is_ready)
    }

    /// The next client that has something to be sent, with up to where.
    pub fn next_dirty_client(&mut self) -> Option<ClientId> {
        while let Some(id) = self.dirty_clients.pop() {
            if let Some(client) = self.clients.get_mut(id) {
                client.is_dirty = false;
                return Some(id);
            }
        }
        None
    }

    /// The client's output, and the position up to which it may be sent.
    pub fn client_output(&self, id: ClientId) -> Option<(&Output, u64)> {
        self.clients.get(id).map(|client| (&client.output, client.committed))
    }

    /// The client's socket took `count` bytes.
    pub fn client_sent(&mut self, id: ClientId, count: usize) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.active_at = self.now;
        client.output.advance(count);
        client.output.release_sent();
        if client.session.is_none() {
            self.traffic.count_written(count);
        }
        let owes_nothing = client.order.is_empty();
        if client.stopped {
            self.make_ready(id);
        }
        if !owes_nothing {
            self.resume_dump(id);
        }
        self.settle_client(id);
    }

    /// The next server connection that has something to be sent.
    pub fn next_dirty_conn(&mut self) -> Option<ConnId> {
        while let Some(id) = self.dirty_conns.pop() {
            self.seal(id);
            if let Some(conn) = self.conns.get_mut(id) {
                conn.is_dirty = false;
                return Some(id);
            }
        }
        None
    }

    /// The server connection's output, and the position up to which it may be sent.
    pub fn conn_output(&mut self, id: ConnId) -> Option<(&Output, u64)> {
        // Whatever the occasion: what is sent in part, nothing joins.
        self.seal(id);
        self.conns.get(id).map(|conn| (&conn.output, conn.send_limit()))
    }

    /// The server's socket took `count` bytes.
    pub fn conn_sent(&mut self, id: ConnId, count: usize) {
        self.traffic.count_written(count);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.output.advance(count);
            conn.output.release(conn.answered_to);
            if conn.fifo.is_empty() {
                conn.output.rest(&mut self.spare);
            }
        }
    }

    /// Where the server's next bytes are to be read to; `None` while it is not to be read from.
    pub fn conn_space(&mut self, id: ConnId) -> Option<&mut [u8]> {
        let conn = self.conns.get_mut(id).filter(|conn| !conn.is_paused)?;
        Some(conn.input.space(&mut self.server_buffers))
    }

    /// `count` bytes were read into [`Engine::conn_space`].
    pub fn conn_filled(&mut self, id: ConnId, count: usize) {
        self.traffic.count_read(count);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.input.filled(count);
        }
        self.parse_replies(id);
    }

    /// How many clients are connected.
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Puts the client on the list of those to look at again.
    fn make_ready(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id)
            && !client.is_ready
        {
            client.is_ready = true;
            self.ready.push(id);
        }
    }

    /// Puts the client on the list of those to flush.
    fn mark_client(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id)
            && !client.is_dirty
        {
            client.is_dirty = true;
            self.dirty_clients.push(id);
        }
    }

    /// Puts the connection on the list of those to flush.
    fn mark_conn(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && !conn.is_dirty
        {
            conn.is_dirty = true;
            self.dirty_conns.push(id);
        }
    }

    fn log(&mut self, level: u8, text: String) {
        self.actions.push(Action::Log(level, text));
    }
}
