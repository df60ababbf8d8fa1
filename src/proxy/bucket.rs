//! A bucket as one worker sees it.

use std::collections::VecDeque;
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
