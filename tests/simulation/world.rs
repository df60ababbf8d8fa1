//! One run: clients, the proxy, servers and time, in random steps.

use std::time::Duration;

use moxi::net::driver::{Driver, Event, Service, Verdict as Turn};
use moxi::proxy::Engine;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::downstream::host::HealthTable;
use moxi::proxy::timers::Micros;

use super::client::Client;
use super::history::Counts;
use super::network::{Dial, Net};
use super::server::{Session, Verdict};
use super::truth::{Mood, Truth, shown};
use moxi_fuzzing::memory::Bytes;
use moxi_fuzzing::memory::Pipe;
use moxi_fuzzing::memory::Random;

/// In one of so many seeds the engine's records are looked at after each call, else after each turn: that takes time.
const CHECKED: u64 = 4;
/// How often in a row everybody may do what there is to do without anything coming of it.
const PATIENCE: u32 = 20_000;

/// A server's end of a connection.
struct Peer {
    id: ConnId,
    server: usize,
    pipe: Pipe,
    /// When the connection is made or refused; `None`: never.
    connects: Option<(Micros, bool)>,
    /// The server has it.
    session: Option<Session>,
    /// It has not looked at it yet.
    is_fresh: bool,
}

/// Everything.
pub struct World {
    pub truth: Truth,
    driver: Driver<Net>,
    events: Vec<Event>,
    clients: Vec<Client>,
    peers: Vec<Peer>,
    /// What stopped servers hold of connections that the proxy has closed, oldest first.
    ghosts: Vec<(Session, Bytes)>,
    next_client: u64,
    /// Requests that must have been executed in the end.
    sure: Vec<u64>,
    /// The proxy has said that it has drained: it does nothing more.
    is_drained: bool,
    /// How many bytes clients have sent and read.
    moved: usize,
    /// When clients are taken over by another process; `None`: never.
    mover: Option<Random>,
}

impl World {
    /// The beginning of a run.
    pub fn new(mut truth: Truth, seed: u64) -> World {
        let scenario = &truth.scenario;
        let engine = Engine::new(&scenario.config, &HealthTable::default(), scenario.settings);
        let mut net = Net::new(scenario, Random::new(truth.random.number()), truth.trace.is_some());
        net.is_checked |= seed.is_multiple_of(CHECKED);
        let driver = Driver::new(net, engine, truth.scenario.settings.binding);
        World {
            truth,
            driver,
            events: Vec::new(),
            clients: Vec::new(),
            peers: Vec::new(),
            ghosts: Vec::new(),
            next_client: 0,
            sure: Vec::new(),
            is_drained: false,
            moved: 0,
            // With random numbers of its own: else the runs without it would be others, too.
            mover: seed.is_multiple_of(3).then(|| Random::new(!seed)),
        }
    }

    /// Runs for so many steps, then to the end of everything.
    pub fn run(&mut self, steps: u64) -> Counts {
        for step in 0..steps {
            for _ in 0..self.truth.random.range(1, 4) {
                self.happen();
            }
            self.pass_time();
            self.work();
            if step % 8 == 0 {
                self.check_patience();
            }
        }
        self.settle();
        self.end();
        self.explain()
    }

    /// Panics if no order of what was done explains what clients were told.
    fn explain(&self) -> Counts {
        let truth = &self.truth;
        let retries = truth.scenario.config.buckets[0].behavior.downstream_retry;
        let repeats = if truth.scenario.exact { 0 } else { retries };
        match truth.history.borrow().check(repeats, |server| truth.lying[server]) {
            Ok(counts) => counts,
            Err(error) => panic!("{error}"),
        }
    }

    /// One thing happens somewhere.
    fn happen(&mut self) {
        self.truth.tick();
        if self.clients.len() < self.truth.scenario.clients {
            return self.connect_client();
        }
        let random = &mut self.truth.random;
        match random.below(100) {
            0..=44 => {
                let at = random.index(self.clients.len());
                for _ in 0..random.pick(&[1, 1, 1, 4, 20]) {
                    self.clients[at].produce(&mut self.truth);
                }
                self.send(at, false);
            }
            45..=64 => {
                let at = random.index(self.clients.len());
                self.receive(at, false);
            }
            97 | 99 if self.truth.scenario.stubborn => self.change_mood(),
            65..=97 if !self.peers.is_empty() => {
                let at = random.index(self.peers.len());
                self.serve(at);
            }
            98 if self.truth.scenario.churn && random.once_in(2) => {
                let at = random.index(self.clients.len());
                self.leave(at);
            }
            98 => {
                let server = random.index(self.truth.moods.len());
                if self.truth.moods[server] != Mood::Stalled {
                    self.lay_ghosts(server);
                }
            }
            99 => self.change_mood(),
            _ => {}
        }
    }

    fn connect_client(&mut self) {
        let bucket = self.truth.random.index(self.truth.scenario.config.buckets.len());
        let mut pipe = None;
        let id = self.driver.add_client(Service::Bucket(bucket), |net, id| {
            let pipe = pipe.insert(net.client(id));
            Ok(pipe.socket())
        });
        let (Some(id), Some(pipe)) = (id, pipe) else { panic!("no client of bucket {bucket}") };
        self.next_client += 1;
        let client = Client::new(&mut self.truth, pipe, self.next_client, bucket);
        let number = client.number;
        self.truth.note(|| format!("client {number} connects to bucket {bucket} as {id:?}"));
        self.clients.push(client);
    }

    /// Clients that nothing is owed to are taken over by another process; here it is the same one. They do not notice.
    fn move_clients(&mut self) {
        for (service, protocol, socket) in self.driver.take_resting() {
            let id = self.driver.seat_client(service, protocol, |net, id| Ok(net.rename(socket, id)));
            self.truth.note(|| format!("a client at rest is {id:?} from now on"));
        }
    }

    /// Some of what a client has to send arrives.
    fn send(&mut self, at: usize, all: bool) {
        let client = &mut self.clients[at];
        let most = client.outgoing.len().min(client.pipe.ends().room());
        if most == 0 || client.pipe.is_closed() {
            return;
        }
        let count = if all { most } else { self.truth.random.piece(most) };
        let (number, sent) = (client.number, &client.outgoing.as_slice()[..count]);
        self.truth.note(|| format!("client {number} sends {}", shown(sent)));
        client.pipe.send(&mut client.outgoing, count);
        client.sent += count as u64;
        self.moved += count;
    }

    /// A client reads some of what has come.
    fn receive(&mut self, at: usize, all: bool) {
        let client = &mut self.clients[at];
        let pipe = client.pipe.clone();
        let most = pipe.ends().outbound.len();
        if client.deaf_until > self.truth.now && !all || most == 0 || pipe.is_closed() {
            return;
        }
        if self.truth.scenario.slow_readers && self.truth.random.once_in(20) {
            client.deaf_until = self.truth.now + self.truth.random.below(50_000);
        }
        let count = if all { most } else { self.truth.random.piece(most) };
        client.receive(&mut self.truth, &mut pipe.ends().outbound, count);
        self.moved += count;
        pipe.has_taken();
    }

    /// A client goes, one way or another.
    fn leave(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let number = client.number;
        let how = self.truth.random.below(4);
        self.truth.note(|| format!("client {number} leaves: {how}"));
        match how {
            0 => client.quit(),
            1 => {
                // It has finished sending, and still reads.
                client.is_done = true;
                if client.outgoing.is_empty() && !client.is_closing {
                    client.is_closing = true;
                    client.pipe.finish();
                }
            }
            _ => {
                let client = self.clients.swap_remove(at);
                self.sure.extend(client.arrived(true));
                client.forget(&self.truth);
                // What it had not read breaks the connection.
                let is_broken = how == 3 || !client.pipe.ends().outbound.is_empty();
                client.pipe.leave(is_broken);
            }
        }
    }

    /// A server does something with one of its connections.
    fn serve(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        if let Some((when, is_made)) = peer.connects {
            if when <= self.truth.now {
                peer.connects = None;
                peer.session = is_made.then(|| Session::new(&self.truth, peer.server, peer.id));
                peer.pipe.decide(is_made);
            }
            return;
        }
        if peer.is_fresh && self.truth.moods[peer.server] != Mood::Stalled {
            // A server looks at what it has before it takes another connection.
            peer.is_fresh = false;
            let server = peer.server;
            self.lay_ghosts(server);
            return self.catch_up(server);
        }
        let Some(session) = &mut peer.session else { return };
        let mut from = std::mem::take(&mut peer.pipe.ends().outbound);
        let mut to = Bytes::default();
        let verdict = session.act(&mut self.truth, &mut from, &mut to);
        // It has read all that comes, and closes the connection as the proxy has done.
        let verdict = match verdict {
            Verdict::Go if peer.pipe.ends().is_finished && from.is_empty() && session.is_through() => Verdict::Close,
            other => other,
        };
        peer.pipe.ends().outbound = from;
        peer.pipe.has_taken();
        let count = to.len();
        if count > 0 {
            peer.pipe.send(&mut to, count);
        }
        if verdict != Verdict::Go {
            peer.session = None;
            if verdict == Verdict::Reset {
                peer.pipe.ends().inbound.clear();
            }
            peer.pipe.leave(verdict == Verdict::Reset);
        }
    }

    /// A server reads to their ends the connections that the proxy has finished.
    fn catch_up(&mut self, server: usize) {
        for peer in self.peers.iter_mut().filter(|peer| peer.server == server && peer.pipe.ends().is_finished) {
            let Some(session) = &mut peer.session else { continue };
            let mut from = std::mem::take(&mut peer.pipe.ends().outbound);
            session.catch_up(&mut self.truth, &mut from);
            peer.pipe.has_taken();
        }
    }

    /// A server carries out what it holds of closed connections.
    fn lay_ghosts(&mut self, server: usize) {
        for (mut session, mut bytes) in self.ghosts.extract_if(.., |(session, _)| session.server == server) {
            session.finish(&mut self.truth, &mut bytes);
        }
    }

    fn change_mood(&mut self) {
        let faults = self.truth.scenario.faults;
        let at = self.truth.random.index(self.truth.moods.len());
        let stalls = if self.truth.scenario.stubborn { 3 } else { 1 };
        let mood = match self.truth.random.below(8) {
            at if at < stalls && faults.stall => Mood::Stalled,
            1 if faults.refuse => Mood::Refusing,
            2 if faults.refuse => Mood::Hole,
            3 | 4 if faults.slow => Mood::Slow(self.truth.random.pick(&[5_000, 50_000, 800_000])),
            _ => Mood::Well,
        };
        self.truth.moods[at] = mood;
        self.truth.note(|| format!("server {at} is {mood:?}"));
    }

    /// Time passes: little or much, but never past what the proxy has set its alarm to.
    fn pass_time(&mut self) {
        let random = &mut self.truth.random;
        let step = match random.below(100) {
            0..=49 => random.below(50),
            50..=89 => random.below(1_000),
            _ if self.truth.scenario.exact => random.below(2_000),
            90..=98 => random.below(10_000),
            _ => random.below(300_000),
        };
        let is_awake = self.is_awake();
        let step = if is_awake { step.min(100) } else { step };
        self.truth.now = match self.driver.engine.next_deadline() {
            Some(at) => (self.truth.now + step).min((at + 150).max(self.truth.now)),
            None => self.truth.now + step,
        };
    }

    /// Whether the proxy would not sleep.
    fn is_awake(&mut self) -> bool {
        self.driver.network.now = self.truth.now;
        !self.is_drained && (self.driver.network.has_events() || self.driver.patience() == Some(Duration::ZERO))
    }

    /// The proxy works, if it is awake; the world takes note of what it has done.
    fn work(&mut self) {
        if !self.is_awake() {
            return;
        }
        self.driver.network.moods.clone_from(&self.truth.moods);
        let turn = self.driver.turn(&mut self.events).expect("memory to wait for");
        self.is_drained |= turn == Turn::Drained;
        if !self.driver.is_busy() {
            Net::check_edges(&mut self.driver);
        }
        for note in self.driver.network.notes.iter_mut().flat_map(std::mem::take) {
            self.truth.note(|| note);
        }
        self.bury_conns();
        for dial in std::mem::take(&mut self.driver.network.dials) {
            self.answer(dial);
        }
        self.bury_clients();
        if !self.truth.healed && self.mover.as_mut().is_some_and(|mover| mover.once_in(20)) {
            self.move_clients();
        }
    }

    /// A server is called.
    fn answer(&mut self, dial: Dial) {
        let Dial { id, server, pipe, is_dead } = dial;
        let random = &mut self.truth.random;
        let connects = match self.truth.moods[server] {
            _ if is_dead => Some((self.truth.now + random.below(1_000), false)),
            Mood::Hole => None,
            Mood::Refusing => Some((self.truth.now + random.below(1_000), false)),
            Mood::Slow(most) => Some((self.truth.now + random.below(most), true)),
            Mood::Well | Mood::Stalled => Some((self.truth.now + random.below(1_000), true)),
        };
        self.truth.note(|| format!("connection {id:?} to server {server}: {connects:?}"));
        let is_open = |peer: &Peer| peer.id == id && !peer.pipe.is_closed();
        assert!(!self.peers.iter().any(is_open), "{id:?} connected twice");
        self.peers.push(Peer { id, server, pipe, connects, session: None, is_fresh: true });
    }

    /// Server connections that the proxy has closed. What it had sent may be carried out yet.
    fn bury_conns(&mut self) {
        while let Some(at) = self.peers.iter().position(|peer| peer.pipe.is_closed()) {
            let peer = self.peers.swap_remove(at);
            let (id, server) = (peer.id, peer.server);
            self.truth.note(|| format!("connection {id:?} is closed"));
            if let Some(session) = peer.session
                && self.truth.random.once_in(2)
            {
                let sent = std::mem::take(&mut peer.pipe.ends().outbound);
                self.ghosts.push((session, sent));
                if self.truth.moods[server] != Mood::Stalled {
                    self.lay_ghosts(server);
                }
            }
        }
    }

    /// Clients that the proxy has closed: they get the rest.
    fn bury_clients(&mut self) {
        while let Some(at) = self.clients.iter().position(|client| client.pipe.is_closed()) {
            let mut client = self.clients.swap_remove(at);
            let number = client.number;
            self.truth.note(|| format!("client {number} is closed"));
            let mut left = std::mem::take(&mut client.pipe.ends().outbound);
            let rest = left.len();
            let is_late = client.pipe.ends().holds_back();
            client.receive(&mut self.truth, &mut left, rest);
            client.check_closed(&self.truth, rest > 0 || is_late);
            client.check_silence(&self.truth);
            self.sure.extend(client.arrived(false));
            client.forget(&self.truth);
        }
    }

    fn check_patience(&mut self) {
        for client in &mut self.clients {
            let ends = client.pipe.ends();
            let is_read = ends.outbound.is_empty() && ends.inbound.is_empty();
            drop(ends);
            client.check_patience(&self.truth, is_read);
        }
    }

    /// No more requests and no more faults: everything is answered.
    fn settle(&mut self) {
        self.truth.note(|| "no more requests".to_owned());
        self.truth.healed = true;
        self.truth.moods.fill(Mood::Well);
        (0..self.truth.moods.len()).for_each(|server| self.lay_ghosts(server));
        self.driver.network.heal();
        for peer in &mut self.peers {
            if peer.connects.is_none() && peer.pipe.ends().is_connecting() {
                peer.connects = Some((self.truth.now, true));
            }
        }
        for client in &mut self.clients {
            client.is_done = true;
        }
        let mut idle = 0;
        while idle < PATIENCE {
            let moved = self.moved;
            self.pump();
            let is_quiet = |client: &Client| client.pending.is_empty() && client.outgoing.is_empty();
            if self.clients.iter().all(is_quiet) && !self.is_awake() {
                return;
            }
            idle = if self.moved == moved { idle + 1 } else { 0 };
        }
        let waiting: Vec<_> = self.clients.iter().filter_map(|client| client.pending.front()).collect();
        panic!("never answered: {waiting:?}");
    }

    /// Everybody does what can be done at once; then time goes on.
    fn pump(&mut self) {
        for at in 0..self.clients.len() {
            self.send(at, true);
            self.receive(at, true);
        }
        for at in 0..self.peers.len() {
            self.serve(at);
        }
        self.truth.now += 20;
        if !self.is_awake() {
            self.truth.now += 1_000;
        }
        self.work();
    }

    /// All alarms ring; afterwards there is none. Who has drained hears of none.
    fn wait_for_alarms(&mut self) {
        for _ in 0..1_000 {
            // Whoever is called answers before the caller loses its patience.
            for _ in 0..30 {
                self.pump();
            }
            let Some(at) = self.driver.engine.next_deadline().filter(|_| !self.is_drained) else { return };
            self.truth.now = self.truth.now.max(at);
            self.work();
        }
        assert_eq!(self.driver.engine.next_deadline(), None, "an alarm is left");
    }

    /// All clients go, or the proxy does; nothing may be left.
    fn end(&mut self) {
        let is_draining = self.truth.random.once_in(3);
        if is_draining {
            self.clients.iter_mut().for_each(|client| client.is_closing = true);
            self.driver.drain(self.truth.now + 1_000_000);
        }
        for client in self.clients.iter_mut().filter(|_| !is_draining) {
            match self.truth.random.below(3) {
                0 if !client.hostile => client.quit(),
                _ => {
                    client.is_closing = true;
                    client.pipe.finish();
                }
            }
        }
        for _ in 0..PATIENCE {
            self.pump();
            let engine = &self.driver.engine;
            let has_ended = self.is_drained || !is_draining && !self.driver.is_busy();
            if has_ended && self.clients.is_empty() && engine.client_count() == 0 {
                break;
            }
        }
        self.driver.network.is_over = true;
        let numbers: Vec<u64> = self.clients.iter().map(|client| client.number).collect();
        assert!(numbers.is_empty(), "clients {numbers:?} were not closed");
        assert_eq!(self.driver.engine.client_count(), 0);
        assert_eq!(self.is_drained, is_draining, "the proxy has drained");
        assert!(self.is_drained || !self.driver.is_busy(), "the proxy is never done");
        self.wait_for_alarms();
        for peer in &self.peers {
            if let Some((output, limit)) = self.driver.engine.conn_output(peer.id) {
                assert_eq!(output.unsent(), 0, "bytes are left on {:?}", peer.id);
                // A probe may be under way when the proxy has drained.
                assert!(limit == u64::MAX || self.is_drained, "{:?} waits for something", peer.id);
            }
        }
        if self.truth.scenario.exact {
            for id in &self.sure {
                assert_eq!(self.truth.log.of(*id).len(), 1, "executions of request {id}");
            }
        }
    }
}
