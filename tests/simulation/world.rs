//! One run: clients, the proxy, servers and time, in random steps.

use std::time::Duration;

use moxi::net::driver::{Driver, Event, Service, Verdict as Turn};

use super::client::Client;
use super::history::Counts;
use super::network::Net;
use super::peers::Peer;
use super::request::Sure;
use super::session::Session;
use super::truth::{Mood, Truth, shown};
use moxi_fuzzing::memory::{Bytes, Random};

/// In one of so many seeds the engine's records are looked at after each call, else after each turn: that takes time.
const CHECKED: u64 = 4;

/// Makes other random numbers of a seed.
const CHANGER: u64 = 0x6368_616e_6765;

/// Everything.
pub struct World {
    pub truth: Truth,
    pub driver: Driver<Net>,
    events: Vec<Event>,
    pub clients: Vec<Client>,
    pub peers: Vec<Peer>,
    /// What stopped servers hold of connections that the proxy has closed, oldest first.
    pub ghosts: Vec<(Session, Bytes)>,
    next_client: u64,
    /// Requests that must have been executed in the end.
    pub sure: Vec<Sure>,
    /// The proxy has said that it has drained: it does nothing more.
    pub is_drained: bool,
    /// How many bytes clients have sent and read.
    pub moved: usize,
    /// When clients are taken over by another process; `None`: never.
    mover: Option<Random>,
    /// When and how the configuration changes; with random numbers of its own, too.
    pub changer: Random,
}

impl World {
    /// The beginning of a run.
    pub fn new(mut truth: Truth, seed: u64) -> World {
        let scenario = &truth.scenario;
        let mut net = Net::new(scenario, Random::new(truth.random.number()), truth.trace.is_some());
        let engine = net.engine(scenario);
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
            changer: Random::new(seed ^ CHANGER),
        }
    }

    /// Runs for so many steps, then to the end of everything.
    pub fn run(&mut self, steps: u64) -> Counts {
        for step in 0..steps {
            for _ in 0..self.truth.random.range(1, 4) {
                self.happen();
            }
            self.pass_time();
            self.change();
            self.work();
            if step % 8 == 0 {
                self.check_patience();
            }
        }
        if self.changer.once_in(6) {
            self.drain();
        } else {
            self.settle();
            self.recover();
            self.end();
        }
        self.explain()
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
        let bucket = self.truth.random.index(self.truth.eras.present().buckets.len());
        self.connect_to(bucket);
    }

    /// A client of this bucket connects.
    pub fn connect_to(&mut self, bucket: usize) {
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
    pub fn send(&mut self, at: usize, all: bool) {
        let client = &mut self.clients[at];
        let most = client.outgoing.len().min(client.pipe.ends().room());
        if most == 0 || client.pipe.is_closed() {
            return;
        }
        let count = if all { most } else { self.truth.random.piece(most) };
        let (number, sent) = (client.number, &client.outgoing.as_slice()[..count]);
        self.truth.note(|| format!("client {number} sends {}", shown(sent)));
        client.pipe.send(&mut client.outgoing, count);
        client.note_sent(count, self.truth.now);
        self.moved += count;
    }

    /// A client reads some of what has come.
    pub fn receive(&mut self, at: usize, all: bool) {
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
        client.note_taken(self.truth.now);
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
    pub fn is_awake(&mut self) -> bool {
        self.driver.network.now = self.truth.now;
        !self.is_drained && (self.driver.network.has_events() || self.driver.patience() == Some(Duration::ZERO))
    }

    /// The proxy works, if it is awake; the world takes note of what it has done.
    pub fn work(&mut self) {
        if !self.is_awake() {
            return;
        }
        self.driver.network.moods.clone_from(&self.truth.moods);
        let turn = self.driver.turn(&mut self.events).expect("memory to wait for");
        self.note_change();
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
}
