//! A client, and which answers it must get.

use moxi::protocol::Reply;
use moxi::protocol::ascii::reply::{Parsed, parse};
use moxi::protocol::binary::packet::{self, Header, REQUEST_MAGIC};

use crate::memory::{Bytes, Pipe};

/// A request as an ASCII client sends it, `#` being the key's number, and what a line of its answer begins with; any
/// request may be answered by an error.
const LINES: [(&str, &[&str]); 20] = [
    ("get k#\r\n", &[]),
    ("gets k# k2 k# k3\r\n", &[]),
    ("set k# 0 0 3\r\nab#\r\n", &["STORED"]),
    ("set k# 0 0 1 noreply\r\n#\r\n", &["nothing"]),
    ("add k# 7 0 1\r\n5\r\n", &["STORED", "NOT_STORED"]),
    ("append k# 0 0 2\r\n\r\n\r\n", &["STORED", "NOT_STORED"]),
    ("cas k# 0 0 1 3\r\nx\r\n", &["STORED", "EXISTS", "NOT_FOUND"]),
    ("incr k# 1\r\n", &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "NOT_FOUND"]),
    ("delete k#\r\n", &["DELETED", "NOT_FOUND"]),
    ("touch k# 100\r\n", &["TOUCHED", "NOT_FOUND", "ERROR"]),
    ("version\r\n", &["VERSION "]),
    ("bogus k#\r\n", &["ERROR"]),
    ("gat 0 k#\r\n", &[]),
    ("flush_all\r\n", &["OK"]),
    ("mg k# v f O# k\r\n", &["VA ", "EN"]),
    ("mg k# c T9\r\n", &["HD", "EN"]),
    ("ms k# 3 T0\r\nab#\r\n", &["HD", "NS"]),
    ("ma k# v N0 J#\r\n", &["VA ", "NF"]),
    ("md k# I\r\n", &["HD", "NF"]),
    ("mn\r\n", &["MN"]),
];

/// The same for a binary client: opcode, bytes of extras, whether it has a key and a value, whether it is quiet.
const PACKETS: [(u8, usize, bool, bool, bool); 12] = [
    (0x00, 0, true, false, false),
    (0x01, 8, true, true, false),
    (0x09, 0, true, false, true),
    (0x0a, 0, false, false, false),
    (0x0b, 0, false, false, false),
    (0x0c, 0, true, false, false),
    (0x04, 0, true, false, false),
    (0x05, 20, true, false, false),
    (0x0d, 0, true, false, true),
    (0x0e, 0, true, true, false),
    (0x11, 8, true, true, true),
    (0x1c, 4, true, false, false),
];

/// What a request waits for.
#[derive(Clone, Copy, Debug)]
enum Awaited {
    /// An answer to this entry of [`LINES`].
    Line(usize),
    /// A packet with this opcode and number; none is as good if it is quiet.
    Packet { opcode: u8, opaque: u32, is_quiet: bool },
}

/// A client.
pub struct User {
    pub pipe: Pipe,
    pub outgoing: Bytes,
    /// It has kept to the protocol.
    pub is_plain: bool,
    is_binary: bool,
    asked: u32,
    awaited: Vec<Awaited>,
    received: Vec<u8>,
}

impl User {
    pub fn new(pipe: Pipe, is_binary: bool) -> User {
        User {
            pipe,
            outgoing: Bytes::default(),
            is_plain: true,
            is_binary,
            asked: 0,
            awaited: Vec::new(),
            received: Vec::new(),
        }
    }

    /// It asks request number `which` for key number `key`.
    pub fn ask(&mut self, which: usize, key: usize) {
        self.asked += 1;
        if !self.is_binary {
            let which = which % LINES.len();
            let text = LINES[which].0.replace('#', &(key % 8).to_string());
            self.outgoing.push(text.as_bytes());
            if LINES[which].1 != ["nothing"] {
                self.awaited.push(Awaited::Line(which));
            }
            return;
        }
        let (opcode, extras, has_key, has_value, is_quiet) = PACKETS[which % PACKETS.len()];
        let name = format!("k{}", key % 8);
        let key = if has_key { name.as_bytes() } else { b"" };
        let value: &[u8] = if has_value { b"12" } else { b"" };
        let (extras, opaque) = (vec![0; extras], self.asked);
        let header = Header {
            opcode,
            key_len: key.len() as u16,
            extras_len: extras.len() as u8,
            body_len: (extras.len() + key.len() + value.len()) as u32,
            opaque,
            ..Header::default()
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes, REQUEST_MAGIC);
        for part in [&extras[..], key, value] {
            bytes.extend_from_slice(part);
        }
        self.outgoing.push(&bytes);
        self.awaited.push(Awaited::Packet { opcode, opaque, is_quiet });
    }

    /// It asks for what the proxy itself answers, behind all others.
    pub fn ask_last(&mut self) {
        self.ask(if self.is_binary { 3 } else { 10 }, 0);
    }

    /// It reads at most `most` bytes.
    pub fn receive(&mut self, most: usize) {
        let mut ends = self.pipe.ends();
        let count = ends.outbound.len().min(most);
        self.received.extend_from_slice(&ends.outbound.as_slice()[..count]);
        ends.outbound.drop_front(count);
        drop(ends);
        self.pipe.has_taken();
    }

    /// Panics if what it has received is not one answer to each request. Servers that are not `honest` may have said
    /// anything.
    pub fn check(&self, honest: bool) {
        let mut rest = &self.received[..];
        for awaited in &self.awaited {
            rest = match *awaited {
                Awaited::Line(which) => line_answer(rest, which, honest),
                Awaited::Packet { opcode, opaque, is_quiet } => packet_answer(rest, opcode, opaque, is_quiet),
            };
        }
        assert!(rest.is_empty(), "nobody has asked for {}", rest.escape_ascii());
    }
}

/// What follows the answer.
fn line_answer(mut rest: &[u8], which: usize, honest: bool) -> &[u8] {
    let (text, beginnings) = LINES[which];
    loop {
        let Parsed::Reply { reply, len } = parse(rest, &mut 0) else {
            panic!("no answer to {text:?} is {}", rest.escape_ascii());
        };
        let line = &rest[..len];
        rest = &rest[len..];
        let is_error = [&b"SERVER_ERROR "[..], b"CLIENT_ERROR ", b"ERROR"].iter().any(|word| line.starts_with(word));
        let is_fine = match reply {
            Reply::Value { .. } if beginnings.is_empty() => continue,
            Reply::End => beginnings.is_empty(),
            _ => beginnings.iter().any(|word| line.starts_with(word.as_bytes())),
        };
        assert!(is_fine || is_error || !honest, "{text:?} is answered {}", line.escape_ascii());
        return rest;
    }
}

/// What follows the answer.
fn packet_answer(rest: &[u8], opcode: u8, opaque: u32, is_quiet: bool) -> &[u8] {
    let found = match packet::parse_reply(rest) {
        packet::Parsed::Packet { packet, len } => Some((packet.header.opcode, packet.header.opaque, len)),
        packet::Parsed::Incomplete { .. } if rest.is_empty() => None,
        other => panic!("{other:?} is no answer"),
    };
    match found {
        Some((o, p, len)) if (o, p) == (opcode, opaque) => &rest[len..],
        _ if is_quiet => rest,
        found => panic!("opcode {opcode:#x} number {opaque} is answered by {found:?}"),
    }
}
