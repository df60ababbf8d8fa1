//! What each byte does: clients, servers, time and configurations.

use std::time::Duration;

use moxi::config;
use moxi::net::driver::{Driver, Event, Service, Verdict};
use moxi::proxy::downstream::host::HealthTable;
use moxi::proxy::{Engine, Settings};

use super::super::served::{Client, Server};
use super::network::Net;
use super::user::User;
use crate::choices::Choices;
use crate::memory::{Bytes, Pipe};

/// Servers and maps. All have the servers 1 to 3; the second of each pair takes the place of the first, and back.
const CLUSTERS: [[&str; 2]; 2] = [
    ["11311=a:1,a:2", "11311=a:2,a:3"],
    [
        r#"11311={"hashAlgorithm":"CRC","numReplicas":1,"serverList":["a:1","a:2"],"vBucketMap":[[0,1],[1,0],[0,1],[1,0]]}"#,
        r#"11311={"hashAlgorithm":"CRC","numReplicas":1,"serverList":["a:3","a:2"],"vBucketMap":[[0,1],[1,0],[1,0],[-1,0]]}"#,
    ],
];
/// `-Z`, for either protocol with servers.
const BEHAVIORS: [&str; 4] = [
    "downstream_protocol=ascii",
    "downstream_protocol=binary",
    "downstream_protocol=ascii,downstream_max=2,downstream_conn_max=1,downstream_timeout=100,connect_max_errors=1",
    "downstream_protocol=binary,front_cache_lifespan=1000,front_cache_max=10,downstream_conn_max=1,downstream_retry=2",
];
/// How many clients, and connections of servers, there are at most.
const MOST: usize = 8;
/// How many turns it may take until all is quiet.
const TURNS: u32 = 20_000;
/// What is waited for in the end: every limit of the configurations above is shorter, and the search for a server that
/// has failed is given up.
const LONGEST: Duration = Duration::from_secs(40);

/// A server's end of a connection.
struct Peer {
    server: usize,
    pipe: Pipe,
    session: Client,
    outgoing: Bytes,
}

/// Everything.
pub struct World<'a> {
    choices: Choices<'a>,
    driver: Driver<Net>,
    health: HealthTable,
    events: Vec<Event>,
    behavior: &'static str,
    clusters: [&'static str; 2],
    servers: [Server; 3],
    users: Vec<User>,
    peers: Vec<Peer>,
    /// No server has said anything that is not so.
    is_honest: bool,
}

fn loaded(cluster: &str, behavior: &str) -> config::Loaded {
    config::load(cluster, Some(behavior), &|_| None).unwrap_or_else(|error| panic!("{error}"))
}

impl<'a> World<'a> {
    /// The beginning: the first bytes say what there is.
    pub fn new(data: &'a [u8]) -> World<'a> {
        let mut choices = Choices::new(data);
        let (behavior, clusters) = (choices.pick(&BEHAVIORS), choices.pick(&CLUSTERS));
        let capacity = choices.pick(&[1 << 20, 1 << 20, 700]);
        let is_rough = choices.byte() & 1 == 1;
        let net = Net::new(capacity, is_rough, choices.short());
        let health = HealthTable::default();
        let settings = Settings { requests_per_turn: 3, binding: None };
        let engine = Engine::new(&loaded(clusters[0], behavior).config, &health, settings);
        World {
            choices,
            driver: Driver::new(net, engine, settings.binding),
            health,
            events: Vec::new(),
            behavior,
            clusters,
            servers: [Server::new(), Server::new(), Server::new()],
            users: Vec::new(),
            peers: Vec::new(),
            is_honest: true,
        }
    }

    /// All bytes, then the end of everything.
    pub fn run(mut self) {
        while !self.choices.is_empty() {
            let what = self.choices.byte();
            self.happen(what & 0x7f);
            // Several things may happen in one turn.
            if what < 0x80 {
                self.turn();
            }
        }
        self.end();
    }

    fn happen(&mut self, what: u8) {
        match what % 16 {
            0 | 1 => self.connect(what % 16 == 1),
            2..=4 => {
                let (which, key) = (self.choices.index(256), self.choices.index(256));
                self.with_user(|user, _| user.ask(which, key));
            }
            5 => self.with_user(|user, choices| {
                let length = usize::from(choices.byte());
                user.outgoing.push(choices.take(length));
                user.is_plain = false;
            }),
            6 => self.with_user(|user, choices| user.receive(usize::from(choices.short()))),
            7 => self.leave(),
            8 | 9 => self.with_peer(|peer, servers, _| peer.serve(servers)),
            10 => self.lie(),
            11 => self.decide(),
            12 => self.part(),
            13 => self.driver.network.now += u64::from(self.choices.short()) * 100,
            14 => self.reconfigure(),
            _ => {
                let bits = self.choices.byte();
                (self.driver.network.is_nameless, self.driver.network.is_short) = (bits & 1 == 1, bits & 2 == 2);
            }
        }
    }

    fn connect(&mut self, is_binary: bool) {
        if self.users.len() == MOST {
            return;
        }
        let mut pipe = None;
        let open = |net: &mut Net, id| Ok(pipe.insert(net.client(id)).socket());
        assert!(self.driver.add_client(Service::Bucket(0), open).is_some(), "a client is turned away");
        self.users.extend(pipe.map(|pipe| User::new(pipe, is_binary)));
    }

    fn with_user(&mut self, act: impl FnOnce(&mut User, &mut Choices<'a>)) {
        if self.users.is_empty() {
            return;
        }
        let at = self.choices.index(self.users.len());
        act(&mut self.users[at], &mut self.choices);
    }

    fn with_peer(&mut self, act: impl FnOnce(&mut Peer, &[Server; 3], &mut Choices<'a>)) {
        if self.peers.is_empty() {
            return;
        }
        let at = self.choices.index(self.peers.len());
        act(&mut self.peers[at], &self.servers, &mut self.choices);
    }

    /// A client goes, and does not wait for its answers.
    fn leave(&mut self) {
        if self.users.is_empty() {
            return;
        }
        let at = self.choices.index(self.users.len());
        let user = self.users.swap_remove(at);
        user.pipe.leave(self.choices.byte() & 1 == 1);
    }

    /// A server says something of its own accord.
    fn lie(&mut self) {
        self.is_honest = false;
        self.with_peer(|peer, _, choices| {
            let length = usize::from(choices.byte());
            peer.outgoing.push(choices.take(length));
        });
    }

    /// A connection is made, or refused.
    fn decide(&mut self) {
        let is_made = self.choices.byte() & 3 != 0;
        self.with_peer(|peer, _, _| {
            if peer.pipe.ends().is_connecting() {
                peer.pipe.decide(is_made);
            }
        });
    }

    /// A server closes a connection, or it breaks.
    fn part(&mut self) {
        if self.peers.is_empty() {
            return;
        }
        let at = self.choices.index(self.peers.len());
        let peer = self.peers.swap_remove(at);
        match self.choices.byte() & 3 {
            _ if peer.pipe.ends().is_connecting() => peer.pipe.decide(false),
            0 => peer.pipe.leave(true),
            1 => peer.pipe.leave(false),
            _ => {
                peer.pipe.finish();
                self.peers.push(peer);
            }
        }
    }

    fn reconfigure(&mut self) {
        self.clusters.swap(0, 1);
        let config = loaded(self.clusters[0], self.behavior).config;
        self.driver.engine.reconfigure(&config, &self.health);
    }

    /// A turn of the event loop, before which everything that was sent arrives as far as there is room.
    fn turn(&mut self) {
        for user in &mut self.users {
            arrive(&user.pipe, &mut user.outgoing);
        }
        for peer in &mut self.peers {
            arrive(&peer.pipe, &mut peer.outgoing);
        }
        let verdict = self.driver.turn(&mut self.events).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(verdict, Verdict::GoOn);
        for (port, pipe) in std::mem::take(&mut self.driver.network.dials) {
            let server = usize::from(port - 1) % 3;
            self.peers.push(Peer { server, pipe, session: Client::new(None), outgoing: Bytes::default() });
        }
        self.peers.retain(|peer| !peer.pipe.is_closed());
    }

    /// Servers that are well, clients that read: until nothing happens any more, and nothing is waited for.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..TURNS {
            for peer in &mut self.peers {
                if peer.pipe.ends().is_connecting() {
                    peer.pipe.decide(true);
                }
                peer.serve(&self.servers);
            }
            self.users.iter_mut().for_each(|user| user.receive(usize::MAX));
            let is_owed = |pipe: &Pipe, outgoing: &Bytes| !pipe.is_closed() && !outgoing.is_empty();
            let is_moving = self.users.iter().any(|user| is_owed(&user.pipe, &user.outgoing))
                || self.peers.iter().any(|peer| is_owed(&peer.pipe, &peer.outgoing));
            let is_quiet = !self.driver.network.has_events() && !self.driver.is_busy();
            quiet = if is_quiet { quiet + 1 } else { 0 };
            // What a peer has to say may wait until it is read from again, and that for a deadline.
            if is_quiet && (!is_moving || quiet > 2) {
                Net::check_edges(&mut self.driver);
                match self.driver.patience() {
                    Some(patience) if patience < LONGEST => {
                        self.driver.network.now += patience.as_micros().max(1) as u64;
                    }
                    _ => return,
                }
            }
            self.turn();
        }
        panic!("it does not come to rest");
    }

    /// All that was asked is answered; all go.
    fn end(&mut self) {
        (self.driver.network.is_nameless, self.driver.network.is_short) = (false, false);
        self.users.iter_mut().filter(|user| user.is_plain).for_each(User::ask_last);
        self.settle();
        // They still read what they are owed.
        for user in &mut self.users {
            if user.is_plain {
                assert!(!user.pipe.is_closed(), "a client that has done nothing wrong is closed");
                user.check(self.is_honest);
            }
            user.pipe.finish();
        }
        self.settle();
        assert_eq!(self.driver.engine.client_count(), 0, "somebody is left");
    }
}

impl Peer {
    /// The server answers what has arrived.
    fn serve(&mut self, servers: &[Server; 3]) {
        let mut ends = self.pipe.ends();
        let request = ends.outbound.as_slice().to_vec();
        ends.outbound.clear();
        drop(ends);
        self.pipe.has_taken();
        let mut answer = Vec::new();
        self.session.send(&servers[self.server], &request, &mut answer);
        self.outgoing.push(&answer);
    }
}

/// What was sent arrives, as far as there is room.
fn arrive(pipe: &Pipe, outgoing: &mut Bytes) {
    let room = if pipe.is_closed() || pipe.ends().is_connecting() { 0 } else { pipe.ends().room() };
    let count = outgoing.len().min(room);
    if count > 0 {
        pipe.send(outgoing, count);
    }
}
