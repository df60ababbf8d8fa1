//! `-X`: clients name the server of each request (01 §16, 04 §14).

use std::thread;

use moxi_test_support::{Down, Memcached, Mock, Packet, Wire, moxi};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn ascii(port: u16, command: &str) -> String {
    format!("A:127.0.0.1:{port} {command}")
}

fn binary(port: u16, command: &str) -> String {
    format!("B:127.0.0.1:{port} {command}")
}

#[test]
fn each_request_goes_to_the_server_it_names() {
    let servers = Memcached::several(2, &[]);
    let moxi = moxi!().mcmux().threads(2).start();
    for speak in [ascii, binary] {
        let mut client = moxi.client();
        for (index, server) in servers.iter().enumerate() {
            let port = server.port();
            client.send(speak(port, &format!("set k 5 0 1\r\n{index}\r\n")));
            client.expect("STORED\r\n");
            client.send(speak(port, "get k\r\n") + &speak(port, "get k none k\r\n"));
            let value = format!("VALUE k 5 1\r\n{index}\r\n");
            client.expect(format!("{value}END\r\n{value}{value}END\r\n"));
        }
        for server in &servers {
            let port = server.port();
            for (command, reply) in [
                ("set n 0 0 1\r\n5\r\n", "STORED\r\n"),
                ("incr n 2\r\n", "7\r\n"),
                ("set n 0 0 1 noreply\r\n1\r\n", ""),
                ("touch n 0\r\n", "TOUCHED\r\n"),
                ("delete n\r\n", "DELETED\r\n"),
                ("get n\r\n", "END\r\n"),
                ("flush_all\r\n", "OK\r\n"),
                ("get k\r\n", "END\r\n"),
                ("stats reset\r\n", "RESET\r\n"),
            ] {
                client.send(speak(port, command));
                client.expect(reply);
            }
            let mut direct = server.client();
            direct.send("version\r\n");
            let version = direct.line();
            client.send(speak(port, "version\r\n"));
            client.expect(version);
        }
    }
}

#[test]
fn requests_and_their_prefixes_may_arrive_in_pieces() {
    let server = Memcached::start(&[]);
    let moxi = moxi!().mcmux().start();
    // Both requests by one protocol: by two, the server would get them over two connections, in any order.
    for named in [ascii, binary] {
        let session = [named(server.port(), "set k 0 0 3\r\nabc\r\n"), named(server.port(), "get k\r\n")].concat();
        for at in 1..session.len() {
            let mut client = moxi.client();
            let (first, rest) = session.split_at(at);
            client.send(first);
            thread::yield_now();
            client.send(rest);
            client.expect("STORED\r\nVALUE k 0 3\r\nabc\r\nEND\r\n");
        }
    }
}

#[test]
fn without_a_server_only_local_commands_are_obeyed() {
    let moxi = moxi!().mcmux().start();
    let mut client = moxi.client();
    client.send("version\r\n");
    client.expect(format!("VERSION {VERSION}\r\n"));
    client.send("verbosity 0\r\n");
    client.expect("OK\r\n");
    client.send("stats proxy keystats\r\n");
    client.expect("END\r\n");
    for line in
        ["get k", "gets k", "delete k", "incr k 1", "flush_all", "stats", "stats reset", "touch k 0", "nonsense"]
    {
        client.send(format!("{line}\r\n"));
        client.expect("ERROR\r\n");
    }
    // The value is part of the command.
    client.send("set k 0 0 9\r\nversion\r\n\r\nset k 0 0 7 noreply\r\nversion\r\n");
    client.expect("ERROR\r\nERROR\r\n");
    client.send("stats proxy info\r\n");
    let port = moxi.port();
    for line in ["config mcmux_config", "config_ver 0", "behaviors_num 1"] {
        let line = format!("STAT {port}:default:info:{line}\r\n");
        while client.line() != line.as_bytes() {}
    }
    client.expect("END\r\n");
    client.send("quit\r\n");
    client.expect_closed();
}

#[test]
fn what_names_no_server_is_an_error() {
    let server = Memcached::start(&[]);
    let moxi = moxi!().mcmux().start();
    let mut client = moxi.client();
    let long = "a".repeat(200);
    for prefix in
        ["A:", "A::1", "A:127.0.0.1", "A:127.0.0.1:", "A:127.0.0.1:0", "B:127.0.0.1:99999", &format!("A:{long}:1")]
    {
        client.send(format!("{prefix} get k\r\n{prefix} set k 0 0 1\r\nx\r\n{prefix} version\r\n{prefix}\r\n"));
        client.expect("ERROR\r\nERROR\r\nERROR\r\nERROR\r\n");
    }
    client.send(format!("{}\r\n{}\r\n", ascii(server.port(), ""), ascii(server.port(), "nonsense")));
    client.expect("ERROR\r\nERROR\r\n");
    client.send(ascii(server.port(), "get k\r\n"));
    client.expect("END\r\n");
    client.send(format!("A:{}", "a".repeat(9000)));
    client.expect("CLIENT_ERROR line too long\r\n");
    client.expect_closed();
}

#[test]
fn errors_of_a_get_are_shown() {
    let down = Down::new();
    let moxi = moxi!().mcmux().set("connect_max_errors=1,connect_retry_interval=60000").start();
    let mut client = moxi.client();
    for speak in [ascii, binary] {
        for command in ["get k\r\n", "set k 0 0 1\r\nx\r\n"] {
            client.send(speak(down.port(), command));
            client.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
        }
        // After more than one error in a row nobody tries any more.
        client.send(speak(down.port(), "get k\r\n"));
        client.expect("SERVER_ERROR proxy write to downstream\r\n");
    }
}

#[test]
fn both_protocols_of_one_server_have_their_own_connections() {
    let mock = Mock::new();
    let moxi = moxi!().mcmux().start();
    let mut client = moxi.client();
    client.send(ascii(mock.port(), "get k\r\n"));
    let mut first = mock.accept();
    first.expect("get k\r\n");
    first.send("VALUE k 0 1\r\n1\r\nEND\r\n");
    client.expect("VALUE k 0 1\r\n1\r\nEND\r\n");
    client.send(binary(mock.port(), "version\r\n"));
    let mut second = mock.accept();
    let asked = second.packet();
    assert_eq!(asked.opcode, 0x0b);
    second.send(Packet::reply(0x0b).opaque(asked.opaque).value("1.2.3").bytes());
    client.expect("VERSION 1.2.3\r\n");
    client.send(ascii(mock.port(), "get k\r\n"));
    first.expect("get k\r\n");
    first.send("END\r\n");
    client.expect("END\r\n");
}

#[test]
fn a_connection_that_is_lost_is_made_again() {
    let mock = Mock::new();
    let moxi = moxi!().mcmux().start();
    let mut client = moxi.client();
    client.send(ascii(mock.port(), "set k 0 0 1\r\nx\r\n"));
    let mut server = mock.accept();
    server.expect("set k 0 0 1\r\nx\r\n");
    server.close();
    let mut server = mock.accept();
    server.expect("set k 0 0 1\r\nx\r\n");
    server.send("STORED\r\n");
    client.expect("STORED\r\n");
}

#[test]
fn a_binary_client_cannot_name_a_server() {
    let moxi = moxi!().mcmux().start();
    let mut client = moxi.client();
    client.send(Packet::request(0x0c).key("k").bytes());
    assert_eq!(client.packet().status, 0x84);
    client.send(Packet::request(0x0b).bytes());
    assert_eq!(client.packet().value, VERSION.as_bytes());
}

#[test]
fn more_servers_than_are_remembered() {
    let server = Memcached::start(&[]);
    let moxi = moxi!().mcmux().set("connect_timeout=1000").start();
    let mut client = moxi.client();
    client.send(ascii(server.port(), "set k 0 0 1\r\nx\r\n"));
    client.expect("STORED\r\n");
    // Nobody listens on port 1; each spelling is another name.
    for count in 0..3000 {
        client.send(format!("A:127.0.{}.{}:1 get k\r\n", count / 200, count % 200 + 2));
        assert!(client.line().starts_with(b"SERVER_ERROR proxy write to downstream"));
    }
    client.send(ascii(server.port(), "get k\r\n"));
    client.expect("VALUE k 0 1\r\nx\r\nEND\r\n");
}

#[test]
fn a_unix_socket_in_place_of_a_port() {
    let server = Memcached::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moxi.sock");
    let _moxi = moxi!().mcmux().argument("-a").argument("766").unix(&path).start();
    let mut client = Wire::connect_unix("client", &path);
    client.send(binary(server.port(), "set k 0 0 1\r\nx\r\n"));
    client.expect("STORED\r\n");
}
