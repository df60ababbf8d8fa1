//! Everything that turns text into configuration, and nothing else: no thread, no socket, no clock. One file reads
//! something, [`files`]: the file that a text names. [`load()`], [`load_behavior`] and [`reread()`] begin by calling it;
//! what follows is pure.
//!
//! | file | from | to |
//! |---|---|---|
//! | [`behavior`] | `-Z` text | [`behavior::Behavior`] |
//! | [`cluster`] | `-z` text | sections, each a port and a body |
//! | [`agent`] | `-z` text with URLs | where to fetch the configuration |
//! | [`server_list`] | `host:port:weight,…` | servers |
//! | [`document`] | JSON documents | servers and vbucket maps |
//! | [`url`] | one of its URLs | scheme, host, port, credentials |
//! | [`dynamic`] | a document and the configuration so far | the next configuration |
//! | [`reread()`] | a static configuration file that has changed, and the configuration so far | the next configuration |
//! | [`files`] | the path of a file in place of a text | the text |
//! | [`changes`] | two configurations | what is different, for the log |
//! | [`origin`] | a text, or two, and the environment | where each value comes from |
//! | [`mcmux`] | `-X` | a bucket without servers |
//! | [`snapshot`] | – | the immutable result that workers share |
//!
//! [`load()`] puts them together.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod address;
pub mod agent;
pub mod behavior;
pub mod changes;
pub mod cluster;
pub mod document;
pub mod dynamic;
pub mod error;
pub mod files;
mod load;
pub mod masking;
pub mod mcmux;
pub mod origin;
mod reread;
pub mod server_list;
pub mod snapshot;
pub mod url;

pub use error::ConfigError;
pub use load::{Loaded, Section, is_complaint, load, load_alone, load_behavior};
pub use reread::{Reread, failed, reread};
