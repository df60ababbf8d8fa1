//! How long requests take, as histograms (06 §15).

use super::text::{Labels, Page, seconds};
use crate::metrics::latency::{BINS, Histogram, end_of};

/// The histograms of a page end their bins at the powers of two, in microseconds, from this one ...
const FIRST: u64 = 1 << 5;

/// ... by this factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// For buckets.
    Fine = 1,
    /// For servers, of which there may be many.
    Coarse = 2,
}

/// Writes a histogram of the family that was begun last.
pub(super) fn histogram(page: &mut Page, labels: &Labels<'_>, times: &Histogram, steps: Steps) {
    let bins = times.bins();
    let ends: Vec<u64> = std::iter::successors(Some(FIRST), |end| end.checked_shl(steps as u32))
        .take_while(|end| *end < end_of(BINS - 1))
        .collect();
    let mut before = 0;
    let counts = ends.iter().map(|end| {
        let place = (before..bins.len()).find(|bin| end_of(*bin) > *end).unwrap_or(bins.len());
        let count = bins.get(before..place).unwrap_or_default().iter().sum();
        before = place;
        (seconds(*end), count)
    });
    let counts: Vec<(String, u64)> = counts.collect();
    let beyond = bins.get(before..).unwrap_or_default().iter().sum();
    page.histogram(labels, counts.into_iter(), beyond, seconds(times.sum()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::text::Kind as Family;
    use crate::metrics::latency::{Kind, Latencies, Latency, Phase, Spent};

    #[test]
    fn bins_are_put_together_at_powers_of_two() {
        let latency = Latency::default();
        for micros in [0, 31, 32, 127, 128, 40_000_000, 80_000_000] {
            latency.note(Kind::Get, Spent { queue: 0, server: Some(micros) }, 1);
        }
        let times = Latencies::of([&latency].into_iter()).times(Some(Kind::Get), Phase::Server);
        let mut page = Page::default();
        page.family("t", Family::Histogram, "T.");
        histogram(&mut page, &[], &times, Steps::Coarse);
        let text = page.into_text();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.first(), Some(&"t_bucket{le=\"0.000032\"} 2"));
        assert_eq!(lines.get(1), Some(&"t_bucket{le=\"0.000128\"} 4"));
        assert_eq!(lines.get(2), Some(&"t_bucket{le=\"0.000512\"} 5"));
        assert!(lines.contains(&"t_bucket{le=\"33.554432\"} 5"));
        assert_eq!(
            lines.get(lines.len() - 3..),
            Some(&["t_bucket{le=\"+Inf\"} 7", "t_sum 120.000318", "t_count 7"][..])
        );
        let mut page = Page::default();
        page.family("t", Family::Histogram, "T.");
        histogram(&mut page, &[], &times, Steps::Fine);
        assert_eq!(page.into_text().lines().count(), 2 + 21 + 3);
    }
}
