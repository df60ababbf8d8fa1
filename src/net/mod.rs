//! Sockets and the event loops: listeners, accepting, workers.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod acceptor;
mod addresses;
pub mod descriptors;
pub mod driver;
mod facts;
pub mod gate;
pub mod inherited;
pub mod listener;
pub mod places;
pub mod port_file;
pub mod resolver;
pub mod scrapers;
pub mod stream;
pub mod trouble;
pub mod udp;
pub mod worker;
