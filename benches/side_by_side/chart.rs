//! The chart: bars per workload and program, as SVG.

use std::fmt::Write;

use moxi_test_support::svg::{COLOURS, escape, page};

use super::results::Results;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 70.0;
const BAR: f64 = 13.0;
const STEP: f64 = 16.0;
const HEAD: f64 = 30.0;

/// A bar for every cell; each workload has its own scale.
pub fn svg(results: &Results) -> String {
    let mut body = String::new();
    let mut y = 40.0;
    for row in &results.rows {
        let bars: Vec<(usize, f64)> = row
            .cells
            .iter()
            .enumerate()
            .filter_map(|(index, cell)| Some((index, row.figure(cell.as_ref()?)?)))
            .collect();
        let most = bars.iter().map(|(_, figure)| *figure).fold(0.0, f64::max);
        if most <= 0.0 {
            continue;
        }
        let what = match (row.workload.keys_per_get > 1, row.workload.large_readers > 0) {
            (true, _) => "CPU µs per key",
            (_, true) => "p99 in µs",
            _ => "CPU µs per request",
        };
        let _ = writeln!(
            body,
            r##"<text x="10" y="{:.0}" class="title">{} <tspan class="unit">{what}</tspan></text>"##,
            y + 16.0,
            escape(row.workload.title)
        );
        y += HEAD - 6.0;
        for (index, figure) in bars {
            let length = (WIDTH - LEFT - RIGHT) * figure / most;
            let colour = COLOURS[index % COLOURS.len()];
            let middle = y + BAR - 2.5;
            let _ = writeln!(
                body,
                r##"<text x="{:.0}" y="{middle:.1}" text-anchor="end">{}</text><rect x="{LEFT}" y="{y:.1}" width="{length:.1}" height="{BAR}" fill="{colour}"/><text x="{:.1}" y="{middle:.1}">{}</text>"##,
                LEFT - 6.0,
                escape(results.programs.get(index).map_or("", String::as_str)),
                LEFT + length + 4.0,
                if figure < 10.0 { format!("{figure:.2}") } else { format!("{figure:.1}") },
            );
            y += STEP;
        }
        y += 10.0;
    }
    page((WIDTH, y + 24.0), "What a request costs: shorter is better", &results.machine, &body)
}
