//! What was measured: as a table, and what must hold of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::drawing;
use super::plan::{CLIENTS, Plan, SLOPE, SPARE, TIME_TO_GROW};
use super::world::World;

/// Examples that are told of each kind.
const TOLD: u64 = 5;

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    LostConnection,
    /// What is no answer to what was asked, or one too many.
    Garbage,
    /// A value that cannot be there.
    Wrong,
    /// A value from before what was confirmed.
    Old,
    /// No value where one was confirmed.
    Lost,
    /// An error while all servers are well.
    Error,
    Late,
}

/// What the clients have seen.
#[derive(Debug, Default)]
pub struct Tally {
    pub asked: u64,
    pub answers: u64,
    pub values: u64,
    pub misses: u64,
    /// Errors because of a server that had trouble.
    pub failures: u64,
    /// Errors and misses because the machine was too busy.
    pub excused: u64,
    /// Owed at the end, or when the connection was lost.
    pub unanswered: u64,
    pub faults: BTreeMap<Fault, u64>,
    /// Requests per second when nothing holds the clients back.
    pub capacity: f64,
    /// The longest time to an answer.
    pub longest: Duration,
    /// Times to the answers of this period, in microseconds.
    times: Vec<u32>,
    /// Of the period before: answers, failures.
    before: [u64; 2],
}

/// What is known of the world, and what has been seen of it.
pub struct Notes<'a> {
    pub world: &'a World,
    pub tally: Tally,
}

/// What moxi uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// Resident memory.
    pub kilobytes: u64,
    pub descriptors: usize,
    pub threads: usize,
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// Answers per second.
    pub rate: f64,
    /// Milliseconds: half, 99 % and all of the answers came within.
    pub times: [f64; 3],
    pub failures: u64,
    /// How long the clients had to wait for a processor, in milliseconds.
    pub late: f64,
    pub used: Use,
}

/// Something that was done to moxi.
#[derive(Clone, Debug)]
pub struct Event {
    /// Since the beginning.
    pub at: Duration,
    pub kind: &'static str,
}

impl Tally {
    /// An answer has come.
    pub fn answered(&mut self, time: Duration) {
        self.answers += 1;
        self.longest = self.longest.max(time);
        self.times.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Something has happened that must not.
    pub fn fault(&mut self, fault: Fault, text: String) {
        let count = self.faults.entry(fault).or_default();
        *count += 1;
        if *count <= TOLD {
            eprintln!("{fault:?}: {text}");
        }
    }

    /// The period that ends now.
    pub fn sample(&mut self, at: Duration, length: Duration, used: Use, late: Duration) -> Sample {
        self.times.sort_unstable();
        let time = |share: f64| {
            let index = ((self.times.len() as f64 * share).ceil() as usize).saturating_sub(1);
            self.times.get(index).map_or(0.0, |time| f64::from(*time) / 1000.0)
        };
        let times = [time(0.5), time(0.99), time(1.0)];
        self.times.clear();
        let now = [self.answers, self.failures];
        let [answers, failures] = [now[0] - self.before[0], now[1] - self.before[1]];
        self.before = now;
        let rate = answers as f64 / length.as_secs_f64();
        Sample { at, rate, times, failures, late: late.as_secs_f64() * 1000.0, used }
    }
}

impl Use {
    /// What this process uses; nothing if it has just gone.
    pub fn of(process: u32) -> Use {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
        Use { kilobytes: number("VmRSS:"), descriptors, threads: number("Threads:") as usize }
    }
}

/// All of it.
pub struct Report<'a> {
    pub plan: &'a Plan,
    pub world: &'a World,
    pub tally: Tally,
    /// In the middle, and at the end.
    pub used: [(Duration, Use); 2],
    /// How often each kind of event came.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Report<'_> {
    /// Draws the chart, if it is wanted.
    pub fn draw(&self) {
        let Some(path) = &self.plan.chart else { return };
        let events = self.world.events.lock().expect("no panics");
        let samples = self.world.samples.lock().expect("no panics");
        let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::write(path, drawing::draw(&samples, &events, &self.note())).expect("written");
    }

    /// Tells the figures. `bare`: descriptors without clients and servers, at the beginning and at the end.
    pub fn tell(&self, bare: (usize, usize)) {
        let Report { plan, tally, used: [(_, before), (_, after)], counts, .. } = self;
        let (slope, last) = (self.slope(1.0), self.slope(0.5));
        let counted: Vec<String> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        println!(
            "{} servers, {CLIENTS} clients, {:?}: {:.0} requests per second of {:.0}; {} answers of {}, {} values, {} misses; \
             errors while a server had trouble: {}, while the machine was too busy ({} times): {}; unanswered: {}; \
             longest {:?}; events: {}; before: {before:?}, after: {after:?}, {slope:+.1} KiB per minute in the second half, {last:+.1} in the last quarter; {} \
             descriptors without clients and servers, {} at the end; faults: {:?}",
            plan.protocol,
            plan.time,
            self.world.rate.load(SeqCst),
            tally.capacity,
            tally.answers,
            tally.asked,
            tally.values,
            tally.misses,
            tally.failures,
            self.world.busy_times.load(SeqCst),
            tally.excused,
            tally.unanswered,
            tally.longest,
            counted.join(", "),
            bare.0,
            bare.1,
            tally.faults,
        );
    }

    fn note(&self) -> String {
        let Report { plan, tally, .. } = self;
        format!(
            "{} minutes, {CLIENTS} clients, {} answers, {} events: {} faults",
            plan.time.as_secs() / 60,
            tally.answers,
            self.counts.values().sum::<u64>(),
            tally.faults.values().sum::<u64>()
        )
    }

    /// How memory grows in this part of the second half, the last one if it is below 1, in KiB per minute: least squares.
    fn slope(&self, part: f64) -> f64 {
        let samples = self.world.samples.lock().expect("no panics");
        let [(from, _), (to, _)] = self.used;
        let time = to - (to - from).mul_f64(part)..to;
        let points: Vec<(f64, f64)> = samples
            .iter()
            .filter(|sample| time.contains(&sample.at))
            .map(|sample| (sample.at.as_secs_f64() / 60.0, sample.used.kilobytes as f64))
            .collect();
        slope(&points)
    }

    /// What must hold.
    pub fn judge(&self, bare: (usize, usize)) {
        let Report { tally, used: [(_, before), (_, after)], counts, .. } = self;
        assert!(tally.faults.is_empty(), "{:?}", tally.faults);
        assert_eq!((tally.unanswered, tally.answers), (0, tally.asked));
        assert!(tally.values > 0 && counts.values().all(|count| *count > 0), "{counts:?}");
        assert!(after.descriptors <= bare.0 + self.plan.connections(), "before: {before:?}, after: {after:?}");
        assert_eq!(after.threads, before.threads);
        assert!(bare.1 <= bare.0, "descriptors without clients and servers: {bare:?}");
        // In some minutes a process has had none of the bursts that it will have, and in some seconds none at all.
        if !self.plan.is_long || self.plan.time >= TIME_TO_GROW {
            assert!(after.kilobytes <= before.kilobytes + SPARE, "before: {before:?}, after: {after:?}");
        }
        if self.plan.time >= TIME_TO_GROW {
            // A large backlog is a step, because the allocator keeps what it had; what leaks does so in both.
            let slopes = [self.slope(1.0), self.slope(0.5)];
            assert!(slopes.iter().any(|slope| *slope <= SLOPE), "memory: {slopes:?} KiB per minute");
        }
    }
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut both, mut square) = (0.0, 0.0);
    for point in points {
        both += (point.0 - x) * (point.1 - y);
        square += (point.0 - x).powi(2);
    }
    if square > 0.0 { both / square } else { 0.0 }
}

/// A file that grows line by line, so that a run which breaks off has left its figures.
#[derive(Debug)]
pub struct Table(Option<fs::File>);

impl Table {
    /// Begins it, if it is wanted.
    pub fn new(name: &str, is_wanted: bool, head: &str) -> Table {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut table = Table(is_wanted.then(|| fs::File::create(path).expect("created")));
        table.add(head);
        table
    }

    /// Adds a line.
    pub fn add(&mut self, line: &str) {
        if let Some(file) = &mut self.0 {
            file.write_all(format!("{line}\n").as_bytes()).expect("written");
        }
    }
}

impl Sample {
    /// The names of its columns.
    pub const HEAD: &str =
        "second,answers_per_second,half_ms,p99_ms,longest_ms,errors,late_ms,resident_kib,descriptors,threads";

    /// Its line of the table.
    pub fn line(&self) -> String {
        let Sample { at, rate, times, failures, late, used } = self;
        format!(
            "{:.1},{rate:.0},{:.3},{:.3},{:.3},{failures},{late:.1},{},{},{}",
            at.as_secs_f64(),
            times[0],
            times[1],
            times[2],
            used.kilobytes,
            used.descriptors,
            used.threads
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes() {
        assert_eq!(slope(&[]), 0.0);
        assert_eq!(slope(&[(1.0, 5.0)]), 0.0);
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), 2.0);
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 0.0), (2.0, 1.0)]), 0.0);
    }
}
