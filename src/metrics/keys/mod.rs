//! What is counted of single keys: their statistics (06 §7), and which of them are asked for most (06 §7.1).
//!
//! Each worker counts for itself, in memory that it alone writes to, without locks; whoever is asked reads that of all
//! workers while they go on.
//!
//! | file | what |
//! |---|---|
//! | [`board`] | where the workers' keys come together |
//! | [`hot`] | the keys that are asked for most |
//! | [`stats`] | the numbers of each key |
//! | [`label`] | a key that others read while its owner replaces it |
//! | [`text`] | a key as text |

pub mod board;
pub mod hot;
pub mod label;
pub mod stats;
pub mod text;

/// Microseconds, counted from the start of the program.
pub type Micros = u64;
