//! `/metrics` (06 §14): its format, and that it says what `stats proxy` says.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::launch::{Running, free_port};
use crate::proxy_stats::lines;
use moxi_test_support::exposition::Exposition;
use moxi_test_support::{Down, Manager, Memcached, MoxiBuilder, Wire, moxi, scrape, wait_for};

/// A moxi that is asked on this port, and measures times.
fn observed(port: u16) -> MoxiBuilder {
    moxi!().set(format!("metrics={port}")).set("time_stats=1").set("mcs_opts=distribution:modula")
}

fn ask(client: &mut Wire, request: &str, reply: &str) {
    client.send(request);
    client.expect(reply);
}

/// The numbers of `stats proxy`, by their names without port and bucket.
fn statistics(client: &mut Wire) -> HashMap<String, String> {
    let bare = |name: String| name.split_once(":default:").map_or(name.clone(), |(_, rest)| rest.to_owned());
    lines(client, "").into_iter().map(|(name, value)| (bare(name), value)).collect()
}

/// Has every kind of thing happen that is counted of a client.
fn work(client: &mut Wire) {
    ask(client, "set a 0 0 3\r\nabc\r\n", "STORED\r\n");
    ask(client, "set b 0 0 1 noreply\r\n1\r\nget b\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n");
    ask(client, "get a\r\n", "VALUE a 0 3\r\nabc\r\nEND\r\n");
    ask(client, "get missing a a\r\n", "VALUE a 0 3\r\nabc\r\nVALUE a 0 3\r\nabc\r\nEND\r\n");
    ask(client, "incr b 4\r\n", "5\r\n");
    ask(client, "delete a\r\n", "DELETED\r\n");
    ask(client, "bogus\r\n", "ERROR\r\n");
    ask(client, "set x\r\n", "ERROR\r\n");
}

/// Every counter of `stats proxy` that is above zero has the same number here, and the numbers by command as well.
#[test]
fn metrics_say_what_stats_proxy_says() {
    let server = Memcached::start(&[]);
    for protocol in moxi_test_support::PROTOCOLS {
        let port = free_port();
        let moxi = observed(port).servers([server.port()]).speaking(protocol).start();
        let mut client = moxi.client();
        work(&mut client);
        let said = statistics(&mut client);
        let page = scrape::metrics(port);
        let own = moxi.port().to_string();
        let labels = [("bucket", "default"), ("port", own.as_str())];
        let number = |name: &str| -> f64 { said[name].parse().unwrap_or_else(|_| panic!("{name}")) };
        for (stat, name) in [
            ("num_upstream", "moxi_clients"),
            ("tot_upstream", "moxi_clients_accepted_total"),
            ("num_downstream_conn", "moxi_server_connections"),
            ("tot_downstream_conn", "moxi_server_connections_opened_total"),
            ("tot_downstream_conn_acquired", "moxi_server_answers_expected_total"),
            ("tot_downstream_conn_released", "moxi_server_answers_settled_total"),
            ("tot_downstream_released", "moxi_requests_finished_total"),
            ("tot_downstream_reserved", "moxi_requests_started_total"),
            ("tot_downstream_connect", "moxi_connects_ready_total"),
            ("tot_multiget_keys", "moxi_get_keys_total"),
            ("tot_multiget_keys_dedupe", "moxi_get_keys_repeated_total"),
            ("tot_upstream_paused", "moxi_client_waits_begun_total"),
            ("tot_cmd_count", "moxi_served_commands_total"),
        ] {
            let said = number(&format!("pstd_stats:{stat}"));
            assert!(said > 0.0, "{stat}");
            assert_eq!(page.get(name, &labels), said, "{stat} over {protocol}");
        }
        for (stat, name) in [
            ("tot_cmd_time", "moxi_served_commands_seconds_total"),
            ("tot_downstream_reserved_time", "moxi_request_duration_seconds_sum"),
            ("max_downstream_reserved_time", "moxi_request_longest_seconds"),
        ] {
            let said = number(&format!("pstd_stats:{stat}"));
            assert!(said > 0.0, "{stat}");
            assert_eq!((page.get(name, &labels) * 1e6).round(), said, "{stat} over {protocol}");
        }
        let finished = page.get("moxi_requests_finished_total", &labels);
        assert_eq!(page.get("moxi_request_duration_seconds_count", &labels), finished);
        compare_commands(&said, &page);
        assert_eq!(page.get("memcached_commands_total", &[("command", "get"), ("status", "hit")]), 4.0);
        assert_eq!(page.get("memcached_commands_total", &[("command", "get"), ("status", "miss")]), 1.0);
        assert_eq!(page.get("memcached_commands_total", &[("command", "set"), ("status", "hit")]), 2.0);
        for (stat, name) in [
            ("curr_connections", "memcached_current_connections"),
            ("total_connections", "memcached_connections_total"),
            ("accepting_conns", "memcached_accepting_connections"),
        ] {
            assert_eq!(page.get(name, &[]), number(&format!("memcached:stats:{stat}")), "{stat}");
        }
        assert!(page.get("memcached_read_bytes_total", &[]) >= number("memcached:stats:bytes_read"));
        assert!(page.names().iter().all(|name| *name != "memcached_limit_bytes"), "there is no built-in server");
    }
}

fn compare_commands(said: &HashMap<String, String>, page: &Exposition) {
    let mut count = 0;
    for (name, value) in said.iter().filter_map(|(name, value)| Some((name.strip_prefix("pstd_stats_cmd:")?, value))) {
        let (place, field) = name.split_once(':').expect("a field");
        let (kind, command) = place.split_once('_').expect("a type");
        // Who asked has been counted once more since.
        let family = match field {
            _ if command == "stats" => continue,
            "seen" => "moxi_commands_total",
            "hits" => "moxi_command_hits_total",
            "misses" => "moxi_command_misses_total",
            "read_bytes" => "moxi_command_read_bytes_total",
            "write_bytes" => "moxi_command_written_bytes_total",
            "cas" => "moxi_command_cas_total",
            _ => panic!("{field}"),
        };
        assert_eq!(page.get(family, &[("command", command), ("type", kind)]).to_string(), *value, "{name}");
        count += usize::from(value != "0");
    }
    assert!(count > 15, "{count} numbers");
}

#[test]
fn the_process_is_described() {
    let port = free_port();
    let server = Memcached::start(&[]);
    let mut moxi = observed(port).servers([server.port()]).start();
    let page = scrape::metrics(port);
    assert_eq!(page.get("moxi_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!(page.get("moxi_workers", &[]), 1.0);
    assert_eq!(page.get("memcached_up", &[]), 1.0);
    assert_eq!(page.get("memcached_version", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    // One is the scraper's own.
    let descriptors = format!("/proc/{}/fd", moxi.process().id());
    let open = || std::fs::read_dir(&descriptors).unwrap().count() as f64;
    wait_for("the same count", || scrape::metrics(port).get("process_open_fds", &[]) == open() + 1.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let (start, uptime) = (page.get("process_start_time_seconds", &[]), page.get("moxi_uptime_seconds", &[]));
    assert!(start <= now && start > now - 600.0, "{start} at {now}");
    assert!((0.0..600.0).contains(&uptime), "{uptime}");
    assert!(page.get("process_resident_memory_bytes", &[]) > 1e6);
    assert!(page.get("process_max_fds", &[]) >= page.get("process_open_fds", &[]));
    assert!(page.get("process_cpu_seconds_total", &[]) > 0.0);
    assert_eq!(
        page.get("process_start_time_seconds", &[]),
        scrape::metrics(port).get("process_start_time_seconds", &[])
    );
}

#[test]
fn the_built_in_server_is_described() {
    let (metrics, memcached) = (free_port(), free_port());
    // Alone: of -Z, metrics counts without -z, too.
    let z = format!("metrics={metrics}");
    let _moxi = Running::listening(memcached, &["-p", &memcached.to_string(), "-U", "0", "-Z", &z]);
    let mut client = Wire::connect("client", memcached);
    ask(&mut client, "set a 0 0 3\r\nabc\r\n", "STORED\r\n");
    ask(&mut client, "cas a 0 0 1 99\r\nx\r\n", "EXISTS\r\n");
    ask(&mut client, "get a\r\n", "VALUE a 0 3\r\nabc\r\nEND\r\n");
    ask(&mut client, "get b\r\n", "END\r\n");
    let page = scrape::metrics(metrics);
    for (command, status, want) in [
        ("get", "hit", 1.0),
        ("get", "miss", 1.0),
        ("set", "hit", 1.0),
        ("cas", "badval", 1.0),
        ("cas", "hit", 0.0),
        ("delete", "miss", 0.0),
    ] {
        let found = page.get("memcached_commands_total", &[("command", command), ("status", status)]);
        assert_eq!(found, want, "{command} {status}");
    }
    assert_eq!(page.get("memcached_current_items", &[]), 1.0);
    assert_eq!(page.get("memcached_items_total", &[]), 1.0);
    assert!(page.get("memcached_current_bytes", &[]) > 3.0);
    assert_eq!(page.get("memcached_limit_bytes", &[]), f64::from(64 << 20));
    assert_eq!(scrape::ask(metrics, "/readyz").status, 200);
}

#[test]
fn a_server_that_is_left_alone_is_down() {
    let port = free_port();
    let down = Down::new();
    let good = Memcached::start(&[]);
    let builder = observed(port).servers([down.port(), good.port()]).ascii().set("connect_max_errors=1");
    let moxi = builder.set("downstream_retry=0").start();
    let names = [down.port(), good.port()].map(|port| format!("127.0.0.1:{port}"));
    let up = |page: &Exposition| names.clone().map(|name| page.get("moxi_server_up", &[("server", &name)]));
    assert_eq!(up(&scrape::metrics(port)), [1.0, 1.0], "nothing is known yet");
    let mut client = moxi.client();
    wait_for("the suspension", || {
        client.send("set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\nset c 0 0 1\r\n1\r\nset d 0 0 1\r\n1\r\n");
        (0..4).for_each(|_| drop(client.line()));
        up(&scrape::metrics(port)) == [0.0, 1.0]
    });
    let page = scrape::metrics(port);
    assert!(page.get("moxi_server_failures", &[("server", &names[0])]) >= 2.0);
    assert_eq!(page.get("moxi_server_failures", &[("server", &names[1])]), 0.0);
    assert!(page.get("moxi_connects_failed_total", &[]) >= 2.0);
}

/// What a bucket is called comes from outside.
#[test]
fn labels_are_escaped_and_clusters_told_apart() {
    let (listen, metrics) = (free_port(), free_port());
    let managers = [Manager::new(), Manager::new()];
    let urls = managers.each_ref().map(|manager| manager.url("x"));
    let behavior = format!("port_listen={listen},metrics={metrics}");
    let z = format!("url={};url={}", urls[0], urls[1]);
    let _moxi = Running::start(&mut crate::launch::moxi(&["-z", &z, "-Z", &behavior]));
    let document =
        r#"{"name":"a\"b\\c","nodeLocator":"ketama","nodes":[{"hostname":"127.0.0.1:1","ports":{"direct":1}}]}"#;
    let _streams = managers.each_ref().map(|manager| {
        let mut stream = manager.stream();
        stream.document(document);
        stream
    });
    let own = listen.to_string();
    let labels = [("bucket", "a\"b\\c"), ("port", own.as_str())];
    wait_for("both buckets", || scrape::metrics(metrics).all("moxi_bucket_servers", &labels).len() == 2);
    let page = scrape::metrics(metrics);
    let clusters: Vec<_> =
        page.all("moxi_bucket_servers", &labels).iter().map(|(own, _)| own["cluster"].clone()).collect();
    assert_eq!(clusters, ["0", "1"]);
}

/// What Prometheus itself says of the page, if its tool is there.
#[test]
fn promtool_has_no_complaint() {
    let port = free_port();
    let server = Memcached::start(&[]);
    let moxi = observed(port).servers([server.port()]).start();
    work(&mut moxi.client());
    let tool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut tool) = tool else {
        eprintln!("skipped: no promtool here (Debian: prometheus; t/need promtool)");
        return;
    };
    let page = scrape::ask(port, "/metrics").body;
    tool.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("it reads");
    let output = tool.wait_with_output().expect("its end");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && words.is_empty(), "{words}");
}
