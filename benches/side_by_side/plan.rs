//! How much is measured: what the environment and the command line ask for.

use std::path::PathBuf;
use std::time::Duration;

use super::workload::{WORKLOADS, Workload};

/// What to measure, and for how long.
#[derive(Debug)]
pub struct Plan {
    /// The workloads, in order.
    pub workloads: Vec<Workload>,
    /// How often each is measured; the middle result counts.
    pub rounds: usize,
    /// How long a measurement takes.
    pub time: Duration,
    /// Which programs take part: their names, or words in these. Empty: all.
    pub programs: Vec<String>,
    /// Further programs: see [`super::programs::Program::all`].
    pub peers: String,
    /// Where the results go.
    pub out: PathBuf,
}

/// How long a program is loaded before it is measured.
pub const WARM_UP: Duration = Duration::from_millis(200);

impl Plan {
    /// From the environment: `BENCH` is `quick` or `full`, `BENCH_WORKLOADS` and `BENCH_PROGRAMS` have names separated
    /// by commas, `BENCH_PEERS` further programs, `BENCH_ROUNDS` and `BENCH_SECONDS` numbers, `BENCH_OUT` a folder.
    ///
    /// # Errors
    /// When one of these cannot be understood.
    pub fn from_environment() -> Result<Plan, String> {
        let read = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let list = |name| -> Vec<String> {
            let text = read(name).unwrap_or_default();
            text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        };
        let is_quick = match read("BENCH").as_deref() {
            None | Some("full") => false,
            Some("quick") => true,
            Some(other) => return Err(format!("BENCH={other}: must be quick or full")),
        };
        let names = list("BENCH_WORKLOADS");
        if let Some(unknown) = names.iter().find(|name| WORKLOADS.iter().all(|workload| workload.name != **name)) {
            let known: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
            return Err(format!("BENCH_WORKLOADS: {unknown} is none of {}", known.join(", ")));
        }
        let is_wanted = |workload: &&Workload| {
            if names.is_empty() {
                workload.is_quick || !is_quick
            } else {
                names.iter().any(|name| name == workload.name)
            }
        };
        let (rounds, seconds) = if is_quick { (3, 0.3) } else { (5, 0.6) };
        let rounds = read("BENCH_ROUNDS").map_or(Ok(rounds), |text| text.parse()).map_err(|_| "BENCH_ROUNDS")?;
        let seconds = read("BENCH_SECONDS").map_or(Ok(seconds), |text| text.parse()).map_err(|_| "BENCH_SECONDS")?;
        Ok(Plan {
            workloads: WORKLOADS.iter().filter(is_wanted).copied().collect(),
            rounds: std::cmp::max(rounds, 1),
            time: Duration::try_from_secs_f64(seconds).map_err(|_| "BENCH_SECONDS")?,
            programs: list("BENCH_PROGRAMS"),
            peers: read("BENCH_PEERS").unwrap_or_default(),
            out: read("BENCH_OUT").unwrap_or_else(|| "target/bench".to_owned()).into(),
        })
    }

    /// Whether the program `name` takes part; `all` are the names there are.
    pub fn wants(&self, name: &str, all: &[String]) -> bool {
        let fits = |word: &String| if all.contains(word) { name == word } else { name.contains(word.as_str()) };
        self.programs.is_empty() || self.programs.iter().any(fits)
    }
}
