//! Numbers that threads count and whoever is asked adds up. What is counted of whom is known here, who shows it is not:
//! nothing else of the program is imported, but how to add up.
//!
//! | file | what |
//! |---|---|
//! | [`counter`] | what every worker counts of every bucket |
//! | [`histogram`] | timings |
//! | [`latency`] | how long requests take, and where |
//! | [`server`] | what every worker counts of every server |
//! | [`board`] | where the workers' counters come together |
//! | [`keys`] | what is counted of single keys |
//! | [`process`] | the process as a whole: its connections, its time, its number |

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use crate::sums::sum;

pub mod board;
pub mod counter;
pub mod histogram;
pub mod keys;
pub mod latency;
pub mod process;
pub mod server;

/// The one with this index, of those that come to be known one after the other.
#[expect(clippy::indexing_slicing, reason = "the place has just been made")]
fn at<T: Default>(places: &mut Vec<T>, index: usize) -> &mut T {
    if places.len() <= index {
        places.resize_with(sum([index, 1]), T::default);
    }
    &mut places[index]
}
