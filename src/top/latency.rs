//! How long a bucket's requests take (06 §15), as a table.

use super::bucket::Bucket;
use super::number;

/// The columns behind the kind: title, and what is shown there.
const COLUMNS: [(&str, &str); 6] = [
    ("50%", "total_p50"),
    ("99%", "total_p99"),
    ("99.9%", "total_p999"),
    ("LONGEST", "total_max"),
    ("QUEUED 99%", "queue_p99"),
    ("SERVER 99%", "server_p99"),
];

/// The table; empty if there is nothing to tell.
pub(super) fn lines(bucket: &Bucket<'_>) -> Vec<String> {
    let row = |kind: &str| {
        bucket.gauge(&format!("latency:{kind}:total_count")).filter(|count| *count > 0)?;
        let cells = COLUMNS.map(|(_, name)| {
            number::micros(bucket.gauge(&format!("latency:{kind}:{name}")).map(|micros| micros as f64))
        });
        Some(line(kind, &cells))
    };
    let rows: Vec<String> = ["get", "set", "other"].into_iter().filter_map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    let titles = COLUMNS.map(|(title, _)| title.to_owned());
    [line("TIME SINCE RESET", &titles)].into_iter().chain(rows).collect()
}

fn line(name: &str, cells: &[String]) -> String {
    let mut line = format!("  {name:<16}");
    for (cell, (title, _)) in cells.iter().zip(COLUMNS) {
        line.push_str(&format!("{cell:>width$}", width = title.len().max(7) + 2));
    }
    line
}
