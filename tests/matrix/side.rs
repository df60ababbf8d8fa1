//! One of the two clients whose replies are compared.

use moxi_test_support::Wire;
use moxi_test_support::packet::{HEADER, Packet, op};

/// In a request's CAS field: the id that this side got last.
pub const LAST_CAS: u64 = u64::MAX;
/// In a request's CAS field: an id that no item of this side has.
pub const WRONG_CAS: u64 = u64::MAX - 1;

/// Opaque of the op::NOOP that shows the end of a step's replies.
const MARK: u32 = 0xfeed_f00d;

/// A client, and what it remembers of the replies.
#[derive(Debug)]
pub struct Side {
    wire: Wire,
    cas: u64,
}

impl Side {
    /// A client on this connection.
    pub fn new(wire: Wire) -> Side {
        Side { wire, cas: 0 }
    }

    /// Sends packets, and a op::NOOP behind them; returns the replies to the packets, made comparable.
    pub fn packets(&mut self, packets: &[Packet]) -> Vec<Packet> {
        let mut bytes = Vec::new();
        for packet in packets {
            let mut packet = packet.clone();
            packet.cas = match packet.cas {
                LAST_CAS => self.cas,
                WRONG_CAS => self.cas ^ (1 << 40),
                cas => cas,
            };
            bytes.extend_from_slice(&packet.bytes());
        }
        bytes.extend_from_slice(&Packet::noop(MARK).bytes());
        self.wire.send(bytes);
        let mut replies = Vec::new();
        loop {
            let reply = self.wire.packet();
            if reply.opcode == op::NOOP && reply.opaque == MARK {
                assert_eq!(reply, Packet::noop_done(MARK));
                return replies;
            }
            if reply.cas != 0 {
                self.cas = reply.cas;
            }
            replies.push(comparable(reply));
        }
    }

    /// Sends text in which `@CAS@` is the id that this side got last, and `@WRONG@` another; returns the replies,
    /// made comparable.
    pub fn text(&mut self, text: &str) -> String {
        let text = text.replace("@CAS@", &self.cas.to_string()).replace("@WRONG@", &(self.cas ^ (1 << 40)).to_string());
        self.wire.send(text + "version\r\n");
        let mut replies = String::new();
        loop {
            let line = String::from_utf8(self.wire.line()).expect("text");
            if line.starts_with("VERSION ") {
                return replies;
            }
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            match words[..] {
                ["VALUE", key, flags, length, ref rest @ ..] => {
                    let data = self.wire.take(length.parse::<usize>().expect("length") + 2);
                    let mut cas = "";
                    if let Some(id) = rest.first() {
                        self.cas = id.parse().expect("CAS id");
                        cas = " CAS";
                    }
                    replies += &format!("VALUE {key} {flags} {length}{cas}\r\n{}", String::from_utf8_lossy(&data));
                }
                _ => replies += &line,
            }
        }
    }
}

/// What this connection gets for `bytes`, up to its end: the packets, made comparable.
pub fn to_the_end(mut wire: Wire, bytes: &[u8]) -> Vec<Packet> {
    wire.send_into_the_dark(bytes);
    let rest = wire.rest();
    let mut rest = &rest[..];
    let mut replies = Vec::new();
    while !rest.is_empty() {
        assert!(rest.len() >= HEADER, "half a packet: {}", rest.escape_ascii());
        let length = HEADER + Packet::body_length(rest);
        assert!(rest.len() >= length, "half a packet: {}", rest.escape_ascii());
        replies.push(comparable(Packet::parse(&rest[..HEADER], &rest[HEADER..length])));
        rest = &rest[length..];
    }
    replies
}

fn comparable(mut reply: Packet) -> Packet {
    reply.cas = reply.cas.min(1);
    if reply.opcode == op::VERSION && reply.status == 0 {
        assert!(!reply.value.is_empty());
        reply.value = b"version".to_vec();
    }
    reply
}

/// Shorter than the `Debug` of a packet, for messages.
pub fn brief(packets: &[Packet]) -> String {
    let brief = |packet: &Packet| {
        let value = &packet.value[..packet.value.len().min(60)];
        format!(
            "  op {:#04x} status {:#x} opaque {:#x} cas {} extras {:?} key \"{}\" value \"{}\" ({})\n",
            packet.opcode,
            packet.status,
            packet.opaque,
            packet.cas,
            packet.extras,
            packet.key.escape_ascii(),
            value.escape_ascii(),
            packet.value.len()
        )
    };
    packets.iter().map(brief).collect()
}
