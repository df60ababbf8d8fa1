//! How long to wait before the URLs are tried again.
//!
//! The C program asked once a second, whatever had happened. Of a thousand proxies before a cluster manager that is
//! down, each is to ask less and less often, and not all of them at once when it is back.

use std::time::Duration;

/// The pauses of one agent. The clock is the caller's, and so is the source of what looks like chance.
#[derive(Clone, Debug)]
pub(super) struct Pauses {
    shortest: Duration,
    longest: Duration,
    /// So many passes in a row have found nothing.
    failures: u32,
    /// SplitMix64's state.
    random: u64,
}

impl Pauses {
    /// Pauses between `shortest` and `longest`, which is at least twice as long.
    pub(super) fn new(shortest: Duration, longest: Duration, seed: u64) -> Pauses {
        Pauses { shortest, longest, failures: 0, random: seed }
    }

    /// After a response that was of use and has ended well: whoever serves single documents is asked regularly.
    pub(super) fn after_documents(&mut self) -> Duration {
        self.failures = 0;
        self.shortest
    }

    /// After a stream that has brought documents and was then lost: many others have lost theirs at the same moment.
    pub(super) fn after_loss(&mut self) -> Duration {
        self.failures = 0;
        self.after_nothing()
    }

    /// After a pass without any document: twice as long as the time before on average, up to the longest.
    pub(super) fn after_nothing(&mut self) -> Duration {
        let doubled = self.shortest.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let least = doubled.min(self.longest.checked_div(2).unwrap_or_default());
        least.saturating_add(least.mul_f64(self.fraction())).min(self.longest)
    }

    /// The next number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) as f64 / u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);

    fn pauses(seed: u64) -> Pauses {
        Pauses::new(SECOND, LONGEST, seed)
    }

    fn seconds(pauses: &mut Pauses, count: usize) -> Vec<f64> {
        (0..count).map(|_| pauses.after_nothing().as_secs_f64()).collect()
    }

    #[test]
    fn they_grow_up_to_a_limit() {
        for seed in [0, 1, 7, u64::MAX, 0x1234_5678_9abc_def0] {
            let got = seconds(&mut pauses(seed), 100);
            for (got, least) in got.iter().zip([1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0].into_iter().chain([15.0; 93])) {
                assert!((least..=2.0 * least).contains(got), "{got} s, at least {least} s");
            }
        }
    }

    #[test]
    fn they_begin_anew_with_a_document() {
        let mut pauses = pauses(3);
        seconds(&mut pauses, 9);
        assert_eq!(pauses.after_documents(), SECOND);
        assert_eq!(pauses.after_documents(), SECOND, "who is polled is polled regularly");
        assert!(pauses.after_nothing() <= 2 * SECOND);
        seconds(&mut pauses, 9);
        let after = pauses.after_loss();
        assert!(SECOND < after && after <= 2 * SECOND, "{after:?}");
        assert!(pauses.after_nothing() >= 2 * SECOND);
    }

    /// The proxies of a site do not come back all at once, and a test sees the same pauses each time.
    #[test]
    fn they_differ_by_their_seeds() {
        let firsts: Vec<f64> = (0..1000).map(|seed| pauses(seed).after_loss().as_secs_f64()).collect();
        for tenth in 0..10 {
            let range = 1.0 + f64::from(tenth) / 10.0..1.1 + f64::from(tenth) / 10.0;
            let count = firsts.iter().filter(|first| range.contains(first)).count();
            assert!((60..140).contains(&count), "{count} of 1000 in {range:?}");
        }
        assert_eq!(seconds(&mut pauses(5), 20), seconds(&mut pauses(5), 20));
        assert_ne!(seconds(&mut pauses(5), 20), seconds(&mut pauses(6), 20));
    }

    #[test]
    fn no_limits_overflow() {
        let mut pauses = Pauses::new(SECOND, Duration::MAX, 1);
        pauses.failures = 31;
        assert!(pauses.after_nothing() < Duration::MAX);
        pauses.failures = u32::MAX;
        pauses.after_nothing();
    }
}
