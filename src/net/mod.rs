//! Sockets and the event loops: listeners, accepting, workers.

pub mod acceptor;
pub mod cluster;
pub mod listener;
pub mod port_file;
pub mod resolver;
pub mod static_file;
pub mod stream;
pub mod udp;
pub mod worker;
