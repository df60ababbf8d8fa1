//! The ASCII protocol (memcached's `protocol.txt`), in both directions.
//!
//! | file | direction |
//! |---|---|
//! | [`request`] | client bytes to [`Request`](super::Request) |
//! | [`command`] | [`Request`](super::Request) to the bytes an ASCII server gets |
//! | [`reply`] | ASCII server bytes to replies |

pub mod command;
pub mod reply;
pub mod request;
