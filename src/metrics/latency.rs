//! How long requests take, and where (06 §15): log-linear histograms of fixed size.
//!
//! Each worker has [`Latency`] of its own for each bucket and for each server that it is connected to. Only that worker
//! writes, as in [`super::counter`]; whoever is asked adds up bin by bin, so that what is merged is exact.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::sums::sum;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Commands that give values.
    Get,
    /// Storage commands.
    Set,
    /// All others.
    Other,
}

impl Kind {
    /// All, in order.
    pub const ALL: [Kind; 3] = [Kind::Get, Kind::Set, Kind::Other];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Get => "get",
            Kind::Set => "set",
            Kind::Other => "other",
        }
    }
}

/// Of what the time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The whole request.
    Total,
    /// Until it was sent.
    Queue,
    /// From there on.
    Server,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Phase; 3] = [Phase::Total, Phase::Queue, Phase::Server];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Total => "total",
            Phase::Queue => "queue",
            Phase::Server => "server",
        }
    }
}

/// Each power of two is divided into so many bins, equally wide; below the first such power they are as wide as can be told.
const PARTS: usize = 16;
const PARTS_LOG: u32 = PARTS.ilog2();
/// What takes so many microseconds or longer, 67 seconds, is in the last bin.
const END: u64 = 1 << 26;
/// How many bins there are.
pub const BINS: usize = PARTS * (END.ilog2() - PARTS_LOG + 1) as usize;

/// The bin of so many microseconds.
#[inline]
#[expect(clippy::arithmetic_side_effects, reason = "below END there are PARTS bins for each shift, BINS in all")]
fn bin_of(micros: u64) -> usize {
    let micros = micros.min(END - 1);
    let shift = (micros | PARTS as u64).ilog2() - PARTS_LOG;
    PARTS * shift as usize + (micros >> shift) as usize
}

/// Where bin `bin` ends, in microseconds: what is in it took less.
pub fn end_of(bin: usize) -> u64 {
    let shift = (bin / PARTS).saturating_sub(1);
    let part = if bin < PARTS { bin } else { sum([bin % PARTS, PARTS]) };
    (part as u64).saturating_add(1) << shift
}

/// The numbers of a histogram that one thread writes.
#[derive(Debug)]
struct Bins([AtomicU64; BINS]);

impl Default for Bins {
    fn default() -> Bins {
        Bins(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Bins {
    #[inline]
    fn count(&self, micros: u64, by: u64) {
        if let Some(number) = self.0.get(bin_of(micros)) {
            grow(number, by);
        }
    }

    fn add_to(&self, bins: &mut [u64]) -> u64 {
        let mut count = 0u64;
        for (sum, number) in bins.iter_mut().zip(&self.0) {
            let number = number.load(Relaxed);
            *sum = sum.wrapping_add(number);
            count = count.wrapping_add(number);
        }
        count
    }
}

/// Nobody else writes.
#[inline]
fn grow(number: &AtomicU64, by: u64) {
    number.store(number.load(Relaxed).wrapping_add(by), Relaxed);
}

/// Except who sets it back to zero.
#[inline]
fn raise(most: &AtomicU64, to: u64) {
    if to > most.load(Relaxed) {
        most.store(to, Relaxed);
    }
}

/// The times of one kind of requests.
#[derive(Debug, Default)]
struct Times {
    /// Those that were sent at once, which is the rule: the server's time is all of it.
    direct: Bins,
    /// Those of the others.
    phases: [Bins; Phase::ALL.len()],
    queue_sum: AtomicU64,
    server_sum: AtomicU64,
    direct_most: AtomicU64,
    most: [AtomicU64; Phase::ALL.len()],
}

/// The time of a request, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// In queues.
    pub queue: u64,
    /// And then at its server; `None`: it was not sent.
    pub server: Option<u64>,
}

/// What one worker has noted of a bucket's, or of a server's requests.
#[derive(Debug, Default)]
pub struct Latency {
    kinds: [Times; Kind::ALL.len()],
}

impl Latency {
    /// So many requests were answered, or given up, each after this time.
    pub fn note(&self, kind: Kind, spent: Spent, count: u64) {
        let times = self.times(kind);
        match spent {
            Spent { queue: 0, server: Some(server) } => {
                times.direct.count(server, count);
                grow(&times.server_sum, server.wrapping_mul(count));
                raise(&times.direct_most, server);
            }
            _ => times.note(spent, count),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "there is one for each kind")]
    fn times(&self, kind: Kind) -> &Times {
        &self.kinds[kind as usize]
    }

    /// Forgets the largest times. Whoever writes at the same moment may be just before it or just behind it.
    pub fn forget_most(&self) {
        for times in &self.kinds {
            times.most.iter().chain([&times.direct_most]).for_each(|most| most.store(0, Relaxed));
        }
    }
}

impl Times {
    fn note(&self, Spent { queue, server }: Spent, count: u64) {
        let [total_most, queue_most, server_most] = &self.most;
        let [total_bins, queue_bins, server_bins] = &self.phases;
        let total = queue.wrapping_add(server.unwrap_or(0));
        total_bins.count(total, count);
        raise(total_most, total);
        queue_bins.count(queue, count);
        raise(queue_most, queue);
        grow(&self.queue_sum, queue.wrapping_mul(count));
        if let Some(server) = server {
            server_bins.count(server, count);
            raise(server_most, server);
            grow(&self.server_sum, server.wrapping_mul(count));
        }
    }
}

/// The times of one phase, of all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bins: Box<[u64]>,
    sum: u64,
    most: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { bins: vec![0; BINS].into(), sum: 0, most: 0 }
    }
}

impl Histogram {
    /// How many requests there are in each bin.
    pub fn bins(&self) -> &[u64] {
        &self.bins
    }

    /// How many requests there are.
    pub fn count(&self) -> u64 {
        self.bins.iter().fold(0, |count, bin| count.wrapping_add(*bin))
    }

    /// The time of all together, in microseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The longest time, in microseconds.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// The time that so many of a thousand requests do not exceed, in microseconds: the largest of its bin, which is at
    /// most 1/16 more than the time itself. 0 without any request.
    pub fn permille(&self, share: u64) -> u64 {
        let count = u128::from(self.count());
        let rank = count.saturating_mul(share.into()).div_ceil(1000).max(1);
        let mut below = 0u128;
        for (bin, number) in self.bins.iter().enumerate() {
            below = below.saturating_add((*number).into());
            if below >= rank {
                let is_last = bin == BINS - 1;
                return if is_last { self.most } else { self.most.min(end_of(bin).saturating_sub(1)) };
            }
        }
        0
    }

    fn merge(&mut self, other: &Histogram) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.most = self.most.max(other.most);
        for (sum, bin) in self.bins.iter_mut().zip(&other.bins) {
            *sum = sum.wrapping_add(*bin);
        }
    }

    /// What has come since `base`; the largest was forgotten then.
    fn since(&mut self, base: &Histogram) {
        self.sum = self.sum.wrapping_sub(base.sum);
        for (number, base) in self.bins.iter_mut().zip(&base.bins) {
            *number = number.wrapping_sub(*base);
        }
    }
}

/// What all workers have noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    kinds: [[Histogram; Phase::ALL.len()]; Kind::ALL.len()],
}

impl Latencies {
    /// Of these workers.
    pub fn of<'a>(workers: impl Iterator<Item = &'a Latency>) -> Latencies {
        let mut all = Latencies::default();
        workers.for_each(|worker| all.add(worker));
        all
    }

    /// One worker's, too.
    pub fn add(&mut self, worker: &Latency) {
        for (phases, times) in self.kinds.iter_mut().zip(&worker.kinds) {
            let [total, queue, server] = phases;
            times.direct.add_to(&mut total.bins);
            let direct = times.direct.add_to(&mut server.bins);
            if let Some(none) = queue.bins.first_mut() {
                *none = none.wrapping_add(direct);
            }
            queue.sum = queue.sum.wrapping_add(times.queue_sum.load(Relaxed));
            server.sum = server.sum.wrapping_add(times.server_sum.load(Relaxed));
            total.sum = queue.sum.wrapping_add(server.sum);
            let direct_most = times.direct_most.load(Relaxed);
            for phase in [&mut *total, &mut *server] {
                phase.most = phase.most.max(direct_most);
            }
            for ((phase, bins), most) in [total, queue, server].into_iter().zip(&times.phases).zip(&times.most) {
                bins.add_to(&mut phase.bins);
                phase.most = phase.most.max(most.load(Relaxed));
            }
        }
    }

    /// What has come since `base`, at which [`Latency::forget_most`] was called.
    pub fn since(mut self, base: &Latencies) -> Latencies {
        for (phases, base) in self.kinds.iter_mut().zip(&base.kinds) {
            phases.iter_mut().zip(base).for_each(|(phase, base)| phase.since(base));
        }
        self
    }

    /// The same of others, too.
    pub fn merge(&mut self, other: &Latencies) {
        for (phases, others) in self.kinds.iter_mut().zip(&other.kinds) {
            phases.iter_mut().zip(others).for_each(|(phase, other)| phase.merge(other));
        }
    }

    /// The times of a kind of requests, or of all.
    pub fn times(&self, kind: Option<Kind>, phase: Phase) -> Histogram {
        let mut found = Histogram::default();
        let kinds = self.kinds.iter().zip(Kind::ALL).filter(|(_, own)| kind.is_none_or(|kind| kind == *own));
        kinds.filter_map(|(phases, _)| phases.get(phase as usize)).for_each(|times| found.merge(times));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(queue: u64, server: Option<u64>) -> Spent {
        Spent { queue, server }
    }

    #[test]
    fn bins_follow_each_other() {
        let mut start = 0;
        for bin in 0..BINS {
            let end = end_of(bin);
            assert_eq!((bin_of(start), bin_of(end - 1)), (bin, bin));
            assert!(end - start <= (start / 16).max(1), "{bin}");
            start = end;
        }
        assert_eq!(start, END);
        assert_eq!((bin_of(END), bin_of(u64::MAX)), (BINS - 1, BINS - 1));
    }

    #[test]
    fn parts_add_up_and_workers_are_merged() {
        let (one, other) = (Latency::default(), Latency::default());
        one.note(Kind::Get, spent(0, Some(10)), 1);
        one.note(Kind::Get, spent(5, Some(10)), 1);
        other.note(Kind::Get, spent(0, Some(12)), 1);
        other.note(Kind::Get, spent(100, None), 1);
        other.note(Kind::Set, spent(0, Some(90_000_000)), 1);
        let all = Latencies::of([&one, &other].into_iter());
        let [total, queue, server] =
            [Phase::Total, Phase::Queue, Phase::Server].map(|phase| all.times(Some(Kind::Get), phase));
        assert_eq!([&total, &queue, &server].map(Histogram::count), [4, 4, 3]);
        assert_eq!([&total, &queue, &server].map(Histogram::sum), [137, 105, 32]);
        assert_eq!([&total, &queue, &server].map(Histogram::most), [100, 100, 12]);
        assert_eq!([0, 250, 500, 750, 1000].map(|share| total.permille(share)), [10, 10, 12, 15, 100]);
        assert_eq!([500, 750, 751].map(|share| queue.permille(share)), [0, 5, 100]);
        assert_eq!(all.times(Some(Kind::Set), Phase::Server).permille(500), 90_000_000);
        assert_eq!(all.times(None, Phase::Total).count(), 5);
        assert_eq!(all.times(Some(Kind::Other), Phase::Total), Histogram::default());
        assert_eq!(Histogram::default().permille(999), 0);
    }

    #[test]
    fn a_percentile_is_at_most_a_sixteenth_too_large() {
        let latency = Latency::default();
        (1..=10_000).for_each(|micros| latency.note(Kind::Other, spent(micros, None), 1));
        let times = Latencies::of([&latency].into_iter()).times(Some(Kind::Other), Phase::Total);
        for (share, exact) in [(1, 10), (500, 5000), (900, 9000), (990, 9900), (999, 9990), (1000, 10_000)] {
            let found = times.permille(share);
            assert!(found >= exact && found <= exact + exact / 16, "{share}: {found}");
        }
    }

    #[test]
    fn what_came_before_a_reset_is_forgotten() {
        let latency = Latency::default();
        latency.note(Kind::Get, spent(0, Some(500)), 1);
        latency.note(Kind::Get, spent(7, None), 1);
        latency.forget_most();
        let base = Latencies::of([&latency].into_iter());
        latency.note(Kind::Get, spent(0, Some(3)), 1);
        let since = Latencies::of([&latency].into_iter()).since(&base);
        let times = since.times(Some(Kind::Get), Phase::Total);
        assert_eq!((times.count(), times.sum(), times.most(), times.permille(999)), (1, 3, 3, 3));
        let mut twice = since.clone();
        twice.merge(&since);
        assert_eq!(twice.times(None, Phase::Total).count(), 2);
    }
}
