//! Timing histograms and their bars (06 §5).

use crate::sums::sum;

/// How many bins a histogram has.
pub const BINS: usize = 40;
/// The first bins are equally wide, in microseconds.
const WIDTH: u64 = 100;
const EQUAL: u64 = 20;
/// The longest bar.
const STARS: u64 = 24;

/// Where bin `bin` begins, and how wide it is, in microseconds: 20 of 100 each, then 20 whose widths double.
fn bin(bin: usize) -> (u64, u64) {
    let number = bin as u64;
    match number.checked_sub(EQUAL) {
        None => (number.saturating_mul(WIDTH), WIDTH),
        // The widths before it add up to (2^n - 1) × 100.
        Some(doubled) => {
            let factor = 1u64.checked_shl(u32::try_from(doubled).unwrap_or(u32::MAX)).unwrap_or(0);
            let before = factor.saturating_sub(1).saturating_mul(WIDTH);
            (before.saturating_add(EQUAL * WIDTH), factor.saturating_mul(WIDTH))
        }
    }
}

/// Where bin `number` ends, in microseconds: its samples are shorter.
pub fn end_of(number: usize) -> u64 {
    let (start, width) = bin(number);
    start.saturating_add(width)
}

/// The bin of a sample; `None`: it is beyond the last one.
pub fn bin_of(micros: u64) -> Option<usize> {
    let hundreds = micros / WIDTH;
    let bin = match hundreds.checked_sub(EQUAL) {
        None => hundreds,
        Some(beyond) => EQUAL.saturating_add(beyond.saturating_add(1).ilog2().into()),
    };
    usize::try_from(bin).ok().filter(|bin| *bin < BINS)
}

/// The bars of a histogram, from its first filled bin to the one after its last; none if it is empty. Columns are
/// aligned.
pub fn bars(counts: &[u64]) -> Vec<String> {
    let (Some(first), Some(last)) =
        (counts.iter().position(|count| *count > 0), counts.iter().rposition(|count| *count > 0))
    else {
        return Vec::new();
    };
    let range = first..sum([last, 2]).min(counts.len());
    let total: u64 = counts.iter().sum();
    let most = counts.iter().copied().max().unwrap_or(1);
    let mut so_far = 0u64;
    let rows: Vec<[String; 4]> = range
        .map(|index| {
            let (start, width) = bin(index);
            let count = counts.get(index).copied().unwrap_or(0);
            so_far = so_far.saturating_add(count);
            let percent = 100.0 * (so_far as f32 / total as f32);
            [start.to_string(), width.to_string(), count.to_string(), format!("{percent:.2}% {}", stars(count, most))]
        })
        .collect();
    let starts = rows.iter().map(|[start, ..]| start.len()).max().unwrap_or(0);
    let widths = rows.iter().map(|[_, width, ..]| width.len()).max().unwrap_or(0);
    // After the count, blanks make the per-cent signs stand below each other.
    let end = |count: &str, share: &str| sum([count.len(), share.find('%').unwrap_or(0)]);
    let ends = rows.iter().map(|[.., count, share]| end(count, share)).max().unwrap_or(0);
    rows.iter()
        .map(|[start, width, count, share]| {
            let blanks = sum([ends, 1]).saturating_sub(end(count, share));
            format!("{start:>starts$}+{width:<widths$}={count}{:blanks$}{share}", "")
        })
        .collect()
}

fn stars(count: u64, most: u64) -> String {
    let number = STARS.saturating_mul(count).checked_div(most).and_then(|number| usize::try_from(number).ok());
    "*".repeat(number.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_follow_each_other() {
        assert_eq!((bin(0), bin(19), bin(20), bin(21)), ((0, 100), (1900, 100), (2000, 100), (2100, 200)));
        assert_eq!(bin(39), (52_428_800 + 1_900, 52_428_800));
        let mut end = 0;
        for index in 0..BINS {
            let (start, width) = bin(index);
            assert_eq!(start, end);
            assert_eq!((bin_of(start), bin_of(start + width - 1)), (Some(index), Some(index)));
            end = start + width;
            assert_eq!(end_of(index), end);
        }
        assert_eq!(bin_of(end), None);
        assert_eq!(bin_of(u64::MAX), None);
    }

    #[test]
    fn bars_are_aligned() {
        let mut counts = [0; BINS];
        (counts[0], counts[1], counts[2]) = (1, 12, 4);
        counts[0] += 1;
        counts[1] = 3;
        counts[2] = 0;
        assert_eq!(
            bars(&counts),
            ["  0+100=2  40.00% ****************", "100+100=3 100.00% ************************", "200+100=0 100.00% "]
        );
        (counts[0], counts[1], counts[2]) = (1, 12, 4);
        assert_eq!(
            bars(&counts),
            [
                "  0+100=1   5.88% **",
                "100+100=12 76.47% ************************",
                "200+100=4 100.00% ********",
                "300+100=0 100.00% "
            ]
        );
        assert!(bars(&[0; BINS]).is_empty());
        let mut last = [0; BINS];
        last[BINS - 1] = 1;
        assert_eq!(bars(&last).len(), 1);
    }
}
