//! Several workers at once.

use super::*;
use std::thread;

/// A worker of its own for `server`.
fn worker(server: &Server) -> Server {
    Server { memcached: Arc::clone(&server.memcached), counters: server.memcached.register(), clock: server.clock }
}

#[test]
fn no_update_is_lost() {
    let server = Server::default();
    server.say("set n 0 0 1\r\n0\r\n");
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let worker = worker(&server);
            thread::spawn(move || {
                for round in 0..500 {
                    worker.say("incr n 1\r\n");
                    worker.say(format!("append log 0 0 1\r\n{number}\r\n"));
                    worker.say(format!("add log 0 0 1\r\n{number}\r\n"));
                    worker.say(format!("set own{number} 0 0 3\r\n{round:03}\r\n"));
                    assert!(worker.say(format!("get own{number}\r\n")).contains(&format!("{round:03}")));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(server.say("get n\r\n").contains("\r\n2000\r\n"));
    // One of the adds, and all appends after it.
    let appended = server.say("get log\r\n").len();
    assert!(appended > 1900, "{appended}");
    assert_eq!(server.stat("", "incr_hits"), "2000");
}

#[test]
fn accounts_balance_under_eviction_and_flushes() {
    let server = Server::new(Settings { memory: 4 << 20, ..Settings::default() });
    let threads: Vec<_> = (0..4u64)
        .map(|number| {
            let mut worker = worker(&server);
            thread::spawn(move || {
                let mut random = number + 1;
                for _ in 0..3000 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let key = format!("key{}", random >> 54);
                    let length = [10, 1000, 30_000, 100_000][(random >> 40) as usize % 4];
                    match (random >> 20) % 10 {
                        0 => drop(worker.say(format!("delete {key}\r\n"))),
                        1 | 2 => drop(worker.has(&key)),
                        3 => drop(worker.say(format!("append {key} 0 0 5\r\nabcde\r\n"))),
                        4 => drop(worker.say(format!("set {key} 0 1 1\r\n1\r\n"))),
                        5 => drop(worker.say(format!("incr {key} 999\r\n"))),
                        6 if random % 50 == 0 => drop(worker.say("flush_all\r\n")),
                        7 => worker.wait(10),
                        _ => drop(worker.fill(&key, length)),
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let slabs = server.say("stats slabs\r\n");
    let sum = |name: &str| -> u64 {
        let suffix = format!(":{name}");
        let values = slabs.lines().filter_map(|line| line.split_once(' ')?.1.rsplit_once(' '));
        values.filter(|(key, _)| key.ends_with(&suffix)).map(|(_, value)| value.parse::<u64>().unwrap()).sum()
    };
    assert_eq!(sum("used_chunks").to_string(), server.stat("", "curr_items"));
    assert_eq!(sum("mem_requested").to_string(), server.stat("", "bytes"));
    server.say("flush_all\r\n");
    assert_eq!((server.stat("", "curr_items"), server.stat("", "bytes")), ("0".to_owned(), "0".to_owned()));
}

/// Whoever is told to store an item anew is the only one.
#[test]
fn one_client_wins() {
    const ROUNDS: usize = 300;
    let server = Server::default();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let worker = worker(&server);
            thread::spawn(move || {
                let count = |request: String| usize::from(worker.say(request).contains(" W"));
                let made = (0..ROUNDS).map(|round| count(format!("mg made{round} N0\r\n"))).sum::<usize>();
                let counted = (0..ROUNDS).map(|_| count("ma n N0 J1 q\r\n".to_owned())).sum::<usize>();
                assert_eq!(counted, 0);
                made
            })
        })
        .collect();
    let won: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(won, ROUNDS);
    assert_eq!(server.say("mg n v\r\n"), format!("VA 4\r\n{}\r\n", 4 * ROUNDS));
    // What was taken for an item that another client has made meanwhile was given back.
    let used: u64 = server.stat("slabs", "1:used_chunks").parse().unwrap();
    assert_eq!(used, ROUNDS as u64 + 1);
}
