//! What the event loop is driven with here: connections in memory, names that are found or not, and invented time.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use moxi::config::snapshot::{Config, Server};
use moxi::net::driver::{Driver, Event, Network};
use moxi::net::stream::Target;
use moxi::protocol::Protocol;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::downstream::host::HealthTable;
use moxi::proxy::timers::Micros;
use moxi::proxy::upstream::ClientId;
use moxi::proxy::{Action, Engine};
use nix::errno::Errno;

use super::scenario::{FIRST_PORT, Meta, Scenario};
use super::truth::Mood;
use moxi_fuzzing::memory::{Name, Pipe, Pipes, Random, Socket};

/// Where every server listens, each on its port.
const LISTENED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
/// Where nobody listens.
const DEAD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

/// The event that names are found.
const NAMES: u64 = 0;
/// The event that another configuration comes.
const CONFIGURATION: u64 = 1;

/// A connection that the proxy begins to make.
pub struct Dial {
    pub id: ConnId,
    pub known: Arc<Server>,
    pub pipe: Pipe,
    /// Nobody listens at the address.
    pub is_dead: bool,
}

/// A name that is being looked up.
struct Lookup {
    /// `None`: never.
    due: Option<Micros>,
    id: ConnId,
    answer: io::Result<Vec<SocketAddr>>,
}

/// A connection that the proxy has, or is making.
struct Known {
    id: ConnId,
    server: Arc<Server>,
    /// The server was in no bucket at some time: the connection is closed when nothing is owed to the proxy any more.
    is_leaving: bool,
}

/// The network.
pub struct Net {
    pub now: Micros,
    /// How each server behaves at present.
    pub moods: Vec<Mood>,
    /// What the proxy has begun and the world has not seen yet.
    pub dials: Vec<Dial>,
    /// The configuration that comes with the next events, if there is one.
    coming: Option<Config>,
    /// The proxy wants to know who has what.
    pub is_asked_anew: bool,
    /// The one that has come, until somebody takes note of it.
    pub changed: Option<Config>,
    health: HealthTable,
    /// All servers of the configuration.
    present: HashSet<Arc<Server>>,
    known: Vec<Known>,
    /// The engine's records are looked at after each call.
    pub is_checked: bool,
    /// Connections are closed because everything ends.
    pub is_over: bool,
    /// What the proxy said, if that is wanted.
    pub notes: Option<Vec<String>>,
    pipes: Pipes,
    lookups: Vec<Lookup>,
    exact: bool,
    /// There may be connections in ASCII beside those in packets. They are closed if they are not understood, and idle ones
    /// of either kind to make room for the other.
    is_beside: bool,
    /// The ports of servers that turn out to know no meta commands: behind the question there may be one for a key of which only
    /// such a command can tell.
    old: Vec<u16>,
    is_cluster: bool,
    is_rough: bool,
    capacity: usize,
    random: Random,
}

impl Net {
    /// The network of a scenario. `traced`: what the proxy says is wanted.
    pub fn new(scenario: &Scenario, random: Random, traced: bool) -> Net {
        Net {
            now: 0,
            moods: vec![Mood::Well; scenario.servers.len()],
            dials: Vec::new(),
            coming: None,
            changed: None,
            is_asked_anew: false,
            health: HealthTable::default(),
            present: servers_of(&scenario.config).collect(),
            known: Vec::new(),
            is_checked: traced,
            is_over: false,
            notes: traced.then(Vec::new),
            pipes: Pipes::default(),
            lookups: Vec::new(),
            exact: scenario.exact,
            is_beside: scenario.changes.protocols
                || scenario.servers.iter().any(|server| server.protocol == Protocol::Binary && server.user.is_empty()),
            old: scenario
                .servers
                .iter()
                .zip(&scenario.meta)
                .filter(|(_, meta)| **meta != Meta::Yes)
                .map(|(server, _)| server.port)
                .collect(),
            is_cluster: scenario.cluster.is_some(),
            is_rough: scenario.rough,
            capacity: scenario.socket,
            random,
        }
    }

    /// An engine for this network's scenario.
    pub fn engine(&self, scenario: &Scenario) -> Engine {
        Engine::new(&scenario.config, &self.health, scenario.settings)
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

    /// A client's connection is another client's.
    pub fn rename(&mut self, socket: Socket, id: ClientId) -> Socket {
        self.pipes.rename(&socket, Name::Client(id));
        socket
    }

    /// Whether there are events.
    pub fn has_events(&self) -> bool {
        self.pipes.has_events() || self.coming.is_some() || self.lookups.iter().any(|lookup| self.is_due(lookup))
    }

    /// Panics if there is something to read that nobody will read. Called when the proxy would wait for events.
    pub fn check_edges(driver: &mut Driver<Net>) {
        driver.network.pipes.check_edges(&mut driver.engine);
    }

    /// Another configuration comes.
    pub fn announce(&mut self, config: Config) {
        self.coming = Some(config);
    }

    /// Whether one is on its way.
    pub fn is_changing(&self) -> bool {
        self.coming.is_some()
    }

    /// The connections to servers that are in no bucket.
    pub fn left(&self) -> Vec<String> {
        let left = self.known.iter().filter(|known| !self.present.contains(&known.server));
        left.map(|known| format!("{:?} to {}", known.id, known.server)).collect()
    }

    /// Another configuration has come.
    fn note_change(&mut self, config: &Config) {
        self.present = servers_of(config).collect();
        for known in &mut self.known {
            known.is_leaving |= !self.present.contains(&known.server);
        }
    }

    fn server(&self, id: ConnId) -> &Arc<Server> {
        let known = self.known.iter().find(|known| known.id == id);
        known.map(|known| &known.server).unwrap_or_else(|| panic!("{id:?} is not known"))
    }

    fn is_due(&self, lookup: &Lookup) -> bool {
        lookup.due.is_some_and(|due| due <= self.now)
    }

    /// What was to be never found is found.
    pub fn heal(&mut self) {
        let now = self.now;
        self.lookups.iter_mut().for_each(|lookup| lookup.due = lookup.due.or(Some(now)));
    }

    fn mood(&self, port: u16) -> (usize, Mood) {
        let server = usize::from(port - FIRST_PORT);
        (server, self.moods[server])
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            notes.push(text());
        }
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
        if self.is_rough && self.random.once_in(50) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.pipes.take_events(events);
        if self.lookups.iter().any(|lookup| self.is_due(lookup)) {
            events.push(Event::Own(NAMES));
        }
        if self.coming.is_some() {
            events.push(Event::Own(CONFIGURATION));
        }
        for at in (1..events.len()).rev() {
            events.swap(at, self.random.index(at + 1));
        }
        Ok(())
    }

    fn events(events: &Vec<Event>) -> impl Iterator<Item = Event> {
        events.iter().copied()
    }

    fn begin(&mut self, _now: Micros, _engine: &mut Engine) {}

    fn own_event(driver: &mut Driver<Net>, token: u64) {
        let net = &mut driver.network;
        if token == CONFIGURATION {
            let Some(config) = net.coming.take() else { return };
            net.note_change(&config);
            driver.engine.reconfigure(&config, &net.health);
            net.changed = Some(config);
            return;
        }
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut net.lookups)
            .into_iter()
            .partition(|lookup| lookup.due.is_some_and(|due| due <= net.now));
        net.lookups = later;
        for lookup in due {
            driver.resolved(lookup.id, lookup.answer);
        }
    }

    fn count(&self) {}

    fn is_checked(&self) -> bool {
        self.is_checked
    }

    fn resolve(&mut self, id: ConnId, _host: &str, port: u16) {
        let (_, mood) = self.mood(port);
        let delay = self.random.pick(&[0, 0, 200, 500]);
        let mut due = Some(self.now + delay);
        let answer = match (mood, self.random.below(4)) {
            (Mood::Refusing, 0) => Err(io::Error::other("no such name")),
            (Mood::Refusing, 1) => Err(Errno::EMFILE.into()),
            (_, 2) => Ok(vec![SocketAddr::new(DEAD, port), SocketAddr::new(LISTENED, port)]),
            _ => Ok(vec![SocketAddr::new(LISTENED, port)]),
        };
        if mood == Mood::Hole && self.random.once_in(3) {
            due = None;
        }
        self.note(|| format!("the addresses of connection {id:?}, at {due:?}: {answer:?}"));
        self.lookups.push(Lookup { due, id, answer });
    }

    fn open(&mut self, id: ConnId, target: Target<'_>) -> io::Result<Socket> {
        let Target::Address(address) = target else { panic!("no server has a unix socket") };
        let (_, mood) = self.mood(address.port());
        let is_dead = address.ip() == DEAD;
        match self.random.below(4) {
            0 | 1 if is_dead => return Err(Errno::ENETUNREACH.into()),
            0 if mood == Mood::Refusing => return Err(Errno::EMFILE.into()),
            1 if mood == Mood::Refusing => return Err(Errno::EADDRNOTAVAIL.into()),
            _ => {}
        }
        let pipe = self.pipe(Name::Conn(id), false);
        let socket = pipe.socket();
        let known = Arc::clone(self.server(id));
        assert_eq!(known.port, address.port(), "{id:?} is for {known}");
        self.dials.push(Dial { id, known, pipe, is_dead });
        Ok(socket)
    }

    fn told(&mut self, action: &Action) {
        match action {
            Action::Connect(id, server) if !self.known.iter().any(|known| known.id == *id) => {
                let (server, is_leaving) = (Arc::clone(server), !self.present.contains(server));
                self.known.push(Known { id: *id, server, is_leaving });
            }
            Action::CloseConn(id) => {
                let mut may_close = !self.exact || self.is_over || self.is_beside;
                self.known.retain(|known| {
                    may_close |= known.id == *id && (known.is_leaving || self.old.contains(&known.server.port));
                    known.id != *id
                });
                assert!(may_close, "connection {id:?} was closed, and nothing was wrong with it");
            }
            Action::FinishConn(id) => {
                assert!(!self.exact, "connection {id:?} was closed, and nothing was wrong with it");
            }
            Action::ReadConn(id) => panic!("{id:?} was left unread, without a list of keys"),
            Action::SetVerbosity(level) => assert!(*level <= 4),
            Action::Refresh(agent) => {
                assert!(self.is_cluster, "there is no agent {agent}");
                self.is_asked_anew = true;
            }
            _ => {}
        }
        self.note(|| format!("the proxy: {action:?}"));
    }
}

fn servers_of(config: &Config) -> impl Iterator<Item = Arc<Server>> {
    config.buckets.iter().flat_map(|bucket| bucket.servers.iter().cloned())
}
