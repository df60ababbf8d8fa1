//! Single-key gets that wait for the same server in the same turn leave as one request (DESIGN, Joining gets).
//!
//! The tests stop moxi, send, and let it go on: what has arrived by then is one turn's work.

use ::moxi::proxy::downstream::host::HealthTable;
use ::moxi::proxy::{Action, Engine, Settings};
use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Mock, Moxi, MoxiBuilder, Wire, moxi};

const VERSION: &str = env!("CARGO_PKG_VERSION");

struct Scene {
    moxi: Moxi,
    line: Wire,
    clients: Vec<Wire>,
    _mock: Mock,
}

/// A moxi with one warm server connection and `count` clients that it knows.
fn scene(builder: impl Fn(MoxiBuilder) -> MoxiBuilder, count: usize, binary: bool) -> Scene {
    let mock = Mock::new();
    let moxi = builder(moxi!().servers([mock.port()]).set("downstream_conn_max=1")).start();
    let mut clients: Vec<_> = (0..count).map(|_| moxi.client()).collect();
    for client in &mut clients {
        client.send("version\r\n");
        client.expect(format!("VERSION {VERSION}\r\n"));
    }
    clients[0].send("delete warm\r\n");
    let mut line = mock.accept();
    if binary {
        line.expect_piece(Packet::request(op::DELETE).key("warm").bytes());
        line.send(Packet::reply(op::DELETE).status(1).bytes());
    } else {
        line.expect_piece("delete warm\r\n");
        line.send("NOT_FOUND\r\n");
    }
    clients[0].expect("NOT_FOUND\r\n");
    Scene { moxi, line, clients, _mock: mock }
}

impl Scene {
    /// Sends each client's bytes within one turn.
    fn at_once(&mut self, requests: &[&str]) {
        self.moxi.at_once(|| {
            for (client, request) in self.clients.iter_mut().zip(requests) {
                client.send(request);
            }
        });
    }
}

#[test]
fn gets_of_one_turn_are_one_request() {
    let mut scene = scene(MoxiBuilder::ascii, 4, false);
    scene.at_once(&["get a\r\n", "get b\r\n", "get c\r\n", "get d\r\n"]);
    scene.line.expect_piece("get a b c d\r\n");
    scene.line.send("VALUE a 0 1\r\n1\r\nVALUE c 5 3\r\n333\r\nVALUE d 0 0\r\n\r\nEND\r\n");
    scene.clients[0].expect_piece("VALUE a 0 1\r\n1\r\nEND\r\n");
    scene.clients[1].expect_piece("END\r\n");
    scene.clients[2].expect_piece("VALUE c 5 3\r\n333\r\nEND\r\n");
    scene.clients[3].expect_piece("VALUE d 0 0\r\n\r\nEND\r\n");
}

#[test]
fn gets_of_one_turn_over_binary() {
    let mut scene = scene(MoxiBuilder::binary, 3, true);
    scene.at_once(&["get a\r\n", "get b\r\n", "get c\r\n"]);
    // The opaques are moxi's own affair here.
    let mut replies = Vec::new();
    for key in ["a", "b", "c"] {
        let asked = scene.line.packet();
        assert_eq!(asked, Packet::request(op::GETKQ).key(key).opaque(asked.opaque));
        if key != "b" {
            replies.push(Packet::reply(op::GETKQ).key(key).opaque(asked.opaque).extra32(7).value(key));
        }
    }
    let noop = scene.line.packet();
    assert_eq!(noop, Packet::noop(0).opaque(noop.opaque));
    replies.push(Packet::noop_done(noop.opaque));
    scene.line.send(join(replies));
    scene.clients[0].expect_piece("VALUE a 7 1\r\na\r\nEND\r\n");
    scene.clients[1].expect_piece("END\r\n");
    scene.clients[2].expect_piece("VALUE c 7 1\r\nc\r\nEND\r\n");
}

#[test]
fn an_error_is_a_miss_for_all() {
    let mut scene = scene(MoxiBuilder::ascii, 2, false);
    scene.at_once(&["get a\r\n", "get b\r\n"]);
    scene.line.expect_piece("get a b\r\n");
    scene.line.send("VALUE a 0 1\r\n1\r\nSERVER_ERROR oom\r\n");
    scene.clients[0].expect("VALUE a 0 1\r\n1\r\nEND\r\n");
    scene.clients[1].expect("END\r\n");
}

#[test]
fn the_same_key_for_several_clients() {
    let mut scene = scene(MoxiBuilder::ascii, 3, false);
    scene.at_once(&["get a\r\n", "get b\r\n", "get a\r\n"]);
    // Asked once or twice; answered as memcached would.
    let asked = String::from_utf8(scene.line.line()).expect("text");
    let mut reply = String::new();
    for key in asked.trim_end().split(' ').skip(1) {
        reply += &format!("VALUE {key} 0 1\r\n{key}\r\n");
    }
    scene.line.send(reply + "END\r\n");
    scene.clients[0].expect_piece("VALUE a 0 1\r\na\r\nEND\r\n");
    scene.clients[1].expect_piece("VALUE b 0 1\r\nb\r\nEND\r\n");
    scene.clients[2].expect_piece("VALUE a 0 1\r\na\r\nEND\r\n");
}

/// Never across a write of the same client.
#[test]
fn a_get_stays_behind_its_clients_write() {
    let mut scene = scene(MoxiBuilder::ascii, 2, false);
    scene.at_once(&["get a\r\n", "set b 0 0 1\r\n1\r\nget b\r\n"]);
    scene.line.expect("get a\r\nset b 0 0 1\r\n1\r\nget b\r\n");
    scene.line.send("END\r\nSTORED\r\nVALUE b 0 1\r\n1\r\nEND\r\n");
    scene.clients[0].expect("END\r\n");
    scene.clients[1].expect("STORED\r\nVALUE b 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn gets_with_cas_are_not_joined() {
    let mut scene = scene(MoxiBuilder::ascii, 2, false);
    scene.at_once(&["gets a\r\n", "gets b\r\n"]);
    scene.line.expect("gets a\r\ngets b\r\n");
    scene.line.send("VALUE a 0 1 7\r\n1\r\nEND\r\nEND\r\n");
    scene.clients[0].expect("VALUE a 0 1 7\r\n1\r\nEND\r\n");
    scene.clients[1].expect("END\r\n");
}

#[test]
fn a_key_turns_it_off() {
    let mut scene = scene(|builder| builder.ascii().set("join_gets=0"), 3, false);
    scene.at_once(&["get a\r\n", "get b\r\n", "get c\r\n"]);
    scene.line.expect("get a\r\nget b\r\nget c\r\n");
    scene.line.send("END\r\nVALUE b 0 1\r\n1\r\nEND\r\nEND\r\n");
    scene.clients[0].expect("END\r\n");
    scene.clients[1].expect("VALUE b 0 1\r\n1\r\nEND\r\n");
    scene.clients[2].expect("END\r\n");
}

/// A lost connection: what is complete is kept, the rest asked for again, once.
#[test]
fn joined_gets_on_a_lost_connection() {
    let mut scene = scene(MoxiBuilder::ascii, 3, false);
    scene.at_once(&["get a\r\n", "get b\r\n", "get c\r\n"]);
    scene.line.expect_piece("get a b c\r\n");
    scene.line.send("VALUE a 0 1\r\n1\r\nVALUE b 0 5\r\nab");
    let Scene { line, mut clients, _mock: mock, moxi: _moxi } = scene;
    line.close();
    let mut line = mock.accept();
    for _ in 0..2 {
        // Joined again or not.
        let asked = String::from_utf8(line.line()).expect("text");
        let keys: Vec<_> = asked.trim_end().split(' ').skip(1).collect();
        assert!(keys.iter().all(|key| ["b", "c"].contains(key)), "{asked:?}");
        let values: String = keys.iter().map(|key| format!("VALUE {key} 0 1\r\n{key}\r\n")).collect();
        line.send(values + "END\r\n");
        if keys.len() == 2 {
            break;
        }
    }
    clients[0].expect("VALUE a 0 1\r\n1\r\nEND\r\n");
    clients[1].expect("VALUE b 0 1\r\nb\r\nEND\r\n");
    clients[2].expect("VALUE c 0 1\r\nc\r\nEND\r\n");
}

/// A client that goes takes nothing from those it was joined with.
#[test]
fn one_of_the_joined_clients_leaves() {
    let mut scene = scene(MoxiBuilder::ascii, 3, false);
    scene.at_once(&["get a\r\n", "get b\r\n", "get c\r\n"]);
    scene.line.expect_piece("get a b c\r\n");
    scene.clients.remove(1).reset();
    scene.clients[0].send("version\r\n");
    scene.line.send("VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nVALUE c 0 1\r\n3\r\nEND\r\n");
    scene.clients[0].expect(format!("VALUE a 0 1\r\n1\r\nEND\r\nVERSION {VERSION}\r\n"));
    scene.clients[1].expect("VALUE c 0 1\r\n3\r\nEND\r\n");
}

/// A connection that could not take everything takes more in the middle of a turn: what is sent then is a whole get,
/// and no key joins it afterwards.
#[test]
fn nothing_joins_a_get_that_is_being_sent() {
    for (protocol, wanted) in [("ascii", "get a\r\nget b\r\n"), ("binary", "\u{c}a\u{c}b")] {
        let behavior = format!("downstream_protocol={protocol}");
        let loaded = ::moxi::config::load("11311=server:1", Some(&behavior), &|_| None).expect("a good configuration");
        let settings = Settings { requests_per_turn: 20, binding: None };
        let mut engine = Engine::new(&loaded.config, &HealthTable::default(), settings);
        let clients = [engine.add_client(0).expect("a client"), engine.add_client(0).expect("a client")];
        let ask = |engine: &mut Engine, number: usize, text: &[u8]| {
            engine.client_space(clients[number]).expect("room")[..text.len()].copy_from_slice(text);
            engine.client_filled(clients[number], text.len());
        };
        ask(&mut engine, 0, b"get a\r\n");
        let mut actions = Vec::new();
        engine.take_actions(&mut actions);
        let [Action::Connect(conn, _)] = actions[..] else { panic!("{actions:?}") };
        engine.connected(conn);
        let mut sent = Vec::new();
        for number in [1, 2] {
            let (output, limit) = engine.conn_output(conn).expect("a connection");
            let bytes = output.contiguous(limit).expect("in one piece").to_vec();
            engine.conn_sent(conn, bytes.len());
            sent.extend(bytes);
            if number == 1 {
                ask(&mut engine, 1, b"get b\r\n");
            }
        }
        if protocol == "binary" {
            // Opcode and key are enough.
            sent = sent.chunks(25).flat_map(|packet| [packet[1], packet[24]]).collect();
        }
        assert_eq!(sent.escape_ascii().to_string(), wanted.as_bytes().escape_ascii().to_string());
    }
}
