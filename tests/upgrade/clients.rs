//! Whoever is connected is served on, on the same connection; what is owed is answered.

use std::time::Duration;

use crate::launch::{free_port, wait_for};
use crate::service::Service;
use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{LIMIT, Manager, Memcached, Mock, SHORT, Wire};

/// The arguments of a moxi on `port` in front of `server`.
fn arguments(port: u16, server: u16) -> Vec<String> {
    let behavior = "downstream_protocol=ascii,downstream_timeout=0,connect_timeout=0,wait_queue_timeout=0";
    ["-t", "1", "-Z", behavior, "-z"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("{port}=127.0.0.1:{server}")])
        .collect()
}

fn start(port: u16, server: u16) -> Service {
    let arguments = arguments(port, server);
    Service::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn connections_outlive_processes() {
    let (server, port) = (Memcached::start(&[]), free_port());
    let mut service = start(port, server.port());
    let mut clients: Vec<Wire> = (0..20).map(|number| Wire::connect(format!("client {number}"), port)).collect();
    // One has said nothing yet.
    for (number, client) in clients.iter_mut().enumerate().skip(1) {
        client.ask(format!("set {number} 0 0 1\r\n{}\r\n", number % 10), "STORED\r\n");
    }
    for _ in 0..3 {
        let old = service.upgrade();
        old.wait_gone();
        for (number, client) in clients.iter_mut().enumerate().skip(1) {
            client.ask(format!("get {number}\r\n"), format!("VALUE {number} 0 1\r\n{}\r\nEND\r\n", number % 10));
        }
        Wire::connect("a new client", port).ask("get 0\r\n", "END\r\n");
    }
    clients[0].send(Packet::request(op::NOOP).bytes());
    assert_eq!(clients[0].packet().opcode, op::NOOP);
    assert_eq!(service.first_code(), Some(0));
    service.stop();
}

#[test]
fn what_is_under_way_is_answered_by_whom_it_was_asked() {
    let (server, port) = (Mock::new(), free_port());
    let mut service = start(port, server.port());
    let (mut waiting, mut half) = (Wire::connect("one that waits", port), Wire::connect("one that is not done", port));
    waiting.send("get a\r\n");
    let mut line = server.accept();
    line.expect("get a\r\n");
    half.send("set b 0 0 5\r\n12");
    waiting.send("get c\r\n");
    line.expect("get c\r\n");
    let old = service.upgrade();
    // It is told, and goes to the other process then.
    waiting.expect_nothing(SHORT);
    assert!(old.is_alive());
    line.send("VALUE a 0 1\r\n1\r\nEND\r\n");
    waiting.expect("VALUE a 0 1\r\n1\r\nEND\r\n");
    line.send("END\r\n");
    waiting.expect("END\r\n");
    waiting.send("get d\r\n");
    let mut other = server.accept();
    other.expect("get d\r\n");
    other.send("END\r\n");
    waiting.expect("END\r\n");
    // The old one is left to finish the other request.
    half.send("345\r\n");
    line.expect("set b 0 0 5\r\n12345\r\n");
    line.send("STORED\r\n");
    half.expect("STORED\r\n");
    old.wait_gone();
    half.send("get b\r\n");
    other.expect("get b\r\n");
    other.send("END\r\n");
    half.expect("END\r\n");
}

#[test]
fn what_wants_no_answer_is_done_first() {
    let (server, port) = (Mock::new(), free_port());
    let mut service = start(port, server.port());
    let mut client = Wire::connect("client", port);
    client.send("set a 0 0 1 noreply\r\n1\r\n");
    let mut line = server.accept();
    line.expect("set a 0 0 1\r\n1\r\n");
    let old = service.upgrade();
    client.send("get a\r\n");
    // Nothing of this client is said by the other process before.
    line.expect("get a\r\n");
    line.send("STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    client.expect("VALUE a 0 1\r\n1\r\nEND\r\n");
    old.wait_gone();
}

#[test]
fn who_connects_meanwhile_waits_for_the_new_process() {
    let (server, port) = (Memcached::start(&[]), free_port());
    let mut service = start(port, server.port());
    let first = service.current().id;
    service.current().signal("USR2");
    let clients: Vec<Wire> = (0..50)
        .map(|number| {
            let mut client = Wire::connect(format!("client {number}"), port);
            client.send("version\r\n");
            client
        })
        .collect();
    for mut client in clients {
        assert!(client.line().starts_with(b"VERSION "));
    }
    service.wait_upgraded();
    assert_ne!(service.current().id, first);
}

#[test]
fn who_has_authenticated_stays_in_the_bucket() {
    let (cluster, servers, port) = (Manager::new(), [Mock::new(), Mock::new()], free_port());
    let bucket = |name: &str, server: &Mock| {
        format!(
            "{{\"name\":\"{name}\",\"saslPassword\":\"sesame\",\"vBucketServerMap\":{{\"hashAlgorithm\":\"CRC\",\
             \"numReplicas\":0,\"serverList\":[\"127.0.0.1:{}\"],\"vBucketMap\":[[0]]}}}}",
            server.port()
        )
    };
    let document = format!("{{\"buckets\":[{},{}]}}", bucket("first", &servers[0]), bucket("second", &servers[1]));
    let behavior = format!("port_listen={port},downstream_timeout=0,connect_timeout=0,auth_timeout=0");
    let url = format!("url={}", cluster.url("p"));
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = crate::launch::moxi(&["-t", "1", "-z", &url, "-Z", &behavior]);
    let mut service = Service::start_as(directory, &mut command);
    let mut stream = cluster.stream();
    stream.document(&document);
    wait_for("the port", || Wire::try_connect("probe", port).is_ok());
    let mut client = Wire::connect("client", port);
    let message = Packet::request(op::SASL_AUTH).key("PLAIN").value("\0second\0sesame");
    client.send(message.bytes());
    assert_eq!(client.packet().status, 0);

    service.current().signal("USR2");
    // The new process is ready when it knows the buckets.
    let mut other = cluster.stream();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!service.log().contains("takes over"));
    other.document(&document);
    let old = service.wait_upgraded();
    old.wait_gone();
    client.send(Packet::request(op::GET).key("a").bytes());
    assert!(servers[1].try_accept(LIMIT).is_some());
    servers[0].expect_no_connection(SHORT);
}
