//! What changes the configuration while the program runs: cluster managers, and the file of `-z` after SIGHUP. What
//! their texts mean is the business of [`config`](crate::config); here they are waited for and fetched.
//!
//! | file | what |
//! |---|---|
//! | [`rest`] | a thread for each cluster manager, which asks it for documents |
//! | [`cluster`] | the main thread's side: documents to configurations |
//! | [`static_file`] | the file, read again |
//!
//! Nobody here opens a port: that is said, and the caller does it.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod cluster;
pub mod rest;
pub mod static_file;
