//! What was answered, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What stands between a bucket's prefix and its counters.
const COUNTERS: &str = ":pstd_stats:";

/// What stands before a key of clients, in which anything may stand.
const KEYS: [&str; 2] = [":hot_keys:", ":key_stats:"];

/// The statistics of one moment. Names that nobody knows do not matter, nor do those that are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When it was taken, from any fixed moment on.
    pub at: Duration,
    values: BTreeMap<String, String>,
    /// By `<bucket>:<what>`: the end of each bin in microseconds, and how many there are in it.
    histograms: BTreeMap<String, BTreeMap<u64, u64>>,
}

impl Sample {
    /// Reads what `stats proxy` was answered.
    ///
    /// # Errors
    /// It is not what a moxi answers.
    pub fn parse(at: Duration, reply: &[u8]) -> Result<Sample, String> {
        let mut sample = Sample { at, ..Sample::default() };
        for (name, value) in stats(reply)? {
            sample.values.insert(name, value);
        }
        Ok(sample)
    }

    /// Adds what `stats proxy timings` was answered (06 §5.3).
    ///
    /// # Errors
    /// It is not what a moxi answers.
    pub fn add_timings(&mut self, reply: &[u8]) -> Result<(), String> {
        for (name, bar) in stats(reply)? {
            if let Some((end, count)) = bin(&bar) {
                self.histograms.entry(name).or_default().insert(end, count);
            }
        }
        Ok(())
    }

    /// Adds what another word of `stats proxy` was answered. An older version of the program may not know it.
    ///
    /// # Errors
    /// It is not what a moxi answers.
    pub fn add(&mut self, reply: &[u8]) -> Result<(), String> {
        if !reply.starts_with(b"CLIENT_ERROR") {
            self.values.extend(stats(reply)?);
        }
        Ok(())
    }

    /// Whether it is of this program, and not of that in C.
    pub fn is_ours(&self) -> bool {
        self.values.keys().any(|name| name.ends_with(":pstd_stats:tot_joined_gets"))
    }

    /// The value of this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of this name, if it is a whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// The value of this name, if it is a number of any kind.
    pub fn decimal(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// The prefixes of the buckets, `<port>:<name>`, each once.
    pub fn buckets(&self) -> BTreeSet<&str> {
        let names = self.values.keys().filter(|name| !KEYS.iter().any(|mark| name.contains(mark)));
        names.filter_map(|name| name.rsplit_once(COUNTERS)).map(|(bucket, _)| bucket).collect()
    }

    /// The names that begin with `start` and end with `end`, without these.
    pub fn between<'a>(&'a self, start: &str, end: &str) -> impl Iterator<Item = &'a str> {
        let own = self.values.range(start.to_owned()..).map(|(name, _)| name.as_str());
        own.map_while(move |name| name.strip_prefix(start)).filter_map(move |name| name.strip_suffix(end))
    }

    /// The histogram of this name.
    pub fn histogram(&self, name: &str) -> Option<&BTreeMap<u64, u64>> {
        self.histograms.get(name)
    }

    /// Whether there are timings to be asked for. The C program must not be asked: without samples of connecting it ended
    /// (06 §12). So some bucket has to collect them, and a counter to be there that only this program has.
    pub fn has_timings(&self) -> bool {
        let of = |end: &str, wanted: &dyn Fn(&str) -> bool| {
            self.values.iter().any(|(name, value)| name.ends_with(end) && wanted(value))
        };
        of(":behavior:time_stats", &|value| value != "0") && of(":pstd_stats:tot_joined_gets", &|_| true)
    }
}

/// The lines `STAT <name> <value>`, up to `END`.
fn stats(reply: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = String::from_utf8_lossy(reply);
    let mut found = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("STAT ") {
            Some(rest) => {
                let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                found.push((name.to_owned(), value.to_owned()));
            }
            None if line == "END" => return Ok(found),
            None => return Err(expected(&line.escape_debug().collect::<String>())),
        }
    }
    Err("its statistics break off: expected STAT lines and END".to_owned())
}

fn expected(line: &str) -> String {
    let start: String = line.chars().take(60).collect();
    format!("its answer to \"stats proxy\" is \"{start}\": expected STAT lines and END, as of a port of moxi's proxy")
}

/// A bar `<start>+<width>=<count> <share>% <stars>`, aligned by blanks: where the bin ends, and how many there are in it.
fn bin(bar: &str) -> Option<(u64, u64)> {
    let (start, rest) = bar.split_once('+')?;
    let (width, rest) = rest.split_once('=')?;
    let end = number(start)?.checked_add(number(width)?)?;
    Some((end, number(rest.split_whitespace().next()?)?))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(reply: &str) -> Result<Sample, String> {
        Sample::parse(Duration::ZERO, reply.as_bytes())
    }

    #[test]
    fn names_and_values() {
        let sample = parse(
            "STAT basic:version 7.0.0\r\nSTAT a \r\nSTAT b\r\nSTAT n -3\r\nSTAT d 0.5\r\nSTAT x inf\r\n\
             STAT 11211:default:pstd_stats:num_upstream 3\r\nSTAT 11211:a:b:pstd_stats:num_upstream 4\r\n\
             STAT 11211:a:b:pstd_stats:tot_upstream 4\r\nSTAT 11211:c:pstd_stats_cmd:regular_get:seen 1\r\nEND\r\n",
        );
        let sample = sample.unwrap();
        assert_eq!(
            ["basic:version", "a", "b", "c"].map(|name| sample.text(name)),
            [Some("7.0.0"), Some(""), Some(""), None]
        );
        assert_eq!((sample.number("n"), sample.number("d"), sample.number("a")), (None, None, None));
        assert_eq!((sample.decimal("n"), sample.decimal("d"), sample.decimal("x")), (Some(-3.0), Some(0.5), None));
        assert_eq!(sample.number("11211:default:pstd_stats:num_upstream"), Some(3));
        assert_eq!(sample.buckets().into_iter().collect::<Vec<_>>(), ["11211:a:b", "11211:default"]);
        assert_eq!(parse("END\r\n").unwrap(), Sample::default());
    }

    #[test]
    fn keys_may_be_anything() {
        let sample = parse(
            "STAT 1:b:hot_keys:a:requests 1\r\nSTAT 1:b:hot_keys:a:error 1\r\n\
             STAT 1:b:hot_keys:x:pstd_stats:y:requests 1\r\nSTAT 1:b:key_stats:x:pstd_stats:y:added_at_msec 1\r\n\
             STAT 1:b:pstd_stats:tot_retry 1\r\nEND\r\n",
        );
        let sample = sample.unwrap();
        assert_eq!(sample.buckets().into_iter().collect::<Vec<_>>(), ["1:b"]);
        assert_eq!(sample.between("1:b:hot_keys:", ":requests").collect::<Vec<_>>(), ["a", "x:pstd_stats:y"]);
    }

    #[test]
    fn what_is_no_answer_of_moxi() {
        let why = |line| {
            format!(
                "its answer to \"stats proxy\" is \"{line}\": expected STAT lines and END, as of a port of moxi's proxy"
            )
        };
        assert_eq!(parse("ERROR\r\n"), Err(why("ERROR")));
        assert_eq!(parse("STAT a 1\r\nHTTP/1.1 \u{7}\r\n"), Err(why("HTTP/1.1 \\u{7}")));
        assert!(parse("STAT a 1\r\n").unwrap_err().contains("break off"));
    }

    #[test]
    fn timings_are_read_however_they_are_aligned() {
        let mut sample = Sample::default();
        let reply = "STAT 1:default:reserved   0+100=2  40.00% ****\r\nSTAT 1:default:reserved 100+100= 30 100.00% *\r\n\
                     STAT 1:default:reserved nonsense\r\nSTAT 1:default:reserved 1+18446744073709551615=1 0.00%\r\n\
                     STAT 1:default:connect 52430700+52428800=1 100.00% **\r\nEND\r\n";
        sample.add_timings(reply.as_bytes()).unwrap();
        let bins = |name| sample.histogram(name).unwrap().iter().map(|(end, count)| (*end, *count)).collect::<Vec<_>>();
        assert_eq!(bins("1:default:reserved"), [(100, 2), (200, 30)]);
        assert_eq!(bins("1:default:connect"), [(104_859_500, 1)]);
        assert_eq!(sample.histogram("1:default"), None);
    }

    /// That program ends when it is asked for timings that it has not.
    #[test]
    fn the_c_program_is_not_asked_for_timings() {
        let timed = "STAT 1:default:behavior:time_stats 1\r\n";
        let ours = "STAT 1:default:pstd_stats:tot_joined_gets 0\r\n";
        let has = |lines: &[&str]| parse(&format!("{}END\r\n", lines.concat())).unwrap().has_timings();
        assert!(has(&[timed, ours]));
        assert!(!has(&[timed]) && !has(&[ours]));
        assert!(!has(&["STAT 1:default:behavior:time_stats 0\r\n", ours]));
    }
}
