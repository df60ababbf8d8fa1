//! moxi: a proxy between applications and a memcached or Membase/Couchbase cluster.
//!
//! Applications speak plain memcached, ASCII or binary, to a moxi nearby. moxi maps each key to its server, shares
//! few server connections between many clients, splits and merges, retries, and hides failures.
//!
//! # How a request and its reply travel
//!
//! ```text
//!                 main thread                     worker thread (-t of them)
//!  client ─► net::acceptor ── round robin ─► net::worker ─┐  its loop: net::driver
//!                                                         │ bytes, events, time
//!                                                         ▼
//!                                   proxy::Engine   (no I/O in here)
//!  client bytes ─► protocol ─► Request ─► proxy ─► protocol ─► server bytes     sent in one write per
//!                                         routing                               connection and turn
//!  client bytes ◄─ protocol ◄─ Reply ◄─── proxy ◄─ protocol ◄─ server bytes     in order, per client
//!                                   memcached       (the same place, for the built-in server)
//! ```
//!
//! A worker owns its clients, its server connections and everything between; nothing on that path is shared or
//! locked. One turn of its loop: take all events, read once from each, let the engine work, then write once to each
//! connection that has output. That last step is where batches come from.
//!
//! # Where to find what
//!
//! Pages such as 03, and citations such as `03 §8.1`, are those of `docs/contract`: what clients, servers and operators
//! can observe.
//!
//! | module | what | page of the contract |
//! |---|---|---|
//! | [`cli`] | the flags, help, version | 01 |
//! | [`daemon`], [`signals`], [`mod@log`], [`failure`] | the process: background, user, limits, signals, log, exit codes | 01 |
//! | [`alive`] | `--check-alive`: is there somebody who answers? | 01 §19 |
//! | [`check`] | `--check`, `--print-config`: what a start would do, without one | 01 §15.1 |
//! | [`slow_log`] | where the lines about slow and sampled requests go | 06 §11.6 |
//! | [`traces`] | the files that others find it by: pid file, unix socket | 01 §12 |
//! | [`milestones`] | the lines that a start and a stop leave in the log | 01 §10 |
//! | [`systemd`] | the service manager: it is told how we are | 01 §19 |
//! | [`upgrade`] | one process takes the place of another, with its sockets and clients | 01 §12.2 |
//! | [`config`] | texts and documents to configuration | 05 |
//! | [`texts`] | which texts the options name, and the environment | 01 §6 |
//! | [`control`] | what changes it while the program runs: cluster managers, the file of `-z` | 05 §6 |
//! | [`routing`] | key to server: vbuckets, ketama, modula | 05 §10 |
//! | [`protocol`] | both protocols, parsed and written, and from one to the other | 04 |
//! | [`buffer`], [`arena`] | bytes on their way; names that do not outlive what they name | – |
//! | [`sums`] | lengths and counts added up, and why the sums fit | – |
//! | [`proxy`] | the engine: three rooms, for clients, requests and servers; `LIFECYCLE.md` in each has their states | 03 |
//! | [`front_cache`] | values of gets, kept for a short time | 03 §14 |
//! | [`memcached`] | the built-in server | 02 |
//! | [`builtin`] | its settings and sockets, from the command line | 01 §5 |
//! | [`opening`] | all sockets that a start opens | 01 §4, §5 |
//! | [`metrics`] | what threads count, and where it comes together | 06 §6 |
//! | [`exporter`] | what is told by HTTP: metrics for Prometheus, probes, the configuration | 06 §14 |
//! | [`net`] | sockets, event loops, listeners, name look-ups; how many clients there may be | – |
//! | [`tools`] | `vbuckettool`, `vbucketkeygen` | 05 §12 |
//! | `top` | `moxi-top`, with the feature of that name: the statistics of a running moxi as rates | 06 |
//!
//! Dependencies point one way: `main` knows everything; `net` drives `proxy` and `memcached`, and asks `control` what
//! has changed; these know `routing`, `config`, `metrics`, `buffer` and `protocol`. `docs/ARCHITECTURE.md` has who may
//! import whom in full, the turn of the event loop, and the life of one get, function by function; `CONTRIBUTING.md` how
//! to build, test and measure, and how to add a command, a `-Z` key or a statistic.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::too_many_lines)]
// Nothing that comes from outside may end the process. The modules that it passes through deny indexing and unchecked sums,
// too.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::string_slice)
)]

pub mod alive;
pub mod arena;
pub mod buffer;
pub mod builtin;
pub mod check;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod exporter;
pub mod failure;
pub mod front_cache;
pub mod log;
pub mod memcached;
pub mod metrics;
pub mod milestones;
pub mod net;
pub mod opening;
pub mod protocol;
pub mod proxy;
pub mod routing;
pub mod signals;
pub mod slow_log;
pub mod sums;
pub mod systemd;
pub mod texts;
pub mod tools;
#[cfg(feature = "top")]
pub mod top;
pub mod traces;
pub mod upgrade;
