//! `stats proxy latency` and `servers` (06 §15, §16), and their metrics: whose time is counted where, and what is known of a
//! server.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::launch::{connect, free_port};
use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Memcached, Mock, Moxi, Wire, moxi, scrape, wait_for};

/// How long a server is made to take, at least.
const PAUSE: Duration = Duration::from_millis(30);

/// The numbers of a part, by their names without port and bucket.
struct Shown(HashMap<String, String>);

impl Shown {
    fn of(client: &mut Wire, part: &str) -> Shown {
        client.send(format!("stats proxy {part}\r\n"));
        let mut found = HashMap::new();
        loop {
            let line = String::from_utf8(client.line()).expect("text");
            if line == "END\r\n" {
                return Shown(found);
            }
            let rest = line.trim_end().strip_prefix("STAT ").unwrap_or_else(|| panic!("{line}"));
            let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
            let name = name.splitn(3, ':').nth(2).expect("a bucket's").to_owned();
            assert!(found.insert(name, value.to_owned()).is_none(), "{line}");
        }
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.0.keys()))
    }

    fn get(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name}: {}", self.text(name)))
    }

    /// How many requests there are of each phase.
    fn counts(&self, section: &str) -> [u64; 3] {
        ["total", "queue", "server"].map(|phase| self.get(&format!("{section}_count").replace('*', phase)))
    }
}

fn ask(client: &mut Wire, request: &str, reply: &str) {
    client.send(request);
    client.expect_piece(reply);
}

/// A moxi with one server and one connection to it.
fn single(mock: &Mock) -> Moxi {
    moxi!().servers([mock.port()]).ascii().set("downstream_conn_max=1").start()
}

#[test]
fn requests_are_counted_once_by_their_kind() {
    let servers = Memcached::several(2, &[]);
    for protocol in moxi_test_support::PROTOCOLS {
        let builder = moxi!().servers(servers.iter().map(Memcached::port)).set("mcs_opts=distribution:modula");
        let moxi = builder.speaking(protocol).start();
        let (mut client, mut binary) = (moxi.client(), moxi.client());
        // ASCII servers are asked first what they understand.
        binary.send(Packet::request(op::NOOP).bytes());
        assert_eq!(binary.packet().opcode, op::NOOP);
        ask(&mut client, "stats proxy reset\r\n", "OK\r\n");
        ask(&mut client, "set a 0 0 1\r\n1\r\n", "STORED\r\n");
        ask(&mut client, "set b 0 0 1 noreply\r\n1\r\nget b\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n");
        // Both servers have some of these, and a request of several parts is one.
        ask(&mut client, "get a c d e f g h\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
        ask(&mut client, "incr a 1\r\n", "2\r\n");
        // Told by moxi itself: not counted.
        ask(&mut client, "nonsense\r\n", "ERROR\r\n");
        binary.send(
            [Packet::request(op::GETKQ).key("x"), Packet::request(op::NOOP)].map(|packet| packet.bytes()).concat(),
        );
        assert_eq!(binary.packet().opcode, op::NOOP);
        let shown = Shown::of(&mut client, "latency");
        for (kind, want) in [("all", 6), ("get", 3), ("set", 2), ("other", 1)] {
            assert_eq!(shown.counts(&format!("latency:{kind}:*")), [want; 3], "{kind} over {protocol}");
        }
        let gets = [0, 1].map(|server| shown.get(&format!("latency-{server}:get:server_count")));
        assert_eq!(gets.iter().sum::<u64>(), 4, "each part of a request at its server");
        let shown_servers = Shown::of(&mut client, "servers");
        let requests = [0, 1].map(|server| shown_servers.get(&format!("server-{server}:requests")));
        // The answered packet goes to both.
        assert_eq!(requests.iter().sum::<u64>(), 2 + 1 + 2 + 1 + 1 + 2, "without what moxi asks by itself");
        assert!(shown.get("latency:get:total_max") >= shown.get("latency:get:total_p50"));
        assert_eq!(shown.text("latency-1:name"), format!("127.0.0.1:{}", servers[1].port()));
        ask(&mut client, "stats proxy reset\r\n", "OK\r\n");
        let shown = Shown::of(&mut client, "latency");
        assert!(shown.0.iter().all(|(name, value)| name.ends_with(":name") || value == "0"), "{:?}", shown.0);
    }
}

#[test]
fn time_at_the_server_is_told_from_time_in_queues() {
    let mock = Mock::new();
    let moxi = single(&mock);
    let (mut slow, mut behind) = (moxi.client(), moxi.client());
    slow.send("get a\r\n");
    let mut server = mock.accept();
    server.expect_piece("get a\r\n");
    let start = Instant::now();
    behind.send("incr b 1\r\n");
    server.expect_piece("incr b 1\r\n");
    std::thread::sleep(PAUSE);
    server.send("END\r\n2\r\n");
    slow.expect_piece("END\r\n");
    behind.expect_piece("2\r\n");
    let most = start.elapsed().as_micros() as u64;
    let shown = Shown::of(&mut slow, "latency");
    // The get waited for its connection, the other one was sent at once: behind others is the server's time.
    for section in ["latency", "latency-0"] {
        let of = |name: &str| shown.get(&format!("{section}:{name}"));
        for (kind, phase) in [("get", "server"), ("other", "server"), ("other", "total")] {
            let time = of(&format!("{kind}:{phase}_p99"));
            assert!(time >= PAUSE.as_micros() as u64, "{section} {kind} {phase}: {time}");
        }
        assert!(of("other:server_max") <= most + 1000, "{section}");
        assert!(of("get:total_max") >= of("get:server_max"), "{section}");
        assert_eq!(of("other:queue_max"), 0, "{section}");
        assert_eq!(of("set:total_count"), 0, "{section}");
    }
}

#[test]
fn waiting_for_a_place_is_time_in_queues() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().set("downstream_max=1").set("wait_queue_timeout=0").start();
    let (mut first, mut second) = (moxi.client(), moxi.client());
    first.send("get a\r\n");
    let mut server = mock.accept();
    server.expect_piece("get a\r\n");
    second.send("set b 0 0 1\r\n1\r\n");
    wait_for("the second to wait", || moxi.counter("tot_downstream_max_reached") == 1);
    std::thread::sleep(PAUSE);
    server.send("END\r\n");
    server.expect_piece("set b 0 0 1\r\n1\r\n");
    server.send("STORED\r\n");
    first.expect_piece("END\r\n");
    second.expect_piece("STORED\r\n");
    let shown = Shown::of(&mut first, "latency");
    for section in ["latency", "latency-0"] {
        assert!(shown.get(&format!("{section}:set:queue_p50")) >= PAUSE.as_micros() as u64, "{section}");
        assert!(shown.get(&format!("{section}:set:total_p50")) >= PAUSE.as_micros() as u64, "{section}");
    }
}

#[test]
fn what_was_never_sent_has_no_time_at_a_server() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.down().port()]).ascii().start();
    let mut client = moxi.client();
    ask(&mut client, "get a\r\n", "END\r\n");
    let shown = Shown::of(&mut client, "latency");
    assert_eq!(shown.counts("latency:get:*"), [1, 1, 0]);
    let shown = Shown::of(&mut client, "servers");
    assert!(shown.get("server-0:error_connect_failed") > 0);
    assert_eq!((shown.text("server-0:last_error"), shown.text("server-0:state")), ("connect_failed", "up"));
    assert_eq!((shown.get("server-0:connections"), shown.get("server-0:connects")), (0, 0));
}

#[test]
fn workers_are_added_up() {
    let server = Memcached::start(&[]);
    let moxi = moxi!().servers([server.port()]).threads(3).start();
    let mut clients: Vec<Wire> = (0..6).map(|_| moxi.client()).collect();
    clients.iter_mut().for_each(|client| ask(client, "get a\r\n", "END\r\n"));
    let shown = Shown::of(&mut clients[0], "latency");
    assert_eq!((shown.counts("latency:get:*"), shown.counts("latency-0:get:*")), ([6; 3], [6; 3]));
    let shown = Shown::of(&mut clients[1], "servers");
    assert_eq!((shown.get("server-0:requests"), shown.get("server-0:connections")), (6, 3));
}

#[test]
fn a_server_is_followed_through_its_troubles() {
    let mock = Mock::new();
    let behavior = "downstream_timeout=300,connect_max_errors=1,connect_retry_interval=50,downstream_conn_max=1";
    let moxi = moxi!().servers([mock.port()]).ascii().set(behavior).start();
    let (mut client, mut watcher) = (moxi.client(), moxi.client());
    let mut shown = || Shown::of(&mut watcher, "servers");
    assert_eq!((shown().text("server-0:last_error"), shown().get("server-0:connections")), ("none", 0));
    client.send("get a\r\n");
    let mut server = mock.accept();
    server.expect_piece("get a\r\n");
    let now = shown();
    let counts = ["connections", "unanswered", "queued", "requests", "bytes_written", "bytes_read"];
    assert_eq!(counts.map(|name| now.get(&format!("server-0:{name}"))), [1, 1, 0, 1, 7, 0]);
    server.send("END\r\n");
    client.expect_piece("END\r\n");
    let now = shown();
    assert_eq!(counts.map(|name| now.get(&format!("server-0:{name}"))), [1, 0, 0, 1, 7, 5]);
    assert_eq!(now.get("server-0:latency_count"), 1);
    // It falls silent ...
    client.send("get a\r\n");
    server.expect_piece("get a\r\n");
    client.expect_piece("END\r\n");
    let now = shown();
    assert_eq!((now.get("server-0:error_request_timeout"), now.get("server-0:error_silent")), (1, 1));
    // ... and goes for good.
    let down = mock.down();
    drop(server);
    ask(&mut client, "get a\r\n", "END\r\n");
    wait_for("the suspension", || shown().text("server-0:state") != "up");
    let now = shown();
    assert!(matches!(now.text("server-0:state"), "suspended" | "probing"));
    assert!(now.get("server-0:failures") > 1 && now.get("server-0:error_connect_failed") > 0);
    assert!(now.get("server-0:last_error_seconds") < 60 && now.get("server-0:suspended_seconds") < 60);
    let _mock = down.up();
    wait_for("the server to be back", || shown().text("server-0:state") == "up");
    let now = shown();
    assert_eq!((now.get("server-0:connects"), now.get("server-0:reconnects")), (2, 1));
    assert_eq!((now.get("server-0:suspended_seconds"), now.get("server-0:failures")), (0, 0));
}

#[test]
fn requests_that_wait_for_a_connection_are_queued() {
    let unreachable = Mock::new().down().unreachable();
    let moxi = moxi!().servers([unreachable.port()]).ascii().set("connect_timeout=0").start();
    let (mut client, mut watcher) = (moxi.client(), moxi.client());
    client.send("get a\r\nget b\r\n");
    wait_for("both to be queued", || Shown::of(&mut watcher, "servers").get("server-0:queued") == 2);
    let shown = Shown::of(&mut watcher, "servers");
    let counts = ["connections", "connecting", "unanswered", "requests"];
    assert_eq!(counts.map(|name| shown.get(&format!("server-0:{name}"))), [1, 1, 2, 2]);
}

#[test]
fn servers_that_clients_name_are_there_too() {
    let servers = Memcached::several(2, &[]);
    let moxi = moxi!().mcmux().start();
    let mut client = moxi.client();
    for server in &servers {
        ask(&mut client, &format!("A:127.0.0.1:{} get a\r\n", server.port()), "END\r\n");
    }
    let shown = Shown::of(&mut client, "servers");
    for number in 0..2 {
        assert_eq!(shown.get(&format!("server-{number}:requests")), 1);
    }
    assert_eq!(Shown::of(&mut client, "latency").get("latency:get:total_count"), 2);
}

#[test]
fn metrics_say_the_same() {
    let (server, port) = (Memcached::start(&[]), free_port());
    let moxi = moxi!().servers([server.port()]).set(format!("metrics={port}")).start();
    let mut client = moxi.client();
    ask(&mut client, "set a 0 0 1\r\n1\r\n", "STORED\r\n");
    ask(&mut client, "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    let (latency, servers) = (Shown::of(&mut client, "latency"), Shown::of(&mut client, "servers"));
    let page = scrape::metrics(port);
    let own = moxi.port().to_string();
    let bucket = [("bucket", "default"), ("port", own.as_str())];
    for kind in ["get", "set", "other"] {
        for phase in ["total", "queue", "server"] {
            let labels = [bucket[0], bucket[1], ("command", kind), ("phase", phase)];
            let said = latency.get(&format!("latency:{kind}:{phase}_count"));
            assert_eq!(page.get("moxi_latency_seconds_count", &labels), said as f64, "{kind} {phase}");
        }
    }
    let name = format!("127.0.0.1:{}", server.port());
    let labels = [bucket[0], bucket[1], ("server", name.as_str())];
    for (family, stat) in [
        ("moxi_server_open_connections", "connections"),
        ("moxi_server_unanswered", "unanswered"),
        ("moxi_server_queued", "queued"),
        ("moxi_server_requests_total", "requests"),
        ("moxi_server_connects_total", "connects"),
        ("moxi_server_reconnects_total", "reconnects"),
        ("moxi_server_read_bytes_total", "bytes_read"),
        ("moxi_server_written_bytes_total", "bytes_written"),
    ] {
        assert_eq!(page.get(family, &labels), servers.get(&format!("server-0:{stat}")) as f64, "{family}");
    }
    let labels = [labels[0], labels[1], labels[2], ("command", "get")];
    assert_eq!(page.get("moxi_server_latency_seconds_count", &labels), 1.0);
    drop(connect(moxi.port()));
}
