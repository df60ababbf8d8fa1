//! The ASCII protocol (memcached's `protocol.txt`), in both directions.
//!
//! | file | direction |
//! |---|---|
//! | [`request`] | client bytes to [`Request`](super::Request): lines and data blocks |
//! | `line`, `words` | the words of one line to a command |
//! | [`command`] | [`Request`](super::Request) to the bytes an ASCII server gets |
//! | [`meta`] | towards servers: keys of meta commands; from clients of the built-in server: the commands themselves |
//! | [`reply`] | ASCII server bytes to replies |
//! | [`answer`] | towards clients: what moxi writes itself |

pub mod answer;
pub mod command;
pub(crate) mod line;
pub mod meta;
pub mod reply;
pub mod request;
pub(crate) mod words;
