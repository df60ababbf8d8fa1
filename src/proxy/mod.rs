//! The proxy engine: clients, server connections and the requests between them, without any I/O.
//!
//! One [`Engine`] serves one worker. It is given bytes, events and the time; it produces bytes and
//! [`Action`]s. The event loop (`net::driver`) moves these between the engine and sockets: a worker's, or those of a
//! simulation, which are memory.
//!
//! ```text
//!     upstream                      request                      downstream
//!  client bytes ─► pump ─► straight, or as a multi-get, batch, order … ─► dispatch ─► output, expected reply ─► server
//!  client bytes ◄─ finish ◄─ whose answer it is, what is known of it ◄─ connection ◄─ input ◄─ server
//!                                        ▲
//!                          failing: deadlines, lost connections
//! ```
//!
//! The state lies in three rooms, which have a page each: [`upstream`] has the clients, [`downstream`] the servers and
//! their connections, [`request`] what is between them. `docs/ARCHITECTURE.md` follows a get through them; `LIFECYCLE.md` in
//! each room has the states.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod bucket;
pub mod downstream;
#[cfg(debug_assertions)]
mod invariants;
mod merge;
mod missed;
mod reconfigure;
pub mod report;
pub mod request;
pub mod slow;
mod statistics;
mod tallying;
pub mod timers;
mod trimming;
pub mod upstream;
mod watch;

use std::sync::Arc;

use crate::buffer::Spare;
use crate::config::snapshot::{Config, Server};
use crate::metrics::board::Traffic;
use crate::protocol::Protocol;
use crate::protocol::binary::breach::Breach;

use bucket::Buckets;
use downstream::host::HealthTable;
use downstream::{ConnId, Downstream};
use report::Sources;
use request::Requests;
use tallying::Alike;
use timers::{Micros, Timers};
use upstream::{ClientId, Upstream};

/// How much spare memory for outputs is kept at most, in pieces.
const SPARE_OUTPUTS: usize = 1024;

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
    /// Write this line about slow or sampled requests, with the client if it is about one.
    Slow(Option<ClientId>, String),
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

/// All proxying of one worker.
pub struct Engine {
    settings: Settings,
    now: Micros,
    buckets: Buckets,
    upstream: Upstream,
    flight: Requests,
    downstream: Downstream,
    timers: Timers,
    actions: Vec<Action>,
    /// Memory for outputs.
    spare: Spare<Vec<u8>>,
    /// Requests are to be shown in the log.
    is_tracing: bool,
    /// Of some bucket something is watched.
    is_watching: bool,
    /// There is a deadline for looking at spare memory.
    is_trimming: bool,
    /// The configuration in force, for statistics.
    config: Config,
    /// Where all workers count.
    sources: Arc<Sources>,
    /// The bytes of this worker's sockets.
    traffic: Arc<Traffic>,
    /// The requests that have ended last, and are not noted yet.
    alike: Alike,
    /// How often something was not there that must be.
    missed: u64,
}

impl Engine {
    /// An engine for the buckets of `config`. `health` is shared by all workers.
    pub fn new(config: &Config, health: &HealthTable, settings: Settings) -> Engine {
        let mut engine = Engine {
            settings,
            now: 0,
            buckets: Buckets::default(),
            upstream: Upstream::default(),
            flight: Requests::default(),
            downstream: Downstream::default(),
            timers: Timers::default(),
            actions: Vec::new(),
            spare: Spare::new(SPARE_OUTPUTS),
            is_tracing: false,
            is_watching: false,
            is_trimming: false,
            config: Config::default(),
            sources: Arc::default(),
            traffic: Arc::default(),
            alike: Alike::default(),
            missed: 0,
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
        self.upstream.has_ready() || self.downstream.has_lost() || self.flight.is_refused_due
    }

    /// What the event loop is to do next is added to `into`; tells whether there is anything.
    pub fn take_actions(&mut self, into: &mut Vec<Action>) -> bool {
        let has_some = !self.actions.is_empty();
        if has_some {
            into.append(&mut self.actions);
        }
        has_some
    }

    /// Whether something is to be sent that was not fetched yet.
    pub fn has_dirty(&self) -> bool {
        self.upstream.has_dirty() || self.downstream.has_dirty()
    }

    /// Does what follows from the events of this turn: overdue requests, retries, clients that can go on.
    /// Names of clients that were looked at again are added to `looked_at`: their sockets may have more to read.
    pub fn turn(&mut self, looked_at: &mut Vec<ClientId>) {
        self.expire();
        while self.downstream.has_lost() {
            self.resend_lost();
        }
        if self.flight.is_refused_due {
            self.resend_refused();
        }
        self.pump_ready(looked_at);
        self.arm_trimming();
        self.settle_times();
        if self.has_missed() {
            self.tell_missed();
        }
        #[cfg(debug_assertions)]
        self.check_invariants();
    }

    fn log(&mut self, level: u8, text: String) {
        self.actions.push(Action::Log(level, text));
    }
}
