//! The chart: times, rate, memory and descriptors, and what happened when.

use std::fmt::Write as _;
use std::time::Duration;

use moxi_test_support::svg::{COLOURS, Panel, page};

use super::figures::{Event, Sample};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 885.0;
/// Between the tops of two panels, and how high one is.
const STEP: f64 = 150.0;
const HIGH: f64 = 110.0;
/// A row of marks.
const ROW: f64 = 12.0;

/// What a line shows.
type Figure = fn(&Sample) -> f64;

/// The whole of it, from the first event on: before that it was measured what the machine can do.
pub fn draw(samples: &[Sample], events: &[Event], note: &str) -> String {
    let first = events.first().map_or(Duration::ZERO, |event| event.at);
    let before = samples.iter().take_while(|sample| sample.at < first).count();
    let samples = samples.get(before + 1..).unwrap_or_default();
    let mut out = String::new();
    let end = samples.last().map_or(1.0, |sample| minutes(sample.at));
    let over = |of: Figure| samples.iter().map(move |sample| (minutes(sample.at), of(sample)));
    let top = marks(events, end, &mut out) + 40.0;
    let place = |number: usize, range, is_logarithmic| {
        let top = top + STEP * number as f64;
        Panel { left: LEFT, right: RIGHT, top, bottom: top + HIGH, end, range, is_logarithmic }
    };

    let times = place(0, (0.1, 10_000.0), true);
    times.frame("Time to the answer", "ms, of each period", &[0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0], &mut out);
    let lines: [(&str, &str, Figure); 4] = [
        ("longest", COLOURS[7], |sample| sample.times[2]),
        // What this test itself had to wait for a processor.
        ("machine late", COLOURS[1], |sample| sample.late),
        ("99 %", COLOURS[0], |sample| sample.times[1]),
        ("half", COLOURS[2], |sample| sample.times[0]),
    ];
    for (number, (name, colour, of)) in lines.into_iter().enumerate() {
        times.line(over(of), colour, &mut out);
        times.label(name, colour, 3 - number, &mut out);
    }

    let panels: [(&str, &str, Figure); 3] = [
        ("Answers", "per second", |sample| sample.rate),
        ("Resident memory", "MiB", |sample| sample.used.kilobytes as f64 / 1024.0),
        ("Descriptors", "clients, servers and all others", |sample| sample.used.descriptors as f64),
    ];
    for (number, (name, unit, of)) in panels.into_iter().enumerate() {
        let most = nice(over(of).map(|(_, value)| value).fold(1.0, f64::max));
        let panel = place(number + 1, (0.0, most), false);
        panel.frame(name, unit, &[0.0, most / 2.0, most], &mut out);
        panel.line(over(of), COLOURS[3], &mut out);
    }
    let bottom = top + STEP * 3.0 + HIGH;
    for number in 0..=6 {
        let minute = end * f64::from(number) / 6.0;
        let _ = writeln!(
            out,
            r##"<text x="{:.1}" y="{:.1}" text-anchor="middle">{minute:.0} min</text>"##,
            LEFT + (RIGHT - LEFT) * f64::from(number) / 6.0 - 8.0,
            bottom + 16.0
        );
    }
    page((WIDTH, bottom + 46.0), "Half load, and all that may happen meanwhile", note, &out)
}

/// A row of marks for each kind of event. Gives where they end.
fn marks(events: &[Event], end: f64, out: &mut String) -> f64 {
    let mut kinds: Vec<&str> = events.iter().map(|event| event.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let first = 40.0;
    for (row, kind) in kinds.iter().enumerate() {
        let y = first + ROW * row as f64;
        let panel =
            Panel { left: LEFT, right: RIGHT, top: y, bottom: y + ROW, end, range: (0.0, 1.0), is_logarithmic: false };
        let marks: String = events
            .iter()
            .filter(|event| event.kind == *kind)
            .map(|event| format!("M{:.1} {y:.1}v{:.0}", panel.x(minutes(event.at)), ROW - 4.0))
            .collect();
        let _ = writeln!(
            out,
            r##"<text x="{:.0}" y="{:.1}" text-anchor="end">{kind}</text><path d="{marks}" stroke="{}"/>"##,
            LEFT - 6.0,
            y + ROW - 4.0,
            COLOURS[row % COLOURS.len()]
        );
    }
    first + ROW * kinds.len() as f64
}

fn minutes(time: Duration) -> f64 {
    time.as_secs_f64() / 60.0
}

/// The next number that is round.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|round| *round >= value).unwrap_or(value)
}
