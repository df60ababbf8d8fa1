//! Sequences of documents: every row of 05 §5.8, §7.1–7.5 and §8.2 that a configuration alone shows.

use proptest::prelude::*;

use super::*;
use crate::config::snapshot::Tally;
use crate::protocol::Protocol;
use crate::routing::Router;

const URL: &str = "http://node7:8091/p";
const SOURCE: Source<'static> = Source { agent: 0, url: URL, host: "node7" };

/// A manager's side of things: what is in force, and the behaviour.
struct Manager {
    behavior: Arc<Behavior>,
    config: Config,
}

impl Manager {
    fn new(behavior: &str) -> Manager {
        let (behavior, log) = Behavior::default().with_text(behavior);
        assert_eq!(log, [""; 0]);
        let behavior = Arc::new(behavior);
        Manager { config: initial(&behavior).unwrap(), behavior }
    }

    fn apply_from(&mut self, source: Source<'_>, document: &str) -> Vec<String> {
        let applied = apply(&self.config, document, source, &self.behavior).expect("JSON");
        self.config = applied.config;
        applied.log
    }

    /// Applies a document and gives the lines for the log.
    fn apply(&mut self, document: &str) -> Vec<String> {
        self.apply_from(SOURCE, document)
    }

    /// The same for one that leaves nothing to say.
    fn quietly(&mut self, document: &str) -> &mut Manager {
        assert_eq!(self.apply(document), [""; 0]);
        self
    }

    /// `name=servers` of every bucket.
    fn shown(&self) -> Vec<String> {
        let servers = |bucket: &BucketConfig| {
            let names = bucket.servers.iter().map(|server| format!("{}:{}", server.host, server.port));
            names.collect::<Vec<_>>().join(",")
        };
        self.config.buckets.iter().map(|bucket| format!("{}={}", bucket.name, servers(bucket))).collect()
    }

    fn start(&self) -> Option<&str> {
        self.config.start_bucket().map(|index| self.config.buckets[index].name.as_str())
    }
}

/// A vbucket document.
fn doc(name: &str, server: &str) -> String {
    format!(
        r#"{{"name":"{name}","saslPassword":"pw-{name}","numReplicas":0,"serverList":["{server}"],"vBucketMap":[[0]]}}"#
    )
}

fn list(documents: &[&str]) -> String {
    format!(r#"{{"buckets":[{}]}}"#, documents.join(","))
}

#[test]
fn a_list_of_both_kinds_the_default_bucket_first() {
    let mut manager = Manager::new("usr=base,pwd=basepw,mcs_opts=distribution:ketama");
    let ketama = r#"{"name":"k","nodeLocator":"ketama","nodes":[
        {"hostname":"n1:8091","ports":{"direct":1}},{"hostname":"$HOST:8091","ports":{"direct":2}}]}"#;
    let unnamed = r#"{"nodeLocator":"vbucket","vBucketServerMap":
        {"numReplicas":0,"serverList":["$HOST:3"],"vBucketMap":[[0]],"user":"x","password":"y"}}"#;
    manager.quietly(&list(&[ketama, unnamed, &doc("v", "s:4")]));
    assert_eq!(manager.shown(), ["default=node7:3", "k=n1:1,node7:2", "v=s:4"]);
    let [default, k, v] = &manager.config.buckets[..] else { panic!() };
    assert_eq!((default.get_errors, k.get_errors, v.get_errors), (true, false, true));
    let to_servers =
        |bucket: &BucketConfig| (bucket.servers[0].user.clone(), bucket.servers[0].password.reveal().to_owned());
    let from_clients = |bucket: &BucketConfig| (bucket.behavior.usr.clone(), bucket.behavior.pwd.reveal().to_owned());
    assert_eq!(to_servers(default), ("default".into(), "basepw".into()));
    assert_eq!(from_clients(default), ("default".into(), String::new()));
    assert_eq!(to_servers(k), ("k".into(), "basepw".into()));
    assert_eq!(to_servers(v), ("v".into(), "pw-v".into()));
    assert_eq!(from_clients(v), ("v".into(), "pw-v".into()));
    assert!(matches!(&k.router, Router::Ketama(ring) if ring.len() == 200), "libmemcached's ring");
    assert_eq!(k.text, "n1:1,node7:2");
    assert!(v.text.contains("\"saslPassword\":\t\"XXXXXX\""), "{}", v.text);
    assert_eq!((default.port, k.port), (11211, 11211));
    assert_eq!(manager.config.versions, [1, 1, 1]);
}

#[test]
fn ascii_servers_are_shown_no_credentials_and_an_empty_name_has_none() {
    let mut manager = Manager::new("downstream_protocol=ascii");
    manager.quietly(&doc("x", "s:1"));
    let server = &manager.config.buckets[0].servers[0];
    assert_eq!((server.user.as_str(), server.protocol), ("", Protocol::Ascii));
    let mut manager = Manager::new("pwd=basepw");
    manager.quietly(&doc("", "s:1"));
    assert_eq!((manager.start(), manager.config.buckets[0].servers[0].user.as_str()), (Some(""), ""));
}

#[test]
fn weights_are_in_the_text_only() {
    let mut manager = Manager::new("downstream_weight=3");
    manager.quietly(r#"{"nodeLocator":"ketama","vBucketServerMap":{"serverList":["a:1","b:2"],"vBucketMap":[]}}"#);
    assert_eq!(manager.config.buckets[0].text, "a:1:3,b:2:3");
}

/// Every row of 05 §5.8: what works goes on working.
#[test]
fn what_cannot_be_used_changes_nothing() {
    let good = list(&[&doc("a", "s:1"), &doc("b", "s:2")]);
    let empty_map = r#"{"name":"a","numReplicas":0,"serverList":["s:9"],"vBucketMap":[]}"#;
    for (bad, text) in [
        (empty_map.to_owned(), "No vBuckets available; service maybe still initializing"),
        (list(&[empty_map, &doc("b", "s:2")]), "No vBuckets available; service maybe still initializing"),
        (r#"{"name":"a","nodeLocator":"rendezvous"}"#.to_owned(), "Expected vbucket or ketama for nodeLocator"),
        (doc("a", "s"), "missing port, server 0 of the list"),
        (r#"{"name":"a","nodeLocator":"ketama","nodes":[]}"#.to_owned(), "Empty serverList"),
        (r#"{"name":"a","nodeLocator":"ketama","nodes":[5]}"#.to_owned(), "Expected object for nodes array item"),
        ("404 not found".to_owned(), "Expected number <= 4 for numReplicas"),
        ("[]".to_owned(), "Expected number <= 4 for numReplicas"),
        (r#"{"name":"default","buckets":{"uri":"/x"}}"#.to_owned(), "Expected number <= 4 for numReplicas"),
    ] {
        let mut manager = Manager::new("");
        manager.quietly(&good);
        let before = manager.config.buckets.clone();
        assert_eq!(manager.apply(&bad), [format!("ERROR: bad JSON configuration from {URL}: {text}")], "{bad}");
        assert_eq!(manager.shown(), ["a=s:1", "b=s:2"], "{bad}");
        assert!(before.iter().zip(&manager.config.buckets).all(|(old, new)| Arc::ptr_eq(old, new)), "{bad}");
        assert_eq!((manager.config.tally.configs, manager.config.tally.config_fails), (2, 1), "{bad}");
    }
    let mut manager = Manager::new("");
    manager.quietly(&good);
    for bad in ["", " \n", "This is just a bad response.", "{\"buckets\":["] {
        assert!(apply(&manager.config, bad, SOURCE, &manager.behavior).is_err(), "{bad}");
    }
    let empty = apply_empty(&manager.config);
    assert_eq!((empty.tally.configs, empty.tally.config_fails, empty.buckets.len()), (2, 1, 2));
}

#[test]
fn a_refused_bucket_does_not_keep_the_others_from_going() {
    let mut manager = Manager::new("");
    manager.quietly(&list(&[&doc("a", "s:1"), &doc("b", "s:2"), &doc("c", "s:3")]));
    manager.apply(&list(&[r#"{"name":"a","numReplicas":0}"#, &doc("b", "s:9")]));
    assert_eq!(manager.shown(), ["a=s:1", "b=s:9", "c="]);
    assert_eq!(manager.config.versions, [1, 2, 2]);
    manager.quietly(r#"{"buckets":[5]}"#);
    assert_eq!(manager.shown(), ["a=s:1", "b=s:9", "c="], "not a list of buckets");
}

#[test]
fn removed_renamed_and_returned() {
    let mut manager = Manager::new("");
    manager.quietly(&doc("a", "s:1"));
    manager.quietly(&doc("b", "s:1"));
    assert_eq!(manager.shown(), ["a=", "b=s:1"]);
    assert_eq!(manager.start(), Some("b"), "new clients go where there is life");
    let dead = &manager.config.buckets[0];
    assert_eq!((dead.behavior.usr.as_str(), dead.get_errors, dead.router.route(b"k").server), ("", false, None));
    manager.quietly(r#"{"buckets":[]}"#);
    assert_eq!((manager.shown(), manager.start()), (vec!["a=".to_owned(), "b=".to_owned()], None));
    manager.quietly(&list(&[&doc("b", "s:3"), &doc("a", "s:2")]));
    assert_eq!(manager.shown(), ["a=s:2", "b=s:3"]);
    assert_eq!(manager.start(), Some("a"));
    let tally = Tally { configs: 4, config_fails: 0, starts: 2, existings: 2, shutdowns: 2 };
    assert_eq!(manager.config.tally, tally);
    assert_eq!(manager.config.versions, [4, 4]);
}

#[test]
fn an_unchanged_bucket_is_the_same_object() {
    let mut manager = Manager::new("");
    manager.quietly(&list(&[&doc("a", "s:1"), &doc("b", "s:2")]));
    let before = manager.config.buckets.clone();
    manager.quietly(&list(&[&doc("b", "s:3"), &doc("a", "s:1")]));
    assert!(Arc::ptr_eq(&before[0], &manager.config.buckets[0]));
    assert!(!Arc::ptr_eq(&before[1], &manager.config.buckets[1]));
    assert_eq!(manager.config.versions, [2, 2]);
}

#[test]
fn of_two_documents_for_one_bucket_the_last_one_counts() {
    let mut manager = Manager::new("");
    let log = manager.apply(&list(&[&doc("a", "s:1"), &doc("b", "s:2"), &doc("a", "s:3")]));
    assert_eq!(log, [format!("WARNING: bucket \"a\" is there twice, the last one counts, from {URL}")]);
    assert_eq!(manager.shown(), ["a=s:3", "b=s:2"]);
}

/// Workers take a bucket for changed when it is another one: they would forget what they have learned of its servers.
#[test]
fn a_bucket_that_is_there_twice_stays_the_same_when_nothing_changes() {
    let mut manager = Manager::new("");
    let document = list(&[&doc("a", "s:1"), &doc("a", "s:3")]);
    manager.apply(&document);
    let before = Arc::clone(&manager.config.buckets[0]);
    manager.apply(&document);
    assert!(Arc::ptr_eq(&manager.config.buckets[0], &before));
    manager.apply(&list(&[&doc("a", "s:3"), &doc("a", "s:1")]));
    assert_eq!(manager.shown(), ["a=s:1"]);
}

#[test]
fn agents_do_not_touch_each_others_buckets() {
    let mut manager = Manager::new("");
    let second = Source { agent: 1, ..SOURCE };
    manager.quietly(&doc("a", "s:1"));
    manager.apply_from(second, &list(&[&doc("a", "t:1"), &doc("b", "t:2")]));
    assert_eq!(manager.shown(), ["a=s:1", "a=t:1", "b=t:2"]);
    manager.apply_from(second, r#"{"buckets":[]}"#);
    assert_eq!(manager.shown(), ["a=s:1", "a=", "b="]);
}

/// The table of 05 §8.2.
#[test]
fn where_new_clients_start() {
    let with_default = |password: &str| {
        let default =
            format!(r#"{{"name":"default",{password}"numReplicas":0,"serverList":["s:1"],"vBucketMap":[[0]]}}"#);
        list(&[&doc("bucket0", "s:2"), &default])
    };
    let table = [
        ("", list(&[&doc("bucket0", "s:2")]), Some("bucket0")),
        ("", with_default(""), Some("default")),
        ("default_bucket_name=", with_default(""), Some(NULL_BUCKET)),
        ("default_bucket_name=default", with_default(r#""saslPassword":"","#), Some("default")),
        ("default_bucket_name=default", list(&[&doc("bucket0", "s:2")]), Some(NULL_BUCKET)),
        ("default_bucket_name=bucket0", with_default(""), Some(NULL_BUCKET)),
        ("default_bucket_name=default,pwd=basepw", with_default(""), Some("default")),
        ("default_bucket_name=default", r#"{"buckets":[]}"#.to_owned(), None),
    ];
    for (behavior, document, want) in table {
        let mut manager = Manager::new(behavior);
        assert_eq!(manager.start(), None, "{behavior}: nothing lives yet");
        assert_eq!(manager.config.buckets.len(), usize::from(behavior.contains("default_bucket_name")), "{behavior}");
        manager.quietly(&document);
        assert_eq!(manager.start(), want, "{behavior} {document}");
    }
}

#[test]
fn the_null_bucket_and_a_bucket_of_its_name_are_two() {
    let mut manager = Manager::new("default_bucket_name=,usr=admin,pwd=adminpw");
    manager.quietly(&doc(NULL_BUCKET, "s:1")).quietly(r#"{"buckets":[]}"#);
    let null = &manager.config.buckets[0];
    assert_eq!((null.is_null, null.behavior.usr.as_str(), null.behavior.pwd.is_empty()), (true, "", true));
    assert_eq!((manager.config.versions.as_slice(), manager.config.tally.shutdowns), (&[0, 2][..], 1));
}

#[test]
fn a_port_is_needed() {
    for port in ["0", "-1", "65536"] {
        let (behavior, _) = Behavior::default().with_text(&format!("port_listen={port}"));
        assert!(initial(&Arc::new(behavior)).is_err(), "{port}");
    }
}

#[test]
fn no_secret_is_logged() {
    let mut manager = Manager::new("pwd=sesame");
    let log = manager.apply(&list(&[r#"{"name":"a","saslPassword":"sesame"}"#, &doc("a", "s:1"), &doc("a", "s:1")]));
    assert!(log.len() >= 2 && !log.concat().contains("sesame") && !log.concat().contains("pw-a"));
    assert!(!format!("{:?}", manager.config).contains("sesame"));
}

proptest! {
    /// Any sequence of documents: indexes keep their buckets, and no text panics.
    #[test]
    fn identities_stay(documents in prop::collection::vec("(\\{|\\}|\\[|\\]|\"buckets\":|\"name\":|\"a\"|\"b\"|,|1){0,12}|.*", 1..4),
                       lists in prop::collection::vec(prop::collection::vec((0..4usize, any::<bool>()), 0..5), 1..6)) {
        let mut manager = Manager::new("default_bucket_name=default");
        for names in lists {
            let before: Vec<String> = manager.config.buckets.iter().map(|bucket| bucket.name.clone()).collect();
            let docs: Vec<String> = names.iter().map(|&(name, good)| {
                doc(["default", "a", "b", ""][name], if good { "s:1" } else { "s" })
            }).collect();
            let docs: Vec<&str> = docs.iter().map(String::as_str).collect();
            manager.apply(&list(&docs));
            let after: Vec<String> = manager.config.buckets.iter().map(|bucket| bucket.name.clone()).collect();
            prop_assert_eq!(&after[..before.len()], &before[..]);
            prop_assert_eq!(manager.config.versions.len(), after.len());
        }
        for document in documents {
            let _ = apply(&manager.config, &document, SOURCE, &manager.behavior);
        }
    }
}
