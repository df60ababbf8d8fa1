//! `stats proxy`, from outside (06 §3–§8).

use std::collections::HashMap;

use crate::launch::{self, Running, connect, free_port};
use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Manager, Memcached, Mock, Moxi, Wire, moxi};

/// The `STAT` lines of a part, name and value, in order.
pub(crate) fn lines(client: &mut Wire, part: &str) -> Vec<(String, String)> {
    client.send(format!("stats proxy{part}\r\n"));
    let mut found = Vec::new();
    loop {
        let line = String::from_utf8(client.line()).expect("text");
        let line = line.trim_end_matches("\r\n");
        if line == "END" {
            return found;
        }
        let rest = line.strip_prefix("STAT ").unwrap_or_else(|| panic!("{line}"));
        let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
        found.push((name.to_owned(), value.to_owned()));
    }
}

fn names(client: &mut Wire, part: &str) -> Vec<String> {
    lines(client, part).into_iter().map(|(name, _)| name).collect()
}

/// The counters of the client's own bucket.
struct Stats(HashMap<String, String>);

impl Stats {
    fn of(client: &mut Wire, moxi: &Moxi) -> Stats {
        let prefix = format!("{}:default:", moxi.port());
        let short = |name: String| name.strip_prefix(&prefix).map(str::to_owned).unwrap_or(name);
        Stats(lines(client, "").into_iter().map(|(name, value)| (short(name), value)).collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("no {name}"))
    }

    fn get(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name}: {}", self.text(name)))
    }

    fn counter(&self, name: &str) -> u64 {
        self.get(&format!("pstd_stats:{name}"))
    }

    fn command(&self, name: &str) -> [u64; 6] {
        ["seen", "hits", "misses", "read_bytes", "write_bytes", "cas"]
            .map(|field| self.get(&format!("pstd_stats_cmd:{name}:{field}")))
    }
}

pub fn ask(client: &mut Wire, request: &str, reply: &str) {
    client.send(request);
    client.expect_piece(reply);
}

/// Over ASCII servers and over binary ones.
fn both(servers: &[Memcached]) -> [Moxi; 2] {
    // Keys go to the same servers whatever their ports are.
    let builder = moxi!().servers(servers.iter().map(Memcached::port)).set("mcs_opts=distribution:modula");
    [builder.clone().ascii().start(), builder.binary().start()]
}

#[test]
fn commands_and_keys_are_counted() {
    let servers = Memcached::several(2, &[]);
    for moxi in both(&servers) {
        let mut client = moxi.client();
        ask(&mut client, "set a 0 0 3\r\nabc\r\n", "STORED\r\n");
        ask(&mut client, "set b 0 0 1 noreply\r\n1\r\nget b\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n");
        ask(&mut client, "get a\r\n", "VALUE a 0 3\r\nabc\r\nEND\r\n");
        ask(&mut client, "get missing\r\n", "END\r\n");
        // A repeated key's values stand together if one server has all the keys: so that is what is asked for.
        let twice = "VALUE a 0 3\r\nabc\r\nVALUE a 0 3\r\nabc\r\nVALUE b 0 1\r\n1\r\nEND\r\n";
        ask(&mut client, "get a missing a b\r\n", twice);
        ask(&mut client, "delete a\r\n", "DELETED\r\n");
        ask(&mut client, "touch b 9\r\n", "TOUCHED\r\n");
        ask(&mut client, "incr b 1\r\n", "2\r\n");
        ask(&mut client, "nonsense\r\n", "ERROR\r\n");
        ask(&mut client, "set c 0 0 x\r\n", "CLIENT_ERROR bad command line format\r\n");
        let stats = Stats::of(&mut client, &moxi);
        assert_eq!(stats.command("regular_get"), [4, 0, 0, 5 + 5 + 11 + 17, 0, 0]);
        assert_eq!(stats.command("regular_get_key"), [7, 5, 2, 1 + 1 + 7 + 10, 5 + 3 + 5 + 3 + 5, 0]);
        assert_eq!(stats.command("regular_set"), [2, 0, 1, 11 + 5 + 11, 0, 0]);
        assert_eq!(stats.command("quiet_set"), [1, 0, 0, 19 + 3, 0, 0]);
        assert_eq!(stats.command("regular_delete"), [1, 0, 0, 8, 0, 0]);
        assert_eq!(stats.command("regular_touch"), [1, 0, 0, 9, 0, 0]);
        assert_eq!(stats.command("regular_incr"), [1, 0, 0, 8, 0, 0]);
        assert_eq!(stats.command("regular_ERROR"), [1, 0, 0, 8, 0, 0]);
        assert_eq!((stats.counter("tot_multiget_keys"), stats.counter("tot_multiget_keys_dedupe")), (7, 1));
        assert_eq!(stats.counter("tot_multiget_bytes_dedupe"), 5);
        for (name, other) in [
            ("tot_downstream_reserved", "tot_downstream_released"),
            ("tot_upstream_paused", "tot_upstream_unpaused"),
            ("tot_downstream_conn_acquired", "tot_downstream_conn_released"),
            ("tot_downstream_conn_queue_add", "tot_downstream_conn_queue_remove"),
            ("tot_downstream_connect_started", "tot_downstream_connect"),
        ] {
            assert_eq!(stats.counter(name), stats.counter(other), "{name}, {other}");
        }
        assert_eq!((stats.counter("tot_cmd_count"), stats.counter("tot_downstream_reserved")), (9, 9));
        assert_eq!(stats.counter("num_downstream_conn"), stats.counter("tot_downstream_conn"));
    }
}

#[test]
fn joined_gets_are_counted() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().set("downstream_conn_max=1").start();
    let (mut first, mut second) = (moxi.client(), moxi.client());
    first.send("get a\r\n");
    let mut server = mock.accept();
    server.expect_piece("get a\r\n");
    // Two that come in one piece leave in one.
    second.send("get b\r\nget c\r\n");
    server.expect_piece("get b c\r\n");
    server.send("END\r\nEND\r\n");
    second.expect_piece("END\r\nEND\r\n");
    assert_eq!(Stats::of(&mut second, &moxi).counter("tot_joined_gets"), 1);
}

#[test]
fn clients_are_counted_whichever_worker_has_them() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).threads(3).start();
    let clients: Vec<Wire> = (0..5).map(|_| moxi.client()).collect();
    let mut asking = moxi.client();
    // Those that the start looked with have gone at some time.
    launch::wait_for("the others to be gone", || Stats::of(&mut asking, &moxi).counter("num_upstream") == 6);
    let total = Stats::of(&mut asking, &moxi).counter("tot_upstream");
    assert!(total >= 6);
    drop(clients);
    launch::wait_for("all to be gone", || Stats::of(&mut asking, &moxi).counter("num_upstream") == 1);
    assert_eq!(Stats::of(&mut asking, &moxi).counter("tot_upstream"), total);
}

#[test]
fn failures_are_counted() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().set("downstream_timeout=500").start();
    let mut client = moxi.client();
    client.send("get a\r\n");
    let mut server = mock.accept();
    server.expect_piece("get a\r\n");
    client.expect_piece("END\r\n");
    let stats = Stats::of(&mut client, &moxi);
    assert_eq!((stats.counter("tot_downstream_timeout"), stats.counter("tot_retry")), (1, 0));
    drop(server);
    client.send("get a\r\n");
    mock.accept().expect_piece("get a\r\n"); // and is closed
    let mut server = mock.accept();
    server.expect_piece("get a\r\n");
    server.send("END\r\n");
    client.expect_piece("END\r\n");
    let stats = Stats::of(&mut client, &moxi);
    assert_eq!((stats.counter("tot_retry"), stats.counter("num_downstream_conn")), (1, 1));
    assert_eq!(stats.command("regular_get_key"), [2, 0, 2, 2, 0, 0]);
    let down = moxi!().servers([mock.down().port()]).start();
    let mut client = down.client();
    client.send("delete a\r\n");
    assert!(client.line().starts_with(b"SERVER_ERROR"));
    let stats = Stats::of(&mut client, &down);
    assert!(stats.counter("tot_downstream_connect_failed") > 0);
    assert_eq!(
        stats.counter("tot_downstream_connect_started"),
        stats.counter("tot_downstream_connect") + stats.counter("tot_downstream_connect_failed")
    );
}

#[test]
fn a_reset_starts_again() {
    let servers = Memcached::several(1, &[]);
    for moxi in both(&servers) {
        let mut client = moxi.client();
        ask(&mut client, "get a\r\n", "END\r\n");
        ask(&mut client, "stats proxy reset\r\n", "OK\r\n");
        let stats = Stats::of(&mut client, &moxi);
        assert_eq!(stats.command("regular_get"), [0; 6]);
        assert_eq!((stats.counter("tot_cmd_count"), stats.counter("tot_local_cmd_count")), (0, 0));
        assert_eq!((stats.counter("num_upstream"), stats.counter("num_downstream_conn")), (1, 1));
        ask(&mut client, "get a\r\n", "END\r\n");
        assert_eq!(Stats::of(&mut client, &moxi).counter("tot_cmd_count"), 1);
    }
}

#[test]
fn the_words_and_what_they_show() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port(), mock.port()]).start();
    let (mut client, port) = (moxi.client(), moxi.port());
    let sections = |names: &[String]| {
        let mut sections: Vec<String> = Vec::new();
        for name in names {
            let end = name.rfind(':').map_or(0, |at| at + 1);
            let section = match name.find(":pstd_stats_cmd:") {
                Some(at) => format!("{}:pstd_stats_cmd:", &name[..at]),
                None => name[..end].to_owned(),
            };
            if sections.last() != Some(&section) {
                sections.push(section.replace(&format!("{port}:default:"), ""));
            }
        }
        sections.dedup();
        sections.join(" ")
    };
    for (word, want) in [
        ("info", "basic: proxy_main: info:"),
        ("settings", "memcached:settings:"),
        ("behaviors", "proxy_main:behavior: behavior: behavior-0: behavior-1:"),
        ("stats", "memcached:stats: proxy_main:stats: stats: pstd_stats: pstd_stats_cmd:"),
        ("frontcache", "frontcache:"),
        ("keystats", ""),
        ("buckets", "stats: pstd_stats: pstd_stats_cmd:"),
        ("timings", ""),
        ("hotkeys", ""),
    ] {
        assert_eq!(sections(&names(&mut client, &format!(" {word}"))), want, "{word}");
    }
    let all = names(&mut client, "");
    assert_eq!(
        sections(&all),
        "basic: memcached:settings: memcached:stats: proxy_main: proxy_main:behavior: proxy_main:stats: info: \
         behavior: behavior-0: behavior-1: stats: frontcache: pstd_stats: pstd_stats_cmd:"
    );
    assert_eq!(names(&mut client, " all"), all);
    assert_eq!(names(&mut client, " all "), all, "a blank at the end");
    ask(&mut client, "stats proxy info x\r\n", "ERROR\r\n");
    let info: HashMap<_, _> = lines(&mut client, " info").into_iter().collect();
    assert_eq!(info["basic:version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["basic:nthreads"], "2");
    assert_eq!(info["proxy_main:conf_type"], "static");
    assert_eq!(info[&format!("{port}:default:info:config")], format!("127.0.0.1:{0},127.0.0.1:{0}", mock.port()));
    let behaviors: HashMap<_, _> = lines(&mut client, " behaviors").into_iter().collect();
    assert_eq!(behaviors["proxy_main:behavior:downstream_protocol"], "8");
    assert_eq!(behaviors["proxy_main:behavior:usr"], "");
}

#[test]
fn timings_are_collected_when_asked_for() {
    let servers = Memcached::several(1, &[]);
    let moxi = moxi!().servers([servers[0].port()]).set("time_stats=1").start();
    let mut client = moxi.client();
    ask(&mut client, "get a\r\n", "END\r\n");
    let bars = lines(&mut client, " timings");
    for name in ["connect", "reserved"] {
        let name = format!("{}:default:{name}", moxi.port());
        let bar = bars.iter().find(|(known, _)| *known == name).map(|(_, bar)| bar.as_str()).unwrap_or_default();
        assert!(bar.contains("=1 100.00% ************************"), "{name}: {bar}");
    }
    assert!(Stats::of(&mut client, &moxi).counter("tot_downstream_reserved_time") > 0);
}

#[test]
fn the_first_of_binary_servers_is_local() {
    let servers = Memcached::several(1, &[]);
    let [ascii, binary] = both(&servers);
    for (moxi, want) in [(ascii, 0), (binary, 2)] {
        let mut client = moxi.client();
        ask(&mut client, "get a\r\n", "END\r\n");
        ask(&mut client, "delete a\r\n", "NOT_FOUND\r\n");
        ask(&mut client, "get a b\r\n", "END\r\n");
        let stats = Stats::of(&mut client, &moxi);
        assert_eq!((stats.counter("tot_cmd_count"), stats.counter("tot_local_cmd_count")), (3, want));
    }
}

/// The statistics that a binary client gets.
pub(crate) fn packets(client: &mut Wire, key: &str) -> Vec<(String, String)> {
    ask_for_packets(client, key);
    take_packets(client)
}

/// Asks for them, without waiting.
pub(crate) fn ask_for_packets(client: &mut Wire, key: &str) {
    client.send(Packet::request(op::STAT).key(key).opaque(7).bytes());
}

/// Those that were asked for.
pub(crate) fn take_packets(client: &mut Wire) -> Vec<(String, String)> {
    let mut found = Vec::new();
    loop {
        let packet = client.packet();
        assert_eq!((packet.opcode, packet.status, packet.opaque), (op::STAT, 0, 7));
        if packet.key.is_empty() {
            return found;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        found.push((text(&packet.key), text(&packet.value)));
    }
}

const VALID: &str = "CLIENT_ERROR unknown word behind stats proxy, valid: \
                     all info settings behaviors frontcache keystats stats timings config buckets hotkeys latency servers \
                     reset route";

#[test]
fn a_word_that_is_none_is_an_error_that_tells_the_others() {
    let servers = Memcached::several(1, &[]);
    for moxi in both(&servers) {
        let (mut client, mut binary) = (moxi.client(), moxi.client());
        for word in ["foo", "stat", "Info", "inf", "resets", "all,info"] {
            ask(&mut client, &format!("stats proxy {word}\r\n"), &format!("{VALID}\r\n"));
            binary.send(Packet::request(op::STAT).key(format!("proxy {word}")).opaque(7).bytes());
            let packet = binary.packet();
            assert_eq!((packet.opcode, packet.status, packet.opaque), (op::STAT, 4, 7));
            assert_eq!(String::from_utf8_lossy(&packet.value), VALID);
        }
        // Every other one is there for both, with the same names.
        for word in VALID.split_once("valid: ").unwrap().1.split(' ').filter(|word| !matches!(*word, "reset" | "route"))
        {
            let found = names(&mut client, &format!(" {word}"));
            let packets = packets(&mut binary, &format!("proxy {word}"));
            assert_eq!(packets.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), found, "{word}");
            assert_eq!(found.is_empty(), matches!(word, "keystats" | "timings" | "hotkeys"), "{word}");
        }
        assert_eq!(packets(&mut binary, "proxy").len(), names(&mut client, "").len());
        ask(&mut client, "get a\r\n", "END\r\n");
        assert_ne!(Stats::of(&mut client, &moxi).command("regular_get")[0], 0);
        assert_eq!(packets(&mut binary, "proxy reset"), []);
        assert_eq!(Stats::of(&mut client, &moxi).command("regular_get")[0], 0);
    }
}

#[test]
fn all_buckets_of_a_cluster_and_no_passwords() {
    let (manager, port) = (Manager::new(), free_port());
    let cluster = format!("url={}", manager.url("p"));
    let mut command = launch::moxi(&["-z", &cluster, "-Z", &format!("port_listen={port}"), "-p", "0", "-t", "2", ""]);
    for name in ["http_proxy", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let _moxi = Running::start(&mut command);
    let mut stream = manager.stream();
    let server = Mock::new();
    let bucket = |name: &str, password: &str| {
        format!(
            "{{\"name\":\"{name}\",\"saslPassword\":\"{password}\",\"vBucketServerMap\":{{\"numReplicas\":0,\
             \"serverList\":[\"$HOST:{}\"],\"vBucketMap\":[[0]]}}}}",
            server.port()
        )
    };
    let both = format!("{{\"buckets\":[{},{}]}}", bucket("default", ""), bucket("orders", "open-sesame"));
    stream.document(&both);
    drop(connect(port));
    let mut client = Wire::connect("client", port);
    for part in ["", " config", " info"] {
        let text = format!("{:?}", lines(&mut client, part));
        assert!(!text.contains("sesame") && text.contains("XXXXXX"), "{text}");
        let (orders, default) = (text.find(":orders:").expect("orders"), text.find(":default:").expect("default"));
        assert!(orders < default, "the newest first");
    }
    let info: HashMap<_, _> = lines(&mut client, " info").into_iter().collect();
    assert_eq!(info["proxy_main:conf_type"], "dynamic");
    assert_eq!(info[&format!("{port}:orders:info:config_ver")], "1");
    let mut binary = Wire::connect("binary client", port);
    let found = packets(&mut binary, "proxy buckets");
    let of = |name: &str| found.iter().filter(|(known, _)| known.starts_with(&format!("{port}:{name}:"))).count();
    assert_eq!((of("default"), of("orders")), (found.len() / 2, found.len() / 2));
    assert!(
        found.iter().any(|(name, value)| *name == format!("{port}:default:pstd_stats:num_upstream") && value != "0")
    );
    // A bucket that has gone is not shown.
    stream.document(&format!("{{\"buckets\":[{}]}}", bucket("default", "")));
    launch::wait_for("the bucket to go", || !names(&mut client, " info").iter().any(|name| name.contains(":orders:")));
}
