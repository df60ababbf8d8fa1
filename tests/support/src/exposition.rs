//! The text format of Prometheus, version 0.0.4, read strictly: whatever is not as the format has it fails the test.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Exposition {
    /// The type of each family.
    families: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Exposition {
    /// Reads a page. Beyond the format's rules, each family has a sentence, a type and at least one sample, its samples
    /// stand together, no series is there twice, and counters are whole or positive.
    ///
    /// # Panics
    /// When it is not so.
    pub fn parse(text: &str) -> Exposition {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut page = Exposition::default();
        let (mut help, mut family) = (None, String::new());
        for line in text.trim_end_matches('\n').split('\n') {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                assert_eq!(help, None, "two sentences: {line}");
                let (name, words) = rest.split_once(' ').unwrap_or_else(|| panic!("no sentence: {line}"));
                assert!(!words.trim().is_empty() && unescaped(words, false).is_some(), "{line}");
                help = Some(checked(name).to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert_eq!(help.take().as_deref(), Some(name), "the sentence does not stand before {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(page.families.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
                name.clone_into(&mut family);
            } else {
                assert!(help.is_none(), "between a sentence and its type: {line}");
                page.sample(line, &family);
            }
        }
        page.check();
        page
    }

    fn sample(&mut self, line: &str, family: &str) {
        let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
        let (name, rest) = line.split_at(end);
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest).unwrap_or_else(|| panic!("labels: {line}")),
            None => (Labels::new(), rest),
        };
        let suffix = checked(name).strip_prefix(family).unwrap_or_else(|| panic!("not of {family}: {line}"));
        let is_histogram = self.families.get(family).is_some_and(|kind| kind == "histogram");
        assert!(
            if is_histogram { ["_bucket", "_sum", "_count"].contains(&suffix) } else { suffix.is_empty() },
            "{line}"
        );
        let text = value.strip_prefix(' ').unwrap_or_else(|| panic!("no blank: {line}"));
        let value: f64 = text.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        let is_gauge = self.families.get(family).is_some_and(|kind| kind == "gauge");
        assert!(is_gauge || value >= 0.0, "below zero: {line}");
        assert!(self.samples.insert((name.to_owned(), labels), value).is_none(), "a series twice: {line}");
    }

    fn check(&self) {
        for (family, kind) in &self.families {
            if kind == "histogram" {
                self.check_histogram(family);
            } else {
                // Of a family that each bucket or server has one of, there may be none.
                assert_eq!(kind == "counter", family.ends_with("_total"), "{family} is a {kind}");
            }
        }
    }

    fn check_histogram(&self, family: &str) {
        let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for ((_, labels), count) in self.samples.iter().filter(|((name, _), _)| *name == format!("{family}_bucket")) {
            let mut labels = labels.clone();
            let end = labels.remove("le").unwrap_or_else(|| panic!("{family} without le"));
            let end = if end == "+Inf" { f64::INFINITY } else { end.parse().expect("a number") };
            series.entry(labels).or_default().push((end, *count));
        }
        assert!(!series.is_empty(), "{family} has no sample");
        for (labels, mut buckets) in series {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{family}: {buckets:?}");
            let last = buckets.last().expect("a bucket");
            assert_eq!(last.0, f64::INFINITY, "{family}");
            let number = |suffix: &str| self.samples.get(&(format!("{family}_{suffix}"), labels.clone())).copied();
            assert_eq!(number("count"), Some(last.1), "{family}");
            assert!(number("sum").is_some(), "{family}");
        }
    }

    /// The value of the one series with this name and, among others, these labels.
    ///
    /// # Panics
    /// When there is none, or there are several.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.all(name, labels);
        let [(_, value)] = found[..] else { panic!("{name} {labels:?}: {found:?}") };
        value
    }

    /// All series with this name and, among others, these labels.
    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(&Labels, f64)> {
        let matches = |own: &Labels| labels.iter().all(|(name, value)| own.get(*name).is_some_and(|own| own == value));
        let samples = self.samples.iter().filter(|((own, labels), _)| own == name && matches(labels));
        samples.map(|((_, labels), value)| (labels, *value)).collect()
    }

    /// The names of all samples.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|(name, _)| name.as_str()).collect()
    }
}

/// A name that may be one.
fn checked(name: &str) -> &str {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    let first = name.bytes().next().is_some_and(is_letter);
    assert!(first && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit()), "no name: {name:?}");
    name
}

/// What stands in braces, and what follows.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut found = Labels::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((found, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut escaped = false;
        let end = after.bytes().position(|byte| {
            let is_end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            is_end
        })?;
        let (value, after) = after.split_at(end);
        assert!(!name.contains(':'), "{name}");
        if found.insert(checked(name).to_owned(), unescaped(value, true)?).is_some() {
            return None;
        }
        let after = after.strip_prefix('"')?;
        rest = after
            .strip_prefix(',')
            .filter(|rest| !rest.starts_with('}'))
            .or(after.starts_with('}').then_some(after))?;
    }
}

/// `None`: there is a backslash that begins nothing.
fn unescaped(text: &str, quoted: bool) -> Option<String> {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '\\' => match letters.next()? {
                '\\' => '\\',
                'n' => '\n',
                '"' if quoted => '"',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_pages() {
        let page = Exposition::parse(
            "# HELP a_total A \\\\ b.\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\\n,}\",y=\"\"} 1.5\na_total 2\n",
        );
        assert_eq!(page.get("a_total", &[("x", "q\"\\\n,}")]), 1.5);
        assert_eq!(page.all("a_total", &[]).len(), 2);
    }

    #[test]
    fn bad_pages() {
        for text in [
            "",
            "a 1\n",
            "# HELP a A.\n# TYPE a gauge\na 1",
            "# HELP a A.\n# TYPE a gauge\na  1\n",
            "# HELP a A.\n# TYPE a gauge\na x\n",
            "# HELP a A.\n# TYPE a gauge\nb 1\n",
            "# HELP a A.\n# TYPE a gauge\na 1\na 1\n",
            "# HELP a A.\n# TYPE a counter\na 1\n",
            "# HELP a_total A.\n# TYPE a_total counter\na_total -1\n",
            "# HELP a A.\n# TYPE a gauge\na{x=\"1\",} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{x=\"\\q\"} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{x=\"1\"y=\"1\"} 1\n",
            "# TYPE a gauge\na 1\n",
            "# HELP a A.\na 1\n",
            "# HELP a \n# TYPE a gauge\na 1\n",
            "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
            "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        ] {
            assert!(std::panic::catch_unwind(|| Exposition::parse(text)).is_err(), "{text:?}");
        }
    }
}
