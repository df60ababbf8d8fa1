//! Everything that turns text into configuration, and nothing else.
//!
//! | file | from | to |
//! |---|---|---|
//! | [`behavior`] | `-Z` text | [`behavior::Behavior`] |
//! | [`cluster`] | `-z` text | sections, each a port and a body |
//! | [`document`] | JSON documents | servers and vbucket maps |
//! | [`snapshot`] | – | the immutable result that workers share |

pub mod behavior;
pub mod cluster;
pub mod document;
pub mod snapshot;
