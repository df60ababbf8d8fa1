//! Few file descriptors, or none left: clients wait, servers are reached, and all goes on when there are some again.

use std::process::Command;
use std::time::{Duration, Instant};

use moxi_test_support::wait::within;
use moxi_test_support::{Memcached, Mock, Moxi, MoxiBuilder, PROTOCOLS, Wire, moxi, wait_for};

use crate::kinds::Keys;

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

/// How often the log says this.
fn said(moxi: &mut Moxi, text: &str) -> usize {
    moxi.process().stderr().matches(text).count()
}

/// Clients that are served.
fn crowd(moxi: &Moxi, count: usize) -> Vec<Wire> {
    let mut crowd: Vec<_> = (0..count).map(|_| moxi.client()).collect();
    for client in &mut crowd {
        client.send("version\r\n");
        assert!(client.line().starts_with(b"VERSION "));
    }
    crowd
}

/// Lets moxi have so few descriptors that not one more can be opened, while `crowd` sits on its places.
fn exhaust(moxi: &mut Moxi, spare: usize) -> Vec<Wire> {
    let before = open(moxi);
    // Numbers are limited, not their count: a few low ones may be free.
    limit(moxi, before + spare);
    let mut crowd: Vec<_> = (0..spare + 30).map(|_| moxi.client()).collect();
    for client in &mut crowd {
        client.send("version\r\n");
    }
    wait_for("descriptors are used up", || said(moxi, "accept(): Too many open files") > 0);
    crowd
}

fn start(builder: MoxiBuilder, protocol: &str) -> Moxi {
    builder.speaking(protocol).start()
}

const PAUSED: &str = "no more clients are accepted: ";
const RESUMED: &str = "clients are accepted again";

/// More idle clients than there are descriptors: what the servers need is kept for them.
#[test]
fn idle_clients_do_not_keep_servers_out() {
    for protocol in PROTOCOLS {
        let servers = Memcached::several(2, &[]);
        let builder = moxi!().servers([servers[0].port(), servers[1].port()]).threads(2).open_files(200);
        let mut moxi = start(builder, protocol);
        let mut old = crowd(&moxi, 4);
        // None of these gets an answer before a place is free.
        let mut idle: Vec<_> = (0..220).map(|_| moxi.client()).collect();
        wait_for("accepting is paused", || said(&mut moxi, PAUSED) == 1);
        for round in 0..50 {
            for (number, client) in old.iter_mut().enumerate() {
                client.send(format!("set key-{number}-{round} 0 0 1\r\n1\r\n"));
                client.expect("STORED\r\n");
            }
        }
        let log = moxi.process().stderr();
        assert!(log.contains("descriptors are kept for servers, log and reload"), "{log}");
        assert!(!log.contains("cannot connect") && !log.contains("in a row"), "{log}");
        // Who has waited comes in when others leave.
        let mut last = idle.pop().expect("a client");
        last.send("get key-0-0\r\n");
        last.expect_nothing(Duration::from_millis(50));
        idle.truncate(10);
        last.expect("VALUE key-0-0 0 1\r\n1\r\nEND\r\n");
        wait_for("accepting goes on", || said(&mut moxi, RESUMED) == 1);
        assert_eq!(said(&mut moxi, PAUSED), 1);
    }
}

/// When all places are taken by clients that do nothing, those who wait get them in time.
#[test]
fn idle_clients_make_room() {
    let server = Memcached::start(&[]);
    let builder = moxi!().servers([server.port()]).set("client_idle_timeout=500").open_files(160);
    let mut moxi = start(builder, "ascii");
    let _idle: Vec<_> = (0..170).map(|_| moxi.client()).collect();
    let mut last = moxi.client();
    last.send("set a 0 0 1\r\n1\r\n");
    last.expect("STORED\r\n");
    assert_eq!(said(&mut moxi, PAUSED), 1);
}

/// Clients of a unix socket are counted like others.
#[test]
fn idle_clients_of_a_unix_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s");
    let server = Memcached::start(&[]);
    let mut moxi = start(moxi!().servers([server.port()]).unix(&path).open_files(160), "ascii");
    let mut first = Wire::connect_unix("first", &path);
    first.send("version\r\n");
    assert!(first.line().starts_with(b"VERSION "));
    let idle: Vec<_> = (0..170).map(|_| Wire::connect_unix("idle", &path)).collect();
    wait_for("accepting is paused", || said(&mut moxi, PAUSED) == 1);
    assert_eq!(stores(&mut first), b"STORED\r\n");
    drop(idle);
    wait_for("accepting goes on", || said(&mut moxi, RESUMED) == 1);
}

/// The proxy's connections to the server in the same process are accepted, too, although its clients fill all places
/// that they may have.
#[test]
fn idle_clients_do_not_keep_the_own_server_out() {
    let port = moxi_test_support::ports::Port::reserve();
    let own = format!("127.0.0.1:{}", port.number());
    let builder = moxi!().cluster(own).argument("-p").argument(port.number().to_string()).open_files(160);
    let mut moxi = start(builder, "ascii");
    let mut first = crowd(&moxi, 1);
    let _idle: Vec<_> = (0..170).map(|_| moxi.client()).collect();
    wait_for("accepting is paused", || said(&mut moxi, PAUSED) == 1);
    assert_eq!(stores(&mut first[0]), b"STORED\r\n");
}

/// So few descriptors that what is needed cannot be kept: half for each, and the log says so.
#[test]
fn too_few_for_the_servers() {
    let server = Memcached::start(&[]);
    let mut moxi = start(moxi!().servers([server.port()]).open_files(40), "ascii");
    wait_for("the log says so", || said(&mut moxi, "WARNING: a limit of 40 open files is too low (ulimit -n): ") == 1);
    let mut old = crowd(&moxi, 4);
    let _idle: Vec<_> = (0..50).map(|_| moxi.client()).collect();
    wait_for("accepting is paused", || said(&mut moxi, PAUSED) == 1);
    for client in &mut old {
        assert_eq!(stores(client), b"STORED\r\n");
    }
}

/// Descriptors are taken away while it runs: requests fail in a legal way, but never is a server blamed for it.
#[test]
fn exhausted_and_released() {
    for (protocol, host) in [("ascii", "127.0.0.1"), ("binary", "127.0.0.1"), ("ascii", "localhost")] {
        let server = Memcached::start(&[]);
        let builder = moxi!().cluster(format!("{host}:{}", server.port())).set("connect_timeout=200");
        let mut moxi = start(builder, protocol);
        let mut first = crowd(&moxi, 1).remove(0);
        let mut crowd = exhaust(&mut moxi, 10);
        let mut is_served = |at: usize| crowd[at].readable(Duration::from_millis(1));
        wait_for("clients are served", || (0..40).filter(|at| is_served(*at)).count() >= 8);
        crowd[39].expect_nothing(Duration::from_millis(50));
        let most = open(&mut moxi);
        // No server connection can be made: a legal reply, in time, more often than a server may fail.
        for _ in 0..8 {
            let start = Instant::now();
            let reply = stores(&mut first);
            assert!(reply.starts_with(b"SERVER_ERROR proxy write to downstream"), "{}", reply.escape_ascii());
            assert!(start.elapsed() < Duration::from_secs(2));
        }
        first.send("get a\r\n");
        first.expect("END\r\n");
        assert_eq!(open(&mut moxi), most);
        let log = moxi.process().stderr();
        assert!(log.contains("for a reason of this machine and not of the server: Too many open files"), "{log}");
        assert_eq!(said(&mut moxi, "cannot connect"), 1, "{log}");
        assert!(!log.contains("in a row"), "{log}");

        // Those who have been served leave; some of those who waited come in, and the server is reached again.
        let mut waiting = crowd.split_off(36);
        drop(crowd);
        for client in &mut waiting {
            assert!(client.line().starts_with(b"VERSION "));
        }
        within(Duration::from_secs(4), &format!("the server to be reached again ({protocol})"), || {
            (stores(&mut first) == b"STORED\r\n").then_some(())
        });
        for client in &mut waiting {
            assert_eq!(stores(client), b"STORED\r\n");
        }
        wait_for("accepting goes on", || said(&mut moxi, RESUMED) == 1);
    }
}

/// A request waits for a descriptor as long as it may wait for a connection.
#[test]
fn a_request_waits_for_a_descriptor() {
    for protocol in PROTOCOLS {
        let server = Memcached::start(&[]);
        let builder = moxi!().servers([server.port()]).set("connect_timeout=15000");
        let mut moxi = start(builder, protocol);
        let mut first = crowd(&moxi, 1).remove(0);
        let mut idle = exhaust(&mut moxi, 10);
        first.send("set a 0 0 1\r\n1\r\n");
        first.expect_nothing(Duration::from_millis(100));
        // One client goes: the server comes before those who wait.
        idle.remove(0).close();
        first.expect("STORED\r\n");
    }
}

/// What cannot have a connection of its own goes over the one that there is.
#[test]
fn a_request_takes_the_connection_that_there_is() {
    let mock = Mock::new();
    let builder = moxi!().servers([mock.port()]).set("downstream_conn_queue_timeout=0").set("downstream_timeout=0");
    let mut moxi = start(builder.set("join_gets=0").set("connect_timeout=15000"), "ascii");
    let mut clients = crowd(&moxi, 2);
    clients[0].send("set a 0 0 1\r\n1\r\n");
    let mut conn = mock.accept();
    conn.expect("set a 0 0 1\r\n1\r\n");
    let _idle = exhaust(&mut moxi, 10);
    clients[1].send("set b 0 0 1\r\n2\r\nget b\r\n");
    conn.expect("set b 0 0 1\r\n2\r\nget b\r\n");
    conn.send("STORED\r\nSTORED\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
    clients[0].expect("STORED\r\n");
    clients[1].expect("STORED\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
}

/// A connection that nobody uses is given up for a server that has none.
#[test]
fn an_idle_connection_goes_for_another_server() {
    for protocol in PROTOCOLS {
        let servers = Memcached::several(2, &[]);
        let ports = [servers[0].port(), servers[1].port()];
        let keys = {
            let moxi = start(moxi!().servers(ports), protocol);
            Keys::find(&moxi, &servers[1], 1)
        };
        let mut moxi = start(moxi!().servers(ports).set("connect_timeout=15000"), protocol);
        let mut client = crowd(&moxi, 1).remove(0);
        let mut store = |key: &str| {
            client.send(format!("set {key} 0 0 1\r\n1\r\n"));
            client.expect("STORED\r\n");
        };
        store(&keys.well[0]);
        let _idle = exhaust(&mut moxi, 10);
        store(&keys.ill[0]);
        store(&keys.well[0]);
    }
}
