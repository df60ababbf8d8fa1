//! What charts have in common: the frame, lines over time, marks.

use std::fmt::Write;

/// The colours of lines and bars, in the order in which they are used.
pub const COLOURS: [&str; 8] = ["#d1495b", "#edae49", "#30638e", "#00798c", "#7d5ba6", "#66a182", "#8d99ae", "#c0c0c0"];

/// A chart: its width and height, what is written above and below, and what is between.
pub fn page((width, height): (f64, f64), title: &str, note: &str, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height:.0}\" width=\"{width}\" height=\"{height:.0}\">\n\
         <style>text{{font:11px sans-serif;fill:#333}}.title{{font-weight:bold;font-size:13px}}.unit{{font-weight:normal;fill:#777}}\
         .head{{font-size:16px;font-weight:bold}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"24\" class=\"head\">{}</text>\n{body}\
         <text x=\"10\" y=\"{:.0}\" class=\"unit\">{}</text>\n</svg>\n",
        escape(title),
        height - 8.0,
        escape(note),
    )
}

/// Text as it stands in such a document.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A place for lines over time, between `left` and `right`, and `top` and `bottom`.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Where it is.
    pub left: f64,
    /// Where it is.
    pub right: f64,
    /// Where it is.
    pub top: f64,
    /// Where it is.
    pub bottom: f64,
    /// The last time.
    pub end: f64,
    /// The smallest and the largest value.
    pub range: (f64, f64),
    /// Whether each tenth power takes the same room.
    pub is_logarithmic: bool,
}

impl Panel {
    /// Where a time is.
    pub fn x(&self, time: f64) -> f64 {
        self.left + (self.right - self.left) * (time / self.end).clamp(0.0, 1.0)
    }

    /// Where a value is.
    pub fn y(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        let share = if self.is_logarithmic {
            (value.max(low) / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        };
        self.bottom - (self.bottom - self.top) * share.clamp(0.0, 1.0)
    }

    /// Appends its title, and a line with its number for each of these values.
    pub fn frame(&self, title: &str, unit: &str, values: &[f64], out: &mut String) {
        let _ = writeln!(
            out,
            r##"<text x="10" y="{:.0}" class="title">{} <tspan class="unit">{}</tspan></text>"##,
            self.top - 8.0,
            escape(title),
            escape(unit)
        );
        for value in values {
            let y = self.y(*value);
            let _ = writeln!(
                out,
                r##"<text x="{:.0}" y="{:.1}" text-anchor="end">{value}</text><path d="M{:.0} {y:.1}H{:.0}" stroke="#e4e4e4"/>"##,
                self.left - 6.0,
                y + 4.0,
                self.left,
                self.right
            );
        }
    }

    /// Appends a line through these times and values.
    pub fn line(&self, points: impl Iterator<Item = (f64, f64)>, colour: &str, out: &mut String) {
        let points: Vec<String> =
            points.map(|(time, value)| format!("{:.1},{:.1}", self.x(time), self.y(value))).collect();
        let _ = writeln!(
            out,
            r##"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="1"/>"##,
            points.join(" ")
        );
    }

    /// Appends a word in a colour: what a line is.
    pub fn label(&self, text: &str, colour: &str, place: usize, out: &mut String) {
        let _ = writeln!(
            out,
            r##"<text x="{:.0}" y="{:.0}" text-anchor="end" style="fill:{colour}">{}</text>"##,
            self.right - 90.0 * place as f64,
            self.top - 8.0,
            escape(text)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let panel = Panel {
            left: 10.0,
            right: 110.0,
            top: 0.0,
            bottom: 100.0,
            end: 50.0,
            range: (0.0, 4.0),
            is_logarithmic: false,
        };
        assert_eq!((panel.x(0.0), panel.x(25.0), panel.x(99.0)), (10.0, 60.0, 110.0));
        assert_eq!((panel.y(0.0), panel.y(1.0), panel.y(9.0)), (100.0, 75.0, 0.0));
        let panel = Panel { range: (1.0, 100.0), is_logarithmic: true, ..panel };
        assert_eq!((panel.y(0.0), panel.y(1.0), panel.y(10.0).round()), (100.0, 100.0, 50.0));
    }

    #[test]
    fn a_page_has_no_stray_marks() {
        let page = page((100.0, 50.0), "a < b", "c & d", "");
        assert!(page.contains("a &lt; b") && page.contains("c &amp; d") && page.contains("viewBox=\"0 0 100 50\""));
    }
}
