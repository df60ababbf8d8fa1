//! Starting a worker, and telling it something.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::{Poll, Token, Waker};

use super::{INBOX, Shared, Worker};
use crate::config::snapshot::Config;
use crate::memcached::clock::Clock;
use crate::net::driver::{Driver, Network, Service};
use crate::net::places::Place;
use crate::net::stream::Stream;
use crate::protocol::Protocol;
use crate::proxy::downstream::ConnId;
use crate::proxy::timers::Micros;
use crate::proxy::{Engine, Settings};

/// What a worker is told.
pub enum Message {
    /// A new client.
    Client {
        /// Its connection.
        stream: Stream,
        /// Who serves it.
        service: Service,
        /// What it has spoken elsewhere, if it has been served before.
        known: Option<Protocol>,
        /// Its place among all clients.
        place: Place,
    },
    /// A socket for the built-in server to receive datagrams from, too.
    Datagrams(UdpSocket),
    /// Another configuration.
    Config(Arc<Config>),
    /// The addresses of a server that is to be connected.
    Resolved(ConnId, io::Result<Vec<SocketAddr>>),
    /// Serve those who are here, and stop when they have gone. With a way to whoever takes them over, if somebody does.
    Retire(Option<Heir>),
    /// Finish what has begun, for so long at most, then stop; `None`: however long it takes.
    Drain(Option<Duration>),
}

/// A client that can be served elsewhere.
pub struct Moving {
    /// Who has served it.
    pub service: Service,
    /// What it speaks, if it has said anything.
    pub protocol: Option<Protocol>,
    /// Its connection.
    pub connection: OwnedFd,
}

/// Where clients go that are taken over.
pub struct Heir {
    /// Takes them.
    pub clients: Sender<Moving>,
    /// Whom to wake.
    pub waker: Arc<Waker>,
}

/// A running worker.
pub struct Handle {
    inbox: Inbox,
    thread: JoinHandle<()>,
}

/// How to tell a worker something.
#[derive(Clone)]
pub(super) struct Inbox {
    messages: Sender<Message>,
    waker: Arc<Waker>,
}

impl Inbox {
    pub(super) fn send(&self, message: Message) {
        // A worker that has stopped hears nothing, and needs nothing.
        let _ = self.messages.send(message);
        let _ = self.waker.wake();
    }
}

impl Handle {
    /// Tells the worker something.
    pub fn send(&self, message: Message) {
        self.inbox.send(message);
    }

    /// Whether the worker has stopped.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the worker to stop.
    pub fn join(self) {
        let _ = self.thread.join();
    }
}

/// Starts worker number `index`.
///
/// # Errors
/// When the system refuses a thread or an event queue.
pub fn spawn(index: usize, config: Arc<Config>, settings: Settings, shared: Shared) -> io::Result<Handle> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), Token(INBOX as usize))?);
    let (messages, received) = channel();
    let inbox = Inbox { messages, waker };
    let own_inbox = inbox.clone();
    let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let mut engine = Engine::new(&config, &shared.health, settings);
        drop(config);
        engine.report_to(Arc::clone(&shared.sources));
        let counters = shared.memcached.as_ref().map(|memcached| memcached.register());
        if let (Some(memcached), Some(counters)) = (&shared.memcached, &counters) {
            engine.serve_memcached(Arc::clone(memcached), Arc::clone(counters));
        }
        let worker = Worker {
            poll,
            received,
            inbox: own_inbox,
            shared,
            udp: Vec::new(),
            counters,
            binding: settings.binding,
            clock: Clock::default(),
            heir: None,
        };
        Driver::new(worker, engine, settings.binding).run();
    })?;
    Ok(Handle { inbox, thread })
}

impl Driver<Worker> {
    pub(super) fn read_inbox(&mut self) {
        while let Ok(message) = self.network.received.try_recv() {
            match message {
                Message::Client { stream, service, known, place } => {
                    self.seat_client(service, known, |worker, id| worker.client_socket(stream, id, place));
                }
                Message::Datagrams(socket) => self.add_udp(socket),
                Message::Config(config) => self.engine.reconfigure(&config, &self.network.shared.health),
                Message::Resolved(id, addresses) => self.resolved(id, addresses),
                Message::Retire(heir) => {
                    self.network.heir = heir;
                    self.network.close_udp();
                    self.retire();
                }
                Message::Drain(limit) => {
                    self.network.heir = None;
                    let limit = limit.and_then(|limit| Micros::try_from(limit.as_micros()).ok());
                    self.drain(limit.map_or(Micros::MAX, |limit| self.network.now().saturating_add(limit)));
                }
            }
        }
    }
}
