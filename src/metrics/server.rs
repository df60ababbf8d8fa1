//! What is counted of a server (06 §16).
//!
//! Each worker has a [`Tally`] of its own for each server that it knows. Only that worker writes; whoever is asked adds up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::latency::{Latencies, Latency};
use crate::sums::sum;

/// Why a connection to a server, or a request at it, came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No TCP connection.
    Unreachable,
    /// Its name is unknown.
    Unresolved,
    /// No connection, or no handshake, in time.
    Late,
    /// It does not accept the user or the bucket.
    Refused,
    /// It has closed a connection that was in use, or that broke.
    Closed,
    /// It did not answer in time, and the connection was closed.
    Silent,
    /// It has answered what does not fit.
    Malformed,
    /// It has not answered an unusual command.
    Unknown,
    /// This machine had no room for a connection.
    Local,
    /// A request was not answered in time.
    Timeout,
}

/// The names of the causes, in order.
pub const CAUSES: [(&str, Cause); Cause::Timeout as usize + 1] = [
    ("connect_failed", Cause::Unreachable),
    ("not_resolved", Cause::Unresolved),
    ("connect_timeout", Cause::Late),
    ("refused", Cause::Refused),
    ("closed", Cause::Closed),
    ("silent", Cause::Silent),
    ("malformed", Cause::Malformed),
    ("unknown_command", Cause::Unknown),
    ("no_room", Cause::Local),
    ("request_timeout", Cause::Timeout),
];

/// A number of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Connections that are open, or being made. Goes up and down.
    Conns,
    /// Of these, those that are being made. Goes up and down.
    Connecting,
    /// Answers that it owes. Goes up and down.
    Unanswered,
    /// Of these, those to requests that were not sent yet. Goes up and down.
    Queued,
    /// Requests, or parts of them, that were to be sent to it, with what moxi itself asks.
    Requests,
    /// Of these, those that moxi itself has asked.
    Own,
    /// Connections that became ready.
    Connects,
    /// Of these, those that took the place of one that was lost.
    Reconnects,
    /// Bytes received from it.
    Read,
    /// Bytes sent to it.
    Written,
}

/// Gauges come first.
const GAUGES: usize = Count::Queued as usize + 1;
const COUNTS: usize = Count::Written as usize + 1;
const NUMBERS: usize = COUNTS + CAUSES.len();

/// What one worker counts of one server.
#[derive(Debug)]
pub struct Tally {
    numbers: [AtomicU64; NUMBERS],
    /// Made with the first connection, so that servers which nobody asks cost nothing.
    latency: OnceLock<Box<Latency>>,
    /// When the last error was, in microseconds since the program started, and behind that its cause; 0: there was none.
    last_error: AtomicU64,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            numbers: std::array::from_fn(|_| AtomicU64::new(0)),
            latency: OnceLock::new(),
            last_error: AtomicU64::new(0),
        }
    }
}

/// How many bits a cause has in [`Tally::last_error`].
const CAUSE_BITS: u32 = 4;

impl Tally {
    #[inline]
    fn change(&self, index: usize, by: u64) {
        if let Some(number) = self.numbers.get(index) {
            // Nobody else writes.
            number.store(number.load(Relaxed).wrapping_add(by), Relaxed);
        }
    }

    /// Counts `by` more.
    #[inline]
    pub fn add(&self, count: Count, by: u64) {
        self.change(count as usize, by);
    }

    /// Counts one less.
    pub fn drop_one(&self, gauge: Count) {
        self.change(gauge as usize, u64::MAX);
    }

    /// A gauge was `from`, as far as the caller is concerned, and is `to`.
    #[inline]
    pub fn shift(&self, gauge: Count, from: u64, to: u64) {
        self.change(gauge as usize, to.wrapping_sub(from));
    }

    /// Counts an error.
    pub fn fail(&self, cause: Cause, now: u64) {
        self.change(sum([COUNTS, cause as usize]), 1);
        self.last_error.store(now.max(1) << CAUSE_BITS | cause as u64, Relaxed);
    }

    /// A connection is begun: times may have to be noted from now on.
    pub fn begin(&self) {
        self.latency.get_or_init(Box::default);
    }

    /// Where the times of its requests are noted.
    pub fn latency(&self) -> Option<&Latency> {
        self.latency.get().map(Box::as_ref)
    }

    /// Forgets what cannot be subtracted.
    pub fn forget_most(&self) {
        self.last_error.store(0, Relaxed);
        if let Some(latency) = self.latency() {
            latency.forget_most();
        }
    }
}

/// What all workers have counted of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSum {
    numbers: [u64; NUMBERS],
    /// The times of its requests.
    pub latencies: Latencies,
    last_error: u64,
}

impl ServerSum {
    /// One worker's, too.
    pub fn add(&mut self, tally: &Tally) {
        for (sum, number) in self.numbers.iter_mut().zip(&tally.numbers) {
            *sum = sum.wrapping_add(number.load(Relaxed));
        }
        if let Some(latency) = tally.latency() {
            self.latencies.add(latency);
        }
        self.last_error = self.last_error.max(tally.last_error.load(Relaxed));
    }

    /// What has come since `base`, at which [`Tally::forget_most`] was called. Gauges are what they are.
    pub fn since(mut self, base: &ServerSum) -> ServerSum {
        for (number, base) in self.numbers.iter_mut().zip(&base.numbers).skip(GAUGES) {
            *number = number.wrapping_sub(*base);
        }
        self.latencies = self.latencies.since(&base.latencies);
        self
    }

    /// One of its numbers; of requests, those of clients.
    pub fn count(&self, count: Count) -> u64 {
        let number = |count: Count| self.numbers.get(count as usize).copied().unwrap_or(0);
        match count {
            Count::Requests => number(count).saturating_sub(number(Count::Own)),
            _ => number(count),
        }
    }

    /// How often it has failed, by cause.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CAUSES.iter().zip(self.numbers.iter().skip(COUNTS)).map(|((name, _), number)| (*name, *number))
    }

    /// The cause of the last error, and when it was, in microseconds since the program started.
    pub fn last_error(&self) -> Option<(&'static str, u64)> {
        let cause = CAUSES.get((self.last_error & ((1 << CAUSE_BITS) - 1)) as usize)?;
        (self.last_error > 0).then_some((cause.0, self.last_error >> CAUSE_BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::latency::{Kind, Phase, Spent};

    #[test]
    fn workers_add_up_and_gauges_stay() {
        let (one, other) = (Tally::default(), Tally::default());
        one.begin();
        one.add(Count::Conns, 2);
        other.add(Count::Conns, 1);
        one.drop_one(Count::Conns);
        one.shift(Count::Queued, 0, 5);
        one.shift(Count::Queued, 5, 3);
        one.add(Count::Requests, 4);
        one.latency().expect("a connection").note(Kind::Get, Spent { queue: 1, server: Some(2) }, 1);
        assert!(other.latency().is_none());
        one.fail(Cause::Closed, 7);
        other.fail(Cause::Timeout, 9);
        let sum = || {
            let mut sum = ServerSum::default();
            [&one, &other].into_iter().for_each(|tally| sum.add(tally));
            sum
        };
        let first = sum().since(&ServerSum::default());
        let counts = [Count::Conns, Count::Queued, Count::Requests].map(|count| first.count(count));
        assert_eq!((counts, first.last_error()), ([2, 3, 4], Some(("request_timeout", 9))));
        assert_eq!(first.latencies.times(None, Phase::Total).count(), 1);
        assert_eq!(first.errors().filter(|(_, number)| *number > 0).count(), 2);
        [&one, &other].into_iter().for_each(Tally::forget_most);
        let base = sum();
        one.add(Count::Requests, 1);
        let since = sum().since(&base);
        let counts = [Count::Conns, Count::Queued, Count::Requests].map(|count| since.count(count));
        assert_eq!((counts, since.last_error()), ([2, 3, 1], None));
        assert!(since.errors().all(|(_, number)| number == 0));
    }

    #[test]
    fn names_stand_at_the_place_of_their_cause() {
        assert!(CAUSES.iter().enumerate().all(|(place, (_, cause))| *cause as usize == place));
        assert!(CAUSES.len() <= 1 << CAUSE_BITS);
    }
}
