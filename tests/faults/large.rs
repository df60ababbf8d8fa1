//! A server that refuses a large value before it has read it: the client gets one reply and keeps its connection.

use std::time::Duration;

use moxi_test_support::packet::{HEADER, Packet, op};
use moxi_test_support::{Mock, Moxi, PROTOCOLS, Wire, moxi};

const SIZE: usize = 8 << 20;
const REFUSAL: &str = "SERVER_ERROR object too large for cache\r\n";

/// What the server does behind its early reply.
#[derive(Clone, Copy, Debug)]
enum Then {
    Drains,
    Closes,
    Resets,
}

fn requests() -> Vec<u8> {
    let mut request = format!("set large 0 0 {SIZE}\r\n").into_bytes();
    request.resize(request.len() + SIZE, b'x');
    request.extend_from_slice(b"\r\ndelete a\r\n");
    request
}

fn play(moxi: &Moxi, mock: &Mock, protocol: &str, then: Then) {
    let mut client = moxi.client();
    let sender = std::thread::spawn({
        let socket = client.socket().try_clone().expect("a second handle");
        move || Wire::new("sender", socket).send(requests())
    });
    let mut line = mock.accept();
    let (begin, refusal) = if protocol == "ascii" {
        line.expect(format!("set large 0 0 {SIZE}\r\n"));
        (SIZE + 2, REFUSAL.as_bytes().to_vec())
    } else {
        let head = line.take(HEADER);
        assert_eq!(Packet::body_length(&head), SIZE + 8 + 5);
        (SIZE + 8 + 5, Packet::reply(op::SET).status(3).value("Too large.").bytes())
    };
    line.send_into_the_dark(refusal);
    match then {
        Then::Drains => {
            line.take(begin);
        }
        Then::Closes => line.close(),
        Then::Resets => line.reset(),
    }
    let reply = client.line();
    let reply = String::from_utf8(reply).expect("text");
    // A reset may overtake the reply.
    let legal = [REFUSAL, "SERVER_ERROR proxy downstream closed 127.0.0.1\r\n"];
    assert!(legal.contains(&reply.as_str()), "{protocol} server, {then:?}: {reply}");
    sender.join().expect("sender");
    // What comes next may go to any connection.
    drop(client);
}

#[test]
fn an_early_refusal() {
    for protocol in PROTOCOLS {
        for then in [Then::Drains, Then::Closes, Then::Resets] {
            let mock = Mock::new();
            let moxi = moxi!()
                .servers([mock.port()])
                .speaking(protocol)
                .set("downstream_retry=0")
                .set("downstream_timeout=3000")
                .set("connect_max_errors=0")
                .start();
            play(&moxi, &mock, protocol, then);
            // It still serves.
            let mut client = moxi.client();
            client.send("version\r\n");
            assert!(client.line().starts_with(b"VERSION "));
        }
    }
}

/// The same from a real server: memcached refuses what is larger than a slab page.
#[test]
fn a_real_refusal() {
    let server = moxi_test_support::Memcached::start(&["-m", "64"]);
    for protocol in PROTOCOLS {
        let moxi = moxi!().servers([server.port()]).speaking(protocol).set("downstream_timeout=3000").start();
        let mut client = moxi.client();
        let sender = std::thread::spawn({
            let socket = client.socket().try_clone().expect("a second handle");
            move || Wire::new("sender", socket).send(requests())
        });
        client.expect(REFUSAL);
        client.expect("NOT_FOUND\r\n");
        sender.join().expect("sender");
        client.expect_nothing(Duration::from_millis(5));
    }
}
