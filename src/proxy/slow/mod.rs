//! Requests that take long, and samples of all of them: each may get a line in the log (06 §11.6).
//!
//! | file | what |
//! |---|---|
//! | `mod` | which requests get a line, and how many lines there may be |
//! | `note` | what is remembered of such a request while it is in flight |
//! | `line` | what became of it, and the line |

mod line;
mod note;

pub use note::NoteId;
pub(in crate::proxy) use note::{Note, Notes};

use crate::config::behavior::Behavior;
use crate::proxy::timers::Micros;
use crate::sums::Count as _;

/// How many lines of each kind a worker writes about a bucket in a second; the others are counted.
const LINES: u32 = 100;

const SECOND: Micros = 1_000_000;

/// Which requests of a bucket get a line.
#[derive(Debug)]
pub(in crate::proxy) struct Slow {
    /// Those that take longer; `None`: none.
    after: Option<Micros>,
    /// Each one behind so many others; `None`: none.
    every: Option<u32>,
    /// How many there were since the last sample.
    passed: u32,
    slow: Budget,
    samples: Budget,
}

/// How many lines may still be written.
#[derive(Debug, Default)]
struct Budget {
    /// When there may be as many again.
    until: Micros,
    left: u32,
    /// Those that were not, and are still to be told of.
    left_out: u64,
}

impl Budget {
    /// Whether there may be one more line now.
    fn take(&mut self, now: Micros) -> bool {
        if now >= self.until {
            (self.until, self.left) = (now.saturating_add(SECOND), LINES);
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => {
                self.left_out.up();
                return false;
            }
        }
        true
    }
}

impl Slow {
    /// As the settings say; `None`: no request gets a line.
    pub(in crate::proxy) fn start(behavior: &Behavior) -> Option<Slow> {
        let after = (behavior.slow_log > 0).then(|| u64::from(behavior.slow_log) * 1000);
        let every = behavior.sample.number();
        let (slow, samples) = Default::default();
        (after.is_some() || every.is_some()).then_some(Slow { after, every, passed: 0, slow, samples })
    }

    /// Whether another one with these settings would do the same.
    pub(in crate::proxy) fn is_for(&self, behavior: &Behavior) -> bool {
        let other = Slow::start(behavior);
        other.is_some_and(|other| (self.after, self.every) == (other.after, other.every))
    }

    /// One more request has ended: whether it is one of the samples.
    fn is_sample(&mut self) -> bool {
        let Some(every) = self.every else { return false };
        self.passed.up();
        let is_sample = self.passed >= every;
        if is_sample {
            self.passed = 0;
        }
        is_sample
    }
}
