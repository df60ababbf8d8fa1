//! The text format of Prometheus, version 0.0.4: `# HELP`, `# TYPE`, and the samples of a family behind them.

use std::fmt::{Display, Write as _};

/// What kind of number a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up, or begins again at zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of samples by their size.
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Name and value of each label.
pub type Labels<'a> = [(&'a str, &'a str)];

/// A page of families.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    /// Begins a family. Its samples follow before the next one begins.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.name = name;
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        escape(&mut self.text, help, false);
        self.put(format_args!("\n# TYPE {name} {}\n", kind.word()));
    }

    /// A family of one number.
    pub fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// A sample of the family that was begun last.
    pub fn sample(&mut self, labels: &Labels<'_>, value: impl Display) {
        self.line("", labels, value);
    }

    /// A histogram, made of its buckets' upper ends in seconds and how many samples are in each, how many are beyond, and the
    /// sum of all in seconds.
    pub fn histogram(
        &mut self,
        labels: &Labels<'_>,
        bins: impl Iterator<Item = (String, u64)>,
        beyond: u64,
        sum: impl Display,
    ) {
        let mut count = 0u64;
        let below = |end: &str, count: u64, page: &mut Page| {
            let labels: Vec<_> = labels.iter().copied().chain([("le", end)]).collect();
            page.line("_bucket", &labels, count);
        };
        for (end, samples) in bins {
            count = count.wrapping_add(samples);
            below(&end, count, self);
        }
        count = count.wrapping_add(beyond);
        below("+Inf", count, self);
        self.line("_sum", labels, sum);
        self.line("_count", labels, count);
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &Labels<'_>, value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.put(format_args!("{}{name}=\"", if index == 0 { '{' } else { ',' }));
            escape(&mut self.text, value, true);
            self.text.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.put(format_args!("{end} {value}\n"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // A String takes everything.
        let _ = self.text.write_fmt(text);
    }
}

/// Appends `text` so that it stays on its line; `quoted`: and within its quotes.
fn escape(out: &mut String, text: &str, quoted: bool) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            letter => out.push(letter),
        }
    }
}

/// Microseconds as seconds, exactly.
pub fn seconds(micros: u64) -> String {
    let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
    match rest {
        0 => whole.to_string(),
        _ => format!("{whole}.{rest:06}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_labels() {
        let mut page = Page::default();
        page.single("a_total", Kind::Counter, "One \\ \"two\"\nthree.", 7);
        page.family("b", Kind::Gauge, "B.");
        page.sample(&[("x", "q\"\\\n\u{e9}"), ("y", "")], 1.5);
        assert_eq!(
            page.into_text(),
            "# HELP a_total One \\\\ \"two\"\\nthree.\n# TYPE a_total counter\na_total 7\n\
             # HELP b B.\n# TYPE b gauge\nb{x=\"q\\\"\\\\\\n\u{e9}\",y=\"\"} 1.5\n"
        );
    }

    #[test]
    fn histograms_count_what_is_below() {
        let mut page = Page::default();
        page.family("t_seconds", Kind::Histogram, "T.");
        let bins = [(seconds(100), 2), (seconds(200), 3)];
        page.histogram(&[("x", "y")], bins.into_iter(), 1, seconds(1_000_900));
        assert_eq!(
            page.into_text(),
            "# HELP t_seconds T.\n# TYPE t_seconds histogram\n\
             t_seconds_bucket{x=\"y\",le=\"0.0001\"} 2\nt_seconds_bucket{x=\"y\",le=\"0.0002\"} 5\n\
             t_seconds_bucket{x=\"y\",le=\"+Inf\"} 6\nt_seconds_sum{x=\"y\"} 1.0009\nt_seconds_count{x=\"y\"} 6\n"
        );
    }

    #[test]
    fn microseconds_are_not_rounded() {
        for (micros, want) in [(0, "0"), (1, "0.000001"), (1_500_000, "1.5"), (u64::MAX, "18446744073709.551615")] {
            assert_eq!(seconds(micros), want);
        }
    }
}
