//! Bytes on their way in and out.
//!
//! [`Input`] is what was read and not yet understood; [`Output`] is what is still to be written, or to be
//! kept until it is answered. Both are empty, without any allocation, while a connection is idle: their
//! memory comes from a [`Pool`] and goes back to it. Large values are read into a buffer of their own,
//! which the output of another connection then shares instead of copying: a [`Value`] says which.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod input;
mod output;
mod pool;
mod spare;
mod value;

pub use input::Input;
pub use output::Output;
pub use pool::Pool;
pub use spare::Spare;
pub use value::Value;

/// A slice of at least this many bytes is shared rather than copied, if it has a buffer of its own.
pub const SHARE_MIN: usize = 8 * 1024;
