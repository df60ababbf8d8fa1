//! A cluster whose vbuckets move, whose servers come and go, and whose documents change, while clients go on: they see
//! no error and no wrong value (03 §18, 05 §7).
//!
//! The servers are scripted: they share one store, and each carries out what it is the master for at that moment, and
//! refuses the rest. So a request that is carried out by anybody is carried out once, and its effect is seen by all.
//!
//! `cargo test` runs it for seconds. For the figures:
//!
//! ```text
//! MOXI_MOVES=30000 cargo test --release --test rebalance moving -- --nocapture
//! MOXI_CHANGES=1000 cargo test --release --test rebalance changes -- --nocapture
//! ```

#[path = "../launch/mod.rs"]
mod launch;

mod bench;
mod changes;
mod cluster;
mod moving;
mod server;
