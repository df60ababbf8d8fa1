//! moxi: a proxy between applications and a memcached or Membase/Couchbase cluster.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod config;
pub mod protocol;
pub mod routing;
pub mod stats;
