//! Who is the master of which vbucket, as one worker sees it: what all workers have learned, taken over at points where
//! the worker can bear a change.
//!
//! A client's requests for one key must be carried out in their order. On one connection they are; on two they might
//! not be. So what a client sends while it has unanswered requests goes by the view that these went by: after a change,
//! its next request waits until all before it are answered (`pump`).

use crate::config::snapshot::Learned;

use crate::proxy::Engine;
use crate::sums::Count as _;

/// Counts the changes of a bucket's view: which servers have which keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View(u64);

/// The masters that were learned.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Masters {
    view: View,
    /// What it is a copy of.
    changes: u64,
    copy: Vec<Option<u16>>,
}

impl Masters {
    /// The first view, or another: there is a new configuration.
    pub(in crate::proxy) fn begin(&mut self, learned: &Learned) {
        self.view.0.up();
        self.changes = learned.copy_to(&mut self.copy);
    }

    /// Takes over what has been learned since.
    pub(in crate::proxy) fn update(&mut self, learned: &Learned) {
        if learned.changes() != self.changes {
            self.begin(learned);
        }
    }

    pub(in crate::proxy) fn view(&self) -> View {
        self.view
    }

    /// The master of `vbucket`, if one was learned: an index into the bucket's servers.
    pub(in crate::proxy) fn learned(&self, vbucket: u16) -> Option<usize> {
        self.copy.get(usize::from(vbucket)).copied().flatten().map(usize::from)
    }
}

impl Engine {
    /// The view of bucket `bucket`, now.
    pub(in crate::proxy) fn view(&mut self, bucket: usize) -> View {
        let bucket = &mut self.buckets[bucket];
        bucket.masters.update(&bucket.config.learned);
        bucket.masters.view()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::Revision;
    use crate::routing::Router;
    use crate::routing::vbucket::VbucketMap;

    #[test]
    fn what_is_learned_is_seen_with_another_view() {
        let map = VbucketMap::new(0, 3, vec![0, 1, 2, 0], None).expect("a map");
        let learned = Learned::nothing(&Router::Vbucket(map), Revision::default());
        let mut masters = Masters::default();
        masters.begin(&learned);
        let first = masters.view();
        masters.update(&learned);
        assert_eq!((masters.view(), masters.learned(1)), (first, None));
        learned.learn(1, 2);
        assert_eq!(masters.learned(1), None);
        masters.update(&learned);
        assert_eq!(masters.learned(1), Some(2));
        let second = masters.view();
        assert_ne!(second, first);
        // What was known already is no change.
        learned.learn(1, 2);
        masters.update(&learned);
        assert_eq!(masters.view(), second);
    }
}
