//! How long answers took.

/// Counts per duration; each step is about 3 % wide.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

/// Steps per doubling.
const STEPS: u64 = 32;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; 64 * STEPS as usize], total: 0 }
    }
}

impl Histogram {
    /// Counts an answer that took `nanoseconds`.
    pub fn add(&mut self, nanoseconds: u64) {
        self.counts[step(nanoseconds)] += 1;
        self.total += 1;
    }

    /// The time in microseconds within which this part (0 to 1) of the answers came.
    pub fn quantile(&self, part: f64) -> f64 {
        let rank = (self.total as f64 * part).ceil() as u64;
        let mut sum = 0;
        for (step, count) in self.counts.iter().enumerate() {
            sum += count;
            if sum >= rank.max(1) {
                return start(step as u64) as f64 / 1000.0;
            }
        }
        0.0
    }
}

fn step(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = u64::from(value.ilog2()) - u64::from(STEPS.ilog2());
    ((shift + 1) * STEPS + ((value >> shift) - STEPS)) as usize
}

/// The least value of a step.
fn start(step: u64) -> u64 {
    if step < STEPS {
        return step;
    }
    let shift = step / STEPS - 1;
    (STEPS + step % STEPS) << shift
}
