//! What moxi tells of its work.
//!
//! | file | what it proves |
//! |---|---|
//! | `proxy_stats` | `stats proxy`: every part, who is counted, and how often |
//! | `verbosity` | what the log says of clients with `-v` and `-vv` |

#[path = "../launch/mod.rs"]
mod launch;

mod proxy_stats;
mod verbosity;
