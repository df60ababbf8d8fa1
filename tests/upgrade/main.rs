//! SIGUSR2: another process takes the place of a running one, and no client notices (01 §12.2).
//!
//! | file | what it proves |
//! |---|---|
//! | `clients` | whoever is connected is served on, on the same connection; what is owed is answered |
//! | `places` | ports, sockets and files that the new process takes over, and who is told of it |
//! | `failures` | a process that cannot take over changes nothing |
//! | `ending` | how long the old process may take, and how SIGTERM ends one |
//! | `load` | busy clients, many upgrades and reloads in a row |
//! | `service` | what these have in common |

#[path = "../launch/mod.rs"]
mod launch;

mod clients;
mod ending;
mod failures;
mod load;
mod places;
mod service;
