//! What the integration tests share.
//!
//! | module | what |
//! |---|---|
//! | [`ports`] | ports for children that must be told theirs |
//! | [`process`] | a child process that is always stopped, with what it wrote on standard error |
//! | [`moxi`] | the binary under test |
//! | [`memcached`] | real servers |
//! | [`wire`] | one end of a connection: send, expect exact bytes, all within a time limit |
//! | [`manager`] | a scripted cluster manager |
//! | [`mock`] | scripted servers, and servers that are down |
//! | [`packet`] | memcached's binary packets |
//! | [`golden`] | tables of exchanges and the driver that replays them at every byte split |
//! | [`load`] | clients that know what every reply must be |
//!
//! Nothing here waits for time to pass in the hope that something has happened: every wait is for a
//! condition, with a limit after which the test fails.

pub mod golden;
pub mod load;
pub mod manager;
pub mod memcached;
pub mod mock;
pub mod moxi;
pub mod packet;
pub mod ports;
pub mod process;
pub mod text;
pub mod wire;

pub use golden::{Exchange, Stage};
pub use manager::Manager;
pub use memcached::{Memcached, SocketMemcached};
pub use mock::{Down, Mock};
pub use moxi::{Moxi, MoxiBuilder};
pub use packet::Packet;
pub use wire::Wire;

use std::time::Duration;

/// After this long a condition that was waited for counts as never coming.
///
/// Generous, because the machine may be busy; a passing test never waits for it.
pub const LIMIT: Duration = Duration::from_secs(15);

/// A [`MoxiBuilder`] for the binary that this test run has built.
#[macro_export]
macro_rules! moxi {
    () => {
        $crate::MoxiBuilder::new(env!("CARGO_BIN_EXE_moxi"))
    };
}
