//! What the event loop is driven with.

use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::time::Duration;

use super::Driver;
use crate::net::stream::Target;
use crate::proxy::downstream::ConnId;
use crate::proxy::timers::Micros;
use crate::proxy::upstream::ClientId;
use crate::proxy::{Action, Engine};

/// What an event says of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// There is something to read.
    pub is_readable: bool,
    /// There is room to write to, or the connection is made, or it is not.
    pub is_writable: bool,
    /// The peer sends nothing more.
    pub is_hung_up: bool,
    /// The connection is broken.
    pub is_broken: bool,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// Of a client's socket.
    Client(ClientId, Readiness),
    /// Of a server connection's socket.
    Conn(ConnId, Readiness),
    /// Of the network itself.
    Own(u64),
}

/// A client's socket. What cannot be done at once gives [`io::ErrorKind::WouldBlock`], and an event when it can.
pub trait ClientStream: Read + Write {
    /// The descriptor's number, for the log.
    fn descriptor(&self) -> RawFd;

    /// Acknowledges what has just been received at once.
    fn set_quickack(&self);

    /// Who is at the other end, for the log; `None`: it has no name.
    fn peer(&self) -> Option<String> {
        None
    }
}

/// A server connection's socket, without waiting like [`ClientStream`].
pub trait ServerStream: Read + Write {
    /// Whether the connection is made, as far as that has been decided.
    ///
    /// # Errors
    /// Why it cannot be made.
    fn finish_connect(&self) -> io::Result<bool>;

    /// Tells the server that nothing more comes.
    ///
    /// # Errors
    /// When the connection is gone already.
    fn finish(&self) -> io::Result<()>;
}

/// Where sockets, events and the time come from. Each socket is announced edge-triggered from its beginning to its
/// end, which is when it is dropped.
pub trait Network: Sized {
    /// A client's socket.
    type Client: ClientStream;
    /// A server connection's socket.
    type Conn: ServerStream;
    /// Counts a server connection as long as it lives.
    type Counted;
    /// Room for events.
    type Events;

    /// The time.
    fn now(&self) -> Micros;

    /// Waits until there are events, but no longer than `patience`.
    ///
    /// # Errors
    /// When that is not possible; [`io::ErrorKind::Interrupted`] is none.
    fn wait(&mut self, events: &mut Self::Events, patience: Option<Duration>) -> io::Result<()>;

    /// The events that were waited for.
    fn events(events: &Self::Events) -> impl Iterator<Item = Event>;

    /// A turn begins; the engine knows the time already.
    fn begin(&mut self, now: Micros, engine: &mut Engine);

    /// There was an event of the network itself.
    fn own_event(driver: &mut Driver<Self>, token: u64);

    /// Counts a server connection.
    fn count(&self) -> Self::Counted;

    /// Whether debug builds look at the engine's records after each call, and not only at the end of each turn.
    fn is_checked(&self) -> bool {
        false
    }

    /// Looks for the addresses of a server; [`Driver::resolved`] is called when they are known.
    fn resolve(&mut self, id: ConnId, host: &str, port: u16);

    /// Begins to connect.
    ///
    /// # Errors
    /// When the system refuses at once.
    fn open(&mut self, id: ConnId, target: Target<'_>) -> io::Result<Self::Conn>;

    /// Writes a line about slow or sampled requests, or drops it.
    fn report(&mut self, _line: String) {}

    /// The engine has asked for this. What has to do with sockets is done after this; the rest (verbosity, log, agents)
    /// is done here or nowhere.
    fn told(&mut self, action: &Action);
}
