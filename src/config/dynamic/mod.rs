//! From one configuration and a document to the next configuration (05 §5, §7, §8).
//!
//! Everything here is pure: [`apply`] takes what is in force and gives what is to be in force. What a document
//! cannot say does no harm: a bucket whose document is refused stays as it is, and only buckets that are absent from
//! a well-formed document are shut down. (The C program shut down whatever a document did not configure, 05 §5.8.)

mod bucket;
mod text;

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::behavior::{Behavior, FIRST_BUCKET};
use super::document::{DocumentError, first_value, member, string};
use super::error::ConfigError;
use super::masking;
use super::snapshot::{BucketConfig, Config, DefaultBucket, Dynamic, Tally};

/// Name of the bucket of those who have not authenticated (05 §8.1).
pub const NULL_BUCKET: &str = "[ <NULL_BUCKET> ]";
/// Name of a bucket whose document has none.
const DEFAULT_NAME: &str = "default";

/// A document, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Index of the agent that fetched it.
    pub agent: usize,
    /// Its URL as it may be shown, without credentials.
    pub url: &'a str,
    /// The host of that URL, for `$HOST` (05 §5.6).
    pub host: &'a str,
}

/// What a document leads to.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What is to be in force now. Without any change its buckets are the same `Arc`s as before.
    pub config: Config,
    /// Lines for the log at any verbosity, without secrets.
    pub log: Vec<String>,
}

/// What is in force before the first document: the null bucket, unless new clients start in the first bucket.
///
/// # Errors
/// When `port_listen` is no port.
pub fn initial(behavior: &Arc<Behavior>) -> Result<Config, ConfigError> {
    let bad_port = ConfigError::PortListen { port: behavior.port_listen };
    let port = u16::try_from(behavior.port_listen).ok().filter(|&port| port != 0).ok_or(bad_port)?;
    let name = &behavior.default_bucket_name;
    let is_first = name == FIRST_BUCKET;
    let default_bucket = if is_first { DefaultBucket::First } else { DefaultBucket::Named(name.clone()) };
    let null = (!is_first)
        .then(|| Arc::new(BucketConfig::without_servers(NULL_BUCKET.to_owned(), None, port, behavior, true)));
    Ok(Config {
        buckets: null.into_iter().collect(),
        dynamic: Some(Dynamic { port, default_bucket, behavior: Arc::clone(behavior) }),
        ..Config::default()
    })
}

/// The configuration after a response ended without a document: the same, and one failure more (05 §5.8).
pub fn apply_empty(current: &Config) -> Config {
    let mut config = current.clone();
    Tally::count(&mut config.tally.configs);
    Tally::count(&mut config.tally.config_fails);
    config
}

/// The configuration after `document`. `behavior` is what `-Z` says.
///
/// # Errors
/// When the document is not JSON. Nothing is to be changed then.
pub fn apply(
    current: &Config,
    document: &str,
    source: Source<'_>,
    behavior: &Arc<Behavior>,
) -> Result<Applied, DocumentError> {
    let value = first_value(document)?;
    let mut next = Next::new(current, source, behavior);
    match member(&value, "buckets").and_then(Value::as_array) {
        Some(list) => next.list(list),
        None => {
            let is_good = next.bucket(&value, || masking::shown(document));
            // Whatever it is, it is no document that lists the buckets there are.
            next.is_complete = is_good;
        }
    }
    Ok(next.finish())
}

/// The next configuration in the making.
struct Next<'a> {
    config: Config,
    source: Source<'a>,
    behavior: &'a Arc<Behavior>,
    version: u64,
    /// Indexes of the buckets that the document has named.
    named: HashSet<usize>,
    /// Whether buckets that it does not name are gone.
    is_complete: bool,
    log: Vec<String>,
    /// What is in force.
    current: &'a Config,
}

impl<'a> Next<'a> {
    fn new(current: &'a Config, source: Source<'a>, behavior: &'a Arc<Behavior>) -> Next<'a> {
        let mut config = current.clone();
        Tally::count(&mut config.tally.configs);
        config.versions.resize(config.buckets.len(), 0);
        let version = config.versions.iter().max().map_or(1, |highest| highest.saturating_add(1));
        Next { config, source, behavior, version, named: HashSet::new(), is_complete: true, log: Vec::new(), current }
    }

    /// A list of bucket documents: the default bucket first, because new clients may start in the first one.
    fn list(&mut self, list: &[Value]) {
        self.is_complete = list.iter().all(Value::is_object);
        let (default, others): (Vec<&Value>, Vec<&Value>) =
            list.iter().filter(|element| element.is_object()).partition(|element| name(element) == DEFAULT_NAME);
        for element in default.into_iter().chain(others) {
            self.bucket(element, || masking::shown(&text::element(element)));
        }
    }

    /// One bucket document; `text` is what statistics show of it. Whether it was of use.
    fn bucket(&mut self, document: &Value, text: impl FnOnce() -> String) -> bool {
        let name = name(document);
        let place = self.place(name);
        if place.is_some_and(|index| !self.named.insert(index)) {
            self.log.push(format!("WARNING: bucket {name:?} is there twice, the last one counts, from {}", self.url()));
        }
        let plan = bucket::Plan { name, source: self.source, port: self.port(), base: self.behavior };
        match bucket::build(document, &plan, text) {
            Ok(bucket) => {
                let index = self.put(place, bucket);
                self.named.insert(index);
                true
            }
            Err(error) => {
                self.log.push(format!("ERROR: bad JSON configuration from {}: {error}", self.url()));
                Tally::count(&mut self.config.tally.config_fails);
                false
            }
        }
    }

    fn put(&mut self, place: Option<usize>, bucket: BucketConfig) -> usize {
        let (buckets, tally) = (&mut self.config.buckets, &mut self.config.tally);
        let Some((index, slot)) = place.and_then(|index| Some((index, buckets.get_mut(index)?))) else {
            Tally::count(&mut tally.starts);
            let index = buckets.len();
            buckets.push(Arc::new(bucket));
            self.config.versions.push(self.version);
            return index;
        };
        Tally::count(&mut tally.existings);
        if !slot.is_same(&bucket) {
            *slot = Arc::new(bucket);
        }
        if let Some(version) = self.config.versions.get_mut(index) {
            *version = self.version;
        }
        index
    }

    fn finish(mut self) -> Applied {
        let agent = Some(self.source.agent);
        let places = self.config.buckets.iter_mut().zip(&mut self.config.versions).enumerate();
        for (index, (bucket, version)) in places {
            if self.is_complete && bucket.agent == agent && bucket.is_live() && !self.named.contains(&index) {
                *bucket = Arc::new(bucket.shut_down());
                *version = self.version;
                Tally::count(&mut self.config.tally.shutdowns);
            }
        }
        // A bucket that the document has twice became the first of these before it became the last again.
        for (bucket, current) in self.config.buckets.iter_mut().zip(&self.current.buckets) {
            if bucket.is_same(current) {
                *bucket = Arc::clone(current);
            }
        }
        Applied { config: self.config, log: self.log }
    }

    /// Where the bucket called `name` is, dead or alive.
    fn place(&self, name: &str) -> Option<usize> {
        let agent = Some(self.source.agent);
        self.config.buckets.iter().position(|bucket| bucket.agent == agent && bucket.name == name)
    }

    fn port(&self) -> u16 {
        self.config.dynamic.as_ref().map_or(0, |dynamic| dynamic.port)
    }

    fn url(&self) -> &'a str {
        self.source.url
    }
}

fn name(document: &Value) -> &str {
    string(document, "name").unwrap_or(DEFAULT_NAME)
}

#[cfg(test)]
mod tests;
