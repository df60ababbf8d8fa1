//! A worker: one thread, one event loop, one engine. The loop is the [`Driver`]'s; this is what it is driven with.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | sockets and events, by mio |
//! | `shared.rs` | what all workers share |
//! | `inbox.rs` | starting a worker, and telling it something |
//! | `streams.rs` | the sockets of clients, and of server connections |
//! | `datagrams.rs` | the built-in server's UDP sockets |

mod datagrams;
mod inbox;
mod shared;
mod streams;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use self::inbox::Inbox;
pub use self::inbox::{Handle, Heir, Message, Moving, spawn};
pub use self::shared::Shared;
use self::streams::ClientSocket;
pub use super::driver::Service;
use super::driver::{Driver, Event, Network, Readiness, Verdict};
use super::stream::{Stream, Target};
use super::udp::UdpServer;
use crate::arena::Id;
use crate::memcached::clock::Clock;
use crate::memcached::counters::Counters;
use crate::metrics::process::Counted;
use crate::protocol::Protocol;
use crate::proxy::downstream::ConnId;
use crate::proxy::timers::Micros;
use crate::proxy::{Action, Engine};
use crate::{log, slow_log};

/// The token of the inbox.
const INBOX: u64 = u64::MAX;
/// Set in the token of a server connection; the id below it has 62 bits.
const CONN: u64 = 1 << 62;
/// Set in the token of a UDP socket; its index is below it.
const UDP: u64 = 1 << 63;
/// How many events are taken at once.
const EVENTS: usize = 1024;

/// A worker's sockets, its inbox and its clock.
struct Worker {
    poll: Poll,
    received: Receiver<Message>,
    inbox: Inbox,
    shared: Shared,
    udp: Vec<(UdpServer, Counted)>,
    /// What the clients of the built-in server are counted with.
    counters: Option<Arc<Counters>>,
    binding: Option<Protocol>,
    /// The time in this turn, if there is a built-in server.
    clock: Clock,
    /// Who takes clients over.
    heir: Option<Heir>,
}

impl Driver<Worker> {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.turn(&mut events) {
                Ok(Verdict::GoOn) => self.hand_on(),
                Ok(Verdict::Drained) => return,
                Err(error) => return log!(0, "event queue: {error}"),
            }
        }
    }
}

impl Network for Worker {
    type Client = ClientSocket;
    type Conn = Stream;
    type Counted = Counted;
    type Events = Events;

    fn now(&self) -> Micros {
        self.shared.now()
    }

    fn wait(&mut self, events: &mut Events, patience: Option<Duration>) -> io::Result<()> {
        self.poll.poll(events, patience)
    }

    #[inline]
    fn events(events: &Events) -> impl Iterator<Item = Event> {
        events.iter().map(|event| {
            let bits = event.token().0 as u64;
            if bits & UDP != 0 {
                return Event::Own(bits); // the inbox, too
            }
            let readiness = Readiness {
                is_readable: event.is_readable(),
                is_writable: event.is_writable(),
                is_hung_up: event.is_read_closed(),
                is_broken: event.is_error(),
            };
            match bits & CONN {
                0 => Event::Client(Id::from_bits(bits), readiness),
                _ => Event::Conn(Id::from_bits(bits & !CONN), readiness),
            }
        })
    }

    fn begin(&mut self, now: Micros, engine: &mut Engine) {
        if self.shared.memcached.is_some() {
            self.clock = self.shared.clock(now);
            engine.set_unix_time(self.clock.unix);
        }
    }

    fn own_event(driver: &mut Driver<Worker>, token: u64) {
        match token {
            INBOX => driver.read_inbox(),
            _ => driver.read_udp(token),
        }
    }

    fn count(&self) -> Counted {
        Counted::new(&self.shared.process)
    }

    fn resolve(&mut self, id: ConnId, host: &str, port: u16) {
        let inbox = self.inbox.clone();
        self.shared.resolver.resolve(host, port, move |addresses| {
            inbox.send(Message::Resolved(id, addresses));
        });
    }

    fn open(&mut self, id: ConnId, target: Target<'_>) -> io::Result<Stream> {
        let mut stream = Stream::connect(target)?;
        self.register(&mut stream, id.to_bits() | CONN)?;
        Ok(stream)
    }

    fn report(&mut self, line: String) {
        slow_log::write(line);
    }

    fn told(&mut self, action: &Action) {
        match action {
            Action::SetVerbosity(level) => log::set_verbosity(*level),
            Action::Log(level, text) => log!(*level, "{text}"),
            Action::Refresh(agent) => {
                if let Some(refresh) = self.shared.refreshes.get(*agent) {
                    refresh.ask();
                }
            }
            _ => {}
        }
    }
}

impl Worker {
    /// Has the events of `stream` come with this token.
    fn register(&self, stream: &mut Stream, token: u64) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(stream, Token(token as usize), both)
    }
}
