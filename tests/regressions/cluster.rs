//! Behind a cluster manager: buckets, credentials, clients without a bucket.

use std::process::Command;
use std::time::Duration;

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::ports::Port;
use moxi_test_support::process::Process;
use moxi_test_support::{Manager, Memcached, Mock, SHORT, Wire, wait_for};

use crate::PATIENT;

/// A moxi whose buckets come from a manager. Its servers speak ASCII, so that nobody has to authenticate there.
pub struct Cluster {
    pub manager: Manager,
    pub process: Process,
    port: Port,
}

impl Cluster {
    pub fn start(behavior: &str, verbosity: &[&str]) -> Cluster {
        let manager = Manager::new();
        let url = format!("url={}", manager.url("p"));
        Cluster::at(manager, &url, behavior, verbosity)
    }

    /// With `-z CLUSTER`.
    pub fn at(manager: Manager, cluster: &str, behavior: &str, verbosity: &[&str]) -> Cluster {
        let port = Port::reserve();
        let mut command = Command::new(env!("CARGO_BIN_EXE_moxi"));
        for name in ["http_proxy", "all_proxy", "ALL_PROXY", "MOXI_SASL_PLAIN_USR", "MOXI_SASL_PLAIN_PWD"] {
            command.env_remove(name);
        }
        let behavior = format!("port_listen={},downstream_protocol=ascii,{PATIENT},{behavior}", port.number());
        command.args(["-p", "0", "-U", "0", "-t", "1", "-l", "127.0.0.1"]).args(verbosity);
        command.args(["-z", cluster, "-Z", &behavior, ""]);
        Cluster { manager, process: Process::start("moxi", &mut command), port }
    }

    /// Waits for the port to be opened.
    pub fn client(&self) -> Wire {
        let mut client = None;
        wait_for("the port", || {
            client = Wire::try_connect("client", self.port.number()).ok();
            client.is_some()
        });
        client.expect("waited for")
    }

    /// What a new client gets for `request`, until it is closed.
    pub fn once(&self, request: &str) -> Vec<u8> {
        let Ok(mut client) = Wire::try_connect("client", self.port.number()) else { return Vec::new() };
        client.send_into_the_dark(format!("{request}\r\nquit\r\n"));
        client.rest()
    }

    /// Waits until clients are not turned away any more.
    pub fn served(&self) -> Wire {
        wait_for("a bucket", || self.once("version").starts_with(b"VERSION "));
        self.client()
    }

    /// How many file descriptors it has.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("descriptors").count()
    }
}

/// A bucket document: one vbucket, on the first of its servers. Its password is `pw-NAME`.
pub fn bucket(name: &str, ports: &[u16]) -> String {
    let list: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    format!(
        "{{\"name\":\"{name}\",\"saslPassword\":\"{}\",\"vBucketServerMap\":{{\"numReplicas\":0,\"serverList\":[{}],\
         \"vBucketMap\":[[0]]}}}}",
        if name == "default" { String::new() } else { format!("pw-{name}") },
        list.join(",")
    )
}

/// A bucket without map: healthy servers and others.
pub fn ketama(name: &str, nodes: &[(u16, &str)]) -> String {
    let list: Vec<String> = nodes
        .iter()
        .map(|(port, status)| {
            format!("{{\"hostname\":\"127.0.0.1:8091\",\"status\":\"{status}\",\"ports\":{{\"direct\":{port}}}}}")
        })
        .collect();
    format!(
        "{{\"name\":\"{name}\",\"saslPassword\":\"pw-{name}\",\"nodeLocator\":\"ketama\",\"nodes\":[{}]}}",
        list.join(",")
    )
}

pub fn list(documents: &[String]) -> String {
    format!("{{\"buckets\":[{}]}}", documents.join(","))
}

fn auth(user: &str, password: &str) -> Vec<u8> {
    Packet::request(op::SASL_AUTH).key("PLAIN").value(format!("\0{user}\0{password}")).bytes()
}

/// A memcached with its own name in the key `where`.
pub fn named(name: &str) -> Memcached {
    let server = Memcached::start(&[]);
    server.client().ask(format!("set where 0 0 {}\r\n{name}\r\n", name.len()), "STORED\r\n");
    server
}

/// Clients that were turned away for want of a bucket left half of themselves behind.
#[test]
fn mb_3162_clients_that_are_turned_away_leave_nothing() {
    let cluster = Cluster::start("default_bucket_name=default", &[]);
    let mut stream = cluster.manager.stream();
    stream.document(&list(&[]));
    cluster.client().expect_closed();
    let before = cluster.descriptors();
    for round in 0..300 {
        let mut client = cluster.client();
        if round % 2 == 0 {
            client.send_into_the_dark("incr a 1\r\nincr a 1\r\n");
        }
        client.expect_closed();
    }
    wait_for("the descriptors", || cluster.descriptors() <= before);
    let server = named("here");
    stream.document(&list(&[bucket("default", &[server.port()])]));
    cluster.served().ask("get where\r\n", "VALUE where 0 4\r\nhere\r\nEND\r\n");
}

/// The default bucket is deleted: new clients are in none, statistics do not stumble over it, and it may come back.
#[test]
fn bug_1998_mbt_21_the_default_bucket_is_deleted() {
    let (first, second) = (named("first"), named("second"));
    let cluster = Cluster::start("default_bucket_name=default", &[]);
    let mut stream = cluster.manager.stream();
    let other = bucket("other", &[second.port()]);
    stream.document(&list(&[bucket("default", &[first.port()]), other.clone()]));
    let mut old = cluster.served();
    old.ask("get where\r\n", "VALUE where 0 5\r\nfirst\r\nEND\r\n");
    stream.document(&list(std::slice::from_ref(&other)));
    let unauthorized = b"SERVER_ERROR unauthorized, null bucket\r\n";
    wait_for("the end of the bucket", || cluster.once("incr a 1") == unauthorized);
    for request in ["stats proxy\r\n", "stats proxy all\r\n", "stats proxy timings\r\n", "stats proxy config\r\n"] {
        let mut client = cluster.client();
        client.send(request);
        while client.line() != b"END\r\n" {}
    }
    old.ask("incr a 1\r\n", "SERVER_ERROR proxy out of downstreams\r\n");
    stream.document(&list(&[bucket("default", &[first.port()]), other]));
    wait_for("the bucket again", || {
        old.send("get where\r\n");
        if old.line() == b"END\r\n" {
            return false;
        }
        old.expect("first\r\nEND\r\n");
        true
    });
}

/// Only a prefix of name and password was compared.
#[test]
fn bug_2266_names_and_passwords_are_compared_whole() {
    let server = named("here");
    let cluster = Cluster::start("default_bucket_name=default", &[]);
    let mut stream = cluster.manager.stream();
    stream.document(&list(&[bucket("bucket1", &[server.port()]), bucket("bucket", &[server.port()])]));
    let mut client = cluster.served();
    let long = "pw-bucket1".repeat(30);
    for (user, password) in [
        ("bucket1", "pw-bucket"),
        ("bucket1", "pw-bucket12"),
        ("bucket1", "pw-bucket1\0"),
        ("bucket1", "p"),
        ("bucket1", ""),
        ("bucket1", long.as_str()),
        ("bucket12", "pw-bucket1"),
        ("bucket", "pw-bucket1"),
        ("b", "pw-bucket1"),
        ("Bucket1", "pw-bucket1"),
        ("", "pw-bucket1"),
    ] {
        client.send(auth(user, password));
        assert_eq!(client.packet().status, 0x20, "{user:?} {password:?}");
        client.send(Packet::request(op::GETK).key("where").bytes());
        assert_eq!(client.packet().status, 0x20, "{user:?} {password:?}");
    }
    for (user, password) in [("bucket1", "pw-bucket1"), ("bucket", "pw-bucket")] {
        client.send(auth(user, password));
        assert_eq!(client.packet().status, 0, "{user}");
        client.send(Packet::request(op::GETK).key("where").bytes());
        assert_eq!(client.packet().value, b"here");
    }
}

/// Buckets with and without a map side by side.
#[test]
fn bug_2541_buckets_of_both_kinds() {
    let (mapped, listed) = (named("mapped"), named("listed"));
    let cluster = Cluster::start("", &[]);
    let mut stream = cluster.manager.stream();
    stream.document(&list(&[bucket("v", &[mapped.port()]), ketama("k", &[(listed.port(), "healthy")])]));
    let mut client = cluster.client();
    for (name, value) in [("k", &b"listed"[..]), ("v", b"mapped"), ("k", b"listed")] {
        client.send(auth(name, &format!("pw-{name}")));
        assert_eq!(client.packet().status, 0, "{name}");
        client.send(Packet::request(op::GETK).key("where").bytes());
        assert_eq!(client.packet().value, value);
    }
}

/// Keys went to servers that the manager had called ill. If all are, the document cannot be used.
#[test]
fn bug_2608_unhealthy_nodes_get_no_keys() {
    let (well, ill) = (named("well"), Mock::new());
    let cluster = Cluster::start("", &[]);
    let mut stream = cluster.manager.stream();
    stream.document(&ketama("k", &[(ill.port(), "unhealthy"), (well.port(), "healthy"), (ill.port(), "warmup")]));
    let mut client = cluster.client();
    for key in 0..100 {
        client.ask(format!("set k{key} 0 0 1\r\n1\r\n"), "STORED\r\n");
    }
    stream.document(&ketama("k", &[(well.port(), "unhealthy")]));
    wait_for("the complaint", || !cluster.process.complaints().is_empty());
    client.ask("get where\r\n", "VALUE where 0 4\r\nwell\r\nEND\r\n");
    ill.expect_no_connection(SHORT);
}

/// 03 §6: what is under way when a new document comes is answered by the server it went to.
#[test]
fn a_new_document_disturbs_no_request() {
    let (first, second) = (Mock::new(), named("second"));
    let cluster = Cluster::start("downstream_timeout=0", &[]);
    let mut stream = cluster.manager.stream();
    stream.document(&bucket("b", &[first.port()]));
    let mut busy = cluster.client();
    busy.send("incr a 1\r\n");
    let mut line = first.accept();
    line.expect("incr a 1\r\n");
    stream.document(&bucket("b", &[second.port()]));
    let mut idle = cluster.client();
    wait_for("the new document", || {
        idle.send("get where\r\n");
        // Until then it goes to the first server, over a connection of its own.
        let (moment, mut other) = (Duration::from_millis(1), None);
        wait_for("an answer", || {
            other = first.try_accept(moment);
            other.is_some() || idle.readable(moment)
        });
        if let Some(mut other) = other {
            other.expect("get where\r\n");
            other.send("END\r\n");
            idle.expect("END\r\n");
            return false;
        }
        idle.expect("VALUE where 0 6\r\nsecond\r\nEND\r\n");
        true
    });
    line.send("41\r\n");
    busy.expect("41\r\n");
    line.expect_closed();
    busy.ask("get where\r\n", "VALUE where 0 6\r\nsecond\r\nEND\r\n");
}
