//! A bucket as one worker sees it.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use crate::config::snapshot::BucketConfig;
use crate::front_cache::Matcher;
use crate::metrics::counter::Counters;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::masters::Masters;
use crate::proxy::request::caching::Front;
use crate::proxy::request::refused::Told;
use crate::proxy::upstream::ClientId;
use crate::proxy::watch::Watch;

/// All buckets, by the index that they have in every configuration.
#[derive(Debug, Default)]
pub(super) struct Buckets(Vec<Bucket>);

impl Buckets {
    /// Adds the bucket with the next index.
    pub(super) fn push(&mut self, bucket: Bucket) {
        self.0.push(bucket);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bucket with this index, if there is one already.
    #[inline]
    pub(super) fn find(&self, index: usize) -> Option<&Bucket> {
        self.0.get(index)
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn find_mut(&mut self, index: usize) -> Option<&mut Bucket> {
        self.0.get_mut(index)
    }

    /// All of them, by their index.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.0.iter()
    }

    /// The same, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Bucket> {
        self.0.iter_mut()
    }
}

impl Index<usize> for Buckets {
    type Output = Bucket;

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "an index comes with a configuration that has the bucket, and none is taken out"
    )]
    fn index(&self, index: usize) -> &Bucket {
        &self.0[index]
    }
}

impl IndexMut<usize> for Buckets {
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "as above")]
    fn index_mut(&mut self, index: usize) -> &mut Bucket {
        &mut self.0[index]
    }
}

/// A bucket as one worker sees it.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) config: Arc<BucketConfig>,
    /// What this worker counts of it.
    pub(super) counters: Arc<Counters>,
    /// The server of each index; one server may stand at several.
    pub(super) hosts: Vec<HostId>,
    /// Which vbuckets have moved.
    pub(super) masters: Masters,
    /// How many requests are unanswered, and places kept for admitted ones.
    pub(super) active: u32,
    /// Clients whose next request waits for a place. May name ones that no longer wait.
    pub(super) waiting: VecDeque<ClientId>,
    /// Its front cache, if it is in use.
    pub(super) front: Option<Front>,
    /// What is watched of its keys, if anything is.
    pub(super) watch: Option<Box<Watch>>,
    /// The keys whose sets are answered before the server has answered.
    pub(super) optimize_set: Matcher,
    /// Some have waited too long, and no place has been free since.
    pub(super) is_crowded: bool,
    /// What a server has said last about who has what.
    pub(super) told: Option<Told>,
}

impl Bucket {
    /// Whether nobody waits for the place of a request that ends, and no key has to be dropped from the front cache then.
    #[inline]
    pub(super) fn is_uncrowded(&self) -> bool {
        !self.is_crowded && self.waiting.is_empty() && self.front.is_none()
    }
}
