//! What is counted of each bucket.

use std::sync::Arc;

use super::Scene;
use super::latency::{Steps, histogram};
use super::names::{COMMANDS, COUNTERS, FRONT_CACHE, Named, Unit};
use super::servers;
use super::text::{Kind, Page, seconds};
use crate::config::snapshot::BucketConfig;
use crate::front_cache::FrontCache;
use crate::metrics::counter::{COUNTERS as KINDS, Kind as Counted, Sum, Timing};
use crate::metrics::histogram::{BINS, end_of};
use crate::metrics::latency;

/// One bucket, and its numbers.
pub(super) struct Bucket<'a> {
    pub(super) index: usize,
    pub(super) config: &'a BucketConfig,
    sum: Sum,
    cache: Arc<FrontCache>,
    /// What tells it from others: each series has these labels.
    labels: Vec<(&'static str, String)>,
}

impl<'a> Bucket<'a> {
    fn new(index: usize, config: &'a BucketConfig, scene: &Scene<'_>) -> Bucket<'a> {
        let mut labels = vec![("bucket", config.name.clone()), ("port", config.port.to_string())];
        // Two clusters may have buckets of the same name.
        labels.extend(config.agent.map(|agent| ("cluster", agent.to_string())));
        let sources = scene.sources;
        Bucket { index, config, sum: sources.board.sum(index), cache: sources.caches.of(index), labels }
    }

    pub(super) fn labels(&self) -> Vec<(&str, &str)> {
        self.labels.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// Writes the families of buckets and servers.
pub(super) fn write(page: &mut Page, scene: &Scene<'_>) {
    let buckets: Vec<_> = scene.buckets().map(|(index, bucket)| Bucket::new(index, bucket, scene)).collect();
    configurations(page, &buckets, scene);
    for (number, (_, kind)) in KINDS.iter().enumerate() {
        let Some(named) = COUNTERS.iter().find(|named| KINDS.get(number).is_some_and(|known| known.0 == named.0))
        else {
            continue;
        };
        let kind = if *kind == Counted::Total { Kind::Counter } else { Kind::Gauge };
        family(page, named, kind, &buckets, |bucket| bucket.sum.counters().nth(number).map_or(0, |found| found.1));
    }
    commands(page, &buckets);
    timings(page, &buckets);
    latencies(page, &buckets, scene);
    front_caches(page, &buckets);
    servers::write(page, &buckets, scene);
}

/// A family with one number for each bucket.
fn family(page: &mut Page, named: &Named, kind: Kind, buckets: &[Bucket<'_>], number: impl Fn(&Bucket<'_>) -> u64) {
    let (_, name, unit, help) = *named;
    page.family(name, kind, help);
    for bucket in buckets {
        let number = number(bucket);
        match unit {
            Unit::One => page.sample(&bucket.labels(), number),
            Unit::Micros => page.sample(&bucket.labels(), seconds(number)),
        }
    }
}

fn gauge(
    page: &mut Page,
    name: &'static str,
    help: &'static str,
    buckets: &[Bucket<'_>],
    number: impl Fn(&Bucket<'_>) -> u64,
) {
    family(page, &("", name, Unit::One, help), Kind::Gauge, buckets, number);
}

/// What is in force.
fn configurations(page: &mut Page, buckets: &[Bucket<'_>], scene: &Scene<'_>) {
    gauge(page, "moxi_bucket_servers", "Servers of the bucket, as often as it names them.", buckets, |bucket| {
        bucket.config.servers.len() as u64
    });
    let help = "Number of the document that configured the bucket last; 0: it is a static one.";
    gauge(page, "moxi_bucket_config_version", help, buckets, |bucket| scene.config.version(bucket.index));
    gauge(page, "moxi_bucket_listeners", "Sockets that lead to the bucket.", buckets, |bucket| {
        scene.sources.board.listening(bucket.config.agent.is_none().then_some(bucket.index))
    });
}

fn commands(page: &mut Page, buckets: &[Bucket<'_>]) {
    for (field, name, _, help) in COMMANDS {
        page.family(name, Kind::Counter, help);
        for bucket in buckets {
            for (kind, command, _, number) in bucket.sum.commands().filter(|found| found.2 == field) {
                let mut labels = bucket.labels();
                labels.extend([("command", command), ("type", kind)]);
                page.sample(&labels, number);
            }
        }
    }
}

/// Histograms, of buckets that collect them.
fn timings(page: &mut Page, buckets: &[Bucket<'_>]) {
    let timed: Vec<_> = buckets.iter().filter(|bucket| bucket.config.behavior.time_stats).collect();
    for (name, timing, help) in [
        ("moxi_connect_duration_seconds", Timing::Connect, "Time until a server was connected to, with time_stats."),
        ("moxi_request_duration_seconds", Timing::Reserved, "Time of requests from begin to end, with time_stats."),
    ] {
        if timed.is_empty() {
            continue;
        }
        page.family(name, Kind::Histogram, help);
        for bucket in &timed {
            let ends = (0..BINS).map(|bin| seconds(end_of(bin)));
            let bins = ends.zip(bucket.sum.histogram(timing).iter().copied());
            let (beyond, sum) = bucket.sum.beyond(timing);
            page.histogram(&bucket.labels(), bins, beyond, seconds(sum));
        }
    }
}

fn front_caches(page: &mut Page, buckets: &[Bucket<'_>]) {
    gauge(page, "moxi_front_cache_items", "Values in the front cache.", buckets, |bucket| bucket.cache.size() as u64);
    gauge(
        page,
        "moxi_front_cache_items_max",
        "Values that the front cache may have; 0: it is off.",
        buckets,
        |bucket| {
            let behavior = &bucket.config.behavior;
            if behavior.front_cache_lifespan > 0 { u64::from(behavior.front_cache_max) } else { 0 }
        },
    );
    for (number, named) in FRONT_CACHE.iter().enumerate() {
        family(page, named, Kind::Counter, buckets, |bucket| {
            bucket.cache.counters().nth(number).map_or(0, |found| found.1)
        });
    }
}

/// How long requests take, by kind and phase.
fn latencies(page: &mut Page, buckets: &[Bucket<'_>], scene: &Scene<'_>) {
    if buckets.is_empty() {
        return;
    }
    let help = "Time of requests: all of it, in queues until they were sent, and from then until they were answered.";
    page.family("moxi_latency_seconds", Kind::Histogram, help);
    for bucket in buckets {
        let latencies = scene.sources.board.latencies(bucket.index);
        for kind in latency::Kind::ALL {
            for phase in latency::Phase::ALL {
                let mut labels = bucket.labels();
                labels.extend([("command", kind.name()), ("phase", phase.name())]);
                histogram(page, &labels, &latencies.times(Some(kind), phase), Steps::Fine);
            }
        }
    }
}
