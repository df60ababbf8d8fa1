//! Connections in memory and numbers that replay: what both the simulation and the fuzzing of the engine are made of.
//!
//! | file | what |
//! |---|---|
//! | `pipe` | a connection, with all whims that a socket has |
//! | `bytes` | a queue of bytes |
//! | `random` | a generator of numbers |

mod bytes;
mod pipe;
mod random;

pub use bytes::Bytes;
pub use pipe::{Ends, Pipe, Socket};
pub use random::Random;
