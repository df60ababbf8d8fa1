//! A cluster whose vbuckets move, whose servers come and go, and whose documents change, while clients go on: they see
//! no error and no wrong value (03 §18, 05 §7).
//!
//! The servers are scripted: they share one store, and each carries out what it is the master for at that moment, and
//! refuses the rest. So a request that is carried out by anybody is carried out once, and its effect is seen by all.
//!
//! | file | what it proves |
//! |---|---|
//! | `cluster`, `server`, `bench` | the servers and what they share; moxi before them, its manager and the load |
//! | `moving` | all vbuckets move to other servers, again and again: no client sees it |
//! | `changes` | servers join, leave and change places, and nothing is left of those that have gone |
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
