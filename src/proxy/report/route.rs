//! `stats proxy route KEY` (06 §17).

use super::Report;
use crate::config::snapshot::BucketConfig;
use crate::front_cache::Policy;
use crate::memcached::statistics::Emit;
use crate::routing::Router;

/// What stands where there is nothing.
const NONE: &str = "none";

impl Report<'_> {
    /// Emits where the key of a client of this bucket goes.
    pub(super) fn route(&self, key: &[u8], bucket: &BucketConfig, emit: &mut Emit<'_>) {
        let route = bucket.router.route(key);
        let learned = bucket.learned.master(route.vbucket);
        let target = learned.or(route.server);
        let has_map = bucket.router.vbucket_map().is_some();
        let name = |index: Option<usize>| match index.and_then(|index| bucket.servers.get(index)) {
            Some(server) => server.to_string(),
            None => NONE.to_owned(),
        };
        emit("key", &key.escape_ascii());
        emit("by", &method(&bucket.router));
        match has_map {
            true => emit("vbucket", &route.vbucket),
            false => emit("vbucket", &NONE),
        }
        emit("server", &name(target));
        let standing = |server| self.sources.servers.standing(server).unwrap_or_default().state();
        let server = target.and_then(|index| bucket.servers.get(index));
        emit("server_state", &server.map_or(NONE, |server| standing(server)));
        emit("configured", &name(route.server));
        emit("learned", &name(learned));
        for (number, replica) in replicas(&bucket.router, route.vbucket).enumerate() {
            emit(&format!("replica-{}", number.saturating_add(1)), &name(replica));
        }
        emit("front_cache", &self.cached(key, bucket));
    }

    /// Whether the front cache has the key. There is one for all workers.
    fn cached(&self, key: &[u8], bucket: &BucketConfig) -> &'static str {
        match Policy::new(&bucket.behavior).filter(|_| bucket.router != Router::Named) {
            None => "off",
            Some(policy) if !policy.covers(key) => "excluded",
            Some(_) if self.sources.caches.of(self.bucket).has(key, self.now) => "yes",
            Some(_) => "no",
        }
    }
}

/// How a key finds its server.
fn method(router: &Router) -> &'static str {
    match router {
        Router::Single => "single",
        Router::Named => "client",
        Router::Ketama(_) => "ketama",
        Router::Modula { .. } => "modula",
        Router::Vbucket(_) => "vbucket",
    }
}

/// Where the map has the replicas of a vbucket; `None`: it is nowhere.
fn replicas(router: &Router, vbucket: u16) -> impl Iterator<Item = Option<usize>> {
    router
        .vbucket_map()
        .into_iter()
        .flat_map(move |map| (0..map.replicas()).map(move |number| map.replica(vbucket, number)))
}
