//! All vbuckets move to other servers, one after another, again and again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use moxi_test_support::load::Plan;

use super::bench::Bench;
use super::cluster::{Body, VBUCKETS};

const SERVERS: usize = 4;

/// Moves between two documents: for so long nobody is told, unless by refusals.
const MOVES_PER_DOCUMENT: usize = 64;

/// Which vbucket moves as number `step`: each once in a round, in no obvious order.
fn vbucket(step: usize) -> usize {
    (step * 389 + 17) % VBUCKETS
}

/// Where from `master` a vbucket goes in this round. It does not come back within two rounds: a client's request that
/// was refused would otherwise find itself behind a later one that comes when the server is the master again.
fn next(master: usize, round: usize) -> usize {
    (master + 1 + round % 2) % SERVERS
}

fn run(name: &str, body: Body, forward: bool) {
    let moves = match std::env::var("MOXI_MOVES") {
        Ok(text) => text.parse().expect("a number of moves"),
        Err(_) => 2 * VBUCKETS,
    };
    let bench = Bench::start(SERVERS, SERVERS, body);
    let cluster = Arc::clone(&bench.cluster);
    let order: Vec<_> = (0..SERVERS).collect();
    let start = Instant::now();
    let mut moved = 0;
    let mut goal = Vec::new();
    let plan = Plan { clients: 20, requests: 500, threads: 1, seed: 1 };
    let result = bench.under_load(plan, || {
        let round = moved / VBUCKETS;
        if moved % VBUCKETS == 0 {
            goal = (0..VBUCKETS).map(|vbucket| next(cluster.master(vbucket), round)).collect();
            // However busy the machine is, moxi knows where the last round has left everything.
            bench.publish_and_wait(cluster.document(&order, forward.then_some(&goal[..])));
        } else if moved % MOVES_PER_DOCUMENT == 0 {
            bench.publish(cluster.document(&order, forward.then_some(&goal[..])));
        }
        let vbucket = vbucket(moved);
        cluster.hand_over(vbucket, goal[vbucket]);
        // So many moves a second: the load has its requests between them.
        thread::sleep(Duration::from_micros(400));
        moved += 1;
        moved < moves
    });
    let (time, documents) = (start.elapsed(), bench.documents());
    let report = bench.end(result);
    let refusals = cluster.refusals.load(Ordering::SeqCst);
    println!(
        "{name}: {} requests, {} values, {moved} moves, {refusals} refusals, {documents} documents in {time:?}",
        report.requests, report.values
    );
    assert_eq!(moved, moves);
    assert!(refusals > moves as u64 / 20, "it would show nothing: {refusals} refusals");
}

#[test]
fn moving_with_bare_refusals() {
    run("bare refusals", Body::Nothing, false);
}

#[test]
fn moving_with_a_forward_map() {
    run("forward map", Body::Nothing, true);
}

#[test]
fn moving_with_maps_in_refusals() {
    run("maps in refusals", Body::Map, false);
}

#[test]
fn moving_with_revisions() {
    run("maps with revision in refusals", Body::Revision, false);
}
