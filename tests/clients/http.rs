//! A browser that a page sends to a port of memcached speaks HTTP: nobody obeys what it brings along.

use moxi_test_support::ports::Port;
use moxi_test_support::{Memcached, Mock, Moxi, Wire, moxi, wait_for};
use std::time::Duration;

/// What memcached, too, knows by the last word of its first line.
const REQUEST_LINES: [&str; 8] = [
    "GET / HTTP/1.1",
    "POST /path?query HTTP/1.0",
    "HEAD / HTTP/1.1",
    "PUT /x HTTP/1.1",
    "DELETE /x HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "PATCH /x HTTP/1.1",
    "CONNECT a.example:443 HTTP/1.1",
];
/// What a browser cannot help sending.
const OTHER_LINES: [&str; 4] = ["POST", "POST /", "Host: a.example:11211", "host:a.example"];

/// A request whose body would change a key, or all.
fn forged(line: &str) -> String {
    format!("{line}\r\nHost: a.example\r\nContent-Length: 60\r\n\r\nset victim 0 0 3\r\nbad\r\nflush_all\r\n")
}

/// A moxi with its own server, and a proxy in front of it; and clients of both.
struct Both {
    moxi: Moxi,
    own: Port,
}

impl Both {
    fn start(protocol: &str) -> Both {
        let own = Port::reserve();
        let number = own.number();
        let moxi = moxi!()
            .servers([number])
            .speaking(protocol)
            .argument("-v")
            .argument("-p")
            .argument(number.to_string())
            .start();
        Both { moxi, own }
    }

    fn clients(&self) -> [Wire; 2] {
        [self.moxi.client(), Wire::connect("direct client", self.own.number())]
    }
}

#[test]
fn nothing_is_obeyed() {
    for protocol in ["ascii", "binary"] {
        let both = Both::start(protocol);
        let mut witness = both.moxi.client();
        witness.send("set victim 0 0 4\r\ngood\r\n");
        witness.expect("STORED\r\n");
        for line in REQUEST_LINES.into_iter().chain(OTHER_LINES) {
            for mut client in both.clients() {
                client.send_into_the_dark(forged(line));
                client.expect_closed();
            }
            // Byte by byte, and behind requests that are answered.
            for mut client in both.clients() {
                for byte in format!("get none\r\nget victim\r\n{line}\r\n").bytes() {
                    client.send([byte]);
                }
                client.expect("END\r\nVALUE victim 0 4\r\ngood\r\nEND\r\n");
                client.expect_closed();
            }
        }
        witness.send("get victim\r\n");
        witness.expect("VALUE victim 0 4\r\ngood\r\nEND\r\n");
    }
}

#[test]
fn clients_that_name_their_server_are_no_exception() {
    let mock = Mock::new();
    let moxi = moxi!().mcmux().start();
    for line in REQUEST_LINES.into_iter().chain(OTHER_LINES) {
        for prefix in [String::new(), format!("A:127.0.0.1:{} ", mock.port())] {
            let mut client = moxi.client();
            client.send_into_the_dark(forged(&format!("{prefix}{line}")));
            client.expect_closed();
        }
    }
    mock.expect_no_connection(Duration::from_millis(20));
}

#[test]
fn the_log_tells_with_v() {
    let mut both = Both::start("ascii");
    for (mut client, count) in both.clients().into_iter().zip(1..) {
        client.send_into_the_dark(forged("POST / HTTP/1.1"));
        client.expect_closed();
        let told = |moxi: &mut Moxi| moxi.process().stderr().matches("HTTP instead of a command").count();
        wait_for("the line of the log", || told(&mut both.moxi) >= count);
    }
}

/// What only looks like it is still a command, or a word that is none.
#[test]
fn commands_stay_commands() {
    let both = Both::start("ascii");
    for mut client in both.clients() {
        for line in ["GET a", "GET /", "GET / http/1.1", "post /", "Host", "POSTed"] {
            client.send(format!("{line}\r\n"));
            client.expect("ERROR\r\n");
        }
        client.send("set HTTP/1.1 0 0 17\r\nPOST / HTTP/1.1\r\n\r\nget / HTTP/1.1\r\ndelete HTTP/1.1\r\n");
        client.expect("STORED\r\nVALUE HTTP/1.1 0 17\r\nPOST / HTTP/1.1\r\n\r\nEND\r\nDELETED\r\n");
    }
}

/// memcached beside it.
#[test]
fn memcached_does_the_same() {
    let server = Memcached::start(&[]);
    for line in REQUEST_LINES {
        let mut client = server.client();
        client.send_into_the_dark(forged(line));
        client.expect_closed();
    }
    let mut client = server.client();
    client.send("GET a\r\nget / HTTP/1.1\r\n");
    client.expect("ERROR\r\nEND\r\n");
}
