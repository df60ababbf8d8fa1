//! The long soak: clients that keep their connections while servers are killed and stopped, maps change, moxi is
//! upgraded and its log rotated, all at random. Nothing is lost, nothing is wrong, and nothing grows.
//!
//! Each client has keys of its own, so it knows what every answer must be ([`judge`] says what that is when servers come
//! and go). Half the rate that the whole can do is asked for, at the times that the rate says, whatever the answers do.
//!
//! | file | what |
//! |---|---|
//! | `plan` | how long, how fast, and the limits |
//! | `map` | a configuration: the document, and whose each key is |
//! | `world` | what clients and events share: configurations, and how servers are |
//! | `proxy` | moxi: its processes, its cluster manager, its log |
//! | `ask`, `answer` | a request and its answer, in three protocols |
//! | `judge` | what a client may see of a key |
//! | `client`, `load` | a connection; all of them |
//! | `events` | what happens meanwhile |
//! | `figures`, `drawing` | what was measured, as a table and as a chart |
//!
//! `cargo test` runs it for some seconds, with servers of either protocol; each kind of event comes once. For the figures:
//!
//! ```text
//! MOXI_SOAK=3600 cargo test --release --test soak -- --nocapture
//! ```
//!
//! `MOXI_SOAK_PROTOCOL=binary` for binary servers, `MOXI_SOAK_RATE=n` for another limit of requests per second,
//! `MOXI_SOAK_CHART=docs/soak.svg` for the chart. `soak.csv` and `soak-events.csv` are in `target/tmp` then.

#[path = "../launch/mod.rs"]
mod launch;
#[allow(dead_code, reason = "what is needed of it")]
#[path = "../upgrade/service.rs"]
mod service;

mod answer;
mod ask;
mod client;
mod drawing;
mod events;
mod figures;
mod judge;
mod load;
mod map;
mod plan;
mod proxy;
mod world;

use std::sync::atomic::Ordering;
use std::thread;

use moxi_test_support::wait_to_get;

use events::Director;
use figures::Report;
use load::Load;
use plan::{PULSES, Plan};
use proxy::Proxy;
use world::World;

/// Ends the load, also when the test fails.
struct Over<'a>(&'a World);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

fn soak(protocol: &'static str) {
    let Some(plan) = Plan::of(protocol) else { return };
    let world = World::new(&plan);
    let mut proxy = Proxy::start(&plan, &world);
    let bare = proxy.bare();
    let mut director = Director::new(&plan, &world, &mut proxy);
    let (tally, used) = thread::scope(|scope| {
        let over = Over(&world);
        let load = scope.spawn(|| Load::new(&plan, &world).run());
        for _ in 0..PULSES {
            scope.spawn(|| world.feel_pulse());
        }
        let rate = wait_to_get("the rate", || match world.rate.load(Ordering::SeqCst) {
            0 if load.is_finished() => panic!("the load has failed"),
            0 => None,
            rate => Some(rate),
        });
        eprintln!("{protocol} servers: {rate} requests per second");
        let used = director.run(bare);
        drop(over);
        (load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), used)
    });
    let report = Report { plan: &plan, world: &world, tally, used, counts: director.counts() };
    report.draw();
    director.all_is_well();
    let unanswered = director.end();
    // Without clients and servers nothing is left of their connections.
    let bare = (bare, proxy.settled(bare));
    report.tell(bare);
    proxy.end(&world);
    assert_eq!(unanswered, 0, "answers to clients that come and go");
    report.judge(bare);
}

#[test]
fn over_ascii_servers() {
    soak("ascii");
}

#[test]
fn over_binary_servers() {
    soak("binary");
}
