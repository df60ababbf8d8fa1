//! Scrapers of metrics, and senders of datagrams.

use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use moxi_test_support::ports::Port;
use moxi_test_support::{Memcached, moxi};

use crate::field::{Attack, scale, turn};

#[test]
fn scrapers_without_number() {
    let (server, metrics) = (Memcached::start(&[]), Port::reserve());
    let moxi = moxi!().servers([server.port()]).ascii().set(format!("metrics={}", metrics.number())).start();
    let count = scale(50, 1000);
    let name = format!("{count} scrapers that come and go, ask without end, and do not read");
    // Sixteen connections, each with a page and a head.
    Attack { name, allowed: 16 * (256 << 10), moxi }.judge(|signals| {
        let asked = "GET /metrics HTTP/1.1\r\nHost: moxi\r\n\r\n".repeat(20);
        signals.begin();
        let mut scrapers: Vec<TcpStream> = Vec::new();
        while !signals.is_over() {
            if scrapers.len() >= count {
                scrapers.clear();
            }
            if let Ok(mut scraper) = TcpStream::connect(("127.0.0.1", metrics.number())) {
                let _ = scraper.write_all(asked.as_bytes());
                scrapers.push(scraper);
            }
            thread::sleep(Duration::from_micros(500));
        }
    });
}

/// The kernel's table of UDP sockets has the port.
fn has_datagrams(port: u16) -> bool {
    ["/proc/net/udp", "/proc/net/udp6"].iter().any(|table| {
        let table = std::fs::read_to_string(table).unwrap_or_default();
        table.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&format!(":{port:04X}"))))
    })
}

/// Without `-U` nobody can be made to send datagrams to somebody else. With it a request is answered with its own bytes
/// and no more datagrams than its answer needs, and only if it is one.
#[test]
fn datagrams_are_not_multiplied() {
    let _turn = turn();
    let server = Memcached::start(&[]);
    let (tcp, udp) = (Port::reserve(), Port::reserve());
    let number = tcp.number().to_string();
    let silent = moxi!().servers([server.port()]).argument("-p").argument(&number).start();
    assert!(!has_datagrams(tcp.number()) && !has_datagrams(silent.port()), "there is UDP without -U");
    drop(silent);
    let _moxi = moxi!()
        .servers([server.port()])
        .argument("-p")
        .argument(&number)
        .argument("-U")
        .argument(udp.number().to_string())
        .start();
    assert!(has_datagrams(udp.number()));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(("127.0.0.1", udp.number())).expect("connect");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a limit");
    let answers = |asked: &[u8]| {
        socket.send(asked).expect("sent");
        let (mut bytes, mut datagrams, mut buffer) = (0, 0, [0; 65_536]);
        while let Ok(count) = socket.recv(&mut buffer) {
            bytes += count;
            datagrams += 1;
        }
        (bytes, datagrams)
    };
    let header = b"\0\x01\0\0\0\x01\0\0";
    for (what, asked, most) in [
        ("what is none", &b"stats\r\n"[..], 0),
        ("half a header", &header[..4], 0),
        ("the second of two", b"\0\x01\0\x01\0\x02\0\0stats\r\n", 64),
        ("a get", b"\0\x01\0\0\0\x01\0\0get nobody\r\n", 13),
        ("stats", b"\0\x01\0\0\0\x01\0\0stats\r\n", 1400),
    ] {
        let (bytes, datagrams) = answers(asked);
        println!("{what}: {} bytes are answered with {bytes} in {datagrams}", asked.len());
        assert!(bytes <= most, "{what}: {bytes} bytes");
    }
}
