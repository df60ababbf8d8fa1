//! What the integration tests share.
//!
//! | module | what |
//! |---|---|
//! | [`ports`] | ports for children that must be told theirs |
//! | [`process`] | a child process that is always stopped, with what it wrote on standard error |
//! | [`mod@moxi`] | the binary under test |
//! | [`memcached`] | real servers |
//! | [`wire`] | one end of a connection: send, expect exact bytes, all within a time limit |
//! | [`manager`] | a scripted cluster manager |
//! | [`mock`] | scripted servers, and servers that are down |
//! | [`packet`] | memcached's binary packets |
//! | [`golden`] | tables of exchanges and the driver that replays them at every byte split |
//! | [`exposition`] | pages of metrics, read strictly |
//! | [`scrape`] | a client of `-Z metrics` |
//! | [`load`] | clients that know what every reply must be |
//! | [`svg`] | charts |
//! | [`wait`] | waiting for a condition |
//! | [`mod@warm`] | a scripted server whose connection is ready |
//!
//! Nothing here waits for time to pass in the hope that something has happened: every wait is for a
//! condition, with a limit after which the test fails.

mod classic;
pub mod exposition;
pub mod golden;
pub mod load;
pub mod manager;
pub mod memcached;
pub mod mock;
pub mod moxi;
pub mod packet;
pub mod ports;
pub mod process;
pub mod scrape;
pub mod svg;
pub mod text;
pub mod wait;
pub mod warm;
pub mod wire;

pub use classic::Classic;
pub use golden::{Exchange, Stage};
pub use manager::Manager;
pub use memcached::{Memcached, SocketMemcached};
pub use mock::{Down, Mock};
pub use moxi::{Moxi, MoxiBuilder};
pub use packet::Packet;
pub use wait::{wait_for, wait_to_get};
pub use warm::{Dialect, warm};
pub use wire::Wire;

use std::time::Duration;

/// After this long a condition that was waited for counts as never coming.
///
/// Generous, because the machine may be busy; a passing test never waits for it.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Long enough for something that should not happen to happen.
///
/// There is no condition to wait for then, so that this time is spent by tests that pass.
pub const SHORT: Duration = Duration::from_millis(30);

/// What moxi may speak with its servers: the values of `downstream_protocol`.
pub const PROTOCOLS: [&str; 2] = ["ascii", "binary"];

/// A [`MoxiBuilder`] for the binary that this test run has built.
#[macro_export]
macro_rules! moxi {
    () => {
        $crate::MoxiBuilder::new(env!("CARGO_BIN_EXE_moxi"))
    };
}
