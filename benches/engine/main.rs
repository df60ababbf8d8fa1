//! Fixed work for the engine and its event loop, in memory: no sockets, no clock, so that every run executes the same
//! instructions.
//!
//! `benches/gate` runs it under callgrind. By hand: `cargo bench --bench engine -- SCENARIO ROUNDS`; without
//! arguments it prints the wall-clock time of every scenario.

mod network;
mod world;

use std::time::Instant;

use world::{SCENARIOS, Scenario, World};

fn run(scenario: &Scenario, rounds: u32) {
    let mut world = World::new(scenario);
    for round in 0..rounds {
        world.round(round, scenario);
    }
    assert_eq!(world.received, world.per_round * u64::from(rounds), "{}: bytes received", scenario.name);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [flag] if flag == "--list" => {
            SCENARIOS.iter().for_each(|scenario| println!("{} {}", scenario.name, scenario.clients));
        }
        [name, rounds] => {
            let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a known scenario");
            run(scenario, rounds.parse().expect("a number of rounds"));
        }
        _ => {
            for scenario in SCENARIOS {
                let rounds = 20_000 / scenario.clients;
                let start = Instant::now();
                run(scenario, rounds);
                let each = start.elapsed() / (rounds * scenario.clients);
                println!("{:28}{:>8} ns/request", scenario.name, each.as_nanos());
            }
        }
    }
}
