//! A moxi with one scripted server whose connection is ready: what a test sends next travels at once, and alone.

use crate::mock::Mock;
use crate::moxi::{Moxi, MoxiBuilder};
use crate::packet::{Packet, op};
use crate::wire::Wire;

/// What a scripted server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// ASCII, without the meta commands.
    Classic,
    /// ASCII with the meta commands of memcached 1.6.18.
    Meta,
    /// Binary packets.
    Binary,
}

impl Dialect {
    /// That of servers of this protocol, one of [`crate::PROTOCOLS`]; ASCII ones are classic.
    pub fn of(protocol: &str) -> Dialect {
        if protocol == "ascii" { Dialect::Classic } else { Dialect::Binary }
    }
}

/// Starts a moxi whose only server is `mock`, and has a binary client miss a key there. Returns that client, and the
/// server's end of the connection: it knows what the server understands, and is idle.
pub fn warm(builder: MoxiBuilder, dialect: Dialect, mock: &Mock) -> (Moxi, Wire, Wire) {
    let moxi = builder.start();
    let mut client = moxi.client();
    let asked = Packet::request(op::GETK).key("warm");
    client.send(asked.bytes());
    let mut line = mock.accept();
    match dialect {
        Dialect::Classic => {
            line.expect_piece("mn\r\n");
            line.send("ERROR\r\n");
            line.expect_piece("gets warm\r\n");
            line.send("END\r\n");
        }
        Dialect::Meta => {
            line.expect_piece("mn\r\n");
            line.send("MN\r\n");
            line.expect_piece("version\r\n");
            line.send("VERSION 1.6.18\r\n");
            line.expect_piece("mg warm v f c\r\n");
            line.send("EN\r\n");
        }
        Dialect::Binary => {
            line.expect_piece(asked.bytes());
            line.send(Packet::reply(op::GETK).key("warm").status(1).bytes());
        }
    }
    let missed = client.packet();
    assert_eq!((missed.opcode, missed.status), (op::GETK, 1), "{dialect:?}");
    (moxi, client, line)
}
