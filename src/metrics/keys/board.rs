//! The keys of all workers, in one place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Micros;
use super::hot::{Hot, HotKeys, Sketch};
use super::stats::{self, KeyNumbers, KeyStats, Page};
use crate::metrics::at;

/// What the workers watch of one bucket. It is gone when its worker has no use for it any more.
#[derive(Debug)]
struct Place {
    /// Counts resets; the first one is the start.
    epoch: Arc<AtomicU64>,
    sketches: Vec<Weak<Sketch>>,
    pages: Vec<Weak<Page>>,
}

impl Default for Place {
    fn default() -> Place {
        Place { epoch: Arc::new(AtomicU64::new(1)), sketches: Vec::new(), pages: Vec::new() }
    }
}

/// What all workers watch, by the index of the bucket. Nothing by default.
#[derive(Debug, Default)]
pub struct KeyBoard(Mutex<Vec<Place>>);

impl KeyBoard {
    /// A sketch for a worker and the bucket with this index, to show so many keys.
    pub fn hot(&self, bucket: usize, shown: usize) -> Hot {
        let mut places = self.lock();
        let place = at(&mut places, bucket);
        let hot = Hot::new(shown, Arc::clone(&place.epoch));
        place.sketches.retain(|sketch| sketch.strong_count() > 0);
        place.sketches.push(Arc::downgrade(hot.sketch()));
        hot
    }

    /// Numbers for a worker and the keys of the bucket with this index: so many, for so long.
    pub fn stats(&self, bucket: usize, most: u32, lifespan: Micros) -> KeyStats {
        let mut places = self.lock();
        let place = at(&mut places, bucket);
        let stats = KeyStats::new(most, lifespan, Arc::clone(&place.epoch));
        place.pages.retain(|page| page.strong_count() > 0);
        place.pages.push(Arc::downgrade(stats.page()));
        stats
    }

    /// The keys of a bucket that were asked for most; `None`: nobody watches.
    pub fn hot_keys(&self, bucket: usize, shown: usize) -> Option<HotKeys> {
        let (epoch, sketches) = {
            let places = self.lock();
            let place = places.get(bucket)?;
            let sketches: Vec<_> = place.sketches.iter().filter_map(Weak::upgrade).collect();
            (place.epoch.load(Relaxed), sketches)
        };
        (!sketches.is_empty()).then(|| HotKeys::of(sketches.iter().map(Arc::as_ref), epoch, shown))
    }

    /// The numbers of a bucket's keys.
    pub fn key_numbers(&self, bucket: usize, now: Micros) -> BTreeMap<Vec<u8>, KeyNumbers> {
        let (epoch, pages) = {
            let places = self.lock();
            let Some(place) = places.get(bucket) else { return BTreeMap::new() };
            let pages: Vec<_> = place.pages.iter().filter_map(Weak::upgrade).collect();
            (place.epoch.load(Relaxed), pages)
        };
        stats::sum(pages.iter().map(Arc::as_ref), epoch, now)
    }

    /// Forgets what was counted of a bucket's keys.
    pub fn reset(&self, bucket: usize) {
        if let Some(place) = self.lock().get(bucket) {
            place.epoch.fetch_add(1, Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::counter::{Command, Field};

    #[test]
    fn buckets_have_their_own_keys_until_their_workers_leave() {
        let board = KeyBoard::default();
        assert_eq!(board.hot_keys(1, 5), None);
        let (mut one, mut other) = (board.hot(1, 5), board.hot(1, 5));
        one.count(b"a");
        other.count(b"a");
        let requests = |board: &KeyBoard, bucket| {
            board.hot_keys(bucket, 5).map(|found| found.keys.iter().map(|key| key.requests).sum::<u64>())
        };
        assert_eq!((requests(&board, 0), requests(&board, 1)), (None, Some(2)));
        board.reset(1);
        assert_eq!(requests(&board, 1), Some(0));
        one.count(b"a");
        assert_eq!(requests(&board, 1), Some(1));
        drop((one, other));
        assert_eq!(requests(&board, 1), None);
    }

    #[test]
    fn numbers_are_found_and_set_back() {
        let board = KeyBoard::default();
        let mut stats = board.stats(2, 10, 100);
        let tracked = stats.track(b"k", 5);
        stats.add(tracked, false, Command::Set, Field::Seen, 1);
        assert_eq!(board.key_numbers(2, 5).len(), 1);
        assert_eq!(board.key_numbers(9, 5).len(), 0);
        board.reset(2);
        board.reset(9);
        assert_eq!(board.key_numbers(2, 5).len(), 0);
    }
}
