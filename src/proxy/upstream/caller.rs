//! Whose request is at hand, and whom it is for. It is made when a request begins to be looked at, and handed on to all that
//! carry it out.

use std::slice;

use crate::proxy::Engine;
use crate::proxy::bucket::Bucket;
use crate::proxy::downstream::host::HostId;
use crate::proxy::upstream::ClientId;

/// Who asks, and whom.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Caller {
    /// Who.
    pub(in crate::proxy) client: ClientId,
    /// The bucket that serves it.
    pub(in crate::proxy) bucket: usize,
    /// The server that it has named in front of this request (`-X`), instead of those of the bucket.
    pub(in crate::proxy) named: Option<HostId>,
}

impl Bucket {
    /// The servers that the request at hand may go to, by index.
    pub(in crate::proxy) fn servers<'a>(&'a self, caller: &'a Caller) -> &'a [HostId] {
        match &caller.named {
            None => &self.hosts,
            Some(host) => slice::from_ref(host),
        }
    }
}

impl Engine {
    /// The servers that the request at hand may go to, by index.
    pub(in crate::proxy) fn servers<'a>(&'a self, caller: &'a Caller) -> &'a [HostId] {
        self.buckets[caller.bucket].servers(caller)
    }

    /// The server and vbucket of `key` in the request at hand.
    pub(in crate::proxy) fn route_for(&self, caller: &Caller, key: &[u8]) -> (Option<HostId>, u16) {
        match caller.named {
            None => self.route(caller.bucket, key),
            named => (named, 0),
        }
    }
}
