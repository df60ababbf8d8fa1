//! One process takes the place of another, and no client notices: the old one starts the program on disk and hands its
//! sockets over; when the new one is ready it accepts, and the old one serves to the end what it has begun (01 §12.2).
//!
//! ```text
//!  old process ([`Successor`])                     new process ([`Predecessor`])
//!    starts it, standard input is a socket ───────►
//!    Inherited, Socket, Path, PidFile …, End ─────►  takes them in place of binding; reads its configuration
//!                                            ◄─────  Ready
//!    accepts no more                Reread?, Go ──►  writes the pid file, accepts
//!    Client … ────────────────────────────────────►  serves it from now on
//!    ends: the socket is closed
//! ```
//!
//! Until Go the old process can change its mind, and nobody has noticed anything. Each message is a datagram of text,
//! with at most one descriptor; what a process does not know is ignored, so that versions may differ.
//!
//! Nothing here waits, but [`Predecessor::receive`], at the start of a process.
//!
//! | file | what |
//! |---|---|
//! | `program` | what is to be started: where the program is, and with which words it was started |
//! | `message` | what the two say to each other |
//! | `channel` | how it gets from one to the other |
//! | `successor` | the new process, for the old one |
//! | `predecessor` | the old process, for the new one |

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod channel;
mod message;
mod predecessor;
mod program;
mod successor;

pub use message::{Message, Role, Seat};
pub use predecessor::{Estate, Predecessor};
pub use program::Program;
pub use successor::{Progress, Successor};

/// Tells a process that its standard input is the channel. The value is the process that has started it.
const VARIABLE: &str = "MOXI_UPGRADE";
