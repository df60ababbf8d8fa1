//! What moxi tells of its work.
//!
//! | file | what it proves |
//! |---|---|
//! | `proxy_stats` | `stats proxy`: every part, who is counted, and how often |
//! | `top` | `moxi-top`: rates, on standard output and on a terminal; a server that is not there, not moxi, or gone |
//! | `verbosity` | what the log says of clients with `-v` and `-vv` |

#[path = "../launch/mod.rs"]
mod launch;

mod proxy_stats;
#[cfg(feature = "top")]
mod top;
mod verbosity;
