//! What was measured.

use std::path::Path;

use serde_json::{Value, json};

use super::workload::Workload;

/// One measurement. Costs are in microseconds of CPU time per request, or per key where requests have several.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Of the program.
    pub cpu: f64,
    /// Of the program and the servers behind it.
    pub tier: f64,
    /// Of the load generator.
    pub client: f64,
    /// Requests per second.
    pub rate: f64,
    /// Half of the answers came within so many microseconds.
    pub p50: f64,
    /// 99 of 100 answers came within so many microseconds.
    pub p99: f64,
}

/// All that is known of one program under one workload.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// One per round.
    pub samples: Vec<Sample>,
    /// System calls per request or key.
    pub calls: Option<f64>,
    /// Resident memory after the load, in KiB.
    pub resident_kib: u64,
    /// Resident memory per idle connection, in KiB.
    pub idle_kib: Option<f64>,
    /// Why there is nothing more.
    pub failure: Option<String>,
}

impl Cell {
    /// The middle sample of one figure.
    pub fn median(&self, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let mut all: Vec<f64> = self.samples.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        let middle = all.len() / 2;
        if all.len() % 2 == 1 {
            all.get(middle).copied()
        } else {
            Some((all.get(middle.checked_sub(1)?)? + all.get(middle)?) / 2.0)
        }
    }
}

/// One workload: a cell per program, `None` where the program does not take part.
#[derive(Debug)]
pub struct Row {
    /// What was measured.
    pub workload: Workload,
    /// In the order of [`Results::programs`].
    pub cells: Vec<Option<Cell>>,
}

impl Row {
    /// What costs are counted by.
    pub fn unit(&self) -> &'static str {
        if self.workload.keys_per_get > 1 { "key" } else { "request" }
    }

    /// What the overview compares: the cost, or how long small requests wait for large ones.
    pub fn figure(&self, cell: &Cell) -> Option<f64> {
        if self.workload.large_readers > 0 {
            cell.median(|sample| sample.p99)
        } else {
            cell.median(|sample| sample.cpu)
        }
    }
}

/// A whole run.
#[derive(Debug)]
pub struct Results {
    /// The names of the programs; the first is what the others are compared with.
    pub programs: Vec<String>,
    /// One per workload.
    pub rows: Vec<Row>,
    /// Processor and operating system.
    pub machine: String,
    /// Versions of the programs, as far as they are known.
    pub versions: Vec<String>,
}

impl Results {
    /// All as JSON.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|row| self.row(row)).collect();
        json!({ "machine": self.machine, "versions": self.versions, "workloads": rows })
    }

    fn row(&self, row: &Row) -> Value {
        let programs: serde_json::Map<String, Value> = self
            .programs
            .iter()
            .zip(&row.cells)
            .filter_map(|(name, cell)| Some((name.clone(), cell_json(cell.as_ref()?))))
            .collect();
        json!({
            "name": row.workload.name,
            "title": row.workload.title,
            "unit": row.unit(),
            "connections": row.workload.connections,
            "depth": row.workload.depth,
            "sets_percent": row.workload.sets,
            "keys_per_get": row.workload.keys_per_get,
            "servers": row.workload.servers,
            "value_bytes": row.workload.value,
            "programs": programs,
        })
    }

    /// Writes `text` to the file `name` in `directory`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(directory: &Path, name: &str, text: &str) -> Result<(), String> {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn cell_json(cell: &Cell) -> Value {
    let all = |figure: fn(&Sample) -> f64| json!({ "median": cell.median(figure), "all": cell.samples.iter().map(figure).collect::<Vec<f64>>() });
    json!({
        "cpu_us": all(|sample| sample.cpu),
        "tier_cpu_us": all(|sample| sample.tier),
        "client_cpu_us": all(|sample| sample.client),
        "requests_per_second": all(|sample| sample.rate),
        "p50_us": all(|sample| sample.p50),
        "p99_us": all(|sample| sample.p99),
        "system_calls": cell.calls,
        "resident_kib": cell.resident_kib,
        "idle_connection_kib": cell.idle_kib,
        "failure": cell.failure,
    })
}
