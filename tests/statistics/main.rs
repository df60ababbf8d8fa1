//! What moxi tells of its work.
//!
//! | file | what it proves |
//! |---|---|
//! | `proxy_stats` | `stats proxy`: every part, who is counted, and how often |
//! | `keys` | the numbers of single keys, and those that are asked for most |
//! | `merging` | `stats`: what becomes of the answers of several servers |
//! | `counting` | which counters a line counts in |
//! | `buckets` | several buckets: who is counted where, what is shown of the whole, and what a reset does |
//! | `latency` | `stats proxy latency` and `servers`: whose time is counted where, and what is known of a server |
//! | `route` | `stats proxy route`: where a key goes, and why |
//! | `metrics` | `/metrics`: its format, and that it says what `stats proxy` says |
//! | `probes` | `/healthz`, `/readyz` and `/config`, and `-Z metrics` itself |
//! | `scrapers` | whatever scrapers do, nobody is hurt |
//! | `slow_log` | lines about requests that take long, and about samples: what they say, where they go |
//! | `dashboards` | the examples for Prometheus and Grafana name metrics that there are |
//! | `prometheus` | Prometheus itself asks moxi, and has what the examples ask of it |
//! | `top` | `moxi-top`: rates, on standard output and on a terminal; a server that is not there, not moxi, or gone |
//! | `verbosity` | what the log says of clients with `-v` and `-vv` |

#[path = "../launch/mod.rs"]
mod launch;

mod buckets;
mod counting;
mod dashboards;
mod keys;
mod latency;
mod merging;
mod metrics;
mod probes;
mod prometheus;
mod proxy_stats;
mod route;
mod scrapers;
mod slow_log;
#[cfg(feature = "top")]
mod top;
mod verbosity;
