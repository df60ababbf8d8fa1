//! The text of `stats proxy` (06 §3, §4).

mod keys;
mod latency;
mod question;
mod route;
mod servers;
mod sources;

use std::collections::HashSet;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

use crate::config::behavior::keys::Where;
use crate::config::behavior::{Behavior, KEYS, Key};
use crate::config::snapshot::{BucketConfig, Config, Server};
use crate::front_cache::FrontCache;
use crate::memcached::statistics::{self, Emit};
use crate::metrics::counter::{Sum, Timing};
use crate::metrics::histogram;
use crate::protocol::Protocol;
use crate::proxy::VERSION;
use crate::proxy::timers::Micros;
use crate::routing::Router;
use crate::sums::sum;

pub use question::{Part, Question};
pub use sources::Sources;

/// Longest prefix of a bucket's lines in bytes.
const PREFIX_MAX: usize = 199;

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The numbers.
    pub sources: &'a Sources,
    /// The configuration in force.
    pub config: &'a Config,
    /// The bucket of the client that asks.
    pub bucket: usize,
    /// The time.
    pub now: Micros,
}

impl Report<'_> {
    /// Answers a question, or does what it says.
    pub fn answer(&self, question: Question<'_>, emit: &mut Emit<'_>) {
        match question {
            Question::Show(part) => self.emit(part, emit),
            Question::Route(key) => {
                if let Some(bucket) = self.config.buckets.get(self.bucket) {
                    self.route(key, bucket, &mut prefixed(&format!("{}:route:", named(bucket)), emit));
                }
            }
            Question::Reset => self.reset(),
        }
    }

    /// Emits the statistics of a part.
    fn emit(&self, part: Part, emit: &mut Emit<'_>) {
        let wants = |parts: &[Part]| part == Part::All || parts.contains(&part);
        if wants(&[Part::Info]) {
            emit("basic:version", &VERSION);
            emit("basic:nthreads", &self.sources.settings.threads);
            emit("basic:hostname", &self.sources.hostname);
        }
        if wants(&[Part::Settings]) {
            let Sources { settings, memcached, process, .. } = self.sources;
            let emit = &mut prefixed("memcached:settings:", emit);
            statistics::settings(settings, memcached.as_deref(), process.facts().verbosity, emit);
        }
        if wants(&[Part::Stats]) {
            self.process(&mut prefixed("memcached:stats:", emit));
        }
        if wants(&[Part::Info]) {
            emit("proxy_main:conf_type", &if self.is_dynamic() { "dynamic" } else { "static" });
        }
        if wants(&[Part::Behaviors])
            && let Some(behavior) = self.behavior()
        {
            behaviors(behavior, Where::Main, &mut prefixed("proxy_main:behavior:", emit));
        }
        if wants(&[Part::Stats]) {
            let (tally, emit) = (self.sources.tally(self.config), &mut prefixed("proxy_main:stats:", emit));
            emit("stat_configs", &tally.configs);
            emit("stat_config_fails", &tally.config_fails);
            emit("stat_proxy_starts", &tally.starts);
            emit("stat_proxy_start_fails", &0);
            emit("stat_proxy_existings", &tally.existings);
            emit("stat_proxy_shutdowns", &tally.shutdowns);
        }
        for (index, bucket) in self.buckets() {
            self.bucket(part, index, bucket, emit);
        }
    }

    /// Counts from zero again.
    fn reset(&self) {
        for (index, bucket) in self.buckets() {
            self.sources.board.reset(index);
            self.sources.caches.of(index).reset();
            self.sources.keys.reset(index);
            self.servers(index, bucket).iter().for_each(|(_, server)| self.sources.servers.reset(server));
        }
        self.sources.reset_tally(self.config);
    }

    /// The servers of a bucket, each once, and at which place it names them first; those that clients have named, by name.
    fn servers(&self, index: usize, bucket: &BucketConfig) -> Vec<(usize, Arc<Server>)> {
        if is_named(bucket) {
            return self.sources.servers.named_in(index).into_iter().enumerate().collect();
        }
        let mut seen = HashSet::new();
        let all = bucket.servers.iter().enumerate().map(|(place, server)| (place, Arc::clone(server)));
        all.filter(|(_, server)| seen.insert(Arc::clone(server))).collect()
    }

    /// What is counted of each server of a bucket, and how long its requests take.
    fn of_servers(&self, part: Part, index: usize, bucket: &BucketConfig, emit: &mut Emit<'_>) {
        if part == Part::Latency {
            let latencies = self.sources.board.latencies(index);
            latency::latencies(&latencies, &mut prefixed("latency:", emit));
        }
        for (place, server) in self.servers(index, bucket) {
            let standing = self.sources.servers.standing(&server).unwrap_or_default();
            if part == Part::Servers {
                let emit = &mut prefixed(&format!("server-{place}:"), emit);
                servers::server(&server, &standing, self.now, emit);
            } else {
                let emit = &mut prefixed(&format!("latency-{place}:"), emit);
                emit("name", &server);
                latency::latencies(&standing.sum.latencies, emit);
            }
        }
    }

    fn is_dynamic(&self) -> bool {
        self.config.buckets.get(self.bucket).is_some_and(|bucket| bucket.agent.is_some() || bucket.is_null)
    }

    /// What `-Z` says, whichever bucket the client is in.
    fn behavior(&self) -> Option<&Behavior> {
        match &self.config.dynamic {
            Some(dynamic) => Some(&dynamic.behavior),
            None => self.config.buckets.get(self.bucket).map(|bucket| bucket.behavior.as_ref()),
        }
    }

    /// The buckets that are shown, the newest first: those of the same documents, or the client's own section. Not
    /// those that have been shut down.
    fn buckets(&self) -> impl Iterator<Item = (usize, &BucketConfig)> {
        let is_dynamic = self.is_dynamic();
        let all = self.config.buckets.iter().enumerate().rev();
        all.map(|(index, bucket)| (index, bucket.as_ref())).filter(move |(index, bucket)| match is_dynamic {
            true => bucket.agent.is_some() && bucket.is_live(),
            false => *index == self.bucket,
        })
    }

    fn bucket(&self, part: Part, index: usize, bucket: &BucketConfig, emit: &mut Emit<'_>) {
        let wants = |parts: &[Part]| part == Part::All || parts.contains(&part);
        let name = named(bucket);
        let prefix = |section: &str| format!("{name}:{section}");
        if part == Part::Config {
            emit(&prefix("config"), &bucket.text);
        }
        if wants(&[Part::Info]) {
            let emit = &mut prefixed(&prefix("info:"), emit);
            emit("port", &bucket.port);
            emit("name", &bucket.name);
            emit("config", &bucket.text);
            emit("config_ver", &self.config.version(index));
            emit("behaviors_num", &if is_named(bucket) { 1 } else { bucket.servers.len() });
        }
        if wants(&[Part::Behaviors]) {
            behaviors(&bucket.behavior, Where::Proxy, &mut prefixed(&prefix("behavior:"), emit));
            if is_named(bucket) {
                behaviors(&bucket.behavior, Where::Server, &mut prefixed(&prefix("behavior-0:"), emit));
            }
            for (number, server) in bucket.servers.iter().enumerate() {
                let own = match bucket.text.trim_start().starts_with('{') || bucket.agent.is_some() {
                    true => Behavior {
                        host: server.host.clone(),
                        port: i32::from(server.port),
                        usr: server.user.clone(),
                        bucket: server.bucket.clone(),
                        ..(*bucket.behavior).clone()
                    },
                    false => (*bucket.behavior).clone(),
                };
                behaviors(&own, Where::Server, &mut prefixed(&prefix(&format!("behavior-{number}:")), emit));
            }
        }
        if wants(&[Part::Stats, Part::Buckets]) {
            let emit = &mut prefixed(&prefix("stats:"), emit);
            emit("listening", &self.sources.board.listening(bucket.agent.is_none().then_some(index)));
            emit("listening_failed", &0);
        }
        if wants(&[Part::FrontCache]) {
            let cache = self.sources.caches.of(index);
            front_cache(&cache, bucket, &mut prefixed(&prefix("frontcache:"), emit));
        }
        self.numbers(part, index, bucket, &mut prefixed(&format!("{name}:"), emit));
    }

    /// What is counted of a bucket.
    fn numbers(&self, part: Part, index: usize, bucket: &BucketConfig, emit: &mut Emit<'_>) {
        let wants = |parts: &[Part]| part == Part::All || parts.contains(&part);
        if wants(&[Part::KeyStats]) {
            keys::numbers(&self.sources.keys, index, self.now, &mut prefixed("key_stats:", emit));
        }
        if wants(&[Part::HotKeys]) {
            let shown = bucket.behavior.hot_keys as usize;
            keys::hot(&self.sources.keys, index, shown, &mut prefixed("hot_keys", emit));
        }
        if wants(&[Part::Stats, Part::Buckets]) {
            let sum = self.sources.board.sum(index);
            counters(&sum, &mut prefixed("pstd_stats:", emit));
            commands(&sum, &mut prefixed("pstd_stats_cmd:", emit));
        }
        if matches!(part, Part::Latency | Part::Servers) {
            self.of_servers(part, index, bucket, emit);
        }
        if part == Part::Timings {
            let sum = self.sources.board.sum(index);
            for (name, timing) in [("connect", Timing::Connect), ("reserved", Timing::Reserved)] {
                histogram::bars(sum.histogram(timing)).iter().for_each(|bar| emit(name, bar));
            }
        }
    }

    /// `memcached:stats:`.
    fn process(&self, emit: &mut Emit<'_>) {
        let Sources { board, settings, memcached, process, .. } = self.sources;
        let proxied = statistics::Proxied { uptime: self.now / 1_000_000, traffic: board.traffic() };
        statistics::process(settings, memcached.as_deref(), process, &proxied, emit);
    }
}

/// Whether clients name its server: it counts as one.
fn is_named(bucket: &BucketConfig) -> bool {
    bucket.router == Router::Named
}

/// `PORT:NAME`, cut where the C program cut it.
fn named(bucket: &BucketConfig) -> String {
    let mut name = format!("{}:{}", bucket.port, bucket.name);
    // Room for the longest section behind it.
    let mut end = PREFIX_MAX.saturating_sub("pstd_stats_cmd::".len());
    while !name.is_char_boundary(end.min(name.len())) {
        end = end.saturating_sub(1);
    }
    name.truncate(end);
    name
}

/// Puts `prefix` before each name.
fn prefixed<'a, 'b>(prefix: &str, emit: &'a mut Emit<'b>) -> impl FnMut(&str, &dyn Display) + use<'a, 'b> {
    let mut name = String::from(prefix);
    let length = prefix.len();
    move |item: &str, value: &dyn Display| {
        name.truncate(length);
        name.push_str(item);
        emit(&name, value);
    }
}

/// The keys of a level and all wider ones.
fn behaviors(behavior: &Behavior, level: Where, emit: &mut Emit<'_>) {
    let mut show = |key: &Key| match key.name {
        // The numbers that the C program has for them.
        "downstream_protocol" => emit(key.name, &protocol_number(behavior.downstream_protocol)),
        _ => emit(key.name, &key.value(behavior)),
    };
    // The table has the order in which abbreviations are looked up; here this one comes later.
    let late = Key::find("wait_queue_timeout").filter(|key| key.shown >= level);
    for key in KEYS.iter().filter(|key| key.shown >= level && !key.is_secret()) {
        if late.is_none_or(|late| late.name != key.name) {
            show(key);
        }
        if key.name == "auth_timeout" {
            late.into_iter().for_each(&mut show);
        }
    }
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Ascii => 7,
        Protocol::Binary => 8,
    }
}

fn counters(sum: &Sum, emit: &mut Emit<'_>) {
    sum.counters().for_each(|(name, number)| emit(name, &number));
}

fn commands(sum: &Sum, emit: &mut Emit<'_>) {
    for (kind, name, field, number) in sum.commands() {
        emit(&format!("{kind}_{name}:{field}"), &number);
    }
}

/// The front cache; its size is shown while it is in use.
fn front_cache(cache: &FrontCache, bucket: &BucketConfig, emit: &mut Emit<'_>) {
    let most = if is_cached(bucket) { bucket.behavior.front_cache_max } else { 0 };
    if most > 0 {
        emit("size", &cache.size());
    }
    emit("max", &most);
    emit("oldest_live", &0);
    cache.counters().for_each(|(name, number)| emit(name, &number));
}

/// Whether the C program would have begun a front cache, be there a key for it or not.
fn is_cached(bucket: &BucketConfig) -> bool {
    bucket.behavior.front_cache_lifespan > 0
}

/// Appends `STAT name value`, without a blank at the end if there is no value.
pub fn line(out: &mut String, name: &str, value: &dyn Display) {
    let start = out.len();
    // A String takes everything.
    let _ = write!(out, "STAT {name} {value}");
    // A bar may end in a blank, a missing value does not.
    if out.len() == sum([start, "STAT  ".len(), name.len()]) {
        out.pop();
    }
    out.push_str("\r\n");
}
