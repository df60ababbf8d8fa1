//! What happens while clients work.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use moxi_test_support::load::random::Random;
use moxi_test_support::wait::within;
use moxi_test_support::{LIMIT, Memcached, Wire};
use nix::sys::signal::Signal;

use super::figures::Use;
use super::map::SERVERS;
use super::plan::{LONGEST, Plan, SPARE, WELL};
use super::proxy::Proxy;
use super::world::World;

/// Clients that come together and go at once.
const CROWD: usize = 100;
/// A value for one that does not read, and how often it wants it: more than sockets hold, if its own holds little.
const LARGE: usize = 100_000;
const OFTEN: usize = 70;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Another process of moxi takes over.
    Upgrade,
    /// A server is killed, and another one started in its place.
    Kill,
    /// A server is stopped, and continued.
    Stop,
    /// A server joins or leaves the ring.
    Ring,
    /// Vbuckets move.
    Rows,
    /// The log is rotated.
    Rotation,
    /// Clients that come and go.
    Crowd,
    /// A client that does not read.
    Deaf,
}

impl Kind {
    /// All, in the order in which they come first.
    const ALL: [Kind; 8] =
        [Kind::Upgrade, Kind::Kill, Kind::Ring, Kind::Deaf, Kind::Rotation, Kind::Stop, Kind::Rows, Kind::Crowd];

    fn name(self) -> &'static str {
        match self {
            Kind::Upgrade => "upgrade",
            Kind::Kill => "kill",
            Kind::Stop => "stop",
            Kind::Ring => "ring",
            Kind::Rows => "map",
            Kind::Rotation => "log",
            Kind::Crowd => "crowd",
            Kind::Deaf => "deaf",
        }
    }
}

/// Has all of it happen.
pub struct Director<'a> {
    plan: &'a Plan,
    world: &'a World,
    proxy: &'a mut Proxy,
    random: Random,
    counts: BTreeMap<&'static str, u64>,
    /// Those of the crowds that had no answer.
    unanswered: u64,
    began: Instant,
}

impl<'a> Director<'a> {
    /// Before the first event.
    pub fn new(plan: &'a Plan, world: &'a World, proxy: &'a mut Proxy) -> Director<'a> {
        let kinds = Kind::ALL.into_iter().filter(|kind| plan.has_map() || *kind != Kind::Rows);
        let counts = kinds.map(|kind| (kind.name(), 0)).collect();
        Director { plan, world, proxy, random: Random::new(2009), counts, unanswered: 0, began: Instant::now() }
    }

    /// Each kind once, and then at random. Gives what moxi uses in the middle, and at the end, with the times.
    /// `bare`: how many descriptors there are without connections.
    pub fn run(&mut self, bare: usize) -> [(Duration, Use); 2] {
        self.began = Instant::now();
        for kind in Kind::ALL {
            self.event(kind);
        }
        self.until(self.plan.time / 2);
        let before = (self.world.time(), self.proxy.used());
        self.until(self.plan.time);
        self.restore();
        let after = (self.world.time(), self.settled(before.1.kilobytes + SPARE, bare + self.plan.connections()));
        // Once more, with what has gathered in all that time.
        self.event(Kind::Upgrade);
        [before, after]
    }

    fn until(&mut self, time: Duration) {
        while self.began.elapsed() < time {
            let kind = self.any();
            self.event(kind);
        }
    }

    /// One of those that may happen now.
    fn any(&mut self) -> Kind {
        let kind = Kind::ALL[self.random.below(Kind::ALL.len())];
        // None has the time to grow as long as processes change, so one of them has more than half of the time.
        let may_change = self.plan.is_long && self.began.elapsed() < self.plan.time * 2 / 5;
        if kind == Kind::Upgrade && !may_change { Kind::Kill } else { kind }
    }

    fn event(&mut self, kind: Kind) {
        self.happen(kind);
        self.proxy.wait_upgraded(self.world);
        let pause = self.between(&self.plan.gap.clone());
        thread::sleep(pause);
    }

    fn between(&mut self, range: &std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.random.below((range.end - range.start) as usize) as u64)
    }

    fn happen(&mut self, kind: Kind) {
        if kind == Kind::Rows && !self.plan.has_map() {
            return;
        }
        let began = self.world.time();
        match kind {
            Kind::Upgrade => self.proxy.upgrade(self.world),
            Kind::Kill | Kind::Stop => self.trouble(kind),
            Kind::Ring | Kind::Rows => {
                let map = self.world.map();
                let map = match kind {
                    Kind::Ring => map.with_other_ring(&mut self.random),
                    _ => map.with_other_rows(&mut self.random),
                };
                self.proxy.publish(map, self.world);
                self.proxy.confirm(self.world);
            }
            Kind::Rotation => self.proxy.rotate(),
            Kind::Crowd => self.crowd(),
            Kind::Deaf => self.deaf(),
        }
        *self.counts.entry(kind.name()).or_default() += 1;
        self.world.note(kind.name(), began);
    }

    /// A server is away for a while. Now and then something else happens meanwhile.
    fn trouble(&mut self, kind: Kind) {
        let server = self.random.below(SERVERS);
        let outage = self.between(&self.plan.outage.clone());
        self.world.begin_trouble(server, kind == Kind::Kill);
        let place = match self.proxy.servers[server].take() {
            Some(memcached) if kind == Kind::Kill => Err(memcached.kill()),
            Some(mut memcached) => {
                memcached.process().signal(Signal::SIGSTOP);
                Ok(memcached)
            }
            None => unreachable!("it is there"),
        };
        let until = Instant::now() + outage;
        let meanwhile = self.any();
        if self.random.below(3) == 0 && !matches!(meanwhile, Kind::Kill | Kind::Stop) {
            self.happen(meanwhile);
        }
        thread::sleep(until.saturating_duration_since(Instant::now()));
        let memcached = match place {
            Err(port) => Memcached::revive(port, &["-m", "256"]),
            Ok(mut memcached) => {
                memcached.process().signal(Signal::SIGCONT);
                memcached
            }
        };
        self.proxy.servers[server] = Some(memcached);
        self.world.end_trouble(server);
    }

    /// Clients that ask once, or nothing, and close the connection, or break it off.
    fn crowd(&mut self) {
        let clients = (0..CROWD).map(|number| Wire::connect(format!("one of a crowd, {number}"), self.world.port));
        for (number, mut client) in clients.collect::<Vec<_>>().into_iter().enumerate() {
            match number % 4 {
                0 => {
                    client.send("version\r\n");
                    if !client.readable(LONGEST) {
                        eprintln!("one of a crowd, {number}, has no answer; threads: {}", self.proxy.threads());
                        self.world.note("unanswered", self.world.time() - LONGEST);
                        self.unanswered += 1;
                        continue;
                    }
                    assert!(client.line().starts_with(b"VERSION "));
                }
                1 => client.send(format!("get crowd{number}\r\nset crowd{number} 0 0 10\r\n12345")),
                2 => client.send("get a\r\n"),
                _ => {}
            }
            if number % 3 == 0 { client.reset() } else { client.close() }
        }
    }

    /// A client that wants more than sockets hold, and does not read it.
    fn deaf(&mut self) {
        let mut client = Wire::connect("one that does not read", self.world.port);
        client.socket().set_recv_buffer_size(4096).expect("a socket");
        client.send(format!("set deaf 0 0 {LARGE}\r\n{}\r\n", "x".repeat(LARGE)));
        // Its server may have trouble.
        client.line();
        client.send("get deaf\r\n".repeat(OFTEN));
        let pause = self.between(&self.plan.outage.clone());
        thread::sleep(pause);
    }

    /// All servers are in the ring.
    fn restore(&mut self) {
        let map = self.world.map().with_all();
        self.proxy.publish(map, self.world);
        self.proxy.confirm(self.world);
    }

    /// Waits until moxi holds at most so many KiB, for what it has kept in store is freed after a few seconds, and has at
    /// most so many descriptors: those of a crowd are there for a moment. Gives what it uses then.
    fn settled(&self, kilobytes: u64, descriptors: usize) -> Use {
        let limit = Instant::now() + LIMIT;
        loop {
            let used = self.proxy.used();
            if used.kilobytes <= kilobytes && used.descriptors <= descriptors || Instant::now() > limit {
                return used;
            }
            // To read that again and again would be a load, too.
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// After all that everything works.
    pub fn all_is_well(&self) {
        let start = Instant::now();
        let mut client = Wire::connect("client", self.world.port);
        for key in 0..40 {
            within(WELL.saturating_sub(start.elapsed()), "a server to be used again", || {
                client.send(format!("set check{key} 0 0 1\r\n1\r\n"));
                (client.line() == b"STORED\r\n").then_some(())
            });
        }
    }

    /// How often each kind of event came.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.clone()
    }

    /// The end of all servers. Gives how many clients that come and go have had no answer.
    pub fn end(self) -> u64 {
        self.proxy.servers.clear();
        self.unanswered
    }
}
