//! Clients that leave: whatever the way, what they have sent in full is carried out.

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Dialect, Memcached, Mock, MoxiBuilder, PROTOCOLS, Wire, moxi, warm};
use nix::sys::signal::Signal;

fn over(protocol: &str, ports: &[u16]) -> MoxiBuilder {
    moxi!().servers(ports.iter().copied()).speaking(protocol).set("connect_max_errors=0")
}

/// A client's request that sets a key to `1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Set,
    Noreply,
    Packet,
    Quiet,
}

const WRITES: [Write; 4] = [Write::Set, Write::Noreply, Write::Packet, Write::Quiet];

fn packet(opcode: u8, key: &str) -> Vec<u8> {
    Packet::storing(opcode, key, "1").bytes()
}

impl Write {
    fn is_binary(self) -> bool {
        matches!(self, Write::Packet | Write::Quiet)
    }

    fn request(self, key: &str) -> Vec<u8> {
        match self {
            Write::Set => format!("set {key} 0 0 1\r\n1\r\n").into_bytes(),
            Write::Noreply => format!("set {key} 0 0 1 noreply\r\n1\r\n").into_bytes(),
            Write::Packet => packet(op::SET, key),
            Write::Quiet => packet(op::SETQ, key),
        }
    }

    /// What comes of two of them for the keys `a` and `b`, if there is one place and they wait for it: what the
    /// server gets in one piece, and answers. Quiet packets share the place.
    fn exchanges(self, protocol: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let [a, b] = ["a", "b"].map(|key| match protocol {
            "ascii" => Write::Set.request(key),
            _ if self == Write::Quiet => packet(op::SETQ, key),
            _ => packet(op::SET, key),
        });
        let answer = match protocol {
            "ascii" => b"STORED\r\n".to_vec(),
            _ => Packet::reply(op::SET).bytes(),
        };
        match (self, protocol) {
            (Write::Quiet, "ascii") => vec![([a, b].concat(), answer.repeat(2))],
            (Write::Quiet, _) => {
                let noop = Packet::noop(0).bytes();
                vec![([a, b, noop].concat(), Packet::noop_done(0).bytes())]
            }
            _ => vec![(a, answer.clone()), (b, answer)],
        }
    }
}

/// A way to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Close,
    Reset,
    HalfClose,
    Quit,
    /// What follows breaks the protocol.
    Breach,
}

const WAYS: [Way; 5] = [Way::Close, Way::Reset, Way::HalfClose, Way::Quit, Way::Breach];

impl Way {
    /// What the client says before it goes.
    fn last_words(self, is_binary: bool) -> Vec<u8> {
        match (self, is_binary) {
            (Way::Quit, true) => Packet::request(op::QUITQ).bytes(),
            (Way::Quit, false) => b"quit\r\n".to_vec(),
            (Way::Breach, true) => packet(op::SETQ, &"k".repeat(2_000)),
            (Way::Breach, false) => vec![b'k'; 10_000],
            _ => Vec::new(),
        }
    }

    /// Leaves; the client's end is kept if it is still open.
    fn leave(self, mut client: Wire) -> Option<Wire> {
        match self {
            Way::Close => client.close(),
            Way::Reset => client.reset(),
            Way::HalfClose => {
                client.finish();
                return Some(client);
            }
            Way::Quit | Way::Breach => return Some(client),
        }
        None
    }
}

/// Makes sure that moxi has seen what was sent before.
fn sync(control: &mut Wire) {
    control.send("version\r\n");
    control.line();
}

/// What a server gets for a delete, and answers.
fn delete(protocol: &str, key: &str) -> (Vec<u8>, Vec<u8>) {
    match protocol {
        "ascii" => (format!("delete {key}\r\n").into_bytes(), b"DELETED\r\n".to_vec()),
        _ => (Packet::request(op::DELETE).key(key).bytes(), Packet::reply(op::DELETE).bytes()),
    }
}

/// Waits until all keys are there.
fn wait_for_all(server: &Memcached, keys: &[String], what: &str) {
    keys.iter().for_each(|key| server.wait_for_value(key, Some("1"), what));
}

#[test]
fn what_was_sent_before_is_done() {
    let server = Memcached::start(&[]);
    for protocol in PROTOCOLS {
        let moxi = over(protocol, &[server.port()]).start();
        for write in WRITES {
            for way in WAYS {
                let name = format!("{protocol}{write:?}{way:?}");
                let keys: Vec<String> = (0..50).map(|number| format!("{name}{number}")).collect();
                let mut client = moxi.client();
                let mut bytes: Vec<u8> = keys.iter().flat_map(|key| write.request(key)).collect();
                bytes.extend(way.last_words(write.is_binary()));
                client.send(bytes);
                let _rest = way.leave(client);
                wait_for_all(&server, &keys, &name);
            }
        }
    }
}

/// Requests that wait for a place when their client goes get it all the same, in their turn.
#[test]
fn what_waits_for_a_place_is_done() {
    for protocol in PROTOCOLS {
        for write in WRITES {
            for way in WAYS {
                let mock = Mock::new();
                let builder = over(protocol, &[mock.port()]).set("downstream_max=1").set("downstream_conn_max=1");
                let (moxi, _, mut line) = warm(builder.set("wait_queue_timeout=0"), Dialect::of(protocol), &mock);
                let (mut first, mut control) = (moxi.client(), moxi.client());
                let (held, free) = delete(protocol, "held");
                first.send("delete held\r\n");
                line.expect_piece(held);
                let mut client = moxi.client();
                client.send([write.request("a"), write.request("b"), way.last_words(write.is_binary())].concat());
                sync(&mut control);
                let _rest = way.leave(client);
                sync(&mut control);
                line.send(free);
                first.expect("DELETED\r\n");
                for (expected, answer) in write.exchanges(protocol) {
                    line.expect_piece(expected);
                    line.send(answer);
                }
                // Its place is free again.
                first.send("delete x\r\n");
                line.expect_piece(delete(protocol, "x").0);
            }
        }
    }
}

/// Quiet packets wait for the answer to the question whether an ASCII server knows meta commands.
#[test]
fn what_waits_for_the_servers_dialect_is_done() {
    for way in WAYS {
        let mock = Mock::new();
        let moxi = over("ascii", &[mock.port()]).start();
        let mut client = moxi.client();
        client.send([packet(op::SETQ, "a"), way.last_words(true)].concat());
        let mut line = mock.accept();
        line.expect_piece("mn\r\n");
        let _rest = way.leave(client);
        moxi.turn();
        line.send("MN\r\n");
        line.expect_piece("version\r\n");
        line.send("VERSION 1.6.18\r\n");
        line.expect_piece("ms a 1 c MS F0 T0\r\n1\r\n");
    }
}

/// The connection to the server is lost when the client has gone: what may be sent again is.
#[test]
fn what_has_to_be_sent_again_is_done() {
    for protocol in PROTOCOLS {
        for write in WRITES {
            for way in WAYS {
                let mock = Mock::new();
                let (moxi, _, mut line) = warm(over(protocol, &[mock.port()]), Dialect::of(protocol), &mock);
                let mut client = moxi.client();
                client.send([write.request("a"), write.request("b"), way.last_words(write.is_binary())].concat());
                let expected: Vec<u8> = write.exchanges(protocol).into_iter().flat_map(|(bytes, _)| bytes).collect();
                line.expect_piece(&expected);
                let _rest = way.leave(client);
                moxi.turn();
                line.close();
                let mut line = mock.accept();
                line.expect_piece(&expected);
            }
        }
    }
}

/// The client has gone, and the server takes too long over the request before: what stands behind it on the connection
/// is not given up with it.
#[test]
fn what_is_behind_an_overdue_request_is_done() {
    for protocol in PROTOCOLS {
        for write in WRITES {
            let mock = Mock::new();
            let builder = over(protocol, &[mock.port()]).set("downstream_conn_max=1").set("downstream_timeout=500");
            let (moxi, _, mut line) =
                warm(builder.set("downstream_conn_queue_timeout=0"), Dialect::of(protocol), &mock);
            let mut first = moxi.client();
            let (held, free) = delete(protocol, "held");
            first.send("delete held\r\n");
            line.expect_piece(held);
            let mut client = moxi.client();
            client.send([write.request("a"), write.request("b")].concat());
            let expected: Vec<u8> = write.exchanges(protocol).into_iter().flat_map(|(bytes, _)| bytes).collect();
            line.expect_piece(expected);
            client.reset();
            first.expect("SERVER_ERROR proxy downstream timeout 127.0.0.1\r\n");
            // The connection is still in use.
            line.send(free);
            for (_, answer) in write.exchanges(protocol) {
                line.send(answer);
            }
            first.send("delete x\r\n");
            line.expect_piece(delete(protocol, "x").0);
        }
    }
}

/// SIGTERM: what has arrived is done first, whether or not it has been read, and whoever waits for an answer gets it.
#[test]
fn a_moxi_that_ends_does_what_has_arrived() {
    for protocol in PROTOCOLS {
        for write in WRITES {
            let mock = Mock::new();
            let builder = over(protocol, &[mock.port()]).set("downstream_max=1").set("downstream_conn_max=1");
            let (mut moxi, _, mut line) = warm(builder.set("wait_queue_timeout=0"), Dialect::of(protocol), &mock);
            let (mut first, mut control) = (moxi.client(), moxi.client());
            let (held, free) = delete(protocol, "held");
            first.send("delete held\r\n");
            line.expect_piece(held);
            let mut client = moxi.client();
            // While the first waits, the second is left in the socket.
            client.send(write.request("a"));
            sync(&mut control);
            client.send(write.request("b"));
            moxi.process().signal(Signal::SIGTERM);
            // It is known that it has begun to end.
            control.expect_closed();
            line.send(free);
            first.expect("DELETED\r\n");
            for (expected, answer) in write.exchanges(protocol) {
                line.expect_piece(expected);
                line.send(answer);
            }
            let told: Vec<u8> = match write {
                Write::Set => b"STORED\r\n".repeat(2),
                Write::Packet => Packet::reply(op::SET).bytes().repeat(2),
                Write::Noreply | Write::Quiet => Vec::new(),
            };
            assert_eq!(client.rest().escape_ascii().to_string(), told.escape_ascii().to_string());
            moxi.process().stop(Signal::SIGTERM);
        }
    }
}

/// SIGTERM: a client that has just connected, and has sent something, has not sent it in vain.
#[test]
fn a_moxi_that_ends_takes_those_who_wait_at_the_door() {
    let server = Memcached::start(&[]);
    for protocol in PROTOCOLS {
        let mut moxi = over(protocol, &[server.port()]).start();
        moxi.turn();
        moxi.process().signal(Signal::SIGSTOP);
        let clients: Vec<(String, Wire)> = (0..40)
            .map(|number| {
                let (key, write) = (format!("{protocol}{number}"), WRITES[number % WRITES.len()]);
                let mut client = moxi.client();
                client.send(write.request(&key));
                (key, client)
            })
            .collect();
        moxi.process().signal(Signal::SIGTERM);
        moxi.process().signal(Signal::SIGCONT);
        let (keys, _clients): (Vec<String>, Vec<Wire>) = clients.into_iter().unzip();
        wait_for_all(&server, &keys, protocol);
        moxi.process().stop(Signal::SIGTERM);
    }
}
