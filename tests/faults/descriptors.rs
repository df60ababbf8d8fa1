//! No file descriptors left: new clients wait, old ones are served or told, and all goes on when there are some again.

use std::process::Command;
use std::time::{Duration, Instant};

use moxi_test_support::{LIMIT, Memcached, Moxi, Wire, moxi};

use crate::PROTOCOLS;

/// How many descriptors a process has open.
pub fn open(moxi: &mut Moxi) -> usize {
    let directory = format!("/proc/{}/fd", moxi.process().id());
    std::fs::read_dir(directory).expect("descriptors of moxi").count()
}

fn limit(moxi: &mut Moxi, count: usize) {
    let status = Command::new("prlimit")
        .arg(format!("--pid={}", moxi.process().id()))
        .arg(format!("--nofile={count}:"))
        .status()
        .expect("prlimit (Debian: util-linux)");
    assert!(status.success(), "prlimit: {status}");
}

fn stores(client: &mut Wire) -> Vec<u8> {
    client.send("set a 0 0 1\r\n1\r\n");
    client.line()
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn exhausted_and_released() {
    for protocol in PROTOCOLS {
        let server = Memcached::start(&[]);
        let mut moxi = moxi!()
            .servers([server.port()])
            .set(format!("downstream_protocol={protocol}"))
            .set("connect_retry_interval=300")
            .start();
        let mut first = moxi.client();
        // Served, so it is accepted.
        first.send("version\r\n");
        assert!(first.line().starts_with(b"VERSION "));
        let before = open(&mut moxi);
        // Numbers are limited, not their count: a few low ones may be free.
        limit(&mut moxi, before + 10);

        // The kernel takes them all, moxi takes some.
        let mut crowd: Vec<_> = (0..40).map(|_| moxi.client()).collect();
        for client in &mut crowd {
            client.send("version\r\n");
        }
        let mut is_served = |at: usize| crowd[at].readable(Duration::from_millis(1));
        wait("clients are served", || (0..40).filter(|at| is_served(*at)).count() >= 8);
        crowd[39].expect_nothing(Duration::from_millis(50));
        let most = open(&mut moxi);
        // No server connection can be made: a legal reply, at once.
        for _ in 0..3 {
            let start = Instant::now();
            let reply = stores(&mut first);
            assert!(reply.starts_with(b"SERVER_ERROR proxy write to downstream"), "{}", reply.escape_ascii());
            assert!(start.elapsed() < Duration::from_secs(2));
        }
        first.send("get a\r\n");
        first.expect("END\r\n");
        assert_eq!(open(&mut moxi), most);

        // Those who have been served leave; some of those who waited come in, and the server is reached again.
        let mut waiting = crowd.split_off(36);
        drop(crowd);
        for client in &mut waiting {
            assert!(client.line().starts_with(b"VERSION "));
        }
        let start = Instant::now();
        wait("the server is reached again", || stores(&mut first) == b"STORED\r\n");
        assert!(start.elapsed() < Duration::from_millis(2000), "{protocol}: after {:?}", start.elapsed());
        for client in &mut waiting {
            assert_eq!(stores(client), b"STORED\r\n");
        }
    }
}
