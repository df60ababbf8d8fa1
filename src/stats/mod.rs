//! Counters, merging, and the text of `stats`.

pub mod merge;
