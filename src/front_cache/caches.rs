//! The front caches of all buckets, for all workers.

use std::sync::{Arc, Mutex};

use super::{FrontCache, lock};
use crate::sums::sum;

/// A front cache for each bucket; most are never begun.
#[derive(Debug, Default)]
pub struct Caches(Mutex<Vec<Arc<FrontCache>>>);

impl Caches {
    /// That of the bucket with this index.
    pub fn of(&self, bucket: usize) -> Arc<FrontCache> {
        let mut caches = lock(&self.0);
        if caches.len() <= bucket {
            caches.resize_with(sum([bucket, 1]), Arc::default);
        }
        caches.get(bucket).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_the_same_one_for_every_worker() {
        let caches = Caches::default();
        let third = caches.of(2);
        assert!(Arc::ptr_eq(&third, &caches.of(2)));
        assert!(!Arc::ptr_eq(&third, &caches.of(0)) && !Arc::ptr_eq(&caches.of(0), &caches.of(1)));
    }
}
