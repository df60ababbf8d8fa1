//! Binary clients of ASCII servers: what a server must see and the client must get, byte for byte (C moxi
//! aborts here, 04 §10).

use std::time::Duration;

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Dialect, Memcached, Mock, Moxi, MoxiBuilder, SHORT, moxi, wait_for, warm};

fn over(mock: &Mock) -> MoxiBuilder {
    moxi!().servers([mock.port()]).ascii().set("connect_max_errors=0")
}

fn setq(key: &str, opaque: u32) -> Packet {
    Packet::storing(op::SETQ, key, "1").opaque(opaque)
}

/// Every packet of a batch is answered by an ASCII server, yet they are one request: none is queued behind another,
/// whether the connection was ready when they came or busy for somebody else.
#[test]
fn a_quiet_batch_does_not_wait_for_itself() {
    let mock = Mock::new();
    // The limit, long enough for a busy machine to be below it where that matters.
    let queued = Duration::from_millis(500);
    let builder = over(&mock).set("downstream_conn_max=1").set("downstream_conn_queue_timeout=500");
    let (moxi, mut client, mut line) = warm(builder, Dialect::Meta, &mock);
    let batch = join([setq("a", 1), setq("b", 2), Packet::noop(3)]);
    let lines = "ms a 1 c MS F0 T0\r\n1\r\nms b 1 c MS F0 T0\r\n1\r\nversion\r\n";
    client.send(&batch);
    line.expect_piece(lines);
    client.expect_nothing(queued + SHORT);
    line.send("HD c1\r\n");
    client.expect_nothing(queued + SHORT);
    line.send("NS\r\nVERSION 1.6\r\n");
    let refused = Packet::reply(op::SETQ).status(5).opaque(2).value("Not stored.");
    client.expect_piece(join([refused.clone(), Packet::noop_done(3)]));

    // Behind somebody else's for a moment, which is short enough.
    let mut other = moxi.client();
    other.send("get x\r\n");
    line.expect_piece("get x\r\n");
    client.send(&batch);
    line.expect_piece(lines);
    line.send("END\r\n");
    other.expect("END\r\n");
    client.expect_nothing(queued + SHORT);
    line.send("HD c1\r\nHD c2\r\nVERSION 1.6\r\n");
    client.expect_piece(Packet::noop_done(3).bytes());

    // Behind somebody else's for too long.
    other.send("get x\r\n");
    line.expect_piece("get x\r\n");
    client.send(&batch);
    line.expect_piece(lines);
    for (opcode, opaque) in [(op::SETQ, 1), (op::SETQ, 2), (op::NOOP, 3)] {
        let failed = client.packet();
        assert_eq!((failed.opcode, failed.status, failed.opaque), (opcode, 0x85, opaque));
    }
    line.send("END\r\nHD c1\r\nHD c2\r\nVERSION 1.6\r\n");
    other.expect("END\r\n");
}

fn set(key: &str, opaque: u32) -> Packet {
    Packet::storing(op::SET, key, "1").opaque(opaque)
}

/// Waits until moxi has no server connection left.
fn wait_for_no_connection(moxi: &Moxi) {
    wait_for("the connection to be gone", || moxi.counter("num_downstream_conn") == 0);
}

/// Another version of a server may come back on its port. It is asked anew before it gets anything.
#[test]
fn a_server_that_comes_back_is_asked_again() {
    let mock = Mock::new();
    let (moxi, mut client, line) = warm(over(&mock), Dialect::Meta, &mock);
    line.close();
    wait_for_no_connection(&moxi);
    client.send(set("a b", 3).bytes());
    let mut line = mock.accept();
    line.expect_piece("mn\r\n");
    line.send("ERROR\r\n");
    client.expect_piece(Packet::reply(op::SET).status(4).opaque(3).value("Invalid arguments").bytes());
    client.send(set("k", 4).bytes());
    line.expect_piece("set k 0 0 1\r\n1\r\n");
    line.send("STORED\r\n");
    client.expect_piece(Packet::reply(op::SET).opaque(4).bytes());
}

/// A value that was under way when its server went is not sent to one that would take it for commands.
#[test]
fn a_value_under_way_waits_for_the_answer_of_the_server_that_comes_back() {
    for key in ["k", "a b"] {
        let name = if key == "k" { "k" } else { "YSBi" };
        let flag = if key == "k" { "" } else { " b" };
        let sent = format!("ms {name} 1 c MS F0 T0{flag}\r\n1\r\n");
        for is_old in [false, true] {
            let mock = Mock::new();
            let (_moxi, mut client, mut line) = warm(over(&mock), Dialect::Meta, &mock);
            client.send(set(key, 3).bytes());
            line.expect_piece(&sent);
            line.close();
            let mut line = mock.accept();
            line.expect_piece("mn\r\nversion\r\n");
            line.expect_nothing(Duration::from_millis(10));
            if is_old {
                line.send("ERROR\r\n");
                line.expect_closed();
                let failed = client.packet();
                assert_eq!((failed.opcode, failed.status, failed.opaque), (op::SET, 0x84, 3));
                // It is known now.
                client.send(set("k", 4).bytes());
                let mut line = mock.accept();
                line.expect_piece("set k 0 0 1\r\n1\r\n");
                line.send("STORED\r\n");
                client.expect_piece(Packet::reply(op::SET).opaque(4).bytes());
                client.send(Packet::request(op::GETK).key("a b").bytes());
                assert_eq!(client.packet().status, 4);
            } else {
                line.send("MN\r\nVERSION 1.6.21\r\n");
                line.expect_piece(&sent);
                line.send("HD c9\r\n");
                client.expect_piece(Packet::reply(op::SET).cas(9).opaque(3).bytes());
            }
        }
    }
}

/// Whatever stores a whole value under a CAS id is a `cas` to a server without meta commands, as it is to memcached;
/// libmemcached's clients replace. What only adds to a value cannot depend on an id there.
#[test]
fn stores_under_an_id_to_a_server_without_meta_commands() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = warm(over(&mock), Dialect::Classic, &mock);
    for opcode in [op::SET, op::ADD, op::REPLACE] {
        for (said, status, text) in
            [("STORED", 0, ""), ("EXISTS", 2, "Data exists for key."), ("NOT_FOUND", 1, "Not found")]
        {
            client.send(Packet::storing(opcode, "k", "1").cas(7).opaque(3).bytes());
            line.expect_piece("cas k 0 0 1 7\r\n1\r\n");
            line.send(format!("{said}\r\n"));
            client.expect_piece(Packet::reply(opcode).status(status).opaque(3).value(text).bytes());
        }
    }
    for opcode in [op::APPEND, op::PREPEND] {
        client.send(Packet::request(opcode).key("k").value("1").cas(7).opaque(3).bytes());
        client.expect_piece(Packet::reply(opcode).status(0x83).opaque(3).value("Not supported").bytes());
    }
    line.expect_nothing(SHORT);
}

/// Of a quiet batch, too, no value reaches an old server, and each packet is answered for.
#[test]
fn a_batch_under_way_waits_for_that_answer() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = warm(over(&mock), Dialect::Meta, &mock);
    let batch = join([setq("a", 1), setq("b ", 2), Packet::request(op::GETQ).key("c").opaque(3)]);
    client.send(&batch);
    client.send(Packet::noop(4).bytes());
    line.expect("ms a 1 c MS F0 T0\r\n1\r\nms YiA= 1 c MS F0 T0 b\r\n1\r\nmg c v f c\r\nversion\r\n");
    line.close();
    let mut line = mock.accept();
    line.expect_piece("mn\r\nversion\r\n");
    line.send("MN\r\nVERSION 1.6.9\r\n");
    line.expect_closed();
    let mut line = mock.accept();
    line.expect_piece("version\r\n");
    line.send("VERSION 1.4.24\r\n");
    let replies: Vec<_> = (0..3).map(|_| client.packet()).collect();
    let told: Vec<_> = replies.iter().map(|reply| (reply.opcode, reply.status, reply.opaque)).collect();
    assert_eq!(told, [(op::SETQ, 0x84, 1), (op::SETQ, 0x84, 2), (op::NOOP, 0, 4)]);
}

/// While a server cannot be asked, such a key is not refused as one that the server cannot take.
#[test]
fn a_server_that_is_down() {
    let mock = Mock::new().down();
    let moxi = moxi!().servers([mock.port()]).ascii().set("connect_max_errors=0").start();
    let mut client = moxi.client();
    for key in ["k", "a b"] {
        client.send(Packet::request(op::GETK).key(key).opaque(3).bytes());
        let failed = client.packet();
        assert_eq!((failed.opcode, failed.status, failed.opaque), (op::GETK, 0x84, 3), "{key}");
    }
    client.send(Packet::request(op::GETK).key(" ".repeat(187)).opaque(4).bytes());
    assert_eq!(client.packet().status, 4);
}

/// With a real server that is restarted: nothing is left of what was known, and everything works again.
#[test]
fn a_server_that_is_restarted() {
    let server = Memcached::start(&[]);
    let moxi = moxi!().servers([server.port()]).ascii().set("connect_max_errors=0").start();
    let mut client = moxi.client();
    let mut exchange = |packet: Packet| {
        client.send(packet.bytes());
        client.packet()
    };
    assert_eq!(exchange(set("a b", 1)).status, 0);
    let port = server.kill();
    wait_for_no_connection(&moxi);
    assert_eq!(exchange(set("a b", 2)).status, 0x84);
    let _server = Memcached::revive(port, &[]);
    assert_eq!(exchange(Packet::request(op::GETK).key("a b")).status, 1);
    assert_eq!(exchange(set("a b", 3)).status, 0);
    let hit = exchange(Packet::request(op::GETK).key("a b"));
    assert_eq!((hit.status, &hit.key[..], &hit.value[..]), (0, &b"a b"[..], &b"1"[..]));
}
