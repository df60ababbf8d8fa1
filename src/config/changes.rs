//! What is different between two configurations, for the log.

use std::fmt;
use std::sync::Arc;

use super::snapshot::{BucketConfig, Config, Server};

/// How many servers are named in one place.
const NAMED: usize = 8;

/// The differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    phrases: Vec<String>,
    /// Whether more has happened than that keys have moved between servers, as they do one by one while a cluster is
    /// rebalanced.
    is_notable: bool,
}

impl Changes {
    /// From `before` to `after`, of which an index means the same bucket.
    pub fn between(before: &Config, after: &Config) -> Changes {
        let mut changes = Changes::default();
        for (index, bucket) in after.buckets.iter().enumerate() {
            let old = before.buckets.get(index).filter(|old| old.is_live());
            match (old, bucket.is_live()) {
                (None, true) => {
                    let servers = servers(bucket.servers.iter().map(AsRef::as_ref));
                    changes.note(format!("{} added, to {servers}", name(bucket)));
                }
                (Some(old), false) => changes.note(format!("{} removed", name(old))),
                (Some(old), true) if !old.is_same(bucket) => changes.compare(old, bucket),
                _ => {}
            }
        }
        changes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    /// At which verbosity they are worth a line.
    pub fn level(&self) -> u8 {
        u8::from(!self.is_notable)
    }

    fn note(&mut self, phrase: String) {
        self.phrases.push(phrase);
        self.is_notable = true;
    }

    fn compare(&mut self, old: &BucketConfig, new: &BucketConfig) {
        let (name, place) = (name(new), |a: &Server, b: &Server| (&a.host, a.port) == (&b.host, b.port));
        let (added, removed) = (beyond(&new.servers, &old.servers, place), beyond(&old.servers, &new.servers, place));
        if !added.is_empty() {
            self.note(format!("{name}: added {}", servers(added.into_iter())));
        } else if removed.is_empty() {
            let is_same = beyond(&new.servers, &old.servers, Server::eq).is_empty()
                && new.behavior == old.behavior
                && new.get_errors == old.get_errors;
            match is_same {
                false => self.note(format!("{name}: credentials or limits have changed")),
                true if new.router != old.router => {
                    self.phrases.push(format!("{name}: keys have moved between its servers"));
                }
                true => self.phrases.push(format!("{name}: only its text has changed")),
            }
            return;
        }
        if !removed.is_empty() {
            self.note(format!("{name}: removed {}", servers(removed.into_iter())));
        }
    }
}

/// What a bucket is called: the bucket of a static section by its port.
fn name(bucket: &BucketConfig) -> String {
    match bucket.agent {
        Some(_) => format!("bucket {}", bucket.name),
        None => format!("port {}", bucket.port),
    }
}

/// Those of `list` that are not in `other`, or not as often.
fn beyond<'a>(
    list: &'a [Arc<Server>],
    other: &[Arc<Server>],
    is_same: impl Fn(&Server, &Server) -> bool,
) -> Vec<&'a Server> {
    let mut other: Vec<&Server> = other.iter().map(AsRef::as_ref).collect();
    let mut beyond = Vec::new();
    for server in list {
        match other.iter().position(|known| is_same(known, server)) {
            Some(index) => drop(other.swap_remove(index)),
            None => beyond.push(server.as_ref()),
        }
    }
    beyond
}

/// `HOST:PORT` of each server, as many as a line of the log can take.
pub fn servers<'a>(servers: impl ExactSizeIterator<Item = &'a Server>) -> String {
    let count = servers.len();
    let mut names: Vec<String> = servers.take(NAMED).map(ToString::to_string).collect();
    if let more @ 1.. = count.saturating_sub(NAMED) {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_empty() {
            true => f.write_str("nothing has changed"),
            false => f.write_str(&self.phrases.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::behavior::Behavior;
    use crate::config::dynamic::{self, Source};
    use crate::config::load;

    /// What the log says of the way from one static text to another.
    fn told(before: &str, after: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), before).unwrap();
        let loaded = load(file.path().to_str().unwrap(), None, &|_| None).unwrap();
        std::fs::write(file.path(), after).unwrap();
        let next = crate::config::reread(&loaded.config, loaded.file.as_ref().unwrap(), &loaded.behavior).unwrap();
        Changes::between(&loaded.config, &next.config).to_string()
    }

    #[test]
    fn sections() {
        for (before, after, want) in [
            ("1=a,b", "1=a,b", "nothing has changed"),
            ("1=a,b", " 1 = a, b;", "port 1: only its text has changed"),
            ("1=a;2=b", "1=a;3=c,d:5", "port 2 removed; port 3 added, to c:11211, d:5"),
            ("1=a,b", "1=b,c", "port 1: added c:11211; port 1: removed a:11211"),
            ("1=a,b", "1=a", "port 1: removed b:11211"),
            ("1=a,b", "1=a,b,b", "port 1: added b:11211"),
            ("1=a:5:1,b:6:1", "1=a:5:1,b:6:9", "port 1: keys have moved between its servers"),
            (
                "1=a",
                "1=a,b1,b2,b3,b4,b5,b6,b7,b8,b9",
                "port 1: added b1:11211, b2:11211, b3:11211, b4:11211, b5:11211, b6:11211, b7:11211, b8:11211, 1 more",
            ),
        ] {
            assert_eq!(told(before, after), want, "{before} to {after}");
        }
    }

    #[test]
    fn buckets_of_a_cluster() {
        let behavior: Arc<Behavior> = Arc::default();
        let bucket = |name: &str, password: &str, servers: &str, map: &str| {
            format!(
                "{{\"name\":\"{name}\",\"saslPassword\":\"{password}\",\"nodes\":[],\"nodeLocator\":\"vbucket\",\
                 \"vBucketServerMap\":{{\"hashAlgorithm\":\"CRC\",\"numReplicas\":0,\"serverList\":{servers},\
                 \"vBucketMap\":{map}}}}}"
            )
        };
        let both = r#"["a:1","b:2"]"#;
        let mut config = dynamic::initial(&behavior).unwrap();
        let mut next = |buckets: &[String]| {
            let document = format!("{{\"buckets\":[{}]}}", buckets.join(","));
            let source = Source { agent: 0, url: "http://c.example/", host: "c.example" };
            let after = dynamic::apply(&config, &document, source, &behavior).unwrap().config;
            let changes = Changes::between(&config, &after);
            config = after;
            (changes.to_string(), changes.level())
        };
        let first = bucket("x", "sesame", both, "[[0],[1]]");
        assert_eq!(next(std::slice::from_ref(&first)), ("bucket x added, to a:1, b:2".into(), 0));
        assert_eq!(next(std::slice::from_ref(&first)), ("nothing has changed".into(), 1));
        let moved = bucket("x", "sesame", both, "[[0],[0]]");
        assert_eq!(next(std::slice::from_ref(&moved)), ("bucket x: keys have moved between its servers".into(), 1));
        let other = bucket("x", "other", both, "[[0],[0]]");
        assert_eq!(next(std::slice::from_ref(&other)), ("bucket x: credentials or limits have changed".into(), 0));
        let fewer = bucket("x", "other", r#"["b:2"]"#, "[[0],[0]]");
        let y = bucket("y", "", both, "[[1],[0]]");
        assert_eq!(next(&[fewer, y.clone()]), ("bucket x: removed a:1; bucket y added, to a:1, b:2".into(), 0));
        assert_eq!(next(&[y]), ("bucket x removed".into(), 0));
    }
}
