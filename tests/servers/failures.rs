//! What a client is told when its server fails: every row of 03 §9.1.

use std::time::Duration;

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Down, Mock, Moxi, MoxiBuilder, PROTOCOLS, SHORT, Wire, moxi, wait_for};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn over(protocol: &str, ports: &[u16]) -> MoxiBuilder {
    moxi!().servers(ports.iter().copied()).speaking(protocol)
}

fn ask(moxi: &Moxi, request: &str, reply: &str) {
    let mut client = moxi.client();
    client.send(request);
    client.expect(reply);
}

/// The commands other than gets, and what each says when its server cannot be reached.
const KEYED: [&str; 12] = [
    "set a 0 0 1\r\n1\r\n",
    "add a 0 0 1\r\n1\r\n",
    "replace a 0 0 1\r\n1\r\n",
    "append a 0 0 1\r\n1\r\n",
    "prepend a 0 0 1\r\n1\r\n",
    "cas a 0 0 1 5\r\n1\r\n",
    "incr a 1\r\n",
    "decr a 1\r\n",
    "delete a\r\n",
    "touch a 1\r\n",
    "unl a 1\r\n",
    "delete a 0\r\n",
];

#[test]
fn a_refused_connection() {
    let down = Down::new();
    for protocol in PROTOCOLS {
        let moxi = over(protocol, &[down.port()]).set("connect_max_errors=0").start();
        for request in KEYED {
            ask(&moxi, request, "SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
        }
        for request in ["get a\r\n", "gets a\r\n", "get a b\r\n", "gat 1 a\r\n", "getl a 1\r\n"] {
            ask(&moxi, request, "END\r\n");
        }
        ask(&moxi, "stats\r\n", "SERVER_ERROR proxy write to downstream\r\n");
        let name = format!("127.0.0.1:{}", down.port());
        ask(&moxi, "flush_all\r\n", &format!("SERVER_ERROR proxy write to downstream: not confirmed by {name}\r\n"));
    }
}

/// 03 §21.3 item 2: who asked for no reply gets none, and the next command is answered (D4).
#[test]
fn a_failed_noreply_command_is_silent() {
    let down = Down::new();
    for protocol in PROTOCOLS {
        let moxi = over(protocol, &[down.port()]).set("connect_max_errors=0").start();
        let mut client = moxi.client();
        client.send("set a 0 0 1 noreply\r\n1\r\nincr a 1 noreply\r\nflush_all noreply\r\ndelete a noreply\r\n");
        client.send("version\r\ndelete a\r\nget a\r\n");
        client.expect(format!("VERSION {VERSION}\r\n"));
        client.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\nEND\r\n");
    }
}

/// A vbucket whose master is -1 has no server (05 §10.1).
#[test]
fn a_vbucket_without_master() {
    let mock = Mock::new();
    for protocol in PROTOCOLS {
        // `hello` is in vbucket 0, `foo` in 3.
        let moxi = moxi!().vbuckets([mock.port()], &[-1, 0, 0, 0]).speaking(protocol).start();
        ask(&moxi, "set hello 0 0 1\r\n1\r\n", "SERVER_ERROR proxy write to downstream\r\n");
        ask(&moxi, "incr hello 1\r\n", "SERVER_ERROR proxy write to downstream\r\n");
        ask(&moxi, "get hello\r\n", "END\r\n");
        ask(&moxi, "get hello doctor\r\n", "END\r\n");
    }
    mock.expect_no_connection(SHORT);
}

/// After more than `connect_max_errors` failures connections are not tried for `connect_retry_interval`, and the
/// host is not named (03 §7, §17).
#[test]
fn a_suspended_server() {
    let down = Down::new();
    for protocol in PROTOCOLS {
        let moxi = over(protocol, &[down.port()]).set("connect_max_errors=2").start();
        for _ in 0..3 {
            ask(&moxi, "incr a 1\r\n", "SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
        }
        for _ in 0..3 {
            ask(&moxi, "incr a 1\r\n", "SERVER_ERROR proxy write to downstream\r\n");
            ask(&moxi, "get a\r\n", "END\r\n");
        }
    }
}

/// Nothing is suspended before there are more than `connect_max_errors` failures: by default the sixth (07 §8.8).
#[test]
fn five_failures_do_not_suspend() {
    let down = Down::new();
    let moxi = over("ascii", &[down.port()]).start();
    for _ in 0..5 {
        ask(&moxi, "incr a 1\r\n", "SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
    }
    let mock = down.up();
    let mut client = moxi.client();
    client.send("incr a 1\r\n");
    let mut line = mock.accept();
    line.expect_piece("incr a 1\r\n");
    line.send("2\r\n");
    client.expect("2\r\n");
}

#[test]
fn connections_are_made_again_after_the_suspension() {
    let down = Down::new();
    let moxi = over("ascii", &[down.port()]).set("connect_max_errors=1").set("connect_retry_interval=300").start();
    for _ in 0..3 {
        let mut client = moxi.client();
        client.send("incr a 1\r\n");
        assert!(client.line().starts_with(b"SERVER_ERROR proxy write to downstream"));
    }
    let mock = down.up();
    let server = std::thread::spawn(move || {
        // A probe may come first; whoever asks is answered.
        loop {
            let mut line = mock.accept();
            if line.readable(Duration::from_secs(2)) {
                line.expect("incr a 1\r\n");
                line.send("2\r\n");
                return line;
            }
        }
    });
    wait_for("the end of the suspension", || {
        let mut client = moxi.client();
        client.send("incr a 1\r\n");
        client.line() == b"2\r\n"
    });
    drop(server.join());
}

/// MB-2660: a dead server with one connection allowed: every request fails at once, and works when it is back.
#[test]
fn a_dead_server_blocks_nobody() {
    for protocol in PROTOCOLS {
        let mock = Mock::new();
        let moxi = over(protocol, &[mock.port()])
            .set("downstream_conn_max=1")
            .set("downstream_max=0")
            .set("wait_queue_timeout=5000")
            .set("connect_max_errors=0")
            .start();
        let mut client = moxi.client();
        let answer = |line: &mut Wire| {
            if protocol == "ascii" {
                line.expect_piece("delete a\r\n");
                line.send("NOT_FOUND\r\n");
            } else {
                line.expect_piece(Packet::request(op::DELETE).key("a").bytes());
                line.send(Packet::reply(op::DELETE).status(1).bytes());
            }
        };
        client.send("delete a\r\n");
        let mut line = mock.accept();
        answer(&mut line);
        client.expect("NOT_FOUND\r\n");
        let down = mock.down();
        line.close();
        for _ in 0..3 {
            ask(&moxi, "delete a\r\n", "SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
            client.send("delete a\r\n");
            client.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
        }
        let mock = down.up();
        client.send("delete a\r\n");
        let mut line = mock.accept();
        answer(&mut line);
        client.expect("NOT_FOUND\r\n");
    }
}

/// D6: everybody who waits for a place is answered when the one who had it fails.
#[test]
fn a_failure_frees_its_place() {
    let unreachable = Down::new().unreachable();
    let moxi = over("ascii", &[unreachable.port()])
        .set("downstream_max=1")
        .set("wait_queue_timeout=0")
        .set("connect_timeout=100")
        .set("connect_max_errors=0")
        .start();
    let mut clients: Vec<_> = (0..4).map(|_| moxi.client()).collect();
    for client in &mut clients {
        client.send("incr a 1\r\n");
    }
    for client in &mut clients {
        client.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
    }
}

const AUTH: &str = "\0fictional-user\0fictional-password";

fn authenticating(port: u16) -> MoxiBuilder {
    over("binary", &[port])
        .set("usr=fictional-user")
        .set("pwd=fictional-password")
        .set("connect_max_errors=0")
        .set("auth_timeout=1000")
}

fn auth_request() -> Vec<u8> {
    Packet::request(op::SASL_AUTH).key("PLAIN").value(AUTH).bytes()
}

/// Every server connection is authenticated once, before anything else is said on it (04 §11.5, §17.6).
#[test]
fn authentication() {
    let mock = Mock::new();
    let moxi = authenticating(mock.port()).set("bucket=fictional").start();
    let mut client = moxi.client();
    client.send("delete a\r\n");
    let mut line = mock.accept();
    for _ in 0..2 {
        line.expect_piece(auth_request());
        line.send(Packet::reply(op::SASL_AUTH).value("Authenticated").bytes());
        line.expect_piece(Packet::request(op::SELECT_BUCKET).key("fictional").bytes());
        line.send(Packet::reply(op::SELECT_BUCKET).bytes());
        for _ in 0..2 {
            line.expect_piece(Packet::request(op::DELETE).key("a").bytes());
            line.send(Packet::reply(op::DELETE).bytes());
            client.expect("DELETED\r\n");
            client.send("delete a\r\n");
        }
        // The third is lost with its connection and tried again on the next.
        line.expect_piece(Packet::request(op::DELETE).key("a").bytes());
        line.close();
        line = mock.accept();
    }
}

#[test]
fn authentication_refused() {
    let mock = Mock::new();
    let moxi = authenticating(mock.port()).start();
    for (request, reply) in
        [("delete a\r\n", "SERVER_ERROR proxy write to downstream 127.0.0.1\r\n"), ("get a\r\n", "END\r\n")]
    {
        let mut client = moxi.client();
        client.send(request);
        let mut line = mock.accept();
        line.expect_piece(auth_request());
        line.send(Packet::reply(op::SASL_AUTH).status(0x20).value("Auth failure").bytes());
        client.expect(reply);
        line.expect_closed();
    }
}

/// MB-2689: a server that accepts and says nothing is given up after `auth_timeout`.
#[test]
fn authentication_unanswered() {
    let mock = Mock::new();
    let moxi = authenticating(mock.port()).start();
    let mut client = moxi.client();
    client.send("delete a\r\n");
    let mut line = mock.accept();
    line.expect_piece(auth_request());
    client.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
    line.expect_closed();
}

#[test]
fn bucket_refused() {
    let mock = Mock::new();
    let moxi = over("binary", &[mock.port()]).set("bucket=fictional").set("connect_max_errors=0").start();
    let mut client = moxi.client();
    client.send("delete a\r\n");
    let mut line = mock.accept();
    line.expect_piece(Packet::request(op::SELECT_BUCKET).key("fictional").bytes());
    line.send(Packet::reply(op::SELECT_BUCKET).status(0x24).bytes());
    client.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
    line.expect_closed();
}
