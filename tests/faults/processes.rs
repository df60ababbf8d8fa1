//! Servers that are killed, stopped, continued and restarted, alone and under load.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use moxi_test_support::wait::within;
use moxi_test_support::{LIMIT, Memcached, Moxi, PROTOCOLS, moxi, wait_for};
use nix::sys::signal::Signal;

use crate::kinds::{Keys, Kind, Outcome, ask};
use crate::matrix::{IN_TIME, Limits, start};
use crate::{at_once, with_both};

/// Those that work while servers are restarted.
const CLIENTS: usize = 8;

/// So soon a server that is well again is used again, on a busy machine.
const SOON: Duration = Duration::from_millis(2500);

fn becomes_good(moxi: &Moxi, keys: &Keys, limit: Duration) {
    within(limit, "its recovery", || (ask(moxi, keys, Kind::Set, IN_TIME) == Outcome::Good).then_some(()));
}

#[test]
fn killed() {
    for protocol in PROTOCOLS {
        let mut servers = Memcached::several(2, &[]);
        let moxi = start([servers[0].port(), servers[1].port()], protocol, Limits::Long);
        let keys = Keys::find(&moxi, &servers[1], 3);
        let port = servers.remove(1).kill();
        for kind in Kind::ALL {
            assert_ne!(ask(&moxi, &keys, kind, IN_TIME), Outcome::Good, "{protocol} servers, {kind:?}");
        }
        servers.push(Memcached::revive(port, &[]));
        becomes_good(&moxi, &keys, SOON);
        for kind in Kind::ALL {
            keys.store(&moxi);
            assert_ne!(ask(&moxi, &keys, kind, IN_TIME), Outcome::Failed, "{protocol} servers, {kind:?}");
        }
    }
}

/// It takes connections and requests but answers nothing; later it answers all of them, and nobody may hear that.
#[test]
fn stopped_and_continued() {
    at_once(with_both(&Kind::ALL), |(protocol, kind)| {
        let mut servers = Memcached::several(2, &[]);
        let moxi = start([servers[0].port(), servers[1].port()], protocol, Limits::Short);
        let keys = Keys::find(&moxi, &servers[1], 3);
        for round in 0..2 {
            servers[1].process().signal(Signal::SIGSTOP);
            assert_ne!(ask(&moxi, &keys, kind, IN_TIME), Outcome::Good, "{protocol} servers, {kind:?}");
            servers[1].process().signal(Signal::SIGCONT);
            becomes_good(&moxi, &keys, SOON);
            for kind in Kind::ALL {
                keys.store(&moxi);
                let outcome = ask(&moxi, &keys, kind, IN_TIME);
                assert_ne!(outcome, Outcome::Failed, "{protocol} servers, {kind:?}, round {round}");
            }
        }
    });
}

/// A pause within the limits delays, and fails nothing.
#[test]
fn stopped_for_a_moment() {
    for protocol in PROTOCOLS {
        let mut servers = Memcached::several(2, &[]);
        let moxi = moxi!()
            .servers([servers[0].port(), servers[1].port()])
            .speaking(protocol)
            .set("downstream_conn_queue_timeout=4000")
            .start();
        let keys = Keys::find(&moxi, &servers[1], 3);
        servers[1].process().signal(Signal::SIGSTOP);
        thread::scope(|scope| {
            let clients: Vec<_> = Kind::ALL
                .into_iter()
                // Only those that do not disturb each other.
                .filter(|kind| *kind != Kind::Delete)
                .map(|kind| {
                    scope.spawn({
                        let (moxi, keys) = (&moxi, &keys);
                        move || ask(moxi, keys, kind, LIMIT)
                    })
                })
                .collect();
            // The pause itself: all requests are waiting by then, or come later and wait for nothing.
            thread::sleep(Duration::from_millis(150));
            servers[1].process().signal(Signal::SIGCONT);
            for client in clients {
                assert_ne!(client.join().expect("a client"), Outcome::Failed, "{protocol} servers");
            }
        });
    }
}

/// Ends the clients, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A server is restarted again and again while clients work. The other server's keys never fail; those of this one
/// fail in a legal way and come back.
#[test]
fn restarted_under_load() {
    for protocol in PROTOCOLS {
        let mut servers = Memcached::several(2, &[]);
        let moxi = start([servers[0].port(), servers[1].port()], protocol, Limits::Long);
        let keys = Keys::find(&moxi, &servers[1], 3);
        let (is_over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
        // Each client has had its turn with the servers as they are now.
        let is_worked_with = || {
            let before = done.load(Ordering::Relaxed);
            wait_for("requests", || done.load(Ordering::Relaxed) >= before + 2 * CLIENTS);
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let (moxi, keys, is_over, done) = (&moxi, &keys, &is_over, &done);
                    scope.spawn(move || {
                        let mut rounds = number;
                        while !is_over.load(Ordering::Relaxed) {
                            let kind = Kind::ALL[rounds % Kind::ALL.len()];
                            // Only one client takes values away.
                            if kind != Kind::Delete {
                                ask(moxi, keys, kind, IN_TIME);
                            }
                            rounds += 1;
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        rounds
                    })
                })
                .collect();
            let over = Over(&is_over);
            for _ in 0..4 {
                is_worked_with();
                let port = servers.remove(1).kill();
                is_worked_with();
                servers.push(Memcached::revive(port, &[]));
            }
            drop(over);
            for (number, client) in clients.into_iter().enumerate() {
                assert!(client.join().expect("a client") > number + 1);
            }
        });
        becomes_good(&moxi, &keys, SOON);
        for kind in Kind::ALL {
            keys.store(&moxi);
            assert_ne!(ask(&moxi, &keys, kind, IN_TIME), Outcome::Failed, "{protocol} servers, {kind:?}");
        }
    }
}
