//! Documents of the kinds that the field has, and every way to refuse one.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Document, DocumentError> {
    Document::parse(text, LOCAL_HOST)
}

fn refused(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

fn names(document: &Document) -> Vec<String> {
    document.servers.iter().map(|server| format!("{}:{}", server.host, server.port)).collect()
}

const FLAT: &str = r#"{
    "hashAlgorithm": "CRC",
    "numReplicas": 2,
    "serverList": ["server1:11211", "server2:11210", "server3:11211"],
    "vBucketMap": [[0, 1, 2], [1, 2, 0], [2, 1, -1], [1, 2, 0]]
}"#;

#[test]
fn a_flat_map() {
    let document = parse(FLAT).unwrap();
    assert_eq!(names(&document), ["server1:11211", "server2:11210", "server3:11211"]);
    let route = |key: &str| document.router.route(key.as_bytes());
    assert_eq!((route("hello").vbucket, route("hello").server), (0, Some(0)));
    assert_eq!((route("name").vbucket, route("name").server), (3, Some(1)));
    assert_eq!((route("another key").vbucket, route("another key").server), (2, Some(2)));
    let map = document.router.vbucket_map().unwrap();
    assert_eq!((map.replica(0, 0), map.replica(2, 1), map.has_forward()), (Some(1), None, false));
    assert_eq!((document.name, document.password), (None, None));
}

#[test]
fn an_envelope_with_everything_else() {
    let text = format!(
        r#"{{"name":"sales","nodeLocator":"vbucket","saslPassword":"sesame","bucketType":"membase",
        "nodes":[{{"hostname":"server1:8091","status":"unhealthy","ports":{{"proxy":11211,"direct":11210}}}},{{}}],
        "vBucketServerMap":{FLAT},"stats":{{"uri":"http://x/y"}}}}"#
    );
    let document = parse(&text).unwrap();
    assert_eq!(document.router, parse(FLAT).unwrap().router);
    assert_eq!(document.name.as_deref(), Some("sales"));
    assert_eq!(document.password, Some(Secret::new("sesame")));
    assert!(!format!("{document:?}").contains("sesame"));
}

#[test]
fn leniency_that_documents_rely_on() {
    let want = parse(FLAT).unwrap();
    for text in [
        format!("{FLAT}\""),
        format!("{FLAT} {FLAT}"),
        format!("\n\t {FLAT};garbage"),
        FLAT.replace("numReplicas", "NUMreplicas").replace("serverList", "serverlist"),
        FLAT.replace(": 2,", ": 2.9,").replace("[0, 1, 2]", "[0.9, 1.0, 2]"),
        format!(r#"{{"vBucketServerMap":3,{}"#, FLAT.trim_start_matches('{')),
    ] {
        assert_eq!(parse(&text), Ok(want.clone()), "{text}");
    }
}

#[test]
fn a_forward_map_is_kept() {
    let text = FLAT
        .replace("-1], [1, 2, 0]]", "-1], [1, 2, 0]], \"vBucketMapForward\": [[2,0,1],[0,0,0],[1,1,1],[0,1,2],[9]]");
    let document = parse(&text).unwrap();
    let map = document.router.vbucket_map().unwrap();
    assert_eq!((map.master(0), map.master_after_refusal(0, Some(0), 0)), (Some(0), Some(2)));
}

#[test]
fn the_host_marker() {
    let text = r#"{"numReplicas":0,"serverList":["$HOST:11210","a$HOST$HOST:1"],"vBucketMap":[[0]]}"#;
    assert_eq!(names(&parse(text).unwrap()), ["localhost:11210", "alocalhost$HOST:1"]);
    assert_eq!(names(&Document::parse(text, "node7").unwrap())[0], "node7:11210");
}

/// In brackets, because a port follows; if brackets are there already, there are no more of them.
#[test]
fn the_host_marker_for_an_ipv6_address() {
    let map = r#"{"numReplicas":0,"serverList":["$HOST:11210","[$HOST]:11211"],"vBucketMap":[[0]]}"#;
    let servers = Document::parse(map, "::1").unwrap().servers;
    assert_eq!(servers, [11210, 11211].map(|port| Address { host: "::1".into(), port }));
    assert_eq!(names(&Document::parse(map, "node7").unwrap()), ["node7:11210", "node7:11211"]);
    let ring = r#"{"nodeLocator":"ketama","nodes":[{"hostname":"$HOST:8091","ports":{"direct":1}},
        {"hostname":"$HOST","ports":{"direct":2}},{"hostname":"[::2]:8091","ports":{"direct":3}}]}"#;
    let servers = Document::parse(ring, "fe80::1%eth0").unwrap().servers;
    let address = |host: &str, port| Address { host: host.into(), port };
    assert_eq!(servers, [address("::2", 3), address("fe80::1%eth0", 1), address("fe80::1%eth0", 2)]);
}

/// What the rows of both maps are worth, whatever their length.
#[test]
fn rows_that_do_not_fit_the_number_of_replicas() {
    let map = |replicas: usize, rows: &str, forward: &str| {
        let document = format!(
            r#"{{"numReplicas":{replicas},"serverList":["a:1","b:1","c:1"],"vBucketMap":{rows},"vBucketMapForward":{forward}}}"#
        );
        parse(&document).map(|document| document.router.vbucket_map().cloned())
    };
    for (short, full) in [
        ("[[0,1],[1]]", "[[0,1,-1],[1,-1,-1]]"),
        ("[[-1],[2,0,1]]", "[[-1,-1,-1],[2,0,1]]"),
        ("[[0,1,2,9,\"x\"],[1,2,0,null]]", "[[0,1,2],[1,2,0]]"),
    ] {
        for (rows, forward) in [(short, full), (full, short), (short, short)] {
            assert_eq!(map(2, rows, forward), map(2, full, full), "{rows} {forward}");
        }
    }
    assert_eq!(map(0, "[[0,1],[1,2]]", "[[1,2]]"), map(0, "[[0],[1]]", "[[1]]"), "fewer replicas than before");
    for (rows, forward) in [("[[0],[]]", "[[0]]"), ("[[0]]", "[[]]"), ("[[0]]", "[5]")] {
        assert_eq!(map(0, rows, forward), Err(DocumentError::Row), "{rows} {forward}");
    }
    for rows in ["[[0,3]]", "[[0,null]]", "[[0,-2]]"] {
        assert_eq!(map(1, rows, "[[0]]"), Err(DocumentError::ServerId), "{rows}");
    }
}

/// No rebalance is on: a document may say so in three ways.
#[test]
fn no_forward_map() {
    let text = r#"{"numReplicas":0,"serverList":["a:1","b:1"],"vBucketMap":[[0]]FORWARD}"#;
    let with = |forward: &str| parse(&text.replace("FORWARD", forward)).unwrap();
    for forward in ["", r#","vBucketMapForward":null"#, r#","vBucketMapForward":[]"#] {
        assert!(!with(forward).router.vbucket_map().unwrap().has_forward(), "{forward}");
    }
    assert!(with(r#","vBucketMapForward":[[1]]"#).router.vbucket_map().unwrap().has_forward());
}

#[test]
fn a_server_may_be_listed_again() {
    let text = r#"{"numReplicas":0,"serverList":["a:1","a:1","a:1","a:1"],"vBucketMap":[[0],[1],[2],[3]]}"#;
    let document = parse(text).unwrap();
    assert_eq!(document.servers.len(), 4);
    assert_eq!(document.router.route(b"name").server, Some(3));
}

/// 05 §5.4, in its order.
#[test]
fn refusals() {
    let map = |replicas: &str, servers: &str, rows: &str, more: &str| {
        format!(r#"{{"numReplicas":{replicas},"serverList":{servers},"vBucketMap":{rows}{more}}}"#)
    };
    let two = r#"["a:1","b:1"]"#;
    let table = [
        ("", "Failed to parse data. Invalid JSON?"),
        ("{bad json", "Failed to parse data. Invalid JSON?"),
        (r#"{"nodeLocator":5}"#, "Expected string for nodeLocator"),
        (r#"{"nodeLocator":null}"#, "Expected string for nodeLocator"),
        ("{}", "Expected number <= 4 for numReplicas"),
        ("404 not found", "Expected number <= 4 for numReplicas"),
        (r#"{"numReplicas":"1"}"#, "Expected number <= 4 for numReplicas"),
        (r#"{"numReplicas":5}"#, "Expected number <= 4 for numReplicas"),
        (r#"{"numReplicas":-1}"#, "Expected number <= 4 for numReplicas"),
        (r#"{"numReplicas":1}"#, "Expected array for serverList"),
        (r#"{"numReplicas":1,"serverList":"a:1"}"#, "Expected array for serverList"),
        (&map("0", "[]", "[]", ""), "Empty serverList"),
        (&map("0", r#"["a:1",5]"#, "[]", ""), "Expected array of strings for serverList"),
        (&map("0", two, "[]", r#","nodes":{}"#), "Expected array for nodes"),
        (&map("0", two, "[]", r#","nodes":[[]]"#), "Expected json object for nodes array item"),
        (&map("0", two, "5", ""), "Expected array for vBucketMap"),
        (&map("0", two, "[]", ""), "No vBuckets available; service maybe still initializing"),
        (&map("0", two, "[[0],[0],[0]]", ""), "Number of vBuckets must be a power of two > 0 and <= 65536"),
        (&map("1", two, "[[0,1],[]]", ""), "Expected array of arrays each with numReplicas + 1 ints for vBucketMap"),
        (&map("0", two, "[[0],1]", ""), "Expected array of arrays each with numReplicas + 1 ints for vBucketMap"),
        (&map("0", two, "[[2]]", ""), "Server ID must be >= -1 and < num_servers"),
        (&map("0", two, "[[-2]]", ""), "Server ID must be >= -1 and < num_servers"),
        (&map("0", two, "[[\"0\"]]", ""), "Server ID must be >= -1 and < num_servers"),
        (&map("0", two, "[[0]]", r#","vBucketMapForward":{}"#), "Expected array for vBucketMapForward"),
        (
            &map("0", two, "[[0]]", r#","vBucketMapForward":[[]]"#),
            "Expected array of arrays each with numReplicas + 1 ints for vBucketMap",
        ),
        (&map("0", two, "[[0]]", r#","vBucketMapForward":[[7]]"#), "Server ID must be >= -1 and < num_servers"),
        (&map("0", r#"["a:1","b"]"#, "[[0]]", ""), "missing port, server 1 of the list"),
        (&map("0", r#"["a:0"]"#, "[[0]]", ""), "could not parse port, server 0 of the list"),
        (&map("0", r#"["a:65536"]"#, "[[0]]", ""), "could not parse port, server 0 of the list"),
        (&map("0", r#"[":1"]"#, "[[0]]", ""), "unknown server, server 0 of the list"),
        (r#"{"nodeLocator":"rendezvous"}"#, "Expected vbucket or ketama for nodeLocator"),
    ];
    for (text, want) in table {
        assert_eq!(refused(text), want, "{text}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(refused(&deep), "Failed to parse data. Invalid JSON?");
}

#[test]
fn ketama_takes_nodes_and_sorts_them() {
    let node = |port: u32| {
        format!(r#"{{"hostname":"172.16.16.76:{}","status":"unhealthy","ports":{{"direct":{port}}}}}"#, port + 1)
    };
    let ports = [12014, 12000, 12002, 12010, 12004, 12006, 12012, 12008];
    let nodes: Vec<String> = ports.into_iter().map(node).collect();
    let text = format!(r#"{{"nodeLocator":"ketama","nodes":[{}]}}"#, nodes.join(","));
    let document = parse(&text).unwrap();
    assert_eq!(names(&document)[..2], ["172.16.16.76:12000", "172.16.16.76:12002"]);
    for (key, port) in [("foo", 12012), ("bar", 12002), ("another key", 12004)] {
        let route = document.router.route(key.as_bytes());
        assert_eq!(document.servers[route.server.unwrap()].port, port, "{key}");
    }
    let one = format!(r#"{{"nodeLocator":"ketama","nodes":[{}]}}"#, node(5));
    assert_eq!(parse(&one).unwrap().router, Router::Single);
}

#[test]
fn ketama_refusals() {
    let with = |nodes: &str| format!(r#"{{"nodeLocator":"ketama","nodes":{nodes}}}"#);
    for (text, want) in [
        (r#"{"nodeLocator":"ketama"}"#, "Expected array for nodes"),
        (&with("{}"), "Expected array for nodes"),
        (&with("[]"), "Empty serverList"),
        (&with("[5]"), "Expected object for nodes array item"),
        (&with("[{}]"), "Expected string for node's hostname"),
        (&with(r#"[{"hostname":"a"}]"#), "Expected json object for node's ports"),
        (&with(r#"[{"hostname":"a","ports":{}}]"#), "Expected number for node's direct port"),
        (&with(r#"[{"hostname":"a","ports":{"direct":0}}]"#), "could not parse port, server 0 of the list"),
        (&with(r#"[{"hostname":"a","ports":{"direct":1e300}}]"#), "unknown server, server 0 of the list"),
    ] {
        assert_eq!(refused(text), want, "{text}");
    }
}

/// 05 §9, the row for static JSON.
#[test]
fn credentials() {
    let base = Behavior { usr: "base".into(), pwd: Secret::new("basepw"), ..Behavior::default() };
    for (members, user, password) in [
        ("", "base", "basepw"),
        (r#""name":"default","#, "base", "basepw"),
        (r#""name":"sales","#, "sales", "basepw"),
        (r#""name":"sales","saslPassword":"sesame","#, "sales", "sesame"),
        (r#""name":"","saslPassword":"","#, "", ""),
        (r#""name":5,"saslPassword":null,"#, "base", "basepw"),
    ] {
        let text = format!("{{{members}{}", FLAT.trim_start_matches('{'));
        let credentials = parse(&text).unwrap().credentials(&base);
        assert_eq!(credentials, (user.to_owned(), Secret::new(password)), "{members}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        let _ = parse(&text);
    }

    /// Every cut and every replaced byte of good documents.
    #[test]
    fn no_damaged_document_panics(at in 0..FLAT.len(), cut in any::<bool>(), with in 0x20u8..0x7f) {
        let mut text = FLAT.to_owned();
        if cut { text.truncate(at) } else { text.replace_range(at..=at, &char::from(with).to_string()) }
        if let Ok(document) = parse(&text) {
            document.router.route(b"key");
        }
    }

    #[test]
    fn no_map_panics(replicas in -1i64..6, servers in 0usize..5, rows in prop::collection::vec(prop::collection::vec(-3i64..6, 0..4), 0..9)) {
        let list = vec!["a:1"; servers];
        let text = serde_json::json!({"numReplicas": replicas, "serverList": list, "vBucketMap": rows}).to_string();
        if let Ok(document) = parse(&text) {
            let route = document.router.route(b"key");
            prop_assert!(route.server.is_none_or(|index| index < servers));
        }
    }
}
