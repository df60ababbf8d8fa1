//! Time as the built-in server sees it: whole seconds, counted from 2 (02 §8).

/// Microseconds.
type Micros = u64;

/// Whole seconds since the server was made, plus 2, as the C program counts (`uptime` starts at 2).
pub type Tick = u32;

const SECOND: Micros = 1_000_000;

/// Largest expiry that is a number of seconds from now; what is larger is a date (memcached's protocol document).
const RELATIVE_MAX: i64 = 60 * 60 * 24 * 30;

/// An expiry that never comes.
pub const NEVER: Tick = 0;

/// An expiry that is past at any time.
pub const PAST: Tick = 1;

/// The time of day, told to the server with every call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Microseconds on a clock that never jumps.
    pub now: Micros,
    /// Microseconds since 1970.
    pub unix: Micros,
}

/// When the server was made.
///
/// Seconds begin where those of the system clock did at that time, so that an item that expires at a date does so
/// when that second begins.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    made: Clock,
    phase: Micros,
}

impl Epoch {
    /// The server is made now.
    pub fn new(clock: Clock) -> Epoch {
        Epoch { made: clock, phase: clock.unix % SECOND }
    }

    /// The second that `now` is in.
    pub fn tick(&self, now: Micros) -> Tick {
        let elapsed = now.saturating_sub(self.made.now).saturating_add(self.phase) / SECOND;
        Tick::try_from(elapsed.saturating_add(2)).unwrap_or(Tick::MAX)
    }

    /// The Unix time of tick 0, in seconds.
    pub fn unix_start(&self) -> u64 {
        (self.made.unix / SECOND).saturating_sub(2)
    }

    /// When an item expires whose client said `exptime`: 0 never, up to 30 days from now on, else a Unix time;
    /// negative numbers are past.
    pub fn expiry(&self, clock: Clock, exptime: i64) -> Tick {
        match exptime {
            0 => NEVER,
            ..0 => PAST,
            // At most 30 days: the cast loses nothing.
            1..=RELATIVE_MAX => self.tick(clock.now).saturating_add(exptime as Tick),
            _ => match self.instant(clock, exptime) {
                // Rounded, because the two clocks are not read at exactly the same time.
                Some(at) => self.tick(at.saturating_add(SECOND / 2)),
                None => PAST,
            },
        }
    }

    /// The moment, on the clock that never jumps, that `time` means by the rule of [`Epoch::expiry`]; `None` if it is
    /// past.
    pub fn instant(&self, clock: Clock, time: i64) -> Option<Micros> {
        let seconds = u64::try_from(time).ok()?;
        let ahead = match time {
            ..=RELATIVE_MAX => seconds.saturating_mul(SECOND),
            _ => seconds.saturating_mul(SECOND).checked_sub(clock.unix)?,
        };
        Some(clock.now.saturating_add(ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made at 1,000,000,000.25 Unix time, when the other clock shows 7 s.
    const MADE: Clock = Clock { now: 7_000_000, unix: 1_000_000_000_250_000 };

    fn later(micros: Micros) -> Clock {
        Clock { now: MADE.now + micros, unix: MADE.unix + micros }
    }

    #[test]
    fn ticks_begin_with_the_seconds_of_the_system_clock() {
        let epoch = Epoch::new(MADE);
        assert_eq!(epoch.tick(MADE.now), 2);
        assert_eq!(epoch.tick(MADE.now + 749_999), 2);
        assert_eq!(epoch.tick(MADE.now + 750_000), 3);
        assert_eq!(epoch.tick(0), 2);
        assert_eq!(epoch.tick(Micros::MAX), Tick::MAX);
        assert_eq!(epoch.unix_start(), 999_999_998);
    }

    #[test]
    fn expiries_are_relative_up_to_thirty_days() {
        let epoch = Epoch::new(MADE);
        let clock = later(10_000_000);
        assert_eq!(epoch.tick(clock.now), 12);
        assert_eq!(epoch.expiry(clock, 0), NEVER);
        assert_eq!(epoch.expiry(clock, 1), 13);
        assert_eq!(epoch.expiry(clock, 2_592_000), 12 + 2_592_000);
        assert_eq!(epoch.expiry(clock, 2_592_001), PAST);
        assert_eq!(epoch.expiry(clock, 999_999_999), PAST);
        assert_eq!(epoch.expiry(clock, 1_000_000_011), 13);
        assert_eq!(epoch.expiry(clock, i64::MAX), Tick::MAX);
    }

    #[test]
    fn negative_expiries_are_past_however_young_the_store_is() {
        let epoch = Epoch::new(MADE);
        for exptime in [-1, -100, i64::from(i32::MIN), i64::MIN] {
            assert_eq!(epoch.expiry(MADE, exptime), PAST);
        }
    }

    #[test]
    fn a_step_of_the_system_clock_moves_dates_only() {
        let epoch = Epoch::new(MADE);
        let clock = Clock { now: MADE.now + 10_000_000, unix: MADE.unix + 3_610_000_000 };
        assert_eq!(epoch.tick(clock.now), 12);
        assert_eq!(epoch.expiry(clock, 5), 17);
        assert_eq!(epoch.expiry(clock, 1_000_003_615), 17);
    }
}
