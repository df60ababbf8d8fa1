//! What the event loop is driven with: connections in memory, names that are found or not, and invented time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use moxi::net::driver::{Driver, Event, Network};
use moxi::net::stream::Target;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::timers::Micros;
use moxi::proxy::upstream::ClientId;
use moxi::proxy::{Action, Engine};

use crate::memory::{Name, Pipe, Pipes, Random, Socket};

/// The network.
pub struct Net {
    pub now: Micros,
    /// Connections that the proxy has begun to make, with the ports that they go to.
    pub dials: Vec<(u16, Pipe)>,
    /// Names are not found.
    pub is_nameless: bool,
    /// The system refuses connections at once.
    pub is_short: bool,
    pipes: Pipes,
    lookups: Vec<(ConnId, u16)>,
    capacity: usize,
    is_rough: bool,
    random: Random,
}

impl Net {
    /// Connections hold `capacity` bytes each way; rough ones have all whims.
    pub fn new(capacity: usize, is_rough: bool, seed: u16) -> Net {
        Net {
            now: 0,
            dials: Vec::new(),
            is_nameless: false,
            is_short: false,
            pipes: Pipes::default(),
            lookups: Vec::new(),
            capacity,
            is_rough,
            random: Random::new(u64::from(seed)),
        }
    }

    fn pipe(&mut self, name: Name, is_made: bool) -> Pipe {
        let pipe = Pipe::new(is_made, self.capacity, self.is_rough, Random::new(self.random.number()));
        self.pipes.add(name, &pipe);
        pipe
    }

    /// A client connects.
    pub fn client(&mut self, id: ClientId) -> Pipe {
        self.pipe(Name::Client(id), true)
    }

    /// Whether there are events.
    pub fn has_events(&self) -> bool {
        self.pipes.has_events() || !self.lookups.is_empty()
    }

    /// Panics if there is something to read that nobody will read.
    pub fn check_edges(driver: &mut Driver<Net>) {
        driver.network.pipes.check_edges(&mut driver.engine);
    }
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
        self.pipes.take_events(events);
        if !self.lookups.is_empty() {
            events.push(Event::Own(0));
        }
        if self.is_rough {
            for at in (1..events.len()).rev() {
                events.swap(at, self.random.index(at + 1));
            }
        }
        Ok(())
    }

    fn events(events: &Vec<Event>) -> impl Iterator<Item = Event> {
        events.iter().copied()
    }

    fn begin(&mut self, _now: Micros, _engine: &mut Engine) {}

    fn own_event(driver: &mut Driver<Net>, _token: u64) {
        for (id, port) in std::mem::take(&mut driver.network.lookups) {
            let answer = match driver.network.is_nameless {
                true => Err(io::Error::other("no such name")),
                false => Ok(vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)]),
            };
            driver.resolved(id, answer);
        }
    }

    fn count(&self) {}

    fn is_checked(&self) -> bool {
        true
    }

    fn resolve(&mut self, id: ConnId, _host: &str, port: u16) {
        self.lookups.push((id, port));
    }

    fn open(&mut self, id: ConnId, target: Target<'_>) -> io::Result<Socket> {
        let Target::Address(address) = target else { panic!("no server has a unix socket") };
        if self.is_short {
            return Err(nix::errno::Errno::EMFILE.into());
        }
        let pipe = self.pipe(Name::Conn(id), false);
        let socket = pipe.socket();
        self.dials.push((address.port(), pipe));
        Ok(socket)
    }

    fn told(&mut self, action: &Action) {
        assert!(!matches!(action, Action::Refresh(_)), "there is no agent: {action:?}");
    }
}
