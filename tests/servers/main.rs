//! Whatever servers do: who is told what, when, and what is tried again.
//!
//! | file | what it proves |
//! |---|---|
//! | `failures` | what a client is told when its server fails, and when a server is left alone |
//! | `failed_gets` | a get that a server cannot answer at present is an error or a miss, each in its place |
//! | `retries` | what is sent again when a connection is lost, and what never is |
//! | `overtaking` | what was given up is carried out before what its client sends next, or never |
//! | `timers` | every limit of time: who fails, when, with which words |
//! | `refusals` | "not my vbucket": moxi learns where a key is, and the client gets its answer |
//! | `refused_order` | and nothing of the same client overtakes it meanwhile |
//! | `hostile_servers` | servers that say what nobody asked for cost one connection and nothing else |
//! | `unix_servers` | servers on unix sockets |
//! | `ipv6` | servers and managers on IPv6 addresses |

#[path = "../launch/mod.rs"]
mod launch;

mod failed_gets;
mod failures;
mod hostile_servers;
mod ipv6;
mod overtaking;
mod refusals;
mod refused_order;
mod retries;
mod timers;
mod unix_servers;
