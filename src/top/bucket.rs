//! What the view shows of one bucket: its counters by the names of 06 §4.6.

use super::change::{Change, sum};
use crate::metrics::counter::{COMMANDS, TYPES};

/// What goes wrong: counter, in a few words, and whether it is an error that is not counted under another name, too.
const TROUBLE: [(&str, &str, bool); 18] = [
    ("tot_downstream_timeout", "server did not answer in time", true),
    ("tot_wait_queue_timeout", "no place in time", true),
    ("tot_downstream_conn_queue_timeout", "no connection in time", true),
    ("tot_downstream_quit_server", "connection lost while in use", true),
    ("tot_downstream_connect_failed", "connecting failed", true),
    ("tot_downstream_connect_timeout", "connecting failed, by time", false),
    ("tot_downstream_connect_interval", "not tried, server suspended", false),
    ("tot_downstream_waiting_errors", "waited for a server that failed", true),
    ("tot_downstream_propagate_failed", "could be sent nowhere", true),
    ("tot_downstream_auth_failed", "authentication refused", true),
    ("tot_auth_timeout", "authentication not in time", true),
    ("tot_downstream_bucket_failed", "bucket refused", true),
    ("tot_retry", "sent again", false),
    ("tot_retry_vbucket", "sent again, not my vbucket", false),
    ("tot_downstream_close_on_upstream_close", "client left without its answer", false),
    ("tot_upstream_idle_closed", "idle client closed", false),
    ("err_oom", "out of memory", true),
    ("err_downstream_write_prep", "could not write to a server", true),
];

/// The pseudo-command that counts the keys of gets.
const KEYS: &str = "get_key";

/// All requests for keys, while hot keys are looked for (06 §7.1).
const HOT_SEEN: &str = "hot_keys_seen";

/// One bucket from one sample to the next.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<'a> {
    change: &'a Change<'a>,
    /// `<port>:<name>`.
    pub name: &'a str,
}

/// A row of a bucket's table of commands.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// What clients sent.
    pub name: &'static str,
    /// So many per second.
    pub rate: Option<f64>,
    /// For gets, the share of keys that had a value.
    pub hits: Option<f64>,
    /// Bytes per second of requests.
    pub read: Option<f64>,
    /// Bytes per second of values in the answers.
    pub written: Option<f64>,
    /// Since the counter began.
    pub total: Option<u64>,
}

/// A row of a bucket's table of what went wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// What happened.
    pub what: &'static str,
    /// So many times per second.
    pub rate: Option<f64>,
    /// Since the counter began.
    pub total: Option<u64>,
}

/// A row of a bucket's table of the keys that are asked for most.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey<'a> {
    /// The key, as it is shown.
    pub key: &'a str,
    /// So many requests per second.
    pub rate: Option<f64>,
    /// The part of all requests for keys that these are.
    pub share: Option<f64>,
    /// At least so many since the counter began.
    pub total: Option<u64>,
}

impl<'a> Bucket<'a> {
    /// All of them, those with most requests first.
    pub fn all(change: &'a Change<'a>) -> Vec<Bucket<'a>> {
        let mut all: Vec<Bucket<'a>> = change.now.buckets().into_iter().map(|name| Bucket { change, name }).collect();
        all.sort_by(|one, other| descending(one.requests(), other.requests()));
        all
    }

    /// A counter of `pstd_stats`, or another one by its whole name below the bucket.
    fn path(&self, counter: &str) -> String {
        let block = if counter.contains(':') || counter == HOT_SEEN { "" } else { "pstd_stats:" };
        format!("{}:{block}{counter}", self.name)
    }

    /// How many there are now.
    pub fn gauge(&self, counter: &str) -> Option<u64> {
        self.change.now.number(&self.path(counter))
    }

    /// A word that is told of it.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.change.now.text(&self.path(name))
    }

    /// How many per second.
    pub fn rate(&self, counter: &str) -> Option<f64> {
        self.change.rate(&self.path(counter))
    }

    /// How many have begun and not ended; none while that makes no sense, as after counters were set back.
    pub fn pending(&self, begun: &str, ended: &str) -> Option<u64> {
        self.gauge(begun)?.checked_sub(self.gauge(ended)?)
    }

    /// Requests per second that waited for servers, of clients of both protocols, and gets that need not wait because of
    /// the front cache.
    pub fn requests(&self) -> Option<f64> {
        sum([Some(self.rate("tot_cmd_count")?), self.rate("frontcache:tot_get_hits")])
    }

    /// The mean time of a request in microseconds.
    pub fn mean(&self) -> Option<f64> {
        let increase = |counter| self.change.increase(&self.path(counter));
        let (time, count) = (increase("tot_cmd_time")?, increase("tot_cmd_count")?);
        (count > 0).then(|| time as f64 / count as f64)
    }

    /// The share of keys of gets that had a value.
    pub fn hits(&self) -> Option<f64> {
        let (hits, misses) = (self.of_command(KEYS, "hits")?, self.of_command(KEYS, "misses")?);
        (hits + misses > 0.0).then(|| hits / (hits + misses))
    }

    /// Bytes per second of requests.
    pub fn read(&self) -> Option<f64> {
        sum(commands().map(|command| self.of_command(command, "read_bytes")))
    }

    /// Bytes per second of values in answers.
    pub fn written(&self) -> Option<f64> {
        sum(COMMANDS.map(|command| self.of_command(command, "write_bytes")))
    }

    /// What went wrong, per second.
    pub fn errors(&self) -> Option<f64> {
        sum(TROUBLE.into_iter().filter(|(.., is_error)| *is_error).map(|(counter, ..)| self.rate(counter)))
    }

    /// The microseconds below which this share of what servers were asked was answered.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        self.change.quantile(&format!("{}:reserved", self.name), share)
    }

    /// Whether times are measured.
    pub fn is_timed(&self) -> bool {
        self.change.now.histogram(&format!("{}:reserved", self.name)).is_some()
    }

    /// The commands that were seen, or of which it is not known, the most frequent first.
    pub fn commands(&self) -> Vec<Command> {
        let mut rows: Vec<Command> = commands().map(|name| self.command(name)).collect();
        rows.retain(|row| row.total != Some(0));
        rows.sort_by(|one, other| descending(one.rate, other.rate).then(other.total.cmp(&one.total)));
        rows
    }

    fn command(&self, name: &'static str) -> Command {
        let is_get = name == "get";
        let kinds = TYPES.map(|kind| self.gauge(&format!("pstd_stats_cmd:{kind}_{name}:seen")));
        let values = if is_get { KEYS } else { name };
        Command {
            name,
            rate: self.of_command(name, "seen"),
            hits: self.hits().filter(|_| is_get),
            read: self.of_command(name, "read_bytes"),
            written: self.of_command(values, "write_bytes"),
            total: kinds.into_iter().flatten().reduce(u64::saturating_add),
        }
    }

    /// What went wrong, or of which it is not known, the most frequent first.
    pub fn trouble(&self) -> Vec<Trouble> {
        let row = |(counter, what, _)| Trouble { what, rate: self.rate(counter), total: self.gauge(counter) };
        let mut rows: Vec<Trouble> = TROUBLE.into_iter().map(row).collect();
        rows.retain(|row| row.total != Some(0));
        rows.sort_by(|one, other| descending(one.rate, other.rate).then(other.total.cmp(&one.total)));
        rows
    }

    /// The keys that are asked for most, those of now first.
    pub fn hot_keys(&self) -> Vec<HotKey<'a>> {
        let all = self.rate(HOT_SEEN).filter(|all| *all > 0.0);
        let prefix = format!("{}:hot_keys:", self.name);
        let row = |key: &'a str| {
            let counter = format!("hot_keys:{key}:requests");
            let rate = self.rate(&counter);
            HotKey { key, rate, share: rate.zip(all).map(|(rate, all)| rate / all), total: self.gauge(&counter) }
        };
        let mut rows: Vec<HotKey<'a>> = self.change.now.between(&prefix, ":requests").map(row).collect();
        rows.sort_by(|one, other| descending(one.rate, other.rate).then(other.total.cmp(&one.total)));
        rows
    }

    /// Per second, of a command with and without `noreply`.
    fn of_command(&self, command: &str, field: &str) -> Option<f64> {
        self.change.sum_rate(TYPES.map(|kind| self.path(&format!("pstd_stats_cmd:{kind}_{command}:{field}"))))
    }
}

/// What clients can send.
fn commands() -> impl Iterator<Item = &'static str> {
    COMMANDS.into_iter().filter(|name| *name != KEYS)
}

/// The larger first, what is not known last.
fn descending(one: Option<f64>, other: Option<f64>) -> std::cmp::Ordering {
    other.unwrap_or(-1.0).total_cmp(&one.unwrap_or(-1.0))
}

#[cfg(test)]
mod tests {
    use crate::metrics::counter::COUNTERS;

    use super::*;

    #[test]
    fn the_counters_are_there() {
        for (counter, ..) in TROUBLE {
            assert!(COUNTERS.iter().any(|(name, _)| *name == counter), "{counter}");
        }
        assert!(COMMANDS.contains(&KEYS));
    }
}
