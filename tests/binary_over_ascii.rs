//! Binary clients of ASCII servers: what a server must see and the client must get, byte for byte (C moxi
//! aborts here, 04 §10).

use std::thread;
use std::time::Duration;

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Mock, Moxi, MoxiBuilder, Wire, moxi};

const SETQ: u8 = 0x11;

fn over(mock: &Mock) -> MoxiBuilder {
    moxi!().servers([mock.port()]).ascii().set("connect_max_errors=0")
}

/// A moxi with one server that knows the meta commands, and was asked.
fn warm(builder: MoxiBuilder, mock: &Mock) -> (Moxi, Wire, Wire) {
    let moxi = builder.start();
    let mut client = moxi.client();
    client.send(Packet::request(op::GET).key("warm").bytes());
    let mut line = mock.accept();
    line.expect_piece("mn\r\n");
    line.send("MN\r\n");
    line.expect_piece("mg warm v f c\r\n");
    line.send("EN\r\n");
    assert_eq!(client.packet().status, 1);
    (moxi, client, line)
}

fn setq(key: &str, opaque: u32) -> Packet {
    Packet::request(SETQ).extra64(0).key(key).value("1").opaque(opaque)
}

/// Every packet of a batch is answered by an ASCII server, yet they are one request: none is queued behind another,
/// whether the connection was ready when they came or busy for somebody else.
#[test]
fn a_quiet_batch_does_not_wait_for_itself() {
    let mock = Mock::new();
    let builder = over(&mock).set("downstream_conn_max=1").set("downstream_conn_queue_timeout=100");
    let (moxi, mut client, mut line) = warm(builder, &mock);
    let batch = join([setq("a", 1), setq("b", 2), Packet::request(op::NOOP).opaque(3)]);
    let lines = "ms a 1 c MS F0 T0\r\n1\r\nms b 1 c MS F0 T0\r\n1\r\nversion\r\n";
    client.send(&batch);
    line.expect_piece(lines);
    thread::sleep(Duration::from_millis(150));
    line.send("HD c1\r\n");
    thread::sleep(Duration::from_millis(150));
    line.send("NS\r\nVERSION 1.6\r\n");
    let refused = Packet::reply(SETQ).status(5).opaque(2).value("Not stored.");
    client.expect_piece(join([refused.clone(), Packet::reply(op::NOOP).opaque(3)]));

    // Behind somebody else's for a moment, which is short enough.
    let mut other = moxi.client();
    other.send("get x\r\n");
    line.expect_piece("get x\r\n");
    client.send(&batch);
    line.expect_piece(lines);
    line.send("END\r\n");
    other.expect("END\r\n");
    thread::sleep(Duration::from_millis(150));
    line.send("HD c1\r\nHD c2\r\nVERSION 1.6\r\n");
    client.expect_piece(Packet::reply(op::NOOP).opaque(3).bytes());

    // Behind somebody else's for too long.
    other.send("get x\r\n");
    line.expect_piece("get x\r\n");
    client.send(&batch);
    line.expect_piece(lines);
    for (opcode, opaque) in [(SETQ, 1), (SETQ, 2), (op::NOOP, 3)] {
        let failed = client.packet();
        assert_eq!((failed.opcode, failed.status, failed.opaque), (opcode, 0x85, opaque));
    }
    line.send("END\r\nHD c1\r\nHD c2\r\nVERSION 1.6\r\n");
    other.expect("END\r\n");
}
