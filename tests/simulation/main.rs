//! The engine and its event loop under seeds: random clients, servers that are slow, dying or lying, sockets with all
//! whims that sockets have, and time. In debug builds the engine's records are looked at after each turn, and under
//! some seeds after each call.
//!
//! Every request that wants an answer gets exactly one, in order, that is true or a documented failure; nothing is
//! executed twice that must not be; every timer is honoured; nothing is left at the end. A failure names its seed
//! and shows the last steps.
//!
//! * `MOXI_SIM_SEED=n` replays one seed.
//! * `MOXI_SIM_SHOWN=n` shows so many of the last steps.
//! * `MOXI_SIM_SEEDS=n` and `MOXI_SIM_STEPS=n` make the run longer; `MOXI_SIM_FIRST=n` begins with another seed than 0.
//!
//! | file | what |
//! |---|---|
//! | `scenario` | what a seed stands for |
//! | `changing`, `eras` | configurations that change while it runs, and which was in force when |
//! | `cluster` | servers whose vbuckets move, and maps that are true or not |
//! | `world`, `peers`, `ending` | the steps of a run: in general, those of servers, and the last ones |
//! | `network` | what the event loop of `net::driver` is driven with: connections that are memory (`tests/fuzzing/src/memory`) |
//! | `client`, `request`, `meta_client`, `binary_client` | what clients ask |
//! | `judge`, `values`, `everyone`, `failure`, `binary_judge` | which answers they may get |
//! | `session`, `server`, `ascii_server`, `meta_server`, `binary_server`, `garbage` | what servers do, well or not |
//! | `history`, `linear` | whether what clients were told can be explained at all, whatever was really done |
//! | `truth`, `store`, `op` | what is really held, and was really done |

mod ascii_server;
mod binary_client;
mod binary_judge;
mod binary_server;
mod changing;
mod client;
mod cluster;
mod ending;
mod eras;
mod everyone;
mod failure;
mod garbage;
mod history;
mod judge;
mod linear;
mod meta_client;
mod meta_server;
mod network;
mod op;
mod peers;
mod request;
mod scenario;
mod server;
mod session;
mod store;
mod truth;
mod values;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use eras::Eras;
use history::Counts;
use moxi_fuzzing::memory::Random;
use scenario::Scenario;
use truth::Truth;
use world::World;

/// How many seeds are run.
const SEEDS: u64 = 1_024;
/// How many steps each has.
const STEPS: u64 = 3_000;
/// How many are run for longer, and how long.
const LONG_SEEDS: u64 = 16;
const LONG_STEPS: u64 = 20_000;
/// One of so many keys may have too many possible pasts to be decided, and a few more in short runs.
const UNDECIDED: u64 = 50;
/// How many steps are shown when a seed fails.
const SHOWN: usize = 80;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a seed; the second value is the trace, if it was asked for.
fn run(seed: u64, steps: u64, traced: bool) -> (Result<Counts, String>, Vec<String>) {
    let mut random = Random::new(seed);
    let scenario = Scenario::new(&mut random, seed);
    let mut world = World::new(Truth::new(scenario, random, traced), seed);
    let result = catch_unwind(AssertUnwindSafe(|| world.run(steps)));
    let text = |payload: Box<dyn std::any::Any + Send>| match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast::<&str>().map_or_else(|_| "panic".to_owned(), |text| (*text).to_owned()),
    };
    (result.map_err(text), world.truth.trace.take().unwrap_or_default())
}

/// Runs a seed again with a trace, and tells what happened.
fn report(seed: u64, steps: u64, error: &str) -> String {
    let (again, trace) = run(seed, steps, true);
    let mut scenario_random = Random::new(seed);
    let scenario = Scenario::new(&mut scenario_random, seed);
    let shown = number("MOXI_SIM_SHOWN").map_or(SHOWN, |shown| shown as usize);
    let last = trace[trace.len().saturating_sub(shown)..].join("\n");
    let behavior = &scenario.config.buckets[0].behavior;
    format!(
        "MOXI_SIM_SEED={seed}: {error}\nsecond time: {again:?}\n{:?} {:?}\nexact {} rough {} bound {:?} max {} conns {} retry {} \
         timeouts {} {} {} {} {} join {}\n{last}\nMOXI_SIM_SEED={seed}: {error}",
        scenario.faults,
        scenario.changes,
        scenario.exact,
        scenario.rough,
        Eras::new(scenario.config.clone()).bound(scenario.sends),
        behavior.downstream_max,
        behavior.downstream_conn_max,
        behavior.downstream_retry,
        behavior.wait_queue_timeout,
        behavior.connect_timeout,
        behavior.auth_timeout,
        behavior.downstream_conn_queue_timeout,
        behavior.downstream_timeout,
        behavior.join_gets,
    )
}

#[test]
fn every_request_is_answered_once_and_truly() {
    let steps = number("MOXI_SIM_STEPS").unwrap_or(STEPS);
    let first = number("MOXI_SIM_FIRST").unwrap_or(0);
    match number("MOXI_SIM_SEED") {
        Some(seed) => run_all(seed..seed + 1, steps),
        None => run_all(first..first + number("MOXI_SIM_SEEDS").unwrap_or(SEEDS), steps),
    }
}

/// What needs many clients, or long ago, to happen.
#[test]
fn so_it_is_after_a_long_time() {
    run_all(0..LONG_SEEDS, LONG_STEPS);
}

fn run_all(seeds: Range<u64>, steps: u64) {
    let Range { start: first, end } = seeds;
    let next = AtomicU64::new(first);
    let (registers, undecided) = (AtomicU64::new(0), AtomicU64::new(0));
    let failures: Vec<(u64, String)> = thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end {
                    return failures;
                }
                match run(seed, steps, false).0 {
                    Ok(counts) => {
                        registers.fetch_add(counts.registers, Ordering::Relaxed);
                        undecided.fetch_add(counts.undecided, Ordering::Relaxed);
                    }
                    Err(error) => failures.push((seed, error)),
                }
            }
        };
        let workers = thread::available_parallelism().map_or(2, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker that does not panic")).collect()
    });
    let Some((seed, error)) = failures.iter().min() else {
        let (registers, undecided) = (registers.into_inner(), undecided.into_inner());
        println!("{} seeds, {registers} keys, of which {undecided} have too many possible pasts", end - first);
        return assert!(undecided <= registers / UNDECIDED + 20, "{undecided} of {registers} keys are undecided");
    };
    let line = |(seed, error): &(u64, String)| format!("\n{seed}: {}", error.replace('\n', " "));
    let all: String = failures.iter().map(line).collect();
    panic!("{}\nall seeds that failed:{all}", report(*seed, steps, error));
}
