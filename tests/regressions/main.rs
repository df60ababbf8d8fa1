//! The regression catalogue (07 §12): bugs that the C program once had, each with its trigger. None may come back.
//!
//! | file | what it proves |
//! |---|---|
//! | `historical` | the issue scripts, each as a scenario of its own |
//! | `clients` | clients that misbehave |
//! | `servers`, `several` | one server that behaves in an unusual way; several, of which some do |
//! | `cluster`, `documents` | buckets and credentials of a cluster manager; documents that cannot be used |
//! | `time` | the engine by itself, and a clock that the test turns |
//!
//! A test here is named after the ticket, or after the commit where there is none. Those that have a place elsewhere:
//!
//! | ticket | where |
//! |---|---|
//! | the issue scripts (07 §8), MB-3067 | `historical.rs` and what that names |
//! | MB-24509 large values without reply | `commands/memcached.rs` |
//! | CBSE-3717, MB-12763 (server side), bug 1792 (ASCII servers) | `servers/hostile_servers.rs` |
//! | MB-21591, bug 2345 binary packets of wrong shape | `clients/binary_clients.rs`, `matrix/odd.rs`; for the built-in server here |
//! | MB-10415, MB-3308, bugs 1876, 1958, 1961 | `configuration/rest.rs`, `rest_failures.rs` |
//! | MB-17253, 656ca64, bug 1813 | `configuration/cli.rs`, `process/listeners.rs` |
//! | 1f5d894, bugs 1251, 1710 standard input | `process/process.rs` |
//! | MB-5488 refused flush, bug 2287 temporary failure | `commands/several_servers.rs`, `commands/ascii_over_binary.rs` |
//! | a17b424 idle connections that die; what is sent twice (07 §12.4) | `servers/retries.rs` |
//! | MB-3129 limits that end together | `servers/timers.rs` |
//! | 3119473 passwords in statistics, bug 2316 reset, MB-2670 | `statistics/proxy_stats.rs` |
//! | 120c83d, d5076d9, MB-3949, bugs 1306, 1450 | `commands/ascii_over_ascii.rs`, `commands/ascii_over_binary.rs` |
//! | MB-3798, MB-3799 placement | `src/routing/ketama/tests.rs` |
//! | MB-3849, MB-3856, MB-3175 who failed | `servers/failures.rs` |
//! | MB-3479, MB-3447 statuses of binary clients | `clients/binary_clients.rs` |
//! | MB-2892 leading blanks | `t/blanks.t` |
//! | MB-2808 servers left alone | `servers/failures.rs`, `faults/recovery.rs` |
//! | MB-2899, MB-2724, MB-2806, MB-2807 keys of `-Z` | `src/config/behavior/tests.rs` |
//! | a6fae63, c0e094a, 3e2892e, bug 2539 clients that name the server | `clients/mcmux.rs` |
//! | 8b41fce repeated keys | `commands/ascii_over_ascii.rs`, `statistics/proxy_stats.rs` |
//! | bugs 2602, 2605, 2592, 2499 credentials | `t/mock/test_tenancy.py`, `t/mock/test_auth.py` |

#[path = "../launch/mod.rs"]
mod launch;

mod clients;
mod cluster;
mod documents;
mod historical;
mod servers;
mod several;
mod time;

/// Limits that a busy machine does not reach.
const PATIENT: &str =
    "connect_timeout=5000,auth_timeout=5000,downstream_conn_queue_timeout=5000,wait_queue_timeout=5000";
