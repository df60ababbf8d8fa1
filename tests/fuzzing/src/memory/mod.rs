//! Connections in memory and numbers that replay: what both the simulation and the fuzzing of the engine are made of.
//!
//! | file | what |
//! |---|---|
//! | `pipe` | a connection, with all whims that a socket has |
//! | `pipes` | all of one event loop |
//! | `bytes` | a queue of bytes |
//! | `random` | a generator of numbers |

mod bytes;
mod pipe;
mod pipes;
mod random;

pub use bytes::Bytes;
pub use pipe::{Ends, Pipe, Socket};
pub use pipes::{Name, Pipes};
pub use random::Random;
