//! In the steady state a request allocates nothing: memory is used again.

#[path = "../benches/engine/network.rs"]
mod network;
#[path = "../benches/engine/world.rs"]
mod world;

use world::{SCENARIOS, World};

/// Until all queues, buffers and tables have found their size.
const WARM_UP: u32 = 350;
/// How many rounds of all clients are watched.
const WATCHED: u32 = 40;

#[test]
fn requests_allocate_nothing_in_the_steady_state() {
    for scenario in SCENARIOS {
        let mut world = World::new(scenario);
        (0..WARM_UP).for_each(|round| world.round(round, scenario));
        let counted = allocation_counter::measure(|| {
            (WARM_UP..WARM_UP + WATCHED).for_each(|round| world.round(round, scenario));
        });
        assert_eq!(world.received, world.per_round * u64::from(WARM_UP + WATCHED), "{}: bytes received", scenario.name);
        assert_eq!(counted.count_total, 0, "{}: {} bytes allocated", scenario.name, counted.bytes_total);
    }
}
