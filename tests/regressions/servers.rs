//! One server that behaves in an unusual way.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::ports::Port;
use moxi_test_support::{Memcached, Mock, MoxiBuilder, PROTOCOLS, SHORT, Wire, moxi};

use crate::PATIENT;

fn over(protocol: &str, port: u16) -> MoxiBuilder {
    moxi!().servers([port]).set(PATIENT).speaking(protocol)
}

/// A server that died gave up its place among `downstream_conn_max` only by half. Here with a real one.
#[test]
fn mb_2660_a_server_that_dies_gives_its_place_back() {
    for protocol in PROTOCOLS {
        let server = Memcached::start(&[]);
        let moxi = over(protocol, server.port())
            .set("downstream_conn_max=1")
            .set("downstream_max=0")
            .set("wait_queue_timeout=5000")
            .start();
        let mut client = moxi.client();
        client.send("incr a 1\r\n");
        client.expect("NOT_FOUND\r\n");
        let port = server.kill();
        let start = Instant::now();
        for _ in 0..3 {
            let mut client = moxi.client();
            client.send("incr a 1\r\n");
            client.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
        }
        assert!(start.elapsed() < Duration::from_secs(2));
        let _server = Memcached::revive(port, &[]);
        client.send("incr a 1\r\n");
        client.expect("NOT_FOUND\r\n");
    }
}

/// The time for a handshake was that of each read: a server that trickles took for ever.
#[test]
fn mb_3023_mb_2962_a_handshake_that_trickles() {
    let mock = Mock::new();
    let moxi = over("binary", mock.port())
        .set("usr=fictional-user,pwd=fictional-password,auth_timeout=200,connect_max_errors=0")
        .start();
    let mut client = moxi.client();
    client.send("incr a 1\r\n");
    let mut line = mock.accept();
    line.packet();
    let trickle = thread::spawn(move || {
        for byte in Packet::reply(op::SASL_AUTH).value("Authenticated, but slowly").bytes() {
            line.send_into_the_dark([byte]);
            if line.readable(Duration::from_millis(20)) {
                return line.expect_closed();
            }
        }
        panic!("moxi has waited for the last byte");
    });
    client.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
    trickle.join().expect("closed");
}

/// `auth_timeout=0` is no limit (03 §7).
#[test]
fn no_limit_for_a_handshake() {
    let mock = Mock::new();
    let moxi = over("binary", mock.port()).set("usr=fictional-user,pwd=fictional-password,auth_timeout=0").start();
    let mut client = moxi.client();
    client.send("incr a 1\r\n");
    let mut line = mock.accept();
    line.packet();
    // More than the default.
    client.expect_nothing(Duration::from_millis(250));
    line.send(Packet::reply(op::SASL_AUTH).value("Authenticated").bytes());
    line.packet();
    line.send(Packet::reply(op::INCR).value(7_u64.to_be_bytes()).bytes());
    client.expect("7\r\n");
}

/// `downstream_conn_max=0` did not work: it is as many connections as there are requests.
#[test]
fn bug_2759_connections_without_limit() {
    let mock = Mock::new();
    let moxi = over("ascii", mock.port()).set("downstream_conn_max=0,downstream_conn_queue_timeout=0").start();
    let mut clients: Vec<Wire> = (0..20).map(|_| moxi.client()).collect();
    let mut lines = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("incr k{number} 1\r\n"));
        let mut line = mock.accept();
        line.expect(format!("incr k{number} 1\r\n"));
        lines.push(line);
    }
    for (number, (client, line)) in clients.iter_mut().zip(&mut lines).enumerate().rev() {
        line.send(format!("{number}\r\n"));
        client.expect(format!("{number}\r\n"));
    }
}

/// `connect_retry_interval=0`: no server is ever left alone (03 §7).
#[test]
fn no_suspension_without_an_interval() {
    let down = moxi_test_support::Down::new();
    let moxi = over("ascii", down.port()).set("connect_max_errors=1,connect_retry_interval=0").start();
    let mut client = moxi.client();
    for _ in 0..10 {
        client.send("incr a 1\r\n");
        client.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
    }
}

/// A server connection stopped in the middle of many replies, as if it were a client with too many requests.
#[test]
fn mb_2959_many_replies_at_once() {
    for protocol in PROTOCOLS {
        let server = Memcached::start(&[]);
        let moxi = over(protocol, server.port()).argument("-R").argument("1").start();
        let mut client = moxi.client();
        let keys: Vec<String> = (0..2000).map(|number| format!("k{number}")).collect();
        let sets: String = keys.iter().map(|key| format!("set {key} 0 0 1 noreply\r\n1\r\n")).collect();
        client.send(sets);
        client.send(format!("get {}\r\n", keys.join(" ")));
        for key in &keys {
            client.expect(format!("VALUE {key} 0 1\r\n1\r\n"));
        }
        client.expect("END\r\n");
    }
}

/// The replies to commands without reply reached whoever came next on the connection.
#[test]
fn bug_1792_bug_1497_bug_1349_failed_noreply_commands() {
    for protocol in PROTOCOLS {
        let server = Memcached::start(&["-m", "64"]);
        let moxi = over(protocol, server.port()).set("downstream_conn_max=1").start();
        let (mut quiet, mut other) = (moxi.client(), moxi.client());
        other.send("set a 0 0 1\r\n1\r\n");
        other.expect("STORED\r\n");
        for request in [
            "add a 0 0 1 noreply\r\n2\r\n",
            "replace none 0 0 1 noreply\r\n2\r\n",
            "append none 0 0 1 noreply\r\n2\r\n",
            "cas a 0 0 1 99999 noreply\r\n2\r\n",
            "incr none 1 noreply\r\n",
            "delete none noreply\r\n",
            "set a 0 0 x noreply\r\n",
        ] {
            quiet.send(request);
            moxi.turn();
            other.send("get a\r\nincr a 0\r\n");
            other.expect("VALUE a 0 1\r\n1\r\nEND\r\n1\r\n");
        }
        // Its own next request gets its own reply.
        let mut quiet = moxi.client();
        quiet.send("add a 0 0 1 noreply\r\n2\r\nget a\r\n");
        quiet.expect("VALUE a 0 1\r\n1\r\nEND\r\n");
    }
}

/// Statistics with long names and values overflowed a buffer, or were cut.
#[test]
fn mb_3742_long_statistics() {
    let (name, value) = ("n".repeat(1500), "v".repeat(8000));
    let mock = Mock::new();
    let moxi = over("ascii", mock.port()).start();
    let mut client = moxi.client();
    client.send("stats\r\n");
    let mut line = mock.accept();
    line.expect("stats\r\n");
    line.send(format!("STAT {name} 1\r\nSTAT short {value}\r\nEND\r\n"));
    client.expect(format!("STAT {name} 1\r\nSTAT short {value}\r\nEND\r\n"));

    let mock = Mock::new();
    let moxi = over("binary", mock.port()).start();
    let mut client = moxi.client();
    client.send("stats\r\n");
    let mut line = mock.accept();
    line.expect(Packet::request(op::STAT).bytes());
    line.send(join([
        Packet::reply(op::STAT).key(&name).value("1"),
        Packet::reply(op::STAT).key("short").value(&value),
        Packet::reply(op::STAT),
    ]));
    client.expect(format!("STAT {name} 1\r\nSTAT short {value}\r\nEND\r\n"));
}

/// A server that ends its statistics with an error, or with a packet that says something.
#[test]
fn mb_2690_statistics_with_an_unusual_end() {
    for end in [
        Packet::reply(op::STAT).value("that was all"),
        Packet::reply(op::STAT).status(0x82).value("Out of memory"),
        Packet::reply(op::STAT).status(1),
    ] {
        let mock = Mock::new();
        let moxi = over("binary", mock.port()).start();
        let mut client = moxi.client();
        client.send("stats\r\n");
        let mut line = mock.accept();
        line.expect(Packet::request(op::STAT).bytes());
        line.send(join([Packet::reply(op::STAT).key("n").value("1"), end]));
        client.expect("STAT n 1\r\nEND\r\n");
        // The connection is in step.
        client.send("delete a\r\n");
        line.expect(Packet::request(op::DELETE).key("a").bytes());
        line.send(Packet::reply(op::DELETE).bytes());
        client.expect("DELETED\r\n");
    }
}

/// The vbucket was missing from requests of one key.
#[test]
fn bug_1783_every_request_names_its_vbucket() {
    let mock = Mock::new();
    // `foo` is in vbucket 3.
    let moxi = moxi!().vbuckets([mock.port()], &[0, 0, 0, 0]).binary().start();
    let mut client = moxi.client();
    client.send("version\r\n");
    client.line();
    let mut line: Option<Wire> = None;
    for (request, opcode) in [
        ("get foo\r\n", op::GETK),
        ("gets foo\r\n", op::GETK),
        ("set foo 0 0 1\r\n1\r\n", op::SET),
        ("add foo 0 0 1\r\n1\r\n", op::ADD),
        ("replace foo 0 0 1\r\n1\r\n", op::REPLACE),
        ("append foo 0 0 1\r\n1\r\n", op::APPEND),
        ("prepend foo 0 0 1\r\n1\r\n", op::PREPEND),
        ("cas foo 0 0 1 5\r\n1\r\n", op::SET),
        ("incr foo 1\r\n", op::INCR),
        ("decr foo 1\r\n", op::DECR),
        ("delete foo\r\n", op::DELETE),
        ("touch foo 1\r\n", op::TOUCH),
        ("getl foo 1\r\n", op::GETL),
    ] {
        client.send(request);
        let line = line.get_or_insert_with(|| mock.accept());
        let packet = line.packet();
        assert_eq!((packet.opcode, packet.status), (opcode, 3), "{request:?}");
        line.send(Packet::reply(opcode).status(1).opaque(packet.opaque).bytes());
        client.line();
    }
}

/// All addresses of a name are tried, and it is looked up for every new connection (03 §17, D11). The name has two
/// addresses on most systems; the server listens on one of them, then on the other.
#[test]
fn mb_9990_every_address_of_a_name() {
    // Nobody else listens there when this one has stopped.
    let reserved = Port::reserve();
    let port = reserved.number();
    let four = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a listener");
    let moxi = moxi!().cluster(format!("localhost:{port}")).ascii().set("connect_max_errors=0").start();
    let mut client = moxi.client();
    let serve = |listener: TcpListener, client: &mut Wire| {
        client.send("incr a 1\r\n");
        let (stream, _) = listener.accept().expect("a connection");
        let mut line = Wire::new("server", stream.into());
        line.expect("incr a 1\r\n");
        line.send("2\r\n");
        client.expect("2\r\n");
        line.close();
        drop(listener);
        moxi.turn();
    };
    serve(four, &mut client);
    client.send("incr a 1\r\n");
    client.expect("SERVER_ERROR proxy write to downstream localhost\r\n");
    let has_six = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", port))
        .is_ok_and(|mut all| all.any(|address| address.is_ipv6()));
    if let Some(six) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok().filter(|_| has_six) {
        serve(six, &mut client);
    }
}

/// A name without address: as if no attempt had been made (03 §9.1).
#[test]
fn a_name_without_address() {
    let moxi = moxi!().cluster("no-such-host.invalid:11211").set("connect_timeout=0").start();
    let mut client = moxi.client();
    client.send("incr a 1\r\nget a\r\n");
    client.expect("SERVER_ERROR proxy write to downstream\r\nEND\r\n");
}

/// A binary get of several keys that times out set a second timer while the first was running.
#[test]
fn mb_2802_a_silent_server_and_binary_gets_of_several_keys() {
    let mock = Mock::new();
    let moxi = over("binary", mock.port()).set("downstream_timeout=60,connect_max_errors=0").start();
    let mut client = moxi.client();
    for round in 0..3 {
        client.send(join([
            Packet::request(op::GETKQ).key("a").opaque(1),
            Packet::request(op::GETKQ).key("b").opaque(2),
            Packet::noop(3),
        ]));
        let mut line = mock.accept();
        assert_eq!(line.packet().opcode, op::GETKQ, "round {round}");
        let mut last = client.packet();
        while last.opcode != op::NOOP {
            last = client.packet();
        }
        assert_eq!(last.opaque, 3);
    }
    client.expect_nothing(SHORT);
}
