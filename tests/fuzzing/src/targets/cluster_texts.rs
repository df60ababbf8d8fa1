//! `-z`.

use moxi::config::address::bracketed;
use moxi::config::snapshot::BucketConfig;
use moxi::config::{self, Loaded, server_list, url};
use moxi::routing::{Route, Router};

use crate::choices::Choices;

/// `-Z` for both protocols, and for each distribution.
const BEHAVIORS: [&str; 4] = [
    "",
    "downstream_protocol=ascii",
    "mcs_opts=distribution:ketama-weighted",
    "mcs_opts=distribution:modula,usr=u,pwd=p",
];

/// Of a configuration that is accepted every port is there once, every key has a server, every URL is shown without
/// credentials; blanks around it do not matter. A list of servers, written anew, is the same list. A refusal is one line.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let behavior = choices.pick(&BEHAVIORS);
    let text = choices.text();
    check_list(&text);
    // Nothing is said, or a file is named.
    if text.is_empty() || text.trim().starts_with(['.', '/']) {
        return;
    }
    let load = |text: &str| config::load(text, Some(behavior), &|_| None);
    let loaded = match load(&text) {
        Ok(loaded) => loaded,
        Err(error) => {
            let line = error.to_string();
            assert!(!line.trim().is_empty() && !line.contains(['\n', '\r', '\0']), "{line:?}");
            return;
        }
    };
    check(&loaded);
    let again = load(&format!(" \t{text}\r\n ")).unwrap_or_else(|error| panic!("with blanks around it: {error}"));
    assert_eq!((&again.sections, &again.agents, &again.log), (&loaded.sections, &loaded.agents, &loaded.log));
    let pairs = again.config.buckets.iter().zip(&loaded.config.buckets);
    assert!(pairs.into_iter().all(|(one, other)| one.is_same(other)));
}

fn check(loaded: &Loaded) {
    let mut ports: Vec<u16> = loaded.sections.iter().map(|section| section.port).collect();
    ports.sort_unstable();
    assert!(ports.windows(2).all(|pair| pair[0] != pair[1]) && ports.first() != Some(&0), "{ports:?}");
    for section in &loaded.sections {
        let bucket = &loaded.config.buckets[section.bucket];
        assert_eq!(bucket.port, section.port);
        check_bucket(bucket);
    }
    for agent in &loaded.agents {
        assert!(!agent.urls.is_empty());
        for text in &agent.urls {
            let authority = url::shown(text);
            let authority = authority.split_once("://").map_or(authority.as_str(), |(_, rest)| rest);
            let end = authority.find(['/', '?', '#']).unwrap_or(authority.len());
            assert!(!authority[..end].contains('@'), "{text:?} is shown with credentials");
        }
    }
    for line in &loaded.log {
        assert!(!line.contains(['\n', '\r']), "{line:?}");
    }
}

/// It has servers, and every key goes to one of them.
pub(super) fn check_bucket(bucket: &BucketConfig) {
    assert!(bucket.is_live() && !bucket.text.contains(['\n', '\r']));
    let count = bucket.servers.len();
    assert!(bucket.servers.iter().all(|server| server.socket().is_some() || server.port != 0));
    check_router(&bucket.router, count);
}

/// No key goes to a server that there is not.
pub(super) fn check_router(router: &Router, servers: usize) {
    for key in [&b""[..], b"a", b"key:1", b"\xff\0", b"a rather longer key, with blanks in it"] {
        let route: Route = router.route(key);
        let is_vbucket = router.vbucket_map().is_some();
        assert!(route.server.is_some() || is_vbucket, "{route:?}");
        assert!(route.server.is_none_or(|server| server < servers), "{route:?} of {servers}");
    }
    if let Some(map) = router.vbucket_map() {
        assert!(map.vbuckets().is_power_of_two() && map.servers() == servers);
        for vbucket in 0..map.vbuckets().min(1024) as u16 {
            assert!(map.master(vbucket).is_none_or(|server| server < servers));
            assert!((0..4).all(|number| map.replica(vbucket, number).is_none_or(|server| server < servers)));
        }
    }
}

fn check_list(text: &str) {
    let Ok(servers) = server_list::parse(text) else { return };
    let written: Vec<String> = servers
        .iter()
        .map(|server| match server.port {
            0 => format!("{}:{}", server.host, server.weight),
            port => format!("{}:{port}:{}", bracketed(&server.host), server.weight),
        })
        .collect();
    let written = written.join(",");
    let again = server_list::parse(&written).unwrap_or_else(|error| panic!("{written:?}: {error}"));
    assert_eq!(again, servers, "{written:?}");
}
