//! Binary clients of binary servers: what a server must see and the client must get, byte for byte (04 §8, §9).

use std::thread;
use std::time::Duration;

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Mock, Moxi, MoxiBuilder, Wire, moxi};

fn over(mocks: &[&Mock]) -> MoxiBuilder {
    moxi!().servers(mocks.iter().map(|mock| mock.port())).binary().set("connect_max_errors=0")
}

/// A moxi with one server, and a client that has used it once: the connection to the server is ready.
fn warm(builder: MoxiBuilder, mock: &Mock) -> (Moxi, Wire, Wire) {
    let moxi = builder.start();
    let mut client = moxi.client();
    let get = Packet::request(op::GETK).key("warm");
    client.send(get.bytes());
    let mut line = mock.accept();
    line.expect_piece(get.bytes());
    line.send(Packet::reply(op::GETK).key("warm").status(1).bytes());
    client.expect_piece(Packet::reply(op::GETK).key("warm").status(1).bytes());
    (moxi, client, line)
}

fn getkq(key: &str, opaque: u32) -> Packet {
    Packet::request(op::GETKQ).key(key).opaque(opaque)
}

fn noop(opaque: u32) -> Packet {
    Packet::request(op::NOOP).opaque(opaque)
}

fn done(opaque: u32) -> Packet {
    Packet::reply(op::NOOP).opaque(opaque)
}

/// Quiet packets are not queued behind each other: they and their closing packet are one request to the server.
#[test]
fn a_quiet_batch_does_not_wait_for_itself() {
    let mock = Mock::new();
    let (_moxi, mut client, mut line) = warm(over(&[&mock]).set("downstream_conn_queue_timeout=40"), &mock);
    let batch = join([getkq("a", 4), getkq("b", 13), noop(7)]);
    client.send(&batch);
    line.expect_piece(&batch);
    thread::sleep(Duration::from_millis(120));
    line.send(done(7).bytes());
    client.expect_piece(done(7).bytes());
}
