//! What monitoring asks by HTTP (06 §14): the numbers of `stats proxy` in the text format of Prometheus, whether moxi
//! lives, whether it can serve clients, and the configuration in force.
//!
//! Nothing here opens a socket or waits: bytes of a scraper go in, bytes for it come out. `src/net/scrapers.rs` has the
//! sockets, and the main thread's loop drives them, so that no worker ever sees a scraper.
//!
//! | file | what |
//! |---|---|
//! | [`conversation`] | one scraper: its requests one by one, how much it may send, and how long it may take |
//! | [`http`] | requests and replies as bytes |
//! | [`text`] | the text format: families, labels, numbers |
//! | `names` | which statistic has which name, and the sentence about it |
//! | `buckets`, `servers` | what is counted of each bucket, and of its servers |
//! | `latency` | how long requests take |
//! | `memcached` | the names under which dashboards look for a memcached |
//! | `process` | the process as a whole |
//! | `configuration` | `/config` |

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod buckets;
mod configuration;
pub mod conversation;
pub mod http;
mod latency;
mod memcached;
mod names;
mod process;
mod servers;
pub mod text;

use crate::config::snapshot::{BucketConfig, Config};
use crate::proxy::downstream::host::HealthTable;
use crate::proxy::report::Sources;
use crate::proxy::timers::Micros;
use crate::routing::Router;

use http::{Method, Reply, Request};
use text::Page;

/// The paths that there are.
const PATHS: [&str; 4] = ["/metrics", "/healthz", "/readyz", "/config"];

/// What can be told at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The numbers.
    pub sources: &'a Sources,
    /// What is known of the servers.
    pub health: &'a HealthTable,
    /// The configuration in force.
    pub config: &'a Config,
    /// Why clients cannot be served; `None`: they can.
    pub obstacle: Option<&'a str>,
    /// Whether another process answers from now on: connections are not kept.
    pub is_parting: bool,
    /// When the program started, in seconds since 1970.
    pub start: u64,
    /// How many seconds ago that was.
    pub uptime: f64,
}

impl<'a> Scene<'a> {
    /// Microseconds since the program started, as workers count them.
    fn now(&self) -> Micros {
        (self.uptime * 1e6) as Micros
    }

    /// The buckets that are told of, and their indexes: those that clients can be served from.
    fn buckets(&self) -> impl Iterator<Item = (usize, &'a BucketConfig)> + use<'a> {
        let all = self.config.buckets.iter().enumerate();
        let all = all.map(|(index, bucket)| (index, bucket.as_ref()));
        all.filter(|(_, bucket)| bucket.is_live() || bucket.router == Router::Named)
    }
}

/// The answer to a request.
pub fn answer(request: &Request<'_>, scene: &Scene<'_>) -> Reply {
    if !PATHS.contains(&request.path) {
        return Reply::error(http::NOT_FOUND, &format!("there is only {}", PATHS.join(", ")));
    }
    if request.method == Method::Other {
        return Reply::error(http::NOT_ALLOWED, "only GET and HEAD");
    }
    match request.path {
        "/metrics" => Reply::good(http::METRICS, metrics(scene)),
        "/config" => Reply::good(http::JSON, configuration::json(scene)),
        "/readyz" => match scene.obstacle {
            None => Reply::good(http::PLAIN, "ready\n".to_owned()),
            Some(why) => Reply::error(http::UNAVAILABLE, why),
        },
        _ => Reply::good(http::PLAIN, "alive\n".to_owned()),
    }
}

/// All metrics.
fn metrics(scene: &Scene<'_>) -> String {
    let mut page = Page::default();
    process::write(&mut page, scene);
    buckets::write(&mut page, scene);
    memcached::write(&mut page, scene);
    page.into_text()
}
