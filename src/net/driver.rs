//! The event loop: takes events, reads, lets the engine work, carries out what it asks for, and writes.
//!
//! It knows no system call: what it reads from and writes to, and where events come from, is a [`Network`]. A worker
//! has one of mio's sockets, the simulation and the benchmark of the engine have theirs in memory.
//!
//! Sockets are edge-triggered, both ways: an event tells once that there is something to read, or room again to write
//! to. So whoever could not read all must remember that there is more (`may_read`), and whoever could not write all must
//! wait for the event (`is_blocked`).
//!
//! | file | what |
//! |---|---|
//! | `driver.rs` | the turn |
//! | `driver/network.rs` | what it is driven with |
//! | `driver/clients.rs`, `driver/conns.rs` | the sockets of clients, and of server connections |
//! | `driver/sockets.rs` | what they have in common |

mod clients;
mod conns;
mod network;
mod sockets;

use std::io::{self, ErrorKind};
use std::time::Duration;

use self::clients::{ClientSocket, Ending};
use self::conns::ConnSocket;
pub use self::network::{ClientStream, Event, Network, Readiness, ServerStream};
use crate::log;
use crate::protocol::Protocol;
use crate::proxy::downstream::ConnId;
use crate::proxy::timers::Micros;
use crate::proxy::upstream::ClientId;
use crate::proxy::{Action, Engine};

/// How many reads in a row one connection gets before the others have their turn.
const READS: u32 = 16;
/// How many pieces go into one system call.
const PIECES: usize = 64;
/// From which verbosity on the log shows what clients send and get.
const TRACED: u8 = 2;

/// Who serves a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The bucket with this index.
    Bucket(usize),
    /// The built-in server.
    Memcached,
}

/// Whether there is to be another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is.
    GoOn,
    /// No: what had begun when [`Driver::drain`] was called is finished, or had no more time.
    Drained,
}

/// Something that is to be read from again without an event.
#[derive(Clone, Copy)]
enum Unread {
    Client(ClientId),
    Conn(ConnId),
    Finishing(ConnId),
    Own(u64),
}

/// An engine and its sockets.
pub struct Driver<N: Network> {
    /// Where sockets and events come from.
    pub network: N,
    /// What is driven.
    pub engine: Engine,
    /// By the index of the client's id.
    clients: Vec<Option<ClientSocket<N::Client>>>,
    /// By the index of the connection's id.
    conns: Vec<Option<ConnSocket<N>>>,
    /// Server connections that are only read to their end.
    finishing: Vec<ConnSocket<N>>,
    /// Which protocol clients must speak; `None`: either.
    binding: Option<Protocol>,
    unread: Vec<Unread>,
    actions: Vec<Action>,
    looked_at: Vec<ClientId>,
    ending: Option<End>,
}

/// How the driver comes to its end.
#[derive(Clone, Copy)]
enum End {
    /// Clients leave when they like.
    Retiring,
    /// See [`Driver::drain`].
    Draining {
        until: Micros,
        /// Until then clients may take what they have been answered; `None`: those that did not are closed.
        reading: Option<Micros>,
    },
}

/// How long clients that do not read can hold up the end, in microseconds (01 §12).
const UNREAD: Micros = 1_000_000;

impl<N: Network> Driver<N> {
    /// Drives `engine`, whose clients must speak `binding`; `None`: either protocol.
    pub fn new(network: N, engine: Engine, binding: Option<Protocol>) -> Driver<N> {
        Driver {
            network,
            engine,
            clients: Vec::new(),
            conns: Vec::new(),
            finishing: Vec::new(),
            binding,
            unread: Vec::new(),
            actions: Vec::new(),
            looked_at: Vec::new(),
            ending: None,
        }
    }

    /// One turn. `events` is room for what is waited for.
    ///
    /// # Errors
    /// When it cannot be waited for events.
    pub fn turn(&mut self, events: &mut N::Events) -> io::Result<Verdict> {
        if let Err(error) = self.network.wait(events, self.patience())
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        let now = self.network.now();
        self.engine.set_time(now);
        self.engine.set_tracing(log::enabled(TRACED));
        self.network.begin(now, &mut self.engine);
        for event in N::events(events) {
            match event {
                Event::Client(id, readiness) => self.client_event(id, readiness),
                Event::Conn(id, readiness) => self.conn_event(id, readiness),
                Event::Own(token) => N::own_event(self, token),
            }
        }
        for unread in std::mem::take(&mut self.unread) {
            match unread {
                Unread::Client(id) => self.read_client(id),
                Unread::Conn(id) => self.read_conn(id),
                Unread::Finishing(id) => self.read_to_end(id),
                Unread::Own(token) => N::own_event(self, token),
            }
        }
        let mut looked_at = std::mem::take(&mut self.looked_at);
        self.tell(|engine| engine.turn(&mut looked_at));
        for id in looked_at.drain(..) {
            self.read_client(id);
        }
        self.looked_at = looked_at;
        self.act();
        self.flush();
        self.close_unread();
        Ok(if self.is_over() { Verdict::Drained } else { Verdict::GoOn })
    }

    /// How long the next turn may wait for events; `None`: for ever.
    pub fn patience(&self) -> Option<Duration> {
        if self.is_busy() || self.is_over() {
            return Some(Duration::ZERO);
        }
        let next = self.engine.next_deadline();
        let at = match self.ending {
            Some(End::Draining { until, reading }) => {
                reading.unwrap_or(until).min(until).min(next.unwrap_or(Micros::MAX))
            }
            Some(End::Retiring) | None => next?,
        };
        Some(Duration::from_micros(at.saturating_sub(self.network.now())))
    }

    /// Whether there is work left that no event will announce.
    pub fn is_busy(&self) -> bool {
        self.engine.has_ready() || !self.unread.is_empty()
    }

    /// Takes no more requests, and ends when those that have come are answered, or at `until` at the latest.
    pub fn drain(&mut self, until: Micros) {
        self.ending = Some(End::Draining { until, reading: Some(self.network.now().saturating_add(UNREAD)) });
        for id in self.client_ids() {
            self.end_client(id, Ending::Drained);
        }
    }

    /// Ends when the last client has gone.
    pub fn retire(&mut self) {
        self.ending = Some(End::Retiring);
    }

    fn is_over(&self) -> bool {
        match self.ending {
            Some(End::Draining { until, .. }) => self.engine.client_count() == 0 || self.network.now() >= until,
            Some(End::Retiring) => self.engine.client_count() == 0,
            None => false,
        }
    }

    /// Closes clients that have not read for so long that they would hold up the end.
    fn close_unread(&mut self) {
        let Some(End::Draining { until, reading: Some(reading) }) = self.ending else { return };
        if reading <= self.network.now() {
            self.ending = Some(End::Draining { until, reading: None });
            for id in self.client_ids() {
                self.close_blocked(id);
            }
        }
    }

    /// Has [`Network::own_event`] called with `token` in the next turn, or still in this one, without an event.
    pub fn call_again(&mut self, token: u64) {
        self.unread.push(Unread::Own(token));
    }

    /// Calls the engine. What must hold after that is looked at where the network wants it, in debug builds.
    #[inline]
    fn tell<R>(&mut self, call: impl FnOnce(&mut Engine) -> R) -> R {
        let result = call(&mut self.engine);
        #[cfg(debug_assertions)]
        if self.network.is_checked() {
            self.engine.check_invariants();
        }
        result
    }

    /// Does what the engine has asked for.
    fn act(&mut self) {
        loop {
            if !self.engine.take_actions(&mut self.actions) {
                return;
            }
            let mut actions = std::mem::take(&mut self.actions);
            for action in actions.drain(..) {
                self.network.told(&action);
                match action {
                    Action::Connect(id, server) => self.connect(id, &server),
                    Action::CloseConn(id) => self.close_conn(id),
                    Action::FinishConn(id) => self.finish_conn(id),
                    Action::ReadConn(id) => self.unread.push(Unread::Conn(id)),
                    Action::CloseClient(id) => self.close_client(id),
                    Action::Breach(id, breach) => {
                        if let Some(descriptor) = self.descriptor(id) {
                            log!(1, "{}", breach.line(descriptor));
                        }
                    }
                    Action::Trace(id, request) => {
                        if let Some(descriptor) = self.descriptor(id) {
                            log!(TRACED, "<{descriptor} {request}");
                        }
                    }
                    Action::Slow(id, line) => {
                        let client = id.map(|id| format!(" client={}", self.peer(id)));
                        self.network.report(line + &client.unwrap_or_default());
                    }
                    // These have nothing to do with sockets.
                    Action::SetVerbosity(_) | Action::Log(..) | Action::Refresh(_) => {}
                }
            }
            self.actions = actions;
        }
    }

    /// Writes whatever there is to write, until nothing more follows from it.
    fn flush(&mut self) {
        loop {
            while let Some(id) = self.engine.next_dirty_conn() {
                self.flush_conn(id);
            }
            while let Some(id) = self.engine.next_dirty_client() {
                self.flush_client(id);
            }
            self.act();
            if !self.engine.has_dirty() {
                return;
            }
        }
    }
}
