//! moxi: a proxy between applications and a memcached or Membase/Couchbase cluster.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod arena;
pub mod buffer;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod failure;
pub mod log;
pub mod net;
pub mod protocol;
pub mod proxy;
pub mod routing;
pub mod signals;
pub mod stats;
pub mod store;
pub mod tools;
