//! What moxi tells of its work.
//!
//! | file | what it proves |
//! |---|---|
//! | `proxy_stats` | `stats proxy`: every part, who is counted, and how often |
//! | `metrics` | `/metrics`: its format, and that it says what `stats proxy` says |
//! | `probes` | `/healthz`, `/readyz` and `/config`, and `-Z metrics` itself |
//! | `scrapers` | whatever scrapers do, nobody is hurt |
//! | `dashboards` | the examples for Prometheus and Grafana name metrics that there are |
//! | `verbosity` | what the log says of clients with `-v` and `-vv` |

#[path = "../launch/mod.rs"]
mod launch;

mod dashboards;
mod metrics;
mod probes;
mod proxy_stats;
mod scrapers;
mod verbosity;
