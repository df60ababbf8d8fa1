//! The cluster changes its shape again and again: order of the servers, servers that join and leave, map rows.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use moxi_test_support::load::Plan;

use super::bench::Bench;
use super::cluster::{Body, Cluster, VBUCKETS};
use super::launch::wait_for;

/// All there are, and how few of them there may be.
const SERVERS: usize = 7;
const FEWEST: usize = 3;

/// What a change is; they come in turn.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The same servers in another order.
    Order,
    /// Another server is there. It has no vbuckets yet.
    Join,
    /// Many vbuckets move; a server that is new gets its share.
    Rows,
    /// A server has none any more, and goes.
    Leave,
}

/// What memory and descriptors moxi has.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    descriptors: usize,
    kilobytes: u64,
}

impl Use {
    fn of(process: u32) -> Use {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        let kilobytes = line.trim().trim_end_matches(" kB").parse().expect("a number");
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").count();
        Use { descriptors, kilobytes }
    }

    fn max(self, other: Use) -> Use {
        Use { descriptors: self.descriptors.max(other.descriptors), kilobytes: self.kilobytes.max(other.kilobytes) }
    }
}

/// Carries out change number `number`, and gives the document's order of servers.
fn change(number: usize, cluster: &Cluster, order: &mut Vec<usize>) {
    let kind = [Change::Order, Change::Join, Change::Rows, Change::Leave][number % 4];
    match kind {
        Change::Order => {
            let by = 1 + number / 4 % (order.len() - 1);
            order.rotate_left(by);
            order.swap(0, 1);
        }
        Change::Join => {
            // Who has left longest ago.
            let absent = (0..SERVERS).map(|server| (number / 4 + server) % SERVERS);
            let Some(new) = absent.into_iter().find(|server| !order.contains(server)) else { return };
            order.insert(number % (order.len() + 1), new);
        }
        Change::Rows => {
            for vbucket in (number % 3..VBUCKETS).step_by(3) {
                cluster.hand_over(vbucket, cluster.successor(vbucket, order, vbucket + number));
            }
        }
        Change::Leave => {
            // Every other time two of them, as far as there are enough.
            for _ in 0..=number / 4 % 2 {
                if order.len() <= FEWEST {
                    return;
                }
                let gone = order.remove(number / 4 % order.len());
                for vbucket in (0..VBUCKETS).filter(|vbucket| cluster.master(*vbucket) == gone) {
                    cluster.hand_over(vbucket, cluster.successor(vbucket, order, vbucket));
                }
            }
        }
    }
}

#[test]
fn changes_without_end() {
    let (changes, interval) = match std::env::var("MOXI_CHANGES") {
        Ok(text) => (text.parse().expect("a number of changes"), Duration::from_millis(600)),
        Err(_) => (80, Duration::from_millis(40)),
    };
    let bench = Bench::start(SERVERS, 4, Body::Nothing);
    let cluster = Arc::clone(&bench.cluster);
    let process = bench.process();
    let mut order: Vec<_> = (0..4).collect();
    // Of each quarter of the time, the most.
    let mut used = [Use::default(); 4];
    let start = Instant::now();
    let mut done = 0;
    let plan = Plan { clients: 20, requests: 500, threads: 1, seed: 1 };
    let result = bench.under_load(plan, || {
        change(done, &cluster, &mut order);
        bench.publish_and_wait(cluster.document(&order, None));
        // So many changes are spread over the load; the figures are of a time, too.
        thread::sleep(interval);
        let quarter = &mut used[done * 4 / changes];
        *quarter = quarter.max(Use::of(process));
        done += 1;
        done < changes
    });
    let time = start.elapsed();
    if result.is_ok() {
        // The last of them is in force, and who has left has been left.
        wait_for("the end of the connections", || {
            (0..SERVERS).all(|server| order.contains(&server) || cluster.connections(server) == 0)
        });
    }
    let report = bench.end(result);
    println!(
        "{} requests, {} values, {done} changes, {} refusals in {time:?}; descriptors and memory at most, by quarter: \
         {used:?}",
        report.requests,
        report.values,
        cluster.refusals.load(Ordering::SeqCst),
    );
    assert_eq!(done, changes);
    assert!(used[3].descriptors <= used[1].descriptors + 16, "{used:?}");
    assert!(used[3].kilobytes <= used[1].kilobytes * 5 / 4 + 8192, "{used:?}");
}
