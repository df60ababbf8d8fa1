//! Rates to lines of text.

use super::bucket::{Bucket, Command, HotKey, Trouble};
use super::change::Change;
use super::{latency, number, servers};

/// The columns of the table of buckets, behind the name, and how wide they are.
const BUCKETS: [(&str, usize); 9] = [
    ("CLIENTS", 9),
    ("CONNS", 7),
    ("REQ/s", 7),
    ("HITS", 8),
    ("IN/s", 7),
    ("OUT/s", 7),
    ("PENDING", 9),
    ("ERR/s", 7),
    ("TIME", 8),
];

/// How wide a bucket's name is, if it is no longer.
const NAME: usize = 15;

/// How many keys are shown, and how wide they may be.
const HOT: usize = 20;
const KEY: usize = 34;

/// The view of what has happened at `place`, the text of an address.
pub fn lines(place: &str, change: &Change<'_>) -> Vec<String> {
    let buckets = Bucket::all(change);
    let mut lines = head(place, change);
    lines.push(String::new());
    let width = buckets.iter().map(|bucket| shown(bucket.name).chars().count()).max().unwrap_or(0).max(NAME);
    let titles = BUCKETS.map(|(title, _)| title.to_owned());
    lines.push(row("BUCKET", width, titles));
    lines.extend(buckets.iter().map(|bucket| row(&shown(bucket.name), width, summary(bucket))));
    for bucket in &buckets {
        lines.push(String::new());
        lines.extend(details(bucket));
    }
    lines
}

/// What is known of the process.
fn head(place: &str, change: &Change<'_>) -> Vec<String> {
    let now = change.now;
    let text = |name| now.text(name).map_or_else(|| "-".to_owned(), shown);
    let rate = |name| number::rate(change.rate(name));
    vec![
        format!(
            "moxi {} at {place}, pid {} on {}, up {}",
            text("basic:version"),
            text("memcached:stats:pid"),
            text("basic:hostname"),
            number::uptime(now.number("memcached:stats:uptime")),
        ),
        format!(
            "connections {}, new {}/s, in {}B/s, out {}B/s, CPU {} of {} threads",
            number::count(now.number("memcached:stats:curr_connections")),
            rate("memcached:stats:total_connections"),
            rate("memcached:stats:bytes_read"),
            rate("memcached:stats:bytes_written"),
            number::share(change.processors()),
            text("basic:nthreads"),
        ),
    ]
}

/// A bucket's row of the table.
fn summary(bucket: &Bucket<'_>) -> [String; BUCKETS.len()] {
    [
        number::count(bucket.gauge("num_upstream")),
        number::count(bucket.gauge("num_downstream_conn")),
        number::rate(bucket.requests()),
        number::share(bucket.hits()),
        number::rate(bucket.read()),
        number::rate(bucket.written()),
        number::count(bucket.pending("tot_upstream_paused", "tot_upstream_unpaused")),
        number::rate(bucket.errors()),
        number::micros(bucket.mean()),
    ]
}

fn row(name: &str, width: usize, cells: [String; BUCKETS.len()]) -> String {
    let mut line = format!("{name:<width$}");
    for (cell, (_, width)) in cells.into_iter().zip(BUCKETS) {
        line.push_str(&format!("{cell:>width$}"));
    }
    line
}

/// The part of the view that is about one bucket.
fn details(bucket: &Bucket<'_>) -> Vec<String> {
    let rate = |counter| number::rate(bucket.rate(counter));
    let mut lines = vec![
        shown(bucket.name),
        format!(
            "  queue        behind others {}, waited for a place {}/s, joined gets {}/s",
            number::count(bucket.pending("tot_downstream_conn_queue_add", "tot_downstream_conn_queue_remove")),
            rate("tot_downstream_max_reached"),
            rate("tot_joined_gets"),
        ),
        front_cache(bucket),
        format!(
            "  connections  clients new {}/s, to servers new {}/s, no more allowed {}/s",
            rate("tot_upstream"),
            rate("tot_downstream_connect"),
            rate("tot_downstream_connect_max_reached"),
        ),
    ];
    if bucket.is_timed() {
        let below = |share| number::micros(bucket.quantile(share).map(|micros| micros as f64));
        lines.push(format!("  servers      half within {}, 99% within {}", below(0.5), below(0.99)));
    }
    lines.push(format!("  {:<13}{:>8}{:>9}{:>9}{:>9}{:>11}", "COMMAND", "/s", "HITS", "IN/s", "OUT/s", "TOTAL"));
    lines.extend(bucket.commands().iter().map(command));
    let hot = bucket.hot_keys();
    if !hot.is_empty() {
        lines.push(format!("  {:<34}{:>14}{:>9}{:>11}", "KEY", "/s", "SHARE", "TOTAL"));
        lines.extend(hot.iter().take(HOT).map(hot_key));
    }
    lines.extend(latency::lines(bucket));
    lines.extend(servers::lines(bucket));
    let trouble = bucket.trouble();
    if !trouble.is_empty() {
        lines.push(format!("  {:<34}{:>14}{:>11}", "TROUBLE", "/s", "TOTAL"));
        lines.extend(trouble.iter().map(self::trouble));
    }
    lines
}

/// While it is on, it has a size (06 §4.6).
fn front_cache(bucket: &Bucket<'_>) -> String {
    let [size, max] = ["frontcache:size", "frontcache:max"].map(|counter| bucket.gauge(counter));
    if size.is_none() && max.is_some() {
        return "  front cache  off".to_owned();
    }
    let [hits, misses] = ["frontcache:tot_get_hits", "frontcache:tot_get_misses"].map(|counter| bucket.rate(counter));
    let [hits, misses] = [hits, misses].map(number::rate);
    format!("  front cache  hits {hits}/s, misses {misses}/s, values {} of {}", number::count(size), number::count(max))
}

fn command(row: &Command) -> String {
    let hits = if row.name == "get" { number::share(row.hits) } else { String::new() };
    let [rate, read, written] = [row.rate, row.read, row.written].map(number::rate);
    let total = number::count(row.total);
    format!("  {:<13}{rate:>8}{hits:>9}{read:>9}{written:>9}{total:>11}", row.name)
}

fn trouble(row: &Trouble) -> String {
    format!("  {:<34}{:>14}{:>11}", row.what, number::rate(row.rate), number::count(row.total))
}

fn hot_key(row: &HotKey<'_>) -> String {
    let key = shown(row.key);
    let key = match key.chars().count() > KEY {
        true => key.chars().take(KEY - 3).chain("...".chars()).collect(),
        false => key,
    };
    let [rate, share] = [number::rate(row.rate), number::share(row.share)];
    format!("  {key:<34}{rate:>14}{share:>9}{:>11}", number::count(row.total))
}

/// A text of the server's as it may stand on a terminal.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::top::Sample;

    use super::*;

    fn sample(seconds: u64, values: &[(&str, u64)]) -> Sample {
        let lines: String = values.iter().map(|(name, value)| format!("STAT {name} {value}\r\n")).collect();
        Sample::parse(Duration::from_secs(seconds), format!("{lines}END\r\n").as_bytes()).unwrap()
    }

    /// What is not told is shown as `-`; what is told and not known is ignored.
    #[test]
    fn little_is_known() {
        let now = sample(1, &[("11211:default:pstd_stats:num_upstream", 3), ("what:is:this", 1)]);
        let lines = lines("a:1", &Change::new(None, &now));
        let head = [
            "moxi - at a:1, pid - on -, up -",
            "connections -, new -/s, in -B/s, out -B/s, CPU - of - threads",
            "",
            "BUCKET           CLIENTS  CONNS  REQ/s    HITS   IN/s  OUT/s  PENDING  ERR/s    TIME",
            "11211:default          3      -      -       -      -      -        -      -       -",
            "",
            "11211:default",
            "  queue        behind others -, waited for a place -/s, joined gets -/s",
            "  front cache  hits -/s, misses -/s, values - of -",
            "  connections  clients new -/s, to servers new -/s, no more allowed -/s",
            "  COMMAND            /s     HITS     IN/s    OUT/s      TOTAL",
            "  get                 -        -        -        -          -",
            "  set                 -                 -        -          -",
        ];
        assert_eq!(lines[..head.len()], head);
        assert_eq!(super::lines("a:1", &Change::new(None, &Sample::default())).len(), 4);
    }

    #[test]
    fn the_busiest_is_first_and_zeros_are_left_out() {
        let values = |idle: u64, busy: u64, error: u64| {
            let mut values = Vec::new();
            for (bucket, count) in [("1:a", idle), ("1:b", busy), ("1:c", busy)] {
                for (name, value) in [
                    ("pstd_stats:tot_cmd_count", count),
                    ("pstd_stats:tot_cmd_time", count * 300),
                    ("frontcache:tot_get_hits", count),
                    ("pstd_stats:tot_retry", 5),
                    ("pstd_stats:tot_downstream_timeout", 3 + error),
                    ("pstd_stats:err_oom", 0),
                    ("pstd_stats_cmd:regular_get:seen", count),
                    ("pstd_stats_cmd:quiet_get:seen", count),
                    ("pstd_stats_cmd:regular_set:seen", 2),
                    ("pstd_stats_cmd:quiet_set:seen", 3 * count),
                    ("pstd_stats_cmd:regular_add:seen", 0),
                ] {
                    values.push((format!("{bucket}:{name}"), value));
                }
            }
            values
        };
        let sample = |seconds, values: Vec<(String, u64)>| {
            sample(seconds, &values.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>())
        };
        let (before, now) = (sample(1, values(10, 100, 0)), sample(3, values(10, 300, 1)));
        let lines = lines("a:1", &Change::new(Some(&before), &now));
        let table: Vec<Vec<&str>> = lines[4..7].iter().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(table[0], ["1:b", "-", "-", "200", "-", "-", "-", "-", "0.5", "300us"]);
        assert_eq!(table[1], ["1:c", "-", "-", "200", "-", "-", "-", "-", "0.5", "300us"]);
        assert_eq!(table[2], ["1:a", "-", "-", "0.0", "-", "-", "-", "-", "0.5", "-"]);
        let rows = |title: &str| {
            let block = lines.iter().skip_while(|line| *line != "1:b").skip_while(|line| !line.contains(title)).skip(1);
            let known = block.take_while(|line| line.starts_with("  ")).filter(|line| !line.ends_with(" -"));
            known.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(rows("TROUBLE"), ["server did not answer in time 0.5 4", "sent again 0.0 5"]);
        let commands: Vec<String> = rows("COMMAND").into_iter().take_while(|line| !line.contains("TROUBLE")).collect();
        assert_eq!(commands, ["set 300 - - 902", "get 200 - - - 600"]);
    }

    #[test]
    fn the_keys_of_now_are_first() {
        let long = "l".repeat(40);
        let of = |key: &str| format!("1:a:hot_keys:{key}:requests");
        let values = |seen, counts: &[(&str, u64)]| {
            let mut values: Vec<(String, u64)> = counts.iter().map(|(key, count)| (of(key), *count)).collect();
            values.extend([("1:a:hot_keys_seen".to_owned(), seen), ("1:a:pstd_stats:tot_retry".to_owned(), 1)]);
            values
        };
        let sample = |seconds, values: Vec<(String, u64)>| {
            sample(seconds, &values.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>())
        };
        let before = sample(1, values(1000, &[("once", 500), ("now:here", 10), (&long, 5)]));
        let now = sample(2, values(1200, &[("once", 500), ("now:here", 110), (&long, 25), ("new", 3)]));
        let lines = lines("a:1", &Change::new(Some(&before), &now));
        let rows =
            lines.iter().skip_while(|line| !line.contains("SHARE")).skip(1).take_while(|l| !l.contains("TROUBLE"));
        let rows: Vec<String> = rows.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let cut = format!("{}... 20 10.0% 25", "l".repeat(31));
        assert_eq!(rows, ["now:here 100 50.0% 110", cut.as_str(), "once 0.0 0.0% 500", "new - - 3"]);
        let without = sample(2, values(0, &[]));
        assert!(!super::lines("a:1", &Change::new(None, &without)).iter().any(|line| line.contains("SHARE")));
    }

    #[test]
    fn times_and_servers() {
        let now = "STAT 1:a:pstd_stats:tot_joined_gets 1\r\nSTAT 1:a:info:behaviors_num 3\r\n\
                   STAT 1:a:latency:get:total_count 9\r\nSTAT 1:a:latency:get:total_p50 120\r\n\
                   STAT 1:a:latency:get:total_max 40000\r\nSTAT 1:a:latency:set:total_count 0\r\n\
                   STAT 1:a:server-0:name h:1\r\nSTAT 1:a:server-0:state up\r\nSTAT 1:a:server-0:unanswered 4\r\n\
                   STAT 1:a:server-0:last_error none\r\nSTAT 1:a:server-2:name h:2\r\n\
                   STAT 1:a:server-2:state probing\r\nSTAT 1:a:server-2:last_error closed\r\n\
                   STAT 1:a:server-2:last_error_seconds 12\r\nEND\r\n";
        let mut sample = Sample::parse(Duration::ZERO, now.as_bytes()).unwrap();
        assert!(sample.is_ours());
        sample.add(b"CLIENT_ERROR unknown word\r\n").unwrap();
        let lines = lines("a:1", &Change::new(None, &sample));
        let at = lines.iter().position(|line| line.contains("LONGEST")).expect("times");
        let rows: Vec<String> =
            lines[at..].iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            rows[..5],
            [
                "TIME SINCE RESET 50% 99% 99.9% LONGEST QUEUED 99% SERVER 99%",
                "get 120us - - 40.0ms - -",
                "SERVER STATE CONNS OWED QUEUED REQ/s ERR/s 99% LAST ERROR",
                "h:1 up - 4 - - - -",
                "h:2 probing - - - - - - closed 12s ago",
            ]
        );
    }

    #[test]
    fn nothing_reaches_the_terminal_that_is_no_text() {
        let reply = "STAT basic:version 7\u{1b}[2J\r\nSTAT 1:\u{7}:pstd_stats:x 1\r\nEND\r\n";
        let sample = Sample::parse(Duration::ZERO, reply.as_bytes()).unwrap();
        let lines = lines("a:1", &Change::new(None, &sample));
        assert!(lines[0].starts_with("moxi 7?[2J at a:1") && lines[4].starts_with("1:? "), "{lines:?}");
    }
}
