//! One run: clients, the proxy, servers and time, in random steps.

use moxi::proxy::downstream::ConnId;
use moxi::proxy::host::HealthTable;
use moxi::proxy::timers::Micros;
use moxi::proxy::upstream::ClientId;
use moxi::proxy::{Action, Engine};

use super::bytes::Bytes;
use super::client::Client;
use super::server::{Session, Verdict};
use super::truth::{Mood, Truth, shown};
use super::worker::{Event, Readiness, Worker};

/// A server's end of a connection.
struct Peer {
    id: ConnId,
    server: usize,
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
    worker: Worker,
    clients: Vec<Client>,
    peers: Vec<Peer>,
    /// What stopped servers hold of connections that the proxy has closed, oldest first.
    ghosts: Vec<(Session, Bytes)>,
    next_client: u64,
    /// Requests that must have been executed in the end.
    sure: Vec<u64>,
    /// All clients have gone.
    is_over: bool,
}

impl World {
    /// The beginning of a run.
    pub fn new(truth: Truth) -> World {
        let engine = Engine::new(&truth.scenario.config, &HealthTable::default(), truth.scenario.settings);
        let worker = Worker::new(engine, truth.scenario.socket);
        World {
            truth,
            worker,
            clients: Vec::new(),
            peers: Vec::new(),
            ghosts: Vec::new(),
            next_client: 0,
            sure: Vec::new(),
            is_over: false,
        }
    }

    /// Runs for so many steps, then to the end of everything.
    pub fn run(&mut self, steps: u64) {
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
        let id = self.worker.add_client(bucket).expect("a client of a bucket that there is");
        self.next_client += 1;
        let client = Client::new(&mut self.truth, id, self.next_client, bucket);
        let number = client.number;
        self.truth.note(|| format!("client {number} connects to bucket {bucket} as {id:?}"));
        self.clients.push(client);
    }

    fn event(&mut self, id: ClientId, readiness: Readiness) {
        self.worker.events.push(Event::Client(id, readiness));
    }

    /// Some of what a client has to send arrives.
    fn send(&mut self, at: usize, all: bool) {
        let client = &mut self.clients[at];
        let Some(socket) = self.worker.client(client.id) else { return };
        let room = self.truth.scenario.socket.saturating_sub(socket.inbound.len());
        let most = client.outgoing.len().min(room);
        if most == 0 {
            return;
        }
        let count = if all { most } else { self.truth.random.piece(most) };
        let (number, sent) = (client.number, &client.outgoing.as_slice()[..count]);
        self.truth.note(|| format!("client {number} sends {}", shown(sent)));
        client.outgoing.move_to(&mut socket.inbound, count);
        client.sent += count as u64;
        let id = client.id;
        self.event(id, Readiness { readable: true, ..Readiness::default() });
    }

    /// A client reads some of what has come.
    fn receive(&mut self, at: usize, all: bool) {
        let client = &mut self.clients[at];
        let Some(socket) = self.worker.client(client.id) else { return };
        if client.deaf_until > self.truth.now && !all || socket.outbound.is_empty() {
            return;
        }
        if self.truth.scenario.slow_readers && self.truth.random.once_in(20) {
            client.deaf_until = self.truth.now + self.truth.random.below(50_000);
        }
        let most = socket.outbound.len();
        let count = if all { most } else { self.truth.random.piece(most) };
        client.receive(&mut self.truth, &mut socket.outbound, count);
        let has_room = socket.outbound.len() * 3 <= self.truth.scenario.socket * 2;
        if socket.is_blocked && has_room {
            let id = client.id;
            self.event(id, Readiness { writable: true, ..Readiness::default() });
        }
    }

    /// A client goes, one way or another.
    fn leave(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let (id, number) = (client.id, client.number);
        let how = self.truth.random.below(4);
        self.truth.note(|| format!("client {number} leaves: {how}"));
        let readable = Readiness { readable: true, ..Readiness::default() };
        match how {
            0 => client.quit(),
            1 => {
                // It has finished sending, and still reads.
                client.is_done = true;
                if client.outgoing.is_empty() && !client.is_closing {
                    client.is_closing = true;
                    if let Some(socket) = self.worker.client(id) {
                        socket.fin = true;
                        self.event(id, Readiness { hung_up: true, ..readable });
                    }
                }
            }
            _ => {
                let client = self.clients.swap_remove(at);
                self.sure.extend(client.arrived(true));
                if let Some(socket) = self.worker.client(id) {
                    // What it had not read breaks the connection.
                    let reset = how == 3 || !socket.outbound.is_empty();
                    (socket.fin, socket.deaf, socket.reset) = (true, true, reset);
                    self.event(id, Readiness { hung_up: true, error: reset, ..readable });
                }
            }
        }
    }

    /// A server does something with one of its connections.
    fn serve(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        let id = peer.id;
        if let Some((when, is_made)) = peer.connects {
            if when <= self.truth.now {
                peer.connects = None;
                if is_made {
                    peer.session = Some(Session::new(&self.truth, peer.server));
                }
                self.worker.events.push(Event::Connect(id, is_made));
            }
            return;
        }
        if peer.is_fresh && self.truth.moods[peer.server] != Mood::Stalled {
            // A server looks at what it has before it takes another connection.
            peer.is_fresh = false;
            let server = peer.server;
            self.lay_ghosts(server);
            return;
        }
        let Some(session) = &mut peer.session else { return };
        let Some(socket) = self.worker.conn(id).filter(|socket| !socket.is_connecting) else { return };
        let before = socket.inbound.len();
        let (mut from, mut to) = (std::mem::take(&mut socket.outbound), std::mem::take(&mut socket.inbound));
        let verdict = session.act(&mut self.truth, &mut from, &mut to);
        // It has read all that comes, and closes the connection as the proxy has done.
        let verdict = match verdict {
            Verdict::Go if socket.is_finishing && from.is_empty() && session.is_through() => Verdict::Close,
            other => other,
        };
        (socket.outbound, socket.inbound) = (from, to);
        let mut readiness = Readiness { readable: socket.inbound.len() > before, ..Readiness::default() };
        readiness.writable = socket.is_blocked && socket.outbound.len() * 3 <= self.truth.scenario.socket * 2;
        if verdict != Verdict::Go {
            peer.session = None;
            (socket.fin, socket.deaf) = (true, true);
            (readiness.readable, readiness.hung_up) = (true, true);
            if verdict == Verdict::Reset {
                socket.reset = true;
                socket.inbound.clear();
                readiness.error = true;
            }
        }
        if readiness.readable || readiness.writable {
            self.worker.events.push(Event::Conn(id, readiness));
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
        let step = if self.worker.is_awake(self.truth.now) { step.min(100) } else { step };
        self.truth.now = match self.worker.engine.next_deadline() {
            Some(at) => (self.truth.now + step).min((at + 150).max(self.truth.now)),
            None => self.truth.now + step,
        };
    }

    /// The proxy works, if it is awake.
    fn work(&mut self) {
        if !self.worker.is_awake(self.truth.now) {
            return;
        }
        self.worker.turn(self.truth.now, &mut self.truth.random);
        for action in std::mem::take(&mut self.worker.news) {
            self.take_note(action);
        }
    }

    fn take_note(&mut self, action: Action) {
        match action {
            Action::Connect(id, server) => {
                let server = self.truth.scenario.servers.iter().position(|other| *other == server);
                let server = server.expect("a server of the configuration");
                let mood = if self.truth.healed { Mood::Well } else { self.truth.moods[server] };
                let random = &mut self.truth.random;
                let connects = match mood {
                    Mood::Hole => None,
                    Mood::Refusing => Some((self.truth.now + random.below(1_000), false)),
                    Mood::Slow(most) => Some((self.truth.now + random.below(most), true)),
                    Mood::Well | Mood::Stalled => Some((self.truth.now + random.below(1_000), true)),
                };
                self.truth.note(|| format!("connection {id:?} to server {server}: {connects:?}"));
                // It may be the next try of one that could not be begun.
                self.peers.retain(|peer| peer.id != id);
                self.peers.push(Peer { id, server, connects, session: None, is_fresh: true });
            }
            Action::FinishConn(id) => {
                self.truth.note(|| format!("connection {id:?} is closed for sending"));
                assert!(!self.truth.scenario.exact, "connection {id:?} was closed, and nothing was wrong with it");
            }
            Action::CloseConn(id) => {
                self.truth.note(|| format!("connection {id:?} is closed"));
                assert!(
                    !self.truth.scenario.exact || self.is_over,
                    "connection {id:?} was closed, and nothing was wrong with it"
                );
                let socket = self.worker.conns.remove(&id.to_bits());
                let at = self.peers.iter().position(|peer| peer.id == id);
                let peer = self.peers.swap_remove(at.expect("a connection that was made"));
                let server = peer.server;
                if let (Some(session), Some(socket)) = (peer.session, socket)
                    && self.truth.random.once_in(2)
                {
                    self.ghosts.push((session, socket.outbound));
                    if self.truth.moods[server] != Mood::Stalled {
                        self.lay_ghosts(server);
                    }
                }
            }
            Action::CloseClient(id) => {
                let socket = self.worker.clients.remove(&id.to_bits());
                let at = self.clients.iter().position(|client| client.id == id);
                let (Some(at), Some(mut socket)) = (at, socket) else { return };
                let mut client = self.clients.swap_remove(at);
                let number = client.number;
                self.truth.note(|| format!("client {number} is closed"));
                let rest = socket.outbound.len();
                client.receive(&mut self.truth, &mut socket.outbound, rest);
                client.check_closed(&self.truth, rest > 0);
                client.check_silence(&self.truth);
                self.sure.extend(client.arrived(false));
            }
            Action::ReadConn(id) => panic!("{id:?} was left unread, without a list of keys"),
            Action::SetVerbosity(level) => assert!(level <= 4),
            // The configuration comes from nowhere else.
            Action::Refresh(agent) => panic!("there is no agent {agent}"),
            Action::Breach(id, breach) => self.truth.note(|| format!("client {id:?} is expelled: {breach:?}")),
            Action::Trace(id, request) => self.truth.note(|| format!("client {id:?}: {request}")),
            Action::Log(level, text) => self.truth.note(|| format!("log {level}: {text}")),
        }
    }

    fn check_patience(&mut self) {
        for client in &mut self.clients {
            let Some(socket) = self.worker.client(client.id) else { continue };
            let is_read = socket.outbound.is_empty() && socket.inbound.is_empty();
            client.check_patience(&self.truth, is_read);
        }
    }

    /// No more requests and no more faults: everything is answered.
    fn settle(&mut self) {
        self.truth.note(|| "no more requests".to_owned());
        self.truth.healed = true;
        self.truth.moods.fill(Mood::Well);
        (0..self.truth.moods.len()).for_each(|server| self.lay_ghosts(server));
        for peer in &mut self.peers {
            if peer.session.is_none() && peer.connects.is_none() {
                let socket = self.worker.conn(peer.id);
                if socket.is_some_and(|socket| socket.is_connecting) {
                    peer.connects = Some((self.truth.now, true));
                }
            }
        }
        for client in &mut self.clients {
            client.is_done = true;
        }
        for _ in 0..20_000 {
            self.pump();
            let is_quiet = |client: &Client| client.pending.is_empty() && client.outgoing.is_empty();
            if self.clients.iter().all(is_quiet) && !self.worker.is_awake(self.truth.now) {
                return;
            }
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
        if !self.worker.is_awake(self.truth.now) {
            self.truth.now += 1_000;
        }
        self.work();
    }

    /// All clients go; nothing may be left.
    fn end(&mut self) {
        let mut at = 0;
        while at < self.clients.len() {
            let client = &mut self.clients[at];
            match self.truth.random.below(3) {
                0 if !client.hostile => client.quit(),
                _ => {
                    client.is_closing = true;
                    let id = client.id;
                    if let Some(socket) = self.worker.client(id) {
                        socket.fin = true;
                        self.event(id, Readiness { readable: true, hung_up: true, ..Readiness::default() });
                    }
                }
            }
            at += 1;
        }
        for _ in 0..20_000 {
            self.pump();
            let engine = &self.worker.engine;
            if self.clients.is_empty() && engine.client_count() == 0 && engine.next_deadline().is_none() {
                break;
            }
        }
        self.is_over = true;
        let numbers: Vec<u64> = self.clients.iter().map(|client| client.number).collect();
        assert!(numbers.is_empty(), "clients {numbers:?} were not closed");
        assert_eq!(self.worker.engine.client_count(), 0);
        assert!(!self.worker.has_more(), "the proxy is never done");
        for _ in 0..1_000 {
            let Some(at) = self.worker.engine.next_deadline() else { break };
            self.truth.now = self.truth.now.max(at);
            self.work();
            self.pump();
        }
        assert_eq!(self.worker.engine.next_deadline(), None, "an alarm is left");
        for peer in &self.peers {
            if let Some((output, limit)) = self.worker.engine.conn_output(peer.id) {
                assert_eq!((output.unsent(), limit), (0, u64::MAX), "bytes are left on {:?}", peer.id);
            }
        }
        if self.truth.scenario.exact {
            for id in &self.sure {
                assert_eq!(self.truth.log.of(*id).len(), 1, "executions of request {id}");
            }
        }
    }
}
