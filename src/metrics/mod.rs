//! Numbers that threads count and whoever is asked adds up. What is counted of whom is known here, who shows it is not:
//! nothing else of the program is imported.
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

pub mod board;
pub mod counter;
pub mod histogram;
pub mod keys;
pub mod latency;
pub mod process;
pub mod server;
