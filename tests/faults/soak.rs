//! Two hundred clients while servers are killed, stopped and restarted at random: nobody waits longer than the limits
//! allow, nobody gets a wrong value, and at the end no descriptor and no memory is missing.
//!
//! `cargo test` runs it for six seconds, `MOXI_SOAK=seconds` for longer; `MOXI_SOAK_PROTOCOL=ascii` instead of binary
//! servers. For the figures:
//!
//! ```text
//! MOXI_SOAK=600 cargo test --release --test faults soak -- --nocapture
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use moxi_test_support::wait::within;
use moxi_test_support::{LIMIT, Memcached, Moxi, Wire, moxi, wait_for};
use nix::sys::signal::Signal;

use crate::descriptors::open;

const CLIENTS: usize = 200;
const SERVERS: usize = 4;
const WORKERS: usize = 2;
const CONNS: usize = 4;
const KEYS: usize = 4;

/// A place behind others, a connection, an answer; that twice; and what a busy machine adds to it.
const LONGEST: Duration = Duration::from_millis(2 * (200 + 300 + 200 + 500) + 2500);
/// How much more memory than before, in KiB, may be held at the end: fragments that the allocator keeps.
const SPARE: u64 = 8 * 1024;

/// What a client has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    requests: u64,
    failures: u64,
    values: u64,
    /// Values from before what had been acknowledged: an older write was carried out after a newer one.
    overtaken: u64,
    longest: Duration,
}

/// One client and its own keys.
struct Client {
    wire: Wire,
    number: usize,
    version: u64,
    /// By key: the newest version that was acknowledged. Nothing older is ever seen again, also not what was answered
    /// with an error: nothing overtakes.
    stored: [u64; KEYS],
    seen: Seen,
}

impl Client {
    fn new(moxi: &Moxi, number: usize) -> Client {
        let mut wire = moxi.client();
        wire.rename(format!("client {number}"));
        Client { wire, number, version: 0, stored: Default::default(), seen: Seen::default() }
    }

    fn value(&self, key: usize, version: u64) -> String {
        // Now and then one that needs several packets.
        let length = if version.is_multiple_of(50) { 60_000 } else { 10 + version as usize % 200 };
        format!("{}/{key}/{version}/{}", self.number, "x".repeat(length))
    }

    /// Sends some requests at once and checks what comes for each of them.
    fn turn(&mut self, random: &mut u64) {
        let count = if self.number.is_multiple_of(2) { 1 } else { 8 };
        let mut request = String::new();
        let mut asked = Vec::new();
        for _ in 0..count {
            *random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let key = (*random >> 33) as usize % KEYS;
            match (*random >> 40) % 8 {
                0..3 => {
                    self.version += 1;
                    let value = self.value(key, self.version);
                    request += &format!("set c{}k{key} 0 0 {}\r\n{value}\r\n", self.number, value.len());
                    asked.push(Some((key, self.version)));
                }
                3..7 => {
                    request += &format!("get c{}k{key}\r\n", self.number);
                    asked.push(None);
                }
                _ => {
                    let keys: Vec<_> = (0..KEYS).map(|key| format!("c{}k{key}", self.number)).collect();
                    request += &format!("get {}\r\n", keys.join(" "));
                    asked.push(None);
                }
            }
        }
        let mut since = Instant::now();
        self.wire.send(request);
        for asked in asked {
            self.seen.requests += 1;
            match asked {
                Some((key, version)) => self.stored(key, version),
                None => self.values(),
            }
            let taken = since.elapsed();
            assert!(taken < LONGEST, "client {}: a reply after {taken:?}", self.number);
            self.seen.longest = self.seen.longest.max(taken);
            since = Instant::now();
        }
    }

    fn stored(&mut self, key: usize, version: u64) {
        let line = self.wire.line();
        if line == b"STORED\r\n" {
            self.stored[key] = version;
        } else {
            assert!(line.starts_with(b"SERVER_ERROR proxy "), "client {}: {}", self.number, line.escape_ascii());
            self.seen.failures += 1;
        }
    }

    /// Values of its own keys, or none.
    fn values(&mut self) {
        let mut count = 0;
        loop {
            let line = String::from_utf8(self.wire.line()).expect("text");
            if line == "END\r\n" {
                break;
            }
            let words: Vec<_> = line.trim_end().split(' ').collect();
            let [word, name, "0", length] = words[..] else { panic!("client {}: {line}", self.number) };
            let key = name.strip_prefix(&format!("c{}k", self.number)).and_then(|key| key.parse::<usize>().ok());
            let (Some(key), "VALUE", Ok(length)) = (key, word, length.parse::<usize>()) else {
                panic!("client {}: {line}", self.number)
            };
            let value = self.wire.take(length + 2);
            let value = String::from_utf8(value).expect("text");
            let version = value.split('/').nth(2).and_then(|version| version.parse::<u64>().ok()).unwrap_or(0);
            assert_eq!(value, self.value(key, version) + "\r\n", "client {}", self.number);
            assert!(version <= self.version);
            if version < self.stored[key] {
                let newest = self.stored[key];
                eprintln!("client {}: version {version} of key {key} after {newest} was stored", self.number);
                self.seen.overtaken += 1;
                self.stored[key] = version;
            }
            count += 1;
        }
        self.seen.values += count;
    }
}

fn memory(moxi: &mut Moxi) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", moxi.process().id())).expect("status of moxi");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("resident memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// All clients, with numbers from `first` on, work until `is_over`.
fn work(moxi: &Moxi, first: usize, is_over: &AtomicBool, meanwhile: impl FnOnce()) -> Seen {
    thread::scope(|scope| {
        let clients: Vec<_> = (first..first + CLIENTS)
            .map(|number| {
                let body = move || {
                    let mut client = Client::new(moxi, number);
                    let mut random = number as u64;
                    while !is_over.load(Ordering::Relaxed) {
                        client.turn(&mut random);
                        // So that the machine has time for the servers, too.
                        thread::sleep(Duration::from_millis(20 + number as u64 % 30));
                    }
                    client.seen
                };
                thread::Builder::new().stack_size(512 * 1024).spawn_scoped(scope, body).expect("a thread")
            })
            .collect();
        meanwhile();
        is_over.store(true, Ordering::Relaxed);
        let mut total = Seen::default();
        for client in clients {
            let seen = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            total.requests += seen.requests;
            total.failures += seen.failures;
            total.values += seen.values;
            total.overtaken += seen.overtaken;
            total.longest = total.longest.max(seen.longest);
        }
        total
    })
}

/// One after the other: a random server is killed and started again, or stopped and continued. How long it is away, and
/// well, is a part of the fault.
fn torment(servers: &mut Vec<Memcached>, until: Instant, faults: &mut u32) {
    let mut random = 7_u64;
    while Instant::now() < until {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let pause = Duration::from_millis(50 + (random >> 35) % 700);
        let victim = (random >> 33) as usize % servers.len();
        *faults += 1;
        if (random >> 50).is_multiple_of(2) {
            let port = servers.remove(victim).kill();
            thread::sleep(pause);
            servers.push(Memcached::revive(port, &[]));
        } else {
            servers[victim].process().signal(Signal::SIGSTOP);
            thread::sleep(pause);
            servers[victim].process().signal(Signal::SIGCONT);
        }
        thread::sleep(pause / 2);
    }
}

/// Waits until moxi holds at most `most` KiB: what it has kept in store is freed after a few seconds. Gives what it
/// holds at the end.
fn settled_memory(moxi: &mut Moxi, most: u64) -> u64 {
    let limit = Instant::now() + LIMIT;
    loop {
        let held = memory(moxi);
        if held <= most || Instant::now() > limit {
            return held;
        }
        // To read that again and again would be a load, too.
        thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until moxi has at most `most` descriptors.
fn settle(moxi: &mut Moxi, most: usize) {
    wait_for(&format!("at most {most} descriptors"), || open(moxi) <= most);
}

/// So soon after the last fault everything works: a probe comes every second.
const WELL: Duration = Duration::from_secs(3);

/// After all that everything works.
fn all_is_well(moxi: &Moxi) {
    let start = Instant::now();
    let mut client = moxi.client();
    for key in 0..40 {
        within(WELL.saturating_sub(start.elapsed()), "a server to be used again", || {
            client.send(format!("set check{key} 0 0 1\r\n1\r\n"));
            (client.line() == b"STORED\r\n").then_some(())
        });
    }
}

#[test]
fn two_hundred_clients_and_servers_that_come_and_go() {
    let time = std::env::var("MOXI_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let protocol = std::env::var("MOXI_SOAK_PROTOCOL").unwrap_or_else(|_| String::from("binary"));
    let mut servers = Memcached::several(SERVERS, &[]);
    let mut moxi = moxi!()
        .servers(servers.iter().map(Memcached::port))
        .speaking(&protocol)
        .threads(WORKERS)
        .set(format!("downstream_conn_max={CONNS}"))
        .set("downstream_timeout=500")
        .set("downstream_conn_queue_timeout=300")
        .set("connect_timeout=200")
        .set("connect_retry_interval=1000")
        .start();
    let bare = {
        // Once it serves, it has all that it has without clients and servers.
        let mut client = moxi.client();
        client.send("version\r\n");
        client.line();
        open(&mut moxi) - 1
    };
    // The base: the same crowd has been there for a while and gone, and nothing was wrong.
    work(&moxi, CLIENTS, &AtomicBool::new(false), || thread::sleep(Duration::from_secs(2)));
    let most = bare + WORKERS * CONNS * SERVERS;
    settle(&mut moxi, most);
    let base = memory(&mut moxi);

    let mut faults = 0;
    let is_over = AtomicBool::new(false);
    let until = Instant::now() + Duration::from_secs(time);
    let seen = work(&moxi, 0, &is_over, || torment(&mut servers, until, &mut faults));

    settle(&mut moxi, most);
    let after = settled_memory(&mut moxi, base + SPARE);
    let descriptors = open(&mut moxi);
    all_is_well(&moxi);
    // Without servers nothing is left of their connections.
    for server in servers {
        server.kill();
    }
    settle(&mut moxi, bare);
    eprintln!(
        "{protocol} servers, {time} s, {faults} faults: {} requests, {} values, {} failures, {} overtaken; longest wait {:?}; \
         resident memory {base} -> {after} KiB; {bare} descriptors without connections, {descriptors} behind the \
         crowd, {} without servers",
        seen.requests,
        seen.values,
        seen.failures,
        seen.overtaken,
        seen.longest,
        open(&mut moxi)
    );
    assert!(faults > 0 && seen.values > 0);
    assert_eq!(seen.overtaken, 0, "older values that landed after newer ones");
    assert!(after <= base + SPARE, "memory: {base} KiB before, {after} KiB after");
}
