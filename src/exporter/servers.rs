//! What is known of each server (06 §16).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Scene;
use super::buckets::Bucket;
use super::latency::{Steps, histogram};
use super::text::{Kind, Page};
use crate::config::snapshot::Server;
use crate::metrics::latency;
use crate::metrics::server::Count;
use crate::proxy::downstream::servers::Standing;
use crate::routing::Router;

/// What is counted, its name, what it is, and the sentence about it.
const COUNTS: [(Count, &str, Kind, &str); 9] = [
    (Count::Conns, "moxi_server_open_connections", Kind::Gauge, "Connections to the server, and those being made."),
    (Count::Connecting, "moxi_server_connecting", Kind::Gauge, "Connections to the server that are being made."),
    (Count::Unanswered, "moxi_server_unanswered", Kind::Gauge, "Answers that the server owes."),
    (Count::Queued, "moxi_server_queued", Kind::Gauge, "Of the answers owed, those to requests not sent yet."),
    (Count::Requests, "moxi_server_requests_total", Kind::Counter, "Requests and parts of requests for the server."),
    (Count::Connects, "moxi_server_connects_total", Kind::Counter, "Connections to the server that became ready."),
    (Count::Reconnects, "moxi_server_reconnects_total", Kind::Counter, "Of these, those that replaced a lost one."),
    (Count::Read, "moxi_server_read_bytes_total", Kind::Counter, "Bytes received from the server."),
    (Count::Written, "moxi_server_written_bytes_total", Kind::Counter, "Bytes sent to the server."),
];

/// A server, and how it is doing.
struct Known<'a> {
    bucket: &'a Bucket<'a>,
    name: String,
    standing: Standing,
    /// What health says also of servers that no worker has counted for yet.
    is_suspended: bool,
    failures: u32,
}

impl Known<'_> {
    fn labels(&self) -> Vec<(&str, &str)> {
        let mut labels = self.bucket.labels();
        labels.push(("server", self.name.as_str()));
        labels
    }
}

/// Writes the families of servers.
pub(super) fn write(page: &mut Page, buckets: &[Bucket<'_>], scene: &Scene<'_>) {
    let known = known(buckets, scene);
    let help = "1: connections to the server are made. 0: it is suspended after connect_max_errors failures.";
    page.family("moxi_server_up", Kind::Gauge, help);
    each(page, &known, |server| u64::from(!server.is_suspended));
    let help = "Failures of the server in a row; 0: the last attempt succeeded.";
    page.family("moxi_server_failures", Kind::Gauge, help);
    each(page, &known, |server| server.failures.into());
    let help = "1: the server is suspended, and a connection to it is being tried.";
    page.family("moxi_server_probing", Kind::Gauge, help);
    each(page, &known, |server| u64::from(server.standing.state() == "probing"));
    let seconds = |micros: u64| (scene.now().saturating_sub(micros) / 1_000_000).max(1);
    let help = "How long the server has been suspended; 0: it is not.";
    page.family("moxi_server_suspended_seconds", Kind::Gauge, help);
    each(page, &known, |server| server.standing.suspended_since.map_or(0, seconds));
    for (count, name, kind, help) in COUNTS {
        page.family(name, kind, help);
        each(page, &known, |server| server.standing.sum.count(count));
    }
    errors(page, &known, scene);
    latencies(page, &known);
}

fn known<'a>(buckets: &'a [Bucket<'_>], scene: &Scene<'_>) -> Vec<Known<'a>> {
    let mut known = Vec::new();
    for bucket in buckets {
        let mut seen = BTreeSet::new();
        for server in servers(bucket, scene) {
            let name = server.to_string();
            if seen.insert(name.clone()) {
                let standing = scene.sources.servers.standing(&server).unwrap_or_default();
                let health = scene.health.known(&server);
                let is_suspended = standing.suspended_since.is_some();
                let failures = health.map_or(standing.failures, |health| health.errors());
                known.push(Known { bucket, name, standing, is_suspended, failures });
            }
        }
    }
    known
}

fn servers(bucket: &Bucket<'_>, scene: &Scene<'_>) -> Vec<Arc<Server>> {
    match bucket.config.router {
        Router::Named => scene.sources.servers.named_in(bucket.index),
        _ => bucket.config.servers.clone(),
    }
}

/// Writes one number for each server.
fn each(page: &mut Page, known: &[Known<'_>], number: impl Fn(&Known<'_>) -> u64) {
    for server in known {
        page.sample(&server.labels(), number(server));
    }
}

fn errors(page: &mut Page, known: &[Known<'_>], scene: &Scene<'_>) {
    page.family("moxi_server_errors_total", Kind::Counter, "Failures of the server, by cause.");
    for server in known {
        for (cause, number) in server.standing.sum.errors() {
            let mut labels = server.labels();
            labels.push(("cause", cause));
            page.sample(&labels, number);
        }
    }
    let help = "When the server failed last, in seconds since 1970; 0: it has not.";
    page.family("moxi_server_last_error_timestamp_seconds", Kind::Gauge, help);
    each(page, known, |server| {
        server.standing.sum.last_error().map_or(0, |(_, at)| scene.start.saturating_add(at / 1_000_000))
    });
}

fn latencies(page: &mut Page, known: &[Known<'_>]) {
    if known.is_empty() {
        return;
    }
    let help = "Time from when a request was sent to the server until it was answered, or given up.";
    page.family("moxi_server_latency_seconds", Kind::Histogram, help);
    for server in known {
        for kind in latency::Kind::ALL {
            let mut labels = server.labels();
            labels.push(("command", kind.name()));
            let times = server.standing.sum.latencies.times(Some(kind), latency::Phase::Server);
            histogram(page, &labels, &times, Steps::Coarse);
        }
    }
}
