//! The network of the fixed work: whatever is written arrives at once, and is answered when the turn is over.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::time::Duration;

use moxi::net::driver::{ClientStream, Driver, Event, Network, Readiness, ServerStream};
use moxi::net::stream::Target;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::timers::Micros;
use moxi::proxy::{Action, Engine};

/// More than all that goes over one connection in a turn, either way, so that only the proxy's memory grows.
const TRAFFIC: usize = 1 << 20;

/// There is something to read.
pub const READABLE: Readiness =
    Readiness { is_readable: true, is_writable: false, is_hung_up: false, is_broken: false };
/// The connection is made.
const WRITABLE: Readiness = Readiness { is_readable: false, is_writable: true, is_hung_up: false, is_broken: false };

/// A socket: what the proxy reads, and what it has written.
#[derive(Default)]
pub struct Socket {
    /// What the proxy is to read.
    pub input: Vec<u8>,
    /// How much of it was read.
    read: usize,
    /// What the proxy has written.
    pub output: Vec<u8>,
}

impl Read for Socket {
    #[inline]
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let left = &self.input[self.read..];
        let count = left.len().min(space.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        space[..count].copy_from_slice(&left[..count]);
        self.read += count;
        if count == left.len() {
            self.input.clear();
            self.read = 0;
        }
        Ok(count)
    }
}

impl Write for Socket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let before = self.output.len();
        parts.iter().for_each(|part| self.output.extend_from_slice(part));
        Ok(self.output.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ClientStream for Socket {
    fn descriptor(&self) -> RawFd {
        0
    }

    fn set_quickack(&self) {}
}

impl ServerStream for Socket {
    fn finish_connect(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn finish(&self) -> io::Result<()> {
        panic!("nothing was given up")
    }
}

/// The network.
#[derive(Default)]
pub struct Net {
    pub now: Micros,
    /// What the next turn takes.
    pub events: Vec<Event>,
    /// All server connections.
    pub conns: Vec<ConnId>,
    /// Servers whose addresses were asked for.
    lookups: Vec<(ConnId, u16)>,
}

impl Network for Net {
    type Client = Socket;
    type Conn = Socket;
    type Counted = ();
    type Events = Vec<Event>;

    fn now(&self) -> Micros {
        self.now
    }

    fn wait(&mut self, events: &mut Vec<Event>, _patience: Option<Duration>) -> io::Result<()> {
        events.clear();
        std::mem::swap(events, &mut self.events);
        Ok(())
    }

    #[inline]
    fn events(events: &Vec<Event>) -> impl Iterator<Item = Event> {
        events.iter().copied()
    }

    fn begin(&mut self, _now: Micros, _engine: &mut Engine) {}

    fn own_event(driver: &mut Driver<Net>, _token: u64) {
        for (id, port) in std::mem::take(&mut driver.network.lookups) {
            driver.resolved(id, Ok(vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)]));
        }
    }

    fn count(&self) {}

    fn resolve(&mut self, id: ConnId, _host: &str, port: u16) {
        self.lookups.push((id, port));
        self.events.push(Event::Own(0));
    }

    fn open(&mut self, id: ConnId, _target: Target<'_>) -> io::Result<Socket> {
        self.conns.push(id);
        self.events.push(Event::Conn(id, WRITABLE));
        Ok(Socket { input: Vec::with_capacity(TRAFFIC), output: Vec::with_capacity(TRAFFIC), read: 0 })
    }

    fn told(&mut self, action: &Action) {
        let is_fine = matches!(action, Action::Connect(..) | Action::Log(..) | Action::Breach(..) | Action::Trace(..));
        assert!(is_fine, "unexpected: {action:?}");
    }
}
