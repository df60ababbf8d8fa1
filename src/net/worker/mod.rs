//! A worker: one thread, one event loop, one engine. It moves bytes between sockets and the engine.
//!
//! Sockets are registered once, for both directions, edge-triggered. So whoever could not read all must remember
//! that there is more (`may_read`), and whoever could not write all must wait for the event (`is_blocked`).

//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the loop |
//! | `shared.rs` | what all workers share |
//! | `inbox.rs` | starting a worker, and telling it something |
//! | `clients.rs`, `conns.rs` | the sockets of clients, and of server connections |
//! | `datagrams.rs` | the built-in server's UDP sockets |
//! | `sockets.rs` | what they have in common |

mod clients;
mod conns;
mod datagrams;
mod inbox;
mod shared;
mod sockets;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token};

use self::clients::ClientSocket;
use self::conns::ConnSocket;
use self::inbox::Inbox;
pub use self::inbox::{Handle, Message, Service, spawn};
pub use self::shared::Shared;
use super::udp::UdpServer;
use crate::arena::Id;
use crate::log;
use crate::memcached::clock::Clock;
use crate::memcached::counters::Counters;
use crate::metrics::process::Counted;
use crate::protocol::Protocol;
use crate::proxy::downstream::ConnId;
use crate::proxy::upstream::ClientId;
use crate::proxy::{Action, Engine};

/// The token of the inbox.
const INBOX: Token = Token(usize::MAX);
/// Set in the token of a server connection; the id below it has 62 bits.
const CONN: u64 = 1 << 62;
/// Set in the token of a UDP socket; its index is below it.
const UDP: u64 = 1 << 63;
/// How many events are taken at once.
const EVENTS: usize = 1024;
/// How many reads in a row one connection gets before the others have their turn.
const READS: u32 = 16;
/// How many pieces go into one system call.
const PIECES: usize = 64;
/// From which verbosity on the log shows what clients send and get.
const TRACED: u8 = 2;
/// How long clients that are owed something keep a draining worker alive.
const DRAIN: Duration = Duration::from_secs(1);

/// Something that is to be read from again without an event.
#[derive(Clone, Copy)]
enum Unread {
    Client(ClientId),
    Conn(ConnId),
    Finishing(ConnId),
    Udp(usize),
}

struct Worker {
    poll: Poll,
    engine: Engine,
    received: Receiver<Message>,
    inbox: Inbox,
    shared: Shared,
    /// By the index of the client's id.
    clients: Vec<Option<ClientSocket>>,
    /// By the index of the connection's id.
    conns: Vec<Option<ConnSocket>>,
    /// Server connections that are only read to their end.
    finishing: Vec<ConnSocket>,
    udp: Vec<(UdpServer, Counted)>,
    /// What the clients of the built-in server are counted with.
    counters: Option<Arc<Counters>>,
    binding: Option<Protocol>,
    /// The time in this turn, if there is a built-in server.
    clock: Clock,
    unread: Vec<Unread>,
    actions: Vec<Action>,
    drain_until: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut looked_at = Vec::new();
        loop {
            if let Err(error) = self.poll.poll(&mut events, self.patience())
                && error.kind() != ErrorKind::Interrupted
            {
                log!(0, "event queue: {error}");
                return;
            }
            let now = self.shared.now();
            self.engine.set_time(now);
            self.engine.set_tracing(log::enabled(TRACED));
            if self.shared.memcached.is_some() {
                self.clock = self.shared.clock(now);
                self.engine.set_unix_time(self.clock.unix);
            }
            for event in &events {
                self.handle(event);
            }
            for unread in std::mem::take(&mut self.unread) {
                match unread {
                    Unread::Client(id) => self.read_client(id),
                    Unread::Conn(id) => self.read_conn(id),
                    Unread::Finishing(id) => self.read_to_end(id),
                    Unread::Udp(index) => self.read_udp(index),
                }
            }
            self.engine.turn(&mut looked_at);
            for id in looked_at.drain(..) {
                self.read_client(id);
            }
            self.act();
            self.flush();
            if let Some(until) = self.drain_until
                && (self.engine.client_count() == 0 || Instant::now() >= until)
            {
                return;
            }
        }
    }

    /// How long to wait for events.
    fn patience(&self) -> Option<Duration> {
        if self.engine.has_ready() || !self.unread.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadline =
            self.engine.next_deadline().map(|at| Duration::from_micros(at.saturating_sub(self.shared.now())));
        let drain = self.drain_until.map(|until| until.saturating_duration_since(Instant::now()));
        deadline.into_iter().chain(drain).min()
    }

    fn handle(&mut self, event: &Event) {
        if event.token() == INBOX {
            return self.read_inbox();
        }
        let bits = event.token().0 as u64;
        if bits & UDP != 0 {
            self.read_udp((bits & !UDP) as usize);
        } else if bits & CONN == 0 {
            self.client_event(Id::from_bits(bits), event);
        } else {
            self.conn_event(Id::from_bits(bits & !CONN), event);
        }
    }

    /// Does what the engine has asked for.
    fn act(&mut self) {
        loop {
            let mut actions = std::mem::take(&mut self.actions);
            self.engine.take_actions(&mut actions);
            if actions.is_empty() {
                self.actions = actions;
                return;
            }
            for action in actions.drain(..) {
                match action {
                    Action::Connect(id, server) => self.connect(id, &server),
                    Action::CloseConn(id) => self.close_conn(id),
                    Action::FinishConn(id) => self.finish_conn(id),
                    Action::ReadConn(id) => self.unread.push(Unread::Conn(id)),
                    Action::CloseClient(id) => self.close_client(id),
                    Action::Breach(id, breach) => {
                        if let Some(client) = self.client(id) {
                            log!(1, "{}", breach.line(client.descriptor()));
                        }
                    }
                    Action::Trace(id, request) => {
                        if let Some(client) = self.client(id) {
                            log!(TRACED, "<{} {request}", client.descriptor());
                        }
                    }
                    Action::SetVerbosity(level) => log::set_verbosity(level),
                    Action::Log(level, text) => log!(level, "{text}"),
                    Action::Refresh(agent) => {
                        if let Some(refresh) = self.shared.refreshes.get(agent) {
                            refresh.ask();
                        }
                    }
                }
            }
            self.actions = actions;
        }
    }

    /// Writes whatever there is to write, until nothing more follows from it.
    fn flush(&mut self) {
        loop {
            let mut is_quiet = true;
            while let Some(id) = self.engine.next_dirty_conn() {
                self.flush_conn(id);
                is_quiet = false;
            }
            while let Some(id) = self.engine.next_dirty_client() {
                self.flush_client(id);
                is_quiet = false;
            }
            self.act();
            if is_quiet {
                return;
            }
        }
    }
}
