//! The numbers of single keys, and those that are asked for most (06 §7, §7.1).

use std::collections::BTreeMap;

use crate::launch::{self, Running, free_port, wait_for};
use crate::proxy_stats::{ask, lines, packets};
use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Memcached, Moxi, Wire, moxi};

/// What is shown behind `<port>:default:<section>`, by name.
fn shown(client: &mut Wire, moxi: &Moxi, word: &str, section: &str) -> BTreeMap<String, String> {
    let prefix = format!("{}:default:{section}", moxi.port());
    let short = |name: &str| name.strip_prefix(&prefix).map(str::to_owned).unwrap_or_else(|| panic!("{name}"));
    lines(client, word).into_iter().map(|(name, value)| (short(&name), value)).collect()
}

/// The numbers of a key, without the time when it came.
fn numbers(client: &mut Wire, moxi: &Moxi, key: &str) -> Vec<(String, u64)> {
    let all = shown(client, moxi, " keystats", "key_stats:");
    let own = all.iter().filter_map(|(name, value)| Some((name.strip_prefix(&format!("{key}:"))?, value)));
    let own = own.filter(|(name, _)| *name != "added_at_msec");
    own.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

fn want(numbers: &[(&str, u64)]) -> Vec<(String, u64)> {
    numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
}

const NUMBERS: &str = "key_stats_lifespan=600000,key_stats_spec=k|user:,key_stats_unspec=k9";

#[test]
fn each_key_has_the_numbers_of_its_commands() {
    let servers = Memcached::several(2, &[]);
    for protocol in ["ascii", "binary"] {
        let builder = moxi!().servers(servers.iter().map(Memcached::port)).speaking(protocol);
        let moxi = builder.set("mcs_opts=distribution:modula").set(NUMBERS).start();
        let mut client = moxi.client();
        ask(&mut client, "flush_all\r\n", "OK\r\n");
        ask(&mut client, "set k1 0 0 3\r\nabc\r\n", "STORED\r\n");
        ask(&mut client, "get k1\r\n", "VALUE k1 0 3\r\nabc\r\nEND\r\n");
        ask(&mut client, "get k1 other k2 k1\r\n", "VALUE k1 0 3\r\nabc\r\nVALUE k1 0 3\r\nabc\r\nEND\r\n");
        client.send("gets k1\r\n");
        while client.line() != b"END\r\n" {}
        ask(&mut client, "get k2\r\n", "END\r\n");
        ask(&mut client, "set k2 0 0 1 noreply\r\n7\r\nincr k2 1\r\n", "8\r\n");
        ask(&mut client, "gat 0 k2\r\n", "VALUE k2 0 1\r\n8\r\nEND\r\n");
        ask(&mut client, "mg k3 v\r\n", "EN\r\n");
        ask(&mut client, "ms k3 2\r\nab\r\n", "HD\r\n");
        ask(&mut client, "mg k3 v q\r\n", "VA 2\r\nab\r\n");
        ask(&mut client, "set k9 0 0 1\r\n7\r\n", "STORED\r\n");
        let k1 = want(&[
            ("regular_get:cas", 1),
            ("regular_get:read_bytes", 6 + 2 + 2 + 7),
            ("regular_get:seen", 4),
            ("regular_get_key:hits", 4),
            ("regular_get_key:read_bytes", 8),
            ("regular_get_key:seen", 4),
            ("regular_get_key:write_bytes", 20),
            ("regular_set:read_bytes", 17),
            ("regular_set:seen", 1),
        ]);
        assert_eq!(numbers(&mut client, &moxi, "k1"), k1, "{protocol}");
        let k2 = want(&[
            ("quiet_set:read_bytes", 23),
            ("quiet_set:seen", 1),
            ("regular_get:read_bytes", 2 + 6 + 8),
            ("regular_get:seen", 3),
            ("regular_get_key:hits", 1),
            ("regular_get_key:misses", 2),
            ("regular_get_key:read_bytes", 6),
            ("regular_get_key:seen", 3),
            ("regular_get_key:write_bytes", 3),
            ("regular_incr:read_bytes", 9),
            ("regular_incr:seen", 1),
        ]);
        assert_eq!(numbers(&mut client, &moxi, "k2"), k2, "{protocol}");
        let k3 = want(&[
            ("quiet_get:read_bytes", 9),
            ("quiet_get:seen", 1),
            ("regular_get:read_bytes", 7),
            ("regular_get:seen", 1),
            ("regular_get_key:hits", 1),
            ("regular_get_key:misses", 1),
            ("regular_get_key:read_bytes", 4),
            ("regular_get_key:seen", 2),
            ("regular_get_key:write_bytes", 4),
            ("regular_set:read_bytes", 11),
            ("regular_set:seen", 1),
        ]);
        assert_eq!(numbers(&mut client, &moxi, "k3"), k3, "{protocol}");
        assert_eq!((numbers(&mut client, &moxi, "k9"), numbers(&mut client, &moxi, "other")), (vec![], vec![]));
        // With all the others, too, and for binary clients.
        let all = lines(&mut client, "");
        let name = format!("{}:default:key_stats:k1:added_at_msec", moxi.port());
        assert!(all.iter().any(|(known, _)| *known == name));
        assert_eq!(packets(&mut moxi.client(), "proxy keystats"), lines(&mut client, " keystats"));
        ask(&mut client, "stats proxy reset\r\n", "OK\r\n");
        assert_eq!(lines(&mut client, " keystats"), []);
    }
}

#[test]
fn numbers_end_with_their_time_and_with_their_place() {
    let servers = Memcached::several(1, &[]);
    let builder = moxi!().servers([servers[0].port()]).threads(1);
    let brief = builder.clone().set("key_stats_lifespan=50,key_stats_spec=k").start();
    let mut client = brief.client();
    ask(&mut client, "get k\r\n", "END\r\n");
    wait_for("the time of the key to be over", || lines(&mut client, " keystats").is_empty());
    let few = builder.clone().set("key_stats_lifespan=600000,key_stats_spec=k,key_stats_max=2").start();
    let mut client = few.client();
    for key in ["k1", "k2", "k1", "k3"] {
        ask(&mut client, &format!("get {key}\r\n"), "END\r\n");
    }
    let count = |client: &mut Wire, key: &str| numbers(client, &few, key).len();
    assert!(count(&mut client, "k1") > 0 && count(&mut client, "k3") > 0);
    assert_eq!(count(&mut client, "k2"), 0);
    // Without prefixes, without time, without room: none.
    for off in ["key_stats_lifespan=1000", "key_stats_spec=k", "key_stats_lifespan=9,key_stats_spec=k,key_stats_max=0"]
    {
        let moxi = builder.clone().set(off).start();
        let mut client = moxi.client();
        ask(&mut client, "get k\r\n", "END\r\n");
        assert_eq!(lines(&mut client, " keystats"), [], "{off}");
    }
}

/// The keys that are asked for most, in order, with their numbers.
fn hot(client: &mut Wire, moxi: &Moxi) -> Vec<(String, u64, u64)> {
    let prefix = format!("{}:default:hot_keys", moxi.port());
    let all = lines(client, " hotkeys");
    let own: Vec<(&str, u64)> = all
        .iter()
        .map(|(name, value)| (name.strip_prefix(&prefix).expect("the bucket's"), value.parse().expect("a number")))
        .collect();
    assert_eq!(own[0].0, "_seen");
    let keys = own[1..].chunks(2).map(|pair| {
        let key = pair[0].0.strip_prefix(':').and_then(|name| name.strip_suffix(":requests")).expect("requests");
        assert_eq!(pair[1].0, format!(":{key}:error"));
        (key.to_owned(), pair[0].1, pair[1].1)
    });
    keys.collect()
}

#[test]
fn the_keys_that_are_asked_for_most() {
    let servers = Memcached::several(2, &[]);
    for protocol in ["ascii", "binary"] {
        let builder = moxi!().servers(servers.iter().map(Memcached::port)).speaking(protocol);
        let moxi = builder.threads(2).set("hot_keys=3,mcs_opts=distribution:modula").start();
        // Of both workers, and of both protocols.
        let (mut one, mut other, mut binary) = (moxi.client(), moxi.client(), moxi.client());
        for client in [&mut one, &mut other] {
            ask(client, "get a\r\n", "END\r\n");
            ask(client, "get a b a\r\n", "END\r\n");
            ask(client, "md c\r\n", "NF\r\n");
        }
        for key in ["a", "b", "b", "x y\n\\", "c"] {
            binary.send(Packet::request(op::GET).key(key).bytes());
            assert_eq!(binary.packet().status, 1, "{key}");
        }
        // What names no key, though its packet has one.
        packets(&mut binary, "proxy info");
        let of = |key: &str, count| (key.to_owned(), count, 0);
        assert_eq!(hot(&mut one, &moxi), [of("a", 7), of("b", 4), of("c", 3)], "{protocol}");
        let seen = format!("{}:default:hot_keys_seen", moxi.port());
        assert_eq!(lines(&mut one, " hotkeys")[0], (seen, "15".to_owned()));
        assert_eq!(packets(&mut binary, "proxy hotkeys"), lines(&mut one, " hotkeys"));
        ask(&mut one, "stats proxy reset\r\n", "OK\r\n");
        assert_eq!(hot(&mut other, &moxi), []);
        for _ in 0..2 {
            binary.send(Packet::request(op::GET).key("x y\n\\\u{fc}").bytes());
            binary.packet();
        }
        assert_eq!(hot(&mut one, &moxi), [of("x\\x20y\\x0a\\x5c\\xc3\\xbc", 2)]);
    }
}

/// However many others there are.
#[test]
fn a_hot_key_is_found_among_many() {
    let servers = Memcached::several(1, &[]);
    let moxi = moxi!().servers([servers[0].port()]).ascii().set("hot_keys=2").start();
    let mut client = moxi.client();
    for round in 0..100 {
        let rare: String = (0..10).map(|number| format!(" rare{round}_{number}")).collect();
        ask(&mut client, &format!("get{rare} hot\r\n"), "END\r\n");
    }
    let found = hot(&mut client, &moxi);
    let (key, requests, error) = &found[0];
    assert!(key == "hot" && (1..=100).contains(requests) && requests + error >= 100, "{found:?}");
}

/// What was counted stays when servers come and go.
#[test]
fn another_configuration_sets_nothing_back() {
    let servers = Memcached::several(2, &[]);
    let port = free_port();
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("moxi.cfg");
    let write = |count: usize| {
        let list: Vec<String> = servers[..count].iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
        std::fs::write(&file, format!("{port}={}", list.join(","))).expect("written");
    };
    write(1);
    let behavior = "downstream_protocol=ascii,hot_keys=3,key_stats_lifespan=600000,key_stats_spec=k";
    let moxi = Running::start(&mut launch::moxi(&["-z", file.to_str().expect("text"), "-Z", behavior]));
    moxi.wait_started();
    let mut client = Wire::connect("client", port);
    ask(&mut client, "get k\r\n", "END\r\n");
    let before = (lines(&mut client, " hotkeys"), lines(&mut client, " keystats"));
    assert_eq!((before.0.len(), before.1.len()), (3, 6));
    write(2);
    moxi.signal("HUP");
    wait_for("the second server", || {
        lines(&mut client, " info").iter().any(|(name, value)| name.ends_with(":behaviors_num") && value == "2")
    });
    assert_eq!((lines(&mut client, " hotkeys"), lines(&mut client, " keystats")), before);
}
