//! In the steady state a request allocates nothing: memory is used again.

#[path = "../benches/engine/network.rs"]
mod network;
#[path = "../benches/engine/world.rs"]
mod world;

use moxi::protocol::ascii::meta::key::KeyRoom;
use moxi::protocol::ascii::meta::request::{Parsed, parse};
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

/// The key in base64, and every flag there is, included.
#[test]
fn a_meta_command_is_read_without_memory_of_its_own() {
    for command in [
        "mn\r\n",
        "mg key s v t f c k Oabc h l q u T1000 R30 N0 E5 C7\r\n",
        "mg YSBi b k v\r\n",
        "ms key 5 T0 F7 MA I C12 q\r\nvalue\r\n",
        "md key I T30 x q\r\n",
        "ma key N0 J5 D2 M- t c v\r\n",
        "me YSBi b\r\n",
    ] {
        let counted = allocation_counter::measure(|| {
            let mut room = KeyRoom::default();
            let parsed = parse(command.as_bytes(), &mut room, &mut 0, 1 << 20);
            assert!(matches!(parsed, Some(Parsed::Request { len, .. }) if len == command.len()), "{command}");
        });
        assert_eq!(counted.count_total, 0, "{command}");
    }
}
