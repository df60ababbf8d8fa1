//! What moxi is fuzzed with: an entry point for each kind of bytes that comes from outside.
//!
//! An entry point takes any bytes and panics if something is wrong with what becomes of them. All have in common that
//! what arrives in pieces means the same as what arrives at once; each looks at more, which its comment says.
//!
//! | file | what |
//! |---|---|
//! | [`targets`] | the entry points, one file for each kind |
//! | [`mutation`] | inputs from inputs, under a seed |
//! | [`replay`] | running a target over its seeds and what was made of them; telling of a failure |
//! | [`choices`] | what an input decides besides its text |
//! | [`session`] | any parser, fed in pieces |
//! | [`memory`] | connections in memory, which the simulation uses, too |
//!
//! The first bytes of an input are decisions (where it is cut, which limits hold), the rest is the text. So a file of
//! seeds is a few bytes longer than what it shows.
//!
//! `tests/replay.rs` is the short run of `make test`; `fuzz` in the root has the same entry points for libFuzzer.

pub mod choices;
pub mod memory;
pub mod mutation;
pub mod replay;
pub mod session;
pub mod targets;

pub use targets::{TARGETS, Target};
