//! The program behind a cluster manager, from outside: start, documents, buckets coming and going, the manager's
//! failures (05 §5–§8, 01 §6.4).

use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;

use crate::launch::{self, Running, connect, free_port, refuses, wait_for};
use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Manager, Mock, Wire, manager};

/// Limits that a busy machine does not reach.
const PATIENT: &str =
    "downstream_timeout=0,connect_timeout=0,auth_timeout=0,wait_queue_timeout=0,downstream_conn_queue_timeout=0";

/// A moxi with the manager's stream.
pub struct Bench {
    pub manager: Manager,
    pub moxi: Running,
    pub port: u16,
}

impl Bench {
    pub fn start(behavior: &str) -> Bench {
        let (manager, port) = (Manager::new(), free_port());
        let moxi = Running::start(&mut command(&format!("url={}", manager.url("p")), port, behavior));
        Bench { manager, moxi, port }
    }

    pub fn client(&self) -> Wire {
        drop(connect(self.port));
        Wire::connect("client", self.port)
    }
}

/// A command line with `-z` and `port_listen`.
pub fn command(cluster: &str, port: u16, behavior: &str) -> Command {
    let behavior = format!("port_listen={port},{PATIENT},{behavior}");
    let mut command = launch::moxi(&["-z", cluster, "-Z", &behavior, "-p", "0", "-t", "2", "-l", "127.0.0.1", ""]);
    for name in ["http_proxy", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

/// A bucket document with one vbucket, on the first of its servers.
pub fn bucket(name: &str, servers: &[&Mock]) -> String {
    mapped(name, servers, 0)
}

fn mapped(name: &str, servers: &[&Mock], master: usize) -> String {
    let list: Vec<String> = servers.iter().map(|server| format!("\"$HOST:{}\"", server.port())).collect();
    format!(
        "{{\"name\":\"{name}\",\"saslPassword\":\"pw-{name}\",\"vBucketServerMap\":{{\"numReplicas\":0,\
         \"serverList\":[{}],\"vBucketMap\":[[{master}]]}}}}",
        list.join(",")
    )
}

fn list(documents: &[&str]) -> String {
    format!("{{\"buckets\":[{}]}}", documents.join(","))
}

/// Sends `request` to the server, too, which answers.
pub fn through(client: &mut Wire, server: &mut Wire, request: &str, reply: &str) {
    client.send(request);
    server.expect(request);
    server.send(reply);
    client.expect(reply);
}

pub const SET: &str = "set a 0 0 1\r\n1\r\n";

/// The client's first request opens a connection to the server; returns that.
fn first_request(client: &mut Wire, server: &Mock) -> Wire {
    client.send(SET);
    let mut conn = server.accept();
    conn.expect(SET);
    conn.send("STORED\r\n");
    client.expect("STORED\r\n");
    conn
}

/// A moxi with one bucket, whose only server a client has used.
pub struct Served {
    pub bench: Bench,
    pub stream: manager::Exchange,
    pub server: Mock,
    pub client: Wire,
    pub conn: Wire,
}

pub fn served() -> Served {
    let (bench, server) = (Bench::start("downstream_protocol=ascii"), Mock::new());
    let mut stream = bench.manager.stream();
    stream.document(&bucket("a", &[&server]));
    let mut client = bench.client();
    let conn = first_request(&mut client, &server);
    Served { bench, stream, server, client, conn }
}

#[test]
fn the_port_opens_with_the_first_document() {
    let (bench, server) = (Bench::start("downstream_protocol=ascii"), Mock::new());
    let mut stream = bench.manager.stream();
    let host = bench.manager.authority();
    assert_eq!(stream.request, format!("GET /p HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n"));
    assert!(refuses(bench.port));
    // Refused documents open nothing.
    stream.document(&bucket("a", &[]));
    stream.document(&list(&[]));
    stream.chunk(&bucket("a", &[&server])[..20]);
    stream.chunk(&bucket("a", &[&server])[20..]);
    assert!(refuses(bench.port));
    stream.chunk("\n\n\n");
    stream.chunk("\n");
    let mut client = bench.client();
    let _conn = first_request(&mut client, &server);
}

#[test]
fn a_new_map_takes_effect_and_connections_stay() {
    let bench = Bench::start("downstream_protocol=ascii");
    let (first, second) = (Mock::new(), Mock::new());
    let mut stream = bench.manager.stream();
    stream.document(&mapped("a", &[&first, &second], 0));
    let mut client = bench.client();
    let mut one = first_request(&mut client, &first);

    stream.document(&mapped("a", &[&first, &second], 1));
    let mut two = loop {
        client.send(SET);
        let went = second.try_accept(Duration::from_millis(100));
        let conn = match went {
            None => &mut one,
            Some(conn) => break conn,
        };
        conn.expect(SET);
        conn.send("STORED\r\n");
        client.expect("STORED\r\n");
    };
    two.expect(SET);
    two.send("STORED\r\n");
    client.expect("STORED\r\n");
    one.expect_nothing(Duration::from_millis(50));

    // Who is not in the list any more is parted with.
    stream.document(&mapped("a", &[&second], 0));
    one.expect_closed();
    through(&mut client, &mut two, SET, "STORED\r\n");
}

#[test]
fn buckets_go_and_come_back() {
    let bench = Bench::start("downstream_protocol=ascii");
    let (first, second) = (Mock::new(), Mock::new());
    let mut stream = bench.manager.stream();
    stream.document(&list(&[&bucket("b", &[&second]), &bucket("default", &[&first])]));
    let mut client = bench.client();
    let mut one = first_request(&mut client, &first);

    // The bucket is gone: its clients stay, new ones start in the other.
    stream.document(&list(&[&bucket("b", &[&second])]));
    one.expect_closed();
    client.ask(SET, "SERVER_ERROR proxy out of downstreams\r\n");
    client.ask("get a\r\n", "END\r\n");
    client.ask("version\r\n", format!("VERSION {}\r\n", env!("CARGO_PKG_VERSION")));
    let mut newcomer = bench.client();
    let mut two = first_request(&mut newcomer, &second);

    // No bucket at all: new clients are turned away.
    stream.document(&list(&[]));
    two.expect_closed();
    let mut stranger = Wire::connect("client", bench.port);
    stranger.expect_closed();
    newcomer.ask(SET, "SERVER_ERROR proxy out of downstreams\r\n");

    // Back again, for those who have waited.
    stream.document(&list(&[&bucket("default", &[&first])]));
    wait_for("the bucket", || {
        client.send(SET);
        let Some(mut conn) = first.try_accept(Duration::from_millis(100)) else {
            client.expect("SERVER_ERROR proxy out of downstreams\r\n");
            return false;
        };
        conn.expect(SET);
        conn.send("STORED\r\n");
        client.expect("STORED\r\n");
        true
    });
}

#[test]
fn a_document_that_cannot_be_used_changes_nothing() {
    let Served { mut bench, mut stream, server, mut client, mut conn } = served();
    let url = bench.manager.url("p");
    for (bad, line) in [
        ("{\"name\":\"a\"}", format!("ERROR: bad JSON configuration from {url}: Expected number <= 4 for numReplicas")),
        ("oops", format!("ERROR: parse JSON failed, from REST server: {url}, oops")),
    ] {
        stream.document(bad);
        let logged = bench.moxi.complaint();
        assert!(logged.ends_with(&format!(") {line}\n")), "{logged}");
        through(&mut client, &mut conn, SET, "STORED\r\n");
    }
    stream.cut();
    let logged = bench.moxi.complaint();
    assert!(logged.ends_with(&format!(") WARNING: REST server {url}: the answer was cut off\n")), "{logged}");
    through(&mut client, &mut conn, SET, "STORED\r\n");
    let mut stream = bench.manager.stream();
    stream.document(&bucket("a", &[&server]));
    through(&mut client, &mut conn, SET, "STORED\r\n");
}

/// MB-3113 and the rows of 05 §6.7.
#[test]
fn without_a_bucket_clients_are_turned_away() {
    let bench = Bench::start("default_bucket_name=default");
    let mut early = bench.client();
    early.send_into_the_dark("incr a 1\r\nincr a 1\r\n");
    early.expect_closed();
    let mut stream = bench.manager.stream();
    stream.document(&list(&[]));
    let mut client = bench.client();
    client.send_into_the_dark("incr a 1\r\nincr a 1\r\n");
    client.expect_closed();
}

/// 05 §8.4 and §8.5: the null bucket, and the way out of it.
#[test]
fn clients_choose_their_bucket() {
    let (bench, server) = (Bench::start("default_bucket_name=default"), Mock::new());
    let mut stream = bench.manager.stream();
    stream.document(&list(&[&bucket("bucket0", &[&server]), &bucket("bucket1", &[&server])]));
    wait_for("the buckets", || {
        let mut client = connect(bench.port);
        client.write_all(b"version\r\n").is_ok() && client.read(&mut [0; 64]).is_ok_and(|count| count > 0)
    });
    let mut client = bench.client();
    client.ask(SET, "SERVER_ERROR unauthorized, null bucket\r\n");
    client.ask("get a\r\n", "END\r\n");

    let mut client = bench.client();
    let refused = |opcode| Packet::reply(opcode).status(0x20).value("Auth failure");
    client.send(Packet::request(op::GET).key("a").bytes());
    assert_eq!(client.packet(), refused(op::GET));
    let auth = |user: &str, password: &str| {
        Packet::request(op::SASL_AUTH).key("PLAIN").value(format!("\0{user}\0{password}")).bytes()
    };
    for (user, password) in [("bucket0", "pw-bucket1"), ("bucket9", "pw-bucket0"), ("", ""), ("default", "")] {
        client.send(auth(user, password));
        assert_eq!(client.packet(), refused(op::SASL_AUTH), "{user}");
    }
    client.send(Packet::request(op::SASL_LIST).bytes());
    assert_eq!(client.packet(), Packet::reply(op::SASL_LIST).value("PLAIN"));
    client.send(Packet::request(op::SASL_LIST).key("PLAIN").bytes());
    assert_eq!(client.packet(), Packet::reply(op::SASL_LIST).status(4).value("Invalid arguments"));
    client.send(auth("bucket1", "pw-bucket1"));
    assert_eq!(client.packet(), Packet::reply(op::SASL_AUTH).value("Authenticated"));
    client.send(Packet::request(op::GET).key("a").bytes());
    let mut conn = server.accept();
    conn.expect(auth("bucket1", "pw-bucket1"));
    conn.send(Packet::reply(op::SASL_AUTH).value("Authenticated").bytes());
    let request = conn.packet();
    conn.send(Packet::reply(request.opcode).opaque(request.opaque).status(1).bytes());
    assert_eq!(client.packet().status, 1);
}

/// A manager that does not stream is asked every second. That disturbs nobody.
#[test]
fn polling_keeps_connections() {
    let (bench, server) = (Bench::start("downstream_protocol=ascii"), Mock::new());
    bench.manager.answer("200 OK", &bucket("a", &[&server]));
    let mut client = bench.client();
    let mut conn = first_request(&mut client, &server);
    for _ in 0..2 {
        bench.manager.answer("200 OK", &bucket("a", &[&server]));
        through(&mut client, &mut conn, SET, "STORED\r\n");
    }
}

/// One line for each document that changes something, at any verbosity; none for one that says the same again, or only
/// moves keys.
#[test]
fn what_documents_change_is_logged() {
    let (mut bench, server, other) = (Bench::start(""), Mock::new(), Mock::new());
    let url = bench.manager.url("p");
    let mut stream = bench.manager.stream();
    let (here, there) = (format!("127.0.0.1:{}", server.port()), format!("127.0.0.1:{}", other.port()));
    let (a, b) = (mapped("a", &[&server, &other], 0), bucket("b", &[&other]));
    // The first line is that of the start.
    let line = bench.moxi.error_line();
    assert!(
        line.contains(&format!("started: port {} of 127.0.0.1 for the buckets of {url}; 2 workers", bench.port)),
        "{line}"
    );
    let port = bench.port;
    let mut count = 0;
    let mut told = |document: &str, changes: Option<&str>| {
        stream.document(document);
        count += 1;
        if let Some(changes) = changes {
            let line = bench.moxi.error_line();
            let message = line.split_once(") ").expect("a line of the log").1.trim_end();
            assert_eq!(message, format!("configuration from {url}: {changes}"));
        }
        // Of documents that come together only the newest counts.
        wait_for("the document", || configs(port) == count);
    };
    told(&list(&[&a]), Some(&format!("bucket a added, to {here}, {there}")));
    told(&list(&[&a]), None);
    let moved = mapped("a", &[&server, &other], 1);
    told(&list(&[&moved]), None);
    told(&list(&[&moved, &b]), Some(&format!("bucket b added, to {there}")));
    told(&list(&[&bucket("a", &[&other]), &b]), Some(&format!("bucket a: removed {here}")));
    told(&list(&[&b]), Some("bucket a removed"));
}

/// How many documents have come, as a new client is told.
fn configs(port: u16) -> u64 {
    let mut client = connect(port);
    // A client that there is no bucket for yet is turned away.
    if client.write_all(b"stats proxy stats\r\nquit\r\n").is_err() {
        return 0;
    }
    let mut reply = String::new();
    let _ = client.read_to_string(&mut reply);
    let count = reply.split("STAT proxy_main:stats:stat_configs ").nth(1).and_then(|rest| rest.lines().next());
    count.map_or(0, |count| count.parse().expect("a number"))
}

/// Two agents: one port for the buckets of both.
#[test]
fn several_agents() {
    let (first, second) = (Manager::new(), Manager::new());
    let (one, two) = (Mock::new(), Mock::new());
    let port = free_port();
    let cluster = format!("url={};url={};", first.url("1"), second.url("2"));
    let _moxi = Running::start(&mut command(&cluster, port, "downstream_protocol=ascii"));
    let mut stream_one = first.stream();
    stream_one.document(&bucket("a", &[&one]));
    drop(connect(port));
    let mut stream_two = second.stream();
    stream_two.document(&bucket("b", &[&two]));
    stream_one.document(&list(&[]));
    // Only the second agent's bucket lives: new clients start there, once both documents have come.
    wait_for("the second bucket", || {
        let mut client = Wire::connect("client", port);
        client.send_into_the_dark(SET);
        two.try_accept(Duration::from_millis(100)).is_some()
    });
}
