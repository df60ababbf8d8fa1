//! The tables, in Markdown.

use std::fmt::Write;

use super::results::{Cell, Results, Row};

/// The figures of one workload.
pub fn detail(results: &Results, row: &Row) -> String {
    let unit = row.unit();
    let workload = &row.workload;
    let sets = if workload.keys_per_get > 1 { String::new() } else { format!(", {} % sets", workload.sets) };
    let mut text = format!("\n{} ({}: values of {} bytes{sets})\n\n", workload.title, workload.name, workload.value);
    let _ = writeln!(
        text,
        "| program | CPU µs/{unit} | moxi is × | tier µs/{unit} | calls/{unit} | requests/s | p50 µs | p99 µs | MiB |"
    );
    text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    let own = row.cells.first().and_then(Option::as_ref).and_then(|cell| cell.median(|sample| sample.cpu));
    for (name, cell) in results.programs.iter().zip(&row.cells) {
        let Some(cell) = cell else { continue };
        if let Some(failure) = &cell.failure {
            let _ = writeln!(text, "| {name} | failed: {failure} |");
            continue;
        }
        let cpu = cell.median(|sample| sample.cpu);
        let ratio = own.zip(cpu).map(|(own, other)| own / other);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.1} |",
            number(cpu),
            number(ratio),
            number(cell.median(|sample| sample.tier)),
            number(cell.calls),
            cell.median(|sample| sample.rate).unwrap_or(0.0),
            cell.median(|sample| sample.p50).unwrap_or(0.0),
            cell.median(|sample| sample.p99).unwrap_or(0.0),
            cell.resident_kib as f64 / 1024.0,
        );
        if let Some(kib) = cell.idle_kib {
            let _ = writeln!(text, "| … per idle connection | | | | | | | | {kib:.1} KiB |");
        }
    }
    text
}

/// All workloads and programs in one table: the cost, and in brackets what part of it moxi takes.
pub fn overview(results: &Results) -> String {
    let mut text = format!("| CPU µs per request | {} |\n|---|", results.programs.join(" | "));
    text.push_str(&"--:|".repeat(results.programs.len()));
    text.push('\n');
    for row in &results.rows {
        let note = match (row.workload.keys_per_get > 1, row.workload.large_readers > 0) {
            (true, _) => ", per key",
            (_, true) => ": p99 in µs",
            _ => "",
        };
        let figures: Vec<Option<f64>> = row.cells.iter().map(|cell| row.figure(cell.as_ref()?)).collect();
        let own = figures.first().copied().flatten();
        let _ = write!(text, "| {}{note} |", row.workload.title);
        for (index, (figure, cell)) in figures.iter().zip(&row.cells).enumerate() {
            match (figure, own) {
                _ if cell.as_ref().is_some_and(|cell| cell.failure.is_some()) => text.push_str(" failed |"),
                (Some(other), Some(own)) if index > 0 => {
                    let _ = write!(text, " {} ({:.2}) |", number(Some(*other)), own / other);
                }
                (figure, _) => {
                    let _ = write!(text, " {} |", number(*figure));
                }
            }
        }
        text.push('\n');
    }
    extra(results, &mut text, "tier", "proxy and servers", |cell| cell.median(|sample| sample.tier));
    extra(results, &mut text, "calls", "system calls", |cell| cell.calls);
    extra(results, &mut text, "idle", "KiB per idle connection", |cell| cell.idle_kib);
    text
}

/// Rows of another figure, for the workloads for which it matters.
fn extra(results: &Results, text: &mut String, kind: &str, title: &str, figure: impl Fn(&Cell) -> Option<f64>) {
    for row in &results.rows {
        let matters = match kind {
            "idle" => row.workload.idle > 0,
            "calls" => matches!(row.workload.name, "c50" | "gets"),
            _ => matches!(row.workload.name, "c50" | "d16" | "multi100"),
        };
        if !matters {
            continue;
        }
        let what = if kind == "idle" { title.to_owned() } else { format!("{}: {title}", row.workload.title) };
        let _ = write!(text, "| {what} |");
        for cell in &row.cells {
            let _ = write!(text, " {} |", number(cell.as_ref().and_then(&figure)));
        }
        text.push('\n');
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.1}"),
    }
}
