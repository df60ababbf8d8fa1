//! The map in the body of a refusal: newer servers send the cluster's, as the cluster manager has it in its documents.
//!
//! It counts only as far as it speaks of servers that the bucket has: others come with the next document.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::config::document::{Document, first_value};
use crate::config::snapshot::{BucketConfig, Revision};
use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;

/// What a server has said, kept because it says so with every refusal.
#[derive(Debug)]
pub(crate) struct Told {
    /// Who has said it: a body may speak of its sender without a name.
    host: HostId,
    /// Of the body's bytes, and their number.
    digest: (u64, usize),
    map: Option<Map>,
}

/// A map, as far as it is of use to a bucket.
#[derive(Debug, PartialEq, Eq)]
struct Map {
    revision: Revision,
    /// By vbucket: index into the bucket's servers.
    masters: Vec<Option<usize>>,
}

impl Told {
    /// The master of `vbucket`.
    pub(in crate::proxy) fn master(&self, vbucket: u16) -> Option<usize> {
        *self.map.as_ref()?.masters.get(usize::from(vbucket))?
    }
}

impl Engine {
    /// What `host` has told of `bucket` in the body of a refusal. A map that is newer than what is known is learned
    /// as a whole.
    pub(in crate::proxy) fn told(&mut self, bucket: usize, host: HostId, body: &[u8]) -> Option<&Told> {
        if body.first() != Some(&b'{') {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let digest = (hasher.finish(), body.len());
        let sender = &self.downstream.server(host)?.host;
        let bucket = &mut self.buckets[bucket];
        if !bucket.told.as_ref().is_some_and(|told| told.digest == digest && told.host == host) {
            let map = Map::parse(body, sender, &bucket.config);
            if let Some(Map { revision, masters }) = &map {
                bucket.config.learned.learn_map(*revision, masters);
            }
            bucket.told = Some(Told { host, digest, map });
        }
        bucket.told.as_ref()
    }
}

impl Map {
    /// `sender` is the host of the server that has sent `body`. `None`: it is no map for `bucket`.
    fn parse(body: &[u8], sender: &str, bucket: &BucketConfig) -> Option<Map> {
        let document = Document::vbucket(&first_value(std::str::from_utf8(body).ok()?).ok()?, sender).ok()?;
        let map = document.router.vbucket_map()?;
        if map.vbuckets() != bucket.router.vbucket_map()?.vbuckets() {
            return None;
        }
        let index_of =
            |host: &str, port| bucket.servers.iter().position(|server| server.port == port && server.host == host);
        let indexes: Vec<_> = document.servers.iter().map(|server| index_of(&server.host, server.port)).collect();
        let masters = (0..map.vbuckets()).map(|vbucket| {
            let master = map.master(u16::try_from(vbucket).ok()?)?;
            *indexes.get(master)?
        });
        Some(Map { revision: document.revision, masters: masters.collect() })
    }
}
