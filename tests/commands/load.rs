//! Load through moxi to four memcached servers, every reply checked byte for byte.
//!
//! `cargo test` runs a tenth. `MOXI_LOAD=full` runs all of it: 50 clients with 100,000 requests each.

use std::time::Instant;

use moxi_test_support::load::{self, Plan};
use moxi_test_support::{Memcached, moxi};

fn plan(seed: u64) -> Plan {
    let full = std::env::var_os("MOXI_LOAD").is_some_and(|value| value == "full");
    Plan { clients: 50, requests: if full { 100_000 } else { 10_000 }, threads: 2, seed }
}

fn run(protocol: &str, seed: u64) {
    let servers = Memcached::several(4, &["-m", "1024", "-I", "2m"]);
    let moxi = moxi!()
        .servers(servers.iter().map(Memcached::port))
        .speaking(protocol)
        // A busy machine is no error here.
        .set("downstream_timeout=0")
        .set("downstream_conn_queue_timeout=0")
        .set("wait_queue_timeout=0")
        .set("connect_timeout=5000")
        .threads(4)
        .start();
    let start = Instant::now();
    match load::run(moxi.port(), plan(seed)) {
        Ok(report) => println!("{protocol} servers: {report:?} in {:?}", start.elapsed()),
        Err(error) => panic!("{protocol} servers: {error}"),
    }
}

#[test]
fn over_ascii() {
    run("ascii", 1);
}

#[test]
fn over_binary() {
    run("binary", 2);
}

/// The checker itself: the same load on a memcached without moxi.
#[test]
fn checker() {
    let server = Memcached::start(&["-m", "1024", "-I", "2m"]);
    let plan = Plan { clients: 10, requests: 3000, threads: 2, seed: 3 };
    let report = load::run(server.port(), plan).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(report.requests, 30_000);
    assert!(report.values > 30_000, "{report:?}");
}
