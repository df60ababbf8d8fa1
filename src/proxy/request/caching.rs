//! What requests have to do with the front cache (03 §14.2), and sets that are answered early (03 §14.4).

use std::sync::Arc;

use crate::buffer::{self, Output};
use crate::config::snapshot::BucketConfig;
pub use crate::front_cache::Asked;
use crate::front_cache::{FrontCache, Policy, Value};
use crate::metrics::counter::Counter;
use crate::protocol::ascii::answer;
use crate::protocol::{Protocol, Reply, Store, StoreVerb};
use crate::proxy::Engine;
use crate::proxy::bucket::Bucket;
use crate::proxy::request::{Request, RequestId};
use crate::proxy::timers::Micros;
use crate::proxy::upstream::Caller;
use crate::proxy::upstream::answered::Hit;
use crate::routing::Router;

/// The front cache of a bucket that has one.
#[derive(Debug)]
pub(in crate::proxy) struct Front {
    cache: Arc<FrontCache>,
    policy: Policy,
    /// Gets of a single key are answered from it. (Over binary servers the C program answers only others, and so do
    /// we: who reads a key by itself gets what the server has.)
    has_single: bool,
}

impl Front {
    /// Begins anew for a bucket of this configuration. Where clients name the server, a key can be of any of them, and
    /// nothing is cached.
    pub(in crate::proxy) fn start(cache: Arc<FrontCache>, config: &Arc<BucketConfig>) -> Option<Front> {
        let behavior = &config.behavior;
        let policy = Policy::new(behavior).filter(|_| config.router != Router::Named)?;
        cache.restart(Arc::as_ptr(config).addr(), behavior.front_cache_max);
        let has_single = behavior.downstream_protocol == Protocol::Ascii;
        Some(Front { cache, policy, has_single })
    }

    /// If `key` is one of those that are cached: what to remember until its value comes.
    pub(in crate::proxy) fn ask(&self, key: &[u8]) -> Option<Asked> {
        self.policy.covers(key).then(|| {
            let hash = self.cache.hash(key);
            Asked { hash, stamp: self.cache.stamp(hash) }
        })
    }

    /// Keeps a value that has come from a server.
    pub(in crate::proxy) fn keep(&self, asked: Asked, key: &[u8], flags: u32, data: &[u8], now: Micros) {
        let value = Value { flags, data: Arc::new(data.to_vec()) };
        self.cache.add(&self.policy, asked, key, value, now);
    }
}

/// What comes of a request's answer for the front cache.
#[derive(Debug, Default)]
pub enum Caching {
    /// Nothing.
    #[default]
    None,
    /// Its value may be kept.
    Keep(Asked),
    /// The keys of these hashes change.
    Drop(Vec<u64>),
    /// All keys change.
    DropAll,
}

/// Writes a cached value.
pub(in crate::proxy) fn write_value(out: &mut Output, key: &[u8], value: &Value) {
    answer::value(out, key, value.flags, None, bytes(value));
}

/// A cached value, shared with whoever writes it.
fn bytes(value: &Value) -> buffer::Value<'_> {
    buffer::Value { bytes: &value.data, owner: Some(&value.data) }
}

impl Bucket {
    /// The request was answered, or will not be: what it has changed is changed now.
    pub(in crate::proxy) fn settle_changes(&self, caching: &Caching) {
        let Some(front) = &self.front else { return };
        match caching {
            Caching::None | Caching::Keep(_) => {}
            Caching::Drop(hashes) => hashes.iter().for_each(|hash| front.cache.drop_key(*hash)),
            Caching::DropAll => front.cache.drop_all(),
        }
    }
}

impl Engine {
    /// The value of a key of bucket `bucket`, if it is cached.
    pub(in crate::proxy) fn cached(&self, bucket: usize, key: &[u8], asked: Asked) -> Option<Value> {
        let front = self.buckets[bucket].front.as_ref()?;
        front.cache.get(asked.hash, key, self.now)
    }

    /// A value of the front cache is used once more.
    pub(in crate::proxy) fn count_cached(&self, id: RequestId, value: &Value) {
        let Some(request) = self.flight.requests.must(id) else { return };
        if let Some(front) = &self.buckets[request.bucket].front {
            front.cache.count_hit(value);
        }
    }

    /// Answers the get of a single key from the front cache, or notes that its value is to be kept. `false`: a server
    /// has to be asked.
    pub(in crate::proxy) fn get_cached(&mut self, id: RequestId, bucket: usize, key: &[u8], cas: bool) -> bool {
        let Some(front) = &self.buckets[bucket].front else { return false };
        let Some(asked) = front.ask(key) else { return false };
        let is_served = front.has_single && !cas;
        if let Some(request) = self.flight.requests.must_mut(id) {
            request.caching = Caching::Keep(asked);
        }
        let Some(value) = is_served.then(|| self.cached(bucket, key, asked)).flatten() else { return false };
        let reply = Reply::Value { key, flags: value.flags, cas: None, data: bytes(&value), raw: None };
        self.reply(id, Some(Hit::of(value.data.len())), |out, work| work.answer(out, || reply));
        true
    }

    /// Answers the set of a key that `optimize_set` names before the server has; what the server says is dropped.
    pub(in crate::proxy) fn answer_early(&mut self, caller: &Caller, store: &Store<'_>) -> bool {
        let bucket = &self.buckets[caller.bucket];
        let is_set = store.verb == StoreVerb::Set && store.cas.is_none();
        if bucket.optimize_set.is_empty() || !is_set || !bucket.optimize_set.matches(store.key) {
            return false;
        }
        bucket.counters.count(Counter::OptimizeSets);
        self.local_reply(caller, |out| out.extend_from_slice(answer::STORED));
        true
    }

    /// The value of a single key has come from a server.
    pub(in crate::proxy) fn keep_value(&self, id: RequestId, key: &[u8], flags: u32, data: &[u8]) {
        let Some(Request { caching: Caching::Keep(asked), bucket, .. }) = self.flight.requests.must(id) else { return };
        if let Some(front) = &self.buckets[*bucket].front {
            front.keep(*asked, key, flags, data, self.now);
        }
    }

    /// A request is about to be sent that changes `key`; without a key: all of them.
    pub(in crate::proxy) fn note_change(&mut self, id: RequestId, key: Option<&[u8]>) {
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        let Some(front) = &self.buckets[request.bucket].front else { return };
        let Some(key) = key else {
            request.caching = Caching::DropAll;
            return front.cache.drop_all();
        };
        let Some(Asked { hash, .. }) = front.ask(key) else { return };
        front.cache.drop_key(hash);
        match &mut request.caching {
            Caching::None | Caching::Keep(_) => request.caching = Caching::Drop(vec![hash]),
            Caching::Drop(hashes) => hashes.push(hash),
            Caching::DropAll => {}
        }
    }
}
