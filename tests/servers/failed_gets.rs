//! A server that cannot say at present whether it has a key (0x82, 0x85, 0x86; `SERVER_ERROR`). In a bucket with a
//! vbucket map, whose servers are the only place of their keys, a get of one key tells of it as a set of that key would:
//! after a miss the application would put something else there. Elsewhere, and in a get of several keys, it is a miss.

use std::time::Duration;

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Mock, Moxi, MoxiBuilder, Wire, moxi};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a server may say, and what a set would be told.
const PASSING: [(u16, &str); 3] = [
    (0x82, "SERVER_ERROR out of memory storing object\r\n"),
    (0x85, "SERVER_ERROR a2b ebusy\r\n"),
    (0x86, "SERVER_ERROR temporary failure\r\n"),
];

/// What is a miss in any bucket.
const MISSES: [u16; 9] = [0x01, 0x02, 0x04, 0x05, 0x20, 0x81, 0x83, 0x84, 0x99];

/// A moxi in front of a scripted server that has all vbuckets, with a client whose first request has been answered.
fn scene(mock: &Mock, builder: impl Fn(MoxiBuilder) -> MoxiBuilder) -> (Moxi, Wire, Wire) {
    let moxi = builder(moxi!().vbuckets([mock.port()], &[0; 4])).set("downstream_conn_max=1").start();
    let mut client = moxi.client();
    client.send("get warm\r\n");
    let mut line = mock.accept();
    if line.take(1) == [0x80] {
        let head = [&[0x80], &line.take(23)[..]].concat();
        let body = line.take(Packet::body_length(&head));
        line.send(Packet::reply(op::GETK).status(1).opaque(Packet::parse(&head, &body).opaque).bytes());
    } else {
        line.expect("et warm\r\n");
        line.send("END\r\n");
    }
    client.expect("END\r\n");
    (moxi, client, line)
}

/// The next packet is answered with this status; returns its key.
fn fails(line: &mut Wire, status: u16) -> Vec<u8> {
    let asked = line.packet();
    line.send(Packet::reply(asked.opcode).status(status).opaque(asked.opaque).value("what it says").bytes());
    asked.key
}

#[test]
fn a_get_of_one_key_tells_of_it() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = scene(&mock, MoxiBuilder::binary);
    for (status, told) in PASSING {
        for request in ["set a 0 0 1\r\n1\r\n", "get a\r\n", "gets a\r\n", "gat 10 a\r\n", "gats 10 a\r\n"] {
            client.send(request);
            assert_eq!(fails(&mut line, status), b"a");
            client.expect(told);
        }
        // To this one 0x86 says that the key is locked.
        client.send("getl a 10\r\n");
        fails(&mut line, status);
        client.expect(if status == 0x86 { "LOCK_ERROR\r\n" } else { told });
        // The key follows with the failure, as some servers do.
        client.send("get a\r\n");
        let asked = line.packet();
        line.send(Packet::reply(op::GETK).status(status).opaque(asked.opaque).key("a").bytes());
        client.expect(told);
    }
    for status in MISSES {
        for request in ["get a\r\n", "gats 10 a\r\n"] {
            client.send(request);
            fails(&mut line, status);
            client.expect("END\r\n");
        }
    }
}

/// Those that were sent together with others of the same turn, too.
#[test]
fn joined_gets_tell_of_it() {
    for (status, told) in PASSING {
        let mock = Mock::new();
        let (mut moxi, client, mut line) = scene(&mock, MoxiBuilder::binary);
        let mut clients = [client, moxi.client(), moxi.client(), moxi.client()];
        for client in &mut clients {
            client.send("version\r\n");
            client.expect(format!("VERSION {VERSION}\r\n"));
        }
        moxi.at_once(|| {
            for (client, key) in clients.iter_mut().zip(["a", "b", "c", "d"]) {
                client.send(format!("get {key}\r\n"));
            }
        });
        let asked: Vec<_> = (0..4).map(|_| line.packet()).collect();
        assert_eq!(asked.iter().map(|packet| packet.opcode).collect::<Vec<_>>(), [op::GETKQ; 4]);
        let noop = line.packet();
        let reply = |index: usize| Packet::reply(op::GETKQ).opaque(asked[index].opaque);
        line.send(join([
            reply(0).extra32(0).key("a").value("1"),
            reply(1).status(status).value("what it says"),
            reply(3).status(0x84),
            Packet::noop_done(noop.opaque),
        ]));
        clients[0].expect("VALUE a 0 1\r\n1\r\nEND\r\n");
        clients[1].expect(told);
        clients[2].expect("END\r\n");
        clients[3].expect("END\r\n");
    }
}

#[test]
fn a_get_of_several_keys_leaves_the_key_out() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = scene(&mock, MoxiBuilder::binary);
    for (status, _) in PASSING {
        for request in ["get a b\r\n", "gats 10 a b\r\n", "get a b a\r\n"] {
            client.send(request);
            let asked = [line.packet(), line.packet(), line.packet()];
            assert_eq!(asked[2].opcode, op::NOOP);
            line.send(join([
                Packet::reply(asked[0].opcode).status(status).opaque(asked[0].opaque),
                Packet::reply(asked[1].opcode).opaque(asked[1].opaque).extra32(0).key("b").value("2").cas(9),
                Packet::noop_done(0),
            ]));
            client.expect(if request.starts_with("gats") { "VALUE b 0 1 9\r\n" } else { "VALUE b 0 1\r\n" });
            client.expect("2\r\nEND\r\n");
        }
    }
}

/// Servers without a map are caches: a get that fails is a miss.
#[test]
fn without_a_map_it_is_a_miss() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).binary().start();
    let mut client = moxi.client();
    client.send("get a\r\n");
    let mut line = mock.accept();
    fails(&mut line, 0x86);
    client.expect("END\r\n");
    for (status, _) in PASSING {
        for request in ["get a\r\n", "gats 10 a\r\n"] {
            client.send(request);
            fails(&mut line, status);
            client.expect("END\r\n");
        }
    }
}

/// The front cache knows nothing of the key afterwards.
#[test]
fn it_is_not_cached() {
    let mock = Mock::new();
    let cached = |builder: MoxiBuilder| builder.ascii().set("front_cache_lifespan=600000,front_cache_spec=c");
    let (_moxi, mut client, mut line) = scene(&mock, cached);
    for request in ["get c\r\n", "get c\r\n"] {
        client.send(request);
        line.expect(request);
        line.send("SERVER_ERROR temporary failure\r\n");
        client.expect("SERVER_ERROR temporary failure\r\n");
    }
    client.send("get c\r\n");
    line.expect("get c\r\n");
    line.send("VALUE c 0 1\r\n1\r\nEND\r\n");
    client.expect("VALUE c 0 1\r\n1\r\nEND\r\n");
    // That is.
    client.send("get c\r\n");
    client.expect("VALUE c 0 1\r\n1\r\nEND\r\n");
    line.expect_nothing(Duration::from_millis(5));
}

/// Binary clients get the status, whatever the bucket.
#[test]
fn binary_clients_get_the_status() {
    let mock = Mock::new();
    let (moxi, _client, mut line) = scene(&mock, MoxiBuilder::binary);
    let mut client = moxi.client();
    for (status, _) in PASSING {
        for opcode in [op::GET, op::GETK, op::GETQ, op::GETKQ] {
            let is_quiet = matches!(opcode, op::GETQ | op::GETKQ);
            let closed = is_quiet.then(|| Packet::noop(6));
            client.send(join([Packet::request(opcode).key("a").opaque(5)].into_iter().chain(closed)));
            let asked = line.packet();
            assert_eq!((asked.opcode, asked.key.as_slice()), (opcode, &b"a"[..]));
            let told = Packet::reply(opcode).status(status).opaque(asked.opaque).value("what it says");
            line.send(told.bytes());
            if is_quiet {
                // Whatever closes it.
                let close = line.packet();
                line.send(Packet::reply(close.opcode).opaque(close.opaque).bytes());
            }
            client.expect(told.opaque(5).bytes());
            if is_quiet {
                client.expect(Packet::noop_done(6).bytes());
            }
        }
    }
}

/// ASCII servers say it in words.
#[test]
fn ascii_servers() {
    const FAILURE: &str = "SERVER_ERROR out of memory writing get response\r\n";
    let mock = Mock::new();
    let (mut moxi, mut client, mut line) = scene(&mock, MoxiBuilder::ascii);
    for request in ["get a\r\n", "gets a\r\n", "gat 10 a\r\n", "gats 10 a\r\n", "getl a 10\r\n"] {
        client.send(request);
        line.expect(request);
        line.send(FAILURE);
        client.expect(FAILURE);
        // Something else than a failure.
        client.send(request);
        line.expect(request);
        line.send("ERROR\r\n");
        client.expect("END\r\n");
    }
    client.send("get a b\r\n");
    line.expect("get a b\r\n");
    line.send(format!("VALUE a 0 1\r\n1\r\n{FAILURE}"));
    client.expect("VALUE a 0 1\r\n1\r\nEND\r\n");
    // Of joined ones, those that have no value.
    let mut other = moxi.client();
    other.send("version\r\n");
    other.expect(format!("VERSION {VERSION}\r\n"));
    moxi.at_once(|| {
        client.send("get a\r\n");
        other.send("get b\r\n");
    });
    line.expect("get a b\r\n");
    line.send(format!("VALUE a 0 1\r\n1\r\n{FAILURE}"));
    client.expect("VALUE a 0 1\r\n1\r\nEND\r\n");
    other.expect(FAILURE);
}
