//! Bugs of the C program's history, each as a scenario of its own: the symptom must not come back (07 §8).
//!
//! Others stand where their subject is: MB-2649, MB-2825 and MB-3129 in `servers/timers.rs`, MB-2660 and MB-2689 in
//! `servers/failures.rs`, MB-3113 in `configuration/rest.rs`, MB-3575 in `configuration/rest_failures.rs`, MB-4003 in
//! `commands/ascii_over_binary.rs`, MB-12763 in `servers/hostile_servers.rs`, MB-24509 in `commands/memcached.rs`.

use std::process::Command;
use std::time::Duration;

use crate::launch::{self, Running, connect, free_port};
use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Down, Manager, Memcached, Mock, Wire, moxi, wait_for, wait_to_get};
use nix::sys::signal::Signal;

/// A moxi whose buckets come from `manager`.
fn dynamic(manager: &Manager, port: u16, behavior: &str) -> Running {
    let behavior = format!("port_listen={port},{behavior}");
    let cluster = format!("url={}", manager.url("test"));
    let mut command: Command = launch::moxi(&["-z", &cluster, "-Z", &behavior, "-p", "0", "-t", "4", ""]);
    for name in ["http_proxy", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    Running::start(&mut command)
}

/// A bucket without a name, with one vbucket on `servers[master]`.
fn bucket(servers: &[u16], master: usize) -> String {
    let list: Vec<String> = servers.iter().map(|port| format!("\"$HOST:{port}\"")).collect();
    format!(
        "{{\"name\":\"\",\"vBucketServerMap\":{{\"numReplicas\":0,\"serverList\":[{}],\"vBucketMap\":[[{master}]]}}}}",
        list.join(",")
    )
}

fn client(port: u16) -> Wire {
    drop(connect(port));
    Wire::connect("client", port)
}

/// MB-2811: a worker that waits for a frozen server took no new configuration, and the main thread, which waited for
/// the worker, accepted nobody. All limits are so long that none helps.
#[test]
fn mb_2811_a_frozen_server_does_not_hold_up_a_new_configuration() {
    let (manager, port, frozen, good) = (Manager::new(), free_port(), Mock::new(), Mock::new());
    let patience = "downstream_timeout=30000,wait_queue_timeout=30000,connect_timeout=30000,auth_timeout=30000,\
                    downstream_conn_queue_timeout=30000,usr=someone,pwd=open-sesame";
    let _moxi = dynamic(&manager, port, patience);
    let mut stream = manager.stream();
    stream.document(&bucket(&[frozen.port(), good.port()], 0));
    drop(connect(port));
    // As many as there are workers, which take them in turn, so that all of them are waiting.
    let mut stuck: Vec<Wire> = (0..4).map(|_| Wire::connect("client", port)).collect();
    stuck.iter_mut().for_each(|client| client.send("incr a 1\r\n"));
    let _silent: Vec<Wire> = (0..4).map(|_| frozen.accept()).collect();
    stream.document(&bucket(&[frozen.port(), good.port()], 1));
    let mut fresh = client(port);
    fresh.send("version\r\n");
    assert!(fresh.line().starts_with(b"VERSION "));
    // And the new configuration is in force: the request goes to the other server.
    let _found = wait_to_get("the new map", || {
        let mut client = client(port);
        client.send("incr b 1\r\n");
        good.try_accept(Duration::from_millis(100))
    });
}

/// MB-2972: the failed get of a vbucket bucket looked like a miss. It is one only where keys may be lost anyway.
#[test]
fn mb_2972_a_failed_get_is_an_error_or_a_miss() {
    let (manager, port) = (Manager::new(), free_port());
    let mut server = Memcached::start(&[]);
    let limits = "downstream_timeout=1000,wait_queue_timeout=1000,connect_timeout=1000,auth_timeout=1000,\
                  downstream_conn_queue_timeout=1000,connect_max_errors=0";
    let _moxi = dynamic(&manager, port, limits);
    manager.stream().document(&bucket(&[server.port()], 0));
    let mut client = client(port);
    client.send("get 1\r\n");
    client.expect_piece("END\r\n");
    server.process().signal(Signal::SIGSTOP);
    client.send("get 1\r\n");
    client.expect_piece("SERVER_ERROR proxy downstream timeout\r\n");
    server.process().signal(Signal::SIGCONT);
    let gone = server.kill();
    wait_for("the loss to be known", || {
        client.send("get 1\r\n");
        client.line() == b"SERVER_ERROR proxy write to downstream 127.0.0.1\r\n"
    });
    let moxi = moxi!().servers([gone.number()]).start();
    let mut client = moxi.client();
    client.send("get 1\r\n");
    client.expect_piece("END\r\n");
}

/// The same when the server answers that it cannot say: `failed_gets.rs` has what it may say, with static maps.
#[test]
fn a_get_that_a_server_of_a_cluster_cannot_answer_is_an_error() {
    let (manager, port, server) = (Manager::new(), free_port(), Mock::new());
    let _moxi = dynamic(&manager, port, "downstream_timeout=0");
    manager.stream().document(&bucket(&[server.port()], 0));
    let mut client = client(port);
    client.send("get 1\r\n");
    let mut line = server.accept();
    for (status, told) in [(0x86, "SERVER_ERROR temporary failure\r\n"), (0x01, "END\r\n")] {
        let asked = line.packet();
        line.send(Packet::reply(op::GETK).status(status).opaque(asked.opaque).bytes());
        client.expect_piece(told);
        client.send("get 1\r\n");
    }
}

/// MB-2980: the front cache was filled and emptied for keys that it was not for. Whatever is cached, a client that
/// changes a key sees its own change, and keys that are not in the specification are always read from the server.
#[test]
fn mb_2980_keys_outside_the_front_cache_are_read_from_the_server() {
    let server = Memcached::start(&[]);
    let moxi = moxi!()
        .servers([server.port()])
        .ascii()
        .threads(4)
        .set("front_cache_lifespan=3000")
        .set("front_cache_max=1000")
        .set("front_cache_spec=yes")
        .set("front_cache_unspec=no")
        .start();
    let (mut client, mut direct) = (moxi.client(), server.client());
    for key in ["nah-0", "no-0", "yes-0"] {
        client.send(format!("set {key} 0 0 1\r\n1\r\nget {key}\r\n"));
        client.expect_piece(format!("STORED\r\nVALUE {key} 0 1\r\n1\r\nEND\r\n"));
        client.send(format!("set {key} 0 0 2\r\n22\r\nget {key}\r\n"));
        client.expect_piece(format!("STORED\r\nVALUE {key} 0 2\r\n22\r\nEND\r\n"));
    }
    for key in ["nah-0", "no-0"] {
        direct.send(format!("set {key} 0 0 3\r\n333\r\n"));
        direct.expect_piece("STORED\r\n");
        client.send(format!("get {key} {key}\r\n"));
        client.expect_piece(format!("VALUE {key} 0 3\r\n333\r\nVALUE {key} 0 3\r\n333\r\nEND\r\n"));
    }
}

/// MB-3067, MB-3076: a connect that failed during a broadcast or a get of several keys left the client without the end
/// of its reply, or answered twice.
#[test]
fn mb_3076_some_servers_are_down() {
    for protocol in ["ascii", "binary"] {
        let (up, down) = (Memcached::start(&[]), Down::new());
        for ports in [[up.port(), down.port()], [down.port(), up.port()]] {
            let moxi = moxi!()
                .servers(ports)
                .speaking(protocol)
                .set("downstream_conn_max=1,downstream_max=0,downstream_timeout=15000,connect_max_errors=0")
                .start();
            let mut client = moxi.client();
            let keys: Vec<String> = (0..60).map(|number| format!("key{number}")).collect();
            let mut stored = 0;
            for key in &keys {
                client.send(format!("set {key} 0 0 1\r\n1\r\n"));
                stored += usize::from(client.line() == b"STORED\r\n");
            }
            assert!(stored > 0 && stored < keys.len(), "both have keys");
            for _ in 0..3 {
                client.send(format!("get {}\r\n", keys.join(" ")));
                let mut values = 0;
                loop {
                    match client.line() {
                        line if line == b"END\r\n" => break,
                        line if line.starts_with(b"VALUE ") => values += 1,
                        line => assert_eq!(line, b"1\r\n"),
                    }
                }
                assert_eq!(values, stored);
                client.send("stats\r\n");
                let mut lines = 0;
                while client.line() != b"END\r\n" {
                    lines += 1;
                }
                assert!(lines > 10, "the statistics of the one that is up");
            }
            client.send("version\r\n");
            assert!(client.line().starts_with(b"VERSION "), "nothing is left over");
        }
        let nobody = moxi!().servers([down.port()]).speaking(protocol).start();
        let mut client = nobody.client();
        client.send("stats\r\nget a x\r\n");
        assert!(client.line().starts_with(b"SERVER_ERROR "));
        assert_eq!(client.line(), b"END\r\n");
    }
}

/// The death of a server was noticed only when the next request was written to its connection. With no second try
/// allowed, that request failed.
#[test]
fn the_death_of_an_idle_connection_is_noticed() {
    for protocol in ["ascii", "binary"] {
        let server = Memcached::start(&[]);
        let moxi = moxi!()
            .servers([server.port()])
            .speaking(protocol)
            .set("downstream_conn_max=1,downstream_retry=0,downstream_timeout=0")
            .start();
        let mut client = moxi.client();
        client.send("incr a 1\r\n");
        client.expect_piece("NOT_FOUND\r\n");
        let _server = Memcached::revive(server.kill(), &[]);
        client.send("incr a 1\r\n");
        client.expect_piece("NOT_FOUND\r\n");
    }
}

/// Bytes that nobody has asked for, on a connection that is idle: it is closed, and they are nobody's answer.
#[test]
fn unasked_bytes_on_an_idle_connection_are_nobodys_answer() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).binary().start();
    let mut client = moxi.client();
    let get = |client: &mut Wire, mock_line: &mut Wire| {
        client.send("get a\r\n");
        mock_line.expect_piece(Packet::request(op::GETK).key("a").bytes());
        mock_line.send(Packet::reply(op::GETK).status(1).bytes());
        client.expect_piece("END\r\n");
    };
    client.send("get a\r\n");
    let mut line = mock.accept();
    line.expect_piece(Packet::request(op::GETK).key("a").bytes());
    line.send(Packet::reply(op::GETK).status(1).bytes());
    client.expect_piece("END\r\n");
    line.send(Packet::reply(op::GETK).extra32(0).key("a").value("stale").bytes());
    line.expect_closed();
    client.send("get a\r\n");
    let mut line = mock.accept();
    line.expect_piece(Packet::request(op::GETK).key("a").bytes());
    line.send(Packet::reply(op::GETK).status(1).bytes());
    client.expect_piece("END\r\n");
    get(&mut client, &mut line);
}
