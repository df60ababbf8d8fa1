//! Counters, merging, and the text of `stats`.
//!
//! | file | what |
//! |---|---|
//! | [`merge`] | the servers' statistics, made into one |
//! | [`counter`] | what every worker counts of every bucket |
//! | [`histogram`] | timings |
//! | [`board`] | where the workers' counters come together |
//! | [`report`] | the text of `stats proxy` |

pub mod board;
pub mod counter;
pub mod histogram;
pub mod merge;
pub mod report;
