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
        let most = open(&mut moxi) + 10;
        limit(&mut moxi, most);

        // The kernel takes them; moxi takes ten.
        let mut crowd: Vec<_> = (0..30).map(|_| moxi.client()).collect();
        wait("all descriptors are used", || open(&mut moxi) == most);
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

        // Ten leave; those who waited come in, and the server is reached again.
        let mut waiting = crowd.split_off(12);
        drop(crowd);
        waiting.truncate(4);
        for client in &mut waiting {
            client.send("version\r\n");
        }
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
