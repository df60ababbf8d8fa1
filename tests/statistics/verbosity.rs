//! What the log says of clients with `-v` and `-vv` (06 §11).

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::launch::{Running, connect, free_port};
use moxi_test_support::Packet;

/// A static section on `port` whose server does not exist; nothing connects to it.
fn section(port: u16) -> String {
    format!("{port}=127.0.0.1:1")
}

#[test]
fn the_log_says_which_protocol_a_client_speaks() {
    let (port, proxied) = (free_port(), free_port());
    let (own, config) = (port.to_string(), section(proxied));
    for (arguments, lines) in [(&["-v"][..], [1, 2]), (&[], [0, 0]), (&["-v", "-B", "ascii"], [0, 0])] {
        let running = Running::listening(proxied, &[&["-p", &own, "-z", &config], arguments].concat());
        // A noop, and whatever has an answer: then the line has been written. With -B ascii a packet is answered once a
        // line end has come.
        for (port, request) in [
            (port, &b"version\r\n"[..]),
            (proxied, b"version\r\n"),
            (port, b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n"),
        ] {
            let mut stream = connect(port);
            stream.write_all(request).unwrap();
            assert_ne!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
        running.signal("INT");
        let stderr = running.finish().stderr;
        let count = |protocol| stderr.matches(&format!(": Client using the {protocol} protocol\n")).count();
        assert_eq!([count("binary"), count("ascii")], lines, "{arguments:?}: {stderr}");
    }
}

/// A request of the binary protocol.
fn packet(opcode: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    Packet::request(opcode).key(key).value(value).bytes()
}

/// Sends it, and waits until moxi closes the connection.
fn exchange(port: u16, request: &[u8]) {
    let mut stream = connect(port);
    stream.write_all(request).unwrap();
    // A client that is expelled may find its connection closed already.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// The lines of a log without date, place and descriptors.
fn told(stderr: &str) -> Vec<String> {
    let message = |line: &str| Some(line.split_once(") ")?.1.to_owned());
    stderr
        .lines()
        .filter_map(message)
        .map(|line| {
            let digits = line.find(|c: char| c.is_ascii_digit()).filter(|&at| line[..at] == *"<" || line[..at] == *">");
            match digits {
                Some(at) => format!("{}{}", &line[..at], line[at..].trim_start_matches(|c: char| c.is_ascii_digit())),
                None => line,
            }
        })
        .collect()
}

#[test]
fn a_packet_against_the_rules_is_told_once() {
    let (port, proxied) = (free_port(), free_port());
    let running = Running::listening(proxied, &["-v", "-p", &port.to_string(), "-z", &section(proxied)]);
    let head = |length: [u8; 4], key: u8| {
        let mut head = packet(0, b"", b"");
        head[3] = key;
        head[8..12].copy_from_slice(&length);
        head
    };
    for port in [port, proxied] {
        exchange(port, &[packet(0x0a, b"", b""), b"get a\r\n".to_vec()].concat());
        exchange(port, &head([1, 0x50, 0, 1], 0));
        exchange(port, &head([0, 0, 0, 2], 3));
        exchange(port, &packet(0x01, b"a", b"no flags, no expiry"));
    }
    running.signal("INT");
    let stderr = running.finish().stderr;
    for line in [
        "Invalid magic:  67\n",
        "Packet too big: 0x1500001\n",
        "Content of packet bigger than encoded body: 0x3 > 0x2\n",
        "Protocol error (opcode 01), close connection ",
    ] {
        assert_eq!(stderr.matches(line).count(), 2, "{line}{stderr}");
    }
}

#[test]
fn requests_and_replies_are_shown_without_values_and_passwords() {
    let (port, proxied) = (free_port(), free_port());
    let arguments =
        ["-vv", "-t", "1", "-p", &port.to_string(), "-z", &section(proxied), "-Z", "usr=a,pwd=confidential"];
    let running = Running::listening(proxied, &arguments);
    let long = "k".repeat(400);
    let requests = [
        "set a 0 0 12\r\nconfidential\r\nget a\r\nget none \x1b[31m\r\n",
        // The value is too large, and is dropped with the command behind it.
        &format!("set b 0 0 1200000\r\n{}\r\nversion\r\n", "confidential".repeat(100_000)),
        &format!("get {long}\r\n"),
    ];
    for request in requests {
        exchange(port, request.as_bytes());
    }
    exchange(proxied, &packet(0x21, b"PLAIN", b"\0a\0confidential"));
    running.signal("INT");
    let stderr = running.finish().stderr;
    assert!(!stderr.contains("confidential"), "{stderr}");
    let told = told(&stderr);
    let clients: Vec<&str> = told.iter().map(String::as_str).filter(|line| line.starts_with(['<', '>'])).collect();
    let (life, clients): (Vec<&str>, Vec<&str>) = clients.into_iter().partition(|line| line.contains("connection"));
    // One more was there to see whether moxi listens.
    assert_eq!(life.iter().filter(|line| **line == "< new auto-negotiating client connection").count(), 5, "{life:?}");
    assert_eq!(life.iter().filter(|line| **line == "< connection closed.").count(), 5, "{life:?}");
    let shortened = format!("< get {}...", &long[..296]);
    let expected = [
        "< set a 0 0 12",
        "< get a",
        "< get none \\x1b[31m",
        "> STORED (46 bytes)",
        "< set b 0 0 1200000",
        "> SERVER_ERROR object too large for cache (41 bytes)",
        "< version",
        &format!("> VERSION {} ({} bytes)", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_VERSION").len() + 10),
        &shortened,
        "> CLIENT_ERROR bad command line format (38 bytes)",
        "< 0x21 PLAIN (opaque 0x0, body of 20)",
        "> 0x21 status 0x0000 (opaque 0x0, body of 13) (37 bytes)",
    ];
    assert_eq!(clients, expected);
}
