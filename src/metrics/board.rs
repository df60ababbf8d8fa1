//! What all workers count, in one place.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::at;
use super::counter::{Counters, Sum};
use super::latency::Latencies;
use crate::sums::Count as _;

/// Bytes on the sockets of one worker, and its turns cut short. Only that worker writes.
#[derive(Debug, Default)]
pub struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
    yields: AtomicU64,
}

impl Traffic {
    /// Bytes were received.
    pub fn count_read(&self, bytes: usize) {
        grow(&self.read, bytes as u64);
    }

    /// Bytes were sent.
    pub fn count_written(&self, bytes: usize) {
        grow(&self.written, bytes as u64);
    }

    /// A client had to let others go first (`-R`).
    pub fn count_yield(&self) {
        grow(&self.yields, 1);
    }
}

fn grow(number: &AtomicU64, by: u64) {
    number.store(number.load(Relaxed).wrapping_add(by), Relaxed);
}

/// What was read and written, and turns cut short, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficSum {
    /// Bytes received from clients and servers.
    pub read: u64,
    /// Bytes sent to them.
    pub written: u64,
    /// `conn_yields`.
    pub yields: u64,
}

/// One bucket's counters.
#[derive(Debug, Default)]
struct Place {
    workers: Vec<Arc<Counters>>,
    /// What they were at the last reset.
    base: Sum,
    /// The same of its times; `None`: there was no reset.
    latency_base: Option<Box<Latencies>>,
}

impl Place {
    fn latencies(&self) -> Latencies {
        Latencies::of(self.workers.iter().map(|worker| worker.latency.as_ref()))
    }
}

/// The workers' counters, and how many sockets clients may come to. Without any worker yet by default.
#[derive(Debug, Default)]
pub struct Board {
    /// By the index of the bucket.
    places: Mutex<Vec<Place>>,
    traffic: Mutex<Vec<Arc<Traffic>>>,
    /// How many sockets lead to the bucket with this index, or, behind the last, to all that documents name.
    listening: Mutex<Vec<(Option<usize>, u64)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// New counters for a worker and the bucket with this index.
    pub fn register(&self, bucket: usize) -> Arc<Counters> {
        let counters = Arc::<Counters>::default();
        at(&mut lock(&self.places), bucket).workers.push(Arc::clone(&counters));
        counters
    }

    /// New byte counters for a worker.
    pub fn register_traffic(&self) -> Arc<Traffic> {
        let traffic = Arc::<Traffic>::default();
        lock(&self.traffic).push(Arc::clone(&traffic));
        traffic
    }

    /// What was counted of a bucket since the last reset.
    pub fn sum(&self, bucket: usize) -> Sum {
        let places = lock(&self.places);
        let Some(place) = places.get(bucket) else { return Sum::default() };
        Sum::of(place.workers.iter().map(Arc::as_ref)).since(&place.base)
    }

    /// How long the requests of a bucket took since the last reset.
    pub fn latencies(&self, bucket: usize) -> Latencies {
        let places = lock(&self.places);
        let Some(place) = places.get(bucket) else { return Latencies::default() };
        match &place.latency_base {
            None => place.latencies(),
            Some(base) => place.latencies().since(base),
        }
    }

    /// Counts from zero again.
    pub fn reset(&self, bucket: usize) {
        if let Some(place) = lock(&self.places).get_mut(bucket) {
            place.base = Sum::of(place.workers.iter().map(Arc::as_ref));
            place.workers.iter().for_each(|worker| worker.reset_most());
            place.workers.iter().for_each(|worker| worker.latency.forget_most());
            place.latency_base = Some(Box::new(place.latencies()));
        }
    }

    /// The bytes of all workers.
    pub fn traffic(&self) -> TrafficSum {
        lock(&self.traffic).iter().fold(TrafficSum::default(), |sum, worker| TrafficSum {
            read: sum.read.wrapping_add(worker.read.load(Relaxed)),
            written: sum.written.wrapping_add(worker.written.load(Relaxed)),
            yields: sum.yields.wrapping_add(worker.yields.load(Relaxed)),
        })
    }

    /// One more socket leads to the bucket with this index; `None`: to those of the cluster.
    pub fn count_listener(&self, bucket: Option<usize>) {
        let mut listening = lock(&self.listening);
        match listening.iter_mut().find(|(known, _)| *known == bucket) {
            Some((_, count)) => count.up(),
            None => listening.push((bucket, 1)),
        }
    }

    /// Counts a socket no more that led to the bucket with this index.
    pub fn forget_listener(&self, bucket: usize) {
        let mut listening = lock(&self.listening);
        if let Some((_, count)) = listening.iter_mut().find(|(known, _)| *known == Some(bucket)) {
            *count = count.saturating_sub(1);
        }
    }

    /// How many sockets lead to the bucket with this index, or to those of the cluster.
    pub fn listening(&self, bucket: Option<usize>) -> u64 {
        lock(&self.listening).iter().find(|(known, _)| *known == bucket).map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::counter::Counter;

    #[test]
    fn a_reset_counts_from_zero_again() {
        let board = Board::default();
        let (one, other) = (board.register(1), board.register(1));
        one.count(Counter::Retry);
        other.count(Counter::Retry);
        let retries =
            |board: &Board| board.sum(1).counters().find(|(name, _)| *name == "tot_retry").map(|found| found.1);
        assert_eq!(retries(&board), Some(2));
        board.reset(1);
        one.count(Counter::Retry);
        assert_eq!(retries(&board), Some(1));
        assert_eq!(board.sum(0), Sum::default());
        assert_eq!(board.sum(9), Sum::default());
    }

    /// Also one that is less than that of before.
    #[test]
    fn a_maximum_is_that_of_what_came_since_the_reset() {
        let board = Board::default();
        let (one, other) = (board.register(0), board.register(0));
        let most = || board.sum(0).counters().find(|(name, _)| *name == "max_downstream_reserved_time").map(|it| it.1);
        one.raise(Counter::MaxReservedTime, 7);
        other.raise(Counter::MaxReservedTime, 9);
        other.raise(Counter::MaxReservedTime, 3);
        assert_eq!(most(), Some(9));
        board.reset(0);
        assert_eq!(most(), Some(0));
        one.raise(Counter::MaxReservedTime, 5);
        assert_eq!(most(), Some(5));
    }

    #[test]
    fn listeners_and_traffic() {
        let board = Board::default();
        board.count_listener(None);
        board.count_listener(Some(0));
        board.count_listener(Some(0));
        board.count_listener(Some(0));
        board.forget_listener(0);
        board.forget_listener(1);
        assert_eq!((board.listening(None), board.listening(Some(0)), board.listening(Some(1))), (1, 2, 0));
        let (one, other) = (board.register_traffic(), board.register_traffic());
        one.count_read(3);
        other.count_read(4);
        other.count_written(1);
        one.count_yield();
        assert_eq!(board.traffic(), TrafficSum { read: 7, written: 1, yields: 1 });
    }
}
