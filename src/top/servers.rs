//! How a bucket's servers are doing (06 §16), as a table.

use super::bucket::Bucket;
use super::number;
use super::view::shown;
use crate::metrics::server::CAUSES;

/// The columns behind the name, and how wide they are.
const COLUMNS: [(&str, usize); 7] =
    [("STATE", 11), ("CONNS", 7), ("OWED", 7), ("QUEUED", 8), ("REQ/s", 8), ("ERR/s", 7), ("99%", 8)];

/// The table; empty if there is nothing to tell.
pub(super) fn lines(bucket: &Bucket<'_>) -> Vec<String> {
    // A list may name a server at several places: its number is that of the first.
    let most = bucket.gauge("info:behaviors_num").unwrap_or(0);
    let names = (0u64..).map(|number| (number, bucket.text(&format!("server-{number}:name"))));
    let known = names.take_while(|(number, name)| *number < most || name.is_some());
    let rows: Vec<String> = known.filter_map(|(number, name)| Some(row(bucket, number, name?))).collect();
    if rows.is_empty() {
        return rows;
    }
    let titles = COLUMNS.map(|(title, _)| title.to_owned());
    [line("SERVER", &titles, "LAST ERROR")].into_iter().chain(rows).collect()
}

fn row(bucket: &Bucket<'_>, number: u64, name: &str) -> String {
    let of = |item: &str| format!("server-{number}:{item}");
    let count = |item| number::count(bucket.gauge(&of(item)));
    let errors: Option<f64> = CAUSES.iter().map(|(cause, _)| bucket.rate(&of(&format!("error_{cause}")))).sum();
    let cells = [
        bucket.text(&of("state")).map_or_else(|| "-".to_owned(), shown),
        count("connections"),
        count("unanswered"),
        count("queued"),
        number::rate(bucket.rate(&of("requests"))),
        number::rate(errors),
        number::micros(bucket.gauge(&of("latency_p99")).map(|micros| micros as f64)),
    ];
    let error = match bucket.text(&of("last_error")) {
        None | Some("none") => String::new(),
        Some(cause) => format!("{} {}s ago", shown(cause), count("last_error_seconds")),
    };
    line(&shown(name), &cells, &error)
}

fn line(name: &str, cells: &[String], error: &str) -> String {
    let mut line = format!("  {name:<22}");
    for (cell, (_, width)) in cells.iter().zip(COLUMNS) {
        line.push_str(&format!("{cell:>width$}"));
    }
    if !error.is_empty() {
        line.push_str("  ");
        line.push_str(error);
    }
    line
}
