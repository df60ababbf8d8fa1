//! Two samples to rates.

use std::collections::BTreeMap;

use super::sample::Sample;

/// What has changed from one sample to the next. What cannot be told is `None`.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    before: Option<&'a Sample>,
    /// The later one.
    pub now: &'a Sample,
}

impl<'a> Change<'a> {
    /// Without an earlier sample, or with one of another process, there are no rates.
    pub fn new(before: Option<&'a Sample>, now: &'a Sample) -> Change<'a> {
        let is_same = |before: &&Sample| {
            let [pid, uptime] = ["memcached:stats:pid", "memcached:stats:uptime"].map(|name| {
                let of = |sample: &Sample| sample.number(name);
                of(before).zip(of(now))
            });
            pid.is_none_or(|(before, now)| before == now) && uptime.is_none_or(|(before, now)| before <= now)
        };
        Change { before: before.filter(is_same), now }
    }

    /// How much the counter has gone up. One that is below what it was was set back in between: what it has counted since
    /// is all that is known.
    pub fn increase(&self, name: &str) -> Option<u64> {
        let (before, now) = (self.before?.number(name)?, self.now.number(name)?);
        Some(now.checked_sub(before).unwrap_or(now))
    }

    /// The same per second.
    pub fn rate(&self, name: &str) -> Option<f64> {
        self.per_second(self.increase(name)? as f64)
    }

    /// The sum of several counters' rates, of those that there are.
    pub fn sum_rate<I: AsRef<str>>(&self, names: impl IntoIterator<Item = I>) -> Option<f64> {
        sum(names.into_iter().map(|name| self.rate(name.as_ref())))
    }

    /// The seconds of processor time per second.
    pub fn processors(&self) -> Option<f64> {
        let used = |sample: &Sample| {
            let [user, system] = ["memcached:stats:rusage_user", "memcached:stats:rusage_system"];
            Some(sample.decimal(user)? + sample.decimal(system)?)
        };
        self.per_second(used(self.now)? - used(self.before?)?).filter(|used| *used >= 0.0)
    }

    /// The microseconds below which this share of the samples in between is, by the bins of the histogram; none without
    /// samples.
    pub fn quantile(&self, histogram: &str, share: f64) -> Option<u64> {
        let empty = BTreeMap::new();
        let now = self.now.histogram(histogram)?;
        let before = self.before?.histogram(histogram).unwrap_or(&empty);
        let earlier = |end: &u64| before.get(end).copied().unwrap_or(0);
        // Set back in between: what there is came since.
        let is_reset = before.iter().any(|(end, count)| now.get(end).is_none_or(|now| now < count));
        let bins: Vec<(u64, u64)> =
            now.iter().map(|(end, count)| (*end, count - if is_reset { 0 } else { earlier(end) })).collect();
        let wanted = share * bins.iter().map(|(_, count)| *count as f64).sum::<f64>();
        let mut sum = 0.0;
        bins.into_iter().filter(|(_, count)| *count > 0).find_map(|(end, count)| {
            sum += count as f64;
            (sum >= wanted).then_some(end)
        })
    }

    fn per_second(&self, much: f64) -> Option<f64> {
        let seconds = self.now.at.checked_sub(self.before?.at)?.as_secs_f64();
        (seconds > 0.0).then(|| much / seconds)
    }
}

/// The sum of what is known; none if nothing is.
pub fn sum(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    values.into_iter().flatten().fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(millis: u64, values: &str) -> Sample {
        let lines: String = values.split(' ').map(|pair| format!("STAT {}\r\n", pair.replace('=', " "))).collect();
        Sample::parse(Duration::from_millis(millis), format!("{lines}END\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn rates_are_per_second() {
        let (before, now) = (sample(1000, "a=10 b=5 c=1 e=x"), sample(3000, "a=30 b=5 d=1 e=4"));
        let change = Change::new(Some(&before), &now);
        assert_eq!(["a", "b", "c", "d", "e"].map(|name| change.rate(name)), [Some(10.0), Some(0.0), None, None, None]);
        assert_eq!(change.sum_rate(["a", "b", "c"]), Some(10.0));
        assert_eq!(change.sum_rate(["c", "d"]), None);
        assert_eq!(Change::new(None, &now).rate("a"), None);
        // At the same moment.
        assert_eq!(Change::new(Some(&before), &sample(1000, "a=30")).rate("a"), None);
    }

    #[test]
    fn a_counter_that_was_set_back_has_counted_since() {
        let (before, now) = (sample(0, "a=1000"), sample(1000, "a=7"));
        assert_eq!(Change::new(Some(&before), &now).rate("a"), Some(7.0));
        let largest = sample(0, &format!("a={}", u64::MAX));
        assert_eq!(Change::new(Some(&largest), &now).rate("a"), Some(7.0));
    }

    #[test]
    fn another_process_has_no_rates_yet() {
        let first = sample(0, "memcached:stats:pid=1 memcached:stats:uptime=9 a=1");
        for (second, rate) in [
            ("memcached:stats:pid=1 memcached:stats:uptime=10 a=5", Some(4.0)),
            ("memcached:stats:pid=2 memcached:stats:uptime=10 a=5", None),
            ("memcached:stats:pid=1 memcached:stats:uptime=0 a=5", None),
            // What is not told is no reason.
            ("a=5", Some(4.0)),
        ] {
            assert_eq!(Change::new(Some(&first), &sample(1000, second)).rate("a"), rate, "{second}");
        }
    }

    #[test]
    fn processor_time() {
        let of = |user: &str| format!("memcached:stats:rusage_user={user} memcached:stats:rusage_system=0.5");
        let (before, now) = (sample(0, &of("1.0")), sample(2000, &of("2.5")));
        assert_eq!(Change::new(Some(&before), &now).processors(), Some(0.75));
        assert_eq!(Change::new(Some(&now), &sample(3000, &of("1.0"))).processors(), None);
        assert_eq!(Change::new(Some(&before), &sample(1000, "a=1")).processors(), None);
    }

    #[test]
    fn quantiles_are_those_of_the_time_between() {
        let timed = |millis, bars: &[(u64, u64)]| {
            let mut sample = sample(millis, "a=1");
            let lines: String =
                bars.iter().map(|(start, count)| format!("STAT h {start}+100={count} 1.00% *\r\n")).collect();
            sample.add_timings(format!("{lines}END\r\n").as_bytes()).unwrap();
            sample
        };
        let quantiles = |before: &[(u64, u64)], now: &[(u64, u64)]| {
            let (before, now) = (timed(0, before), timed(1000, now));
            let change = Change::new(Some(&before), &now);
            [0.5, 0.99].map(|share| change.quantile("h", share))
        };
        assert_eq!(quantiles(&[(0, 100)], &[(0, 100), (100, 98), (200, 0), (900, 2)]), [Some(200), Some(1000)]);
        assert_eq!(quantiles(&[(0, 100)], &[(0, 101), (100, 0)]), [Some(100), Some(100)]);
        assert_eq!(quantiles(&[(0, 100)], &[(0, 100), (100, 0)]), [None, None]);
        // Set back.
        assert_eq!(quantiles(&[(0, 100)], &[(500, 1)]), [Some(600), Some(600)]);
        assert_eq!(quantiles(&[], &[(500, 1)]), [Some(600), Some(600)]);
        assert_eq!(quantiles(&[(0, 1)], &[]), [None, None]);
    }
}
