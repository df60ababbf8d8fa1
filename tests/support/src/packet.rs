//! Packets of memcached's binary protocol.

/// Bytes of the fixed header.
pub const HEADER: usize = 24;

/// The opcodes these tests use.
#[expect(missing_docs, reason = "the names are memcached's own")]
pub mod op {
    pub const GET: u8 = 0x00;
    pub const SET: u8 = 0x01;
    pub const ADD: u8 = 0x02;
    pub const REPLACE: u8 = 0x03;
    pub const DELETE: u8 = 0x04;
    pub const INCR: u8 = 0x05;
    pub const DECR: u8 = 0x06;
    pub const QUIT: u8 = 0x07;
    pub const FLUSH: u8 = 0x08;
    pub const GETQ: u8 = 0x09;
    pub const NOOP: u8 = 0x0a;
    pub const VERSION: u8 = 0x0b;
    pub const GETK: u8 = 0x0c;
    pub const GETKQ: u8 = 0x0d;
    pub const APPEND: u8 = 0x0e;
    pub const PREPEND: u8 = 0x0f;
    pub const STAT: u8 = 0x10;
    pub const SETQ: u8 = 0x11;
    pub const ADDQ: u8 = 0x12;
    pub const REPLACEQ: u8 = 0x13;
    pub const DELETEQ: u8 = 0x14;
    pub const INCRQ: u8 = 0x15;
    pub const DECRQ: u8 = 0x16;
    pub const QUITQ: u8 = 0x17;
    pub const FLUSHQ: u8 = 0x18;
    pub const APPENDQ: u8 = 0x19;
    pub const PREPENDQ: u8 = 0x1a;
    pub const TOUCH: u8 = 0x1c;
    pub const GAT: u8 = 0x1d;
    pub const GATQ: u8 = 0x1e;
    pub const SASL_LIST: u8 = 0x20;
    pub const SASL_AUTH: u8 = 0x21;
    pub const GATK: u8 = 0x23;
    pub const GATKQ: u8 = 0x24;
    pub const SELECT_BUCKET: u8 = 0x2a;
    pub const GETL: u8 = 0x94;
    pub const UNL: u8 = 0x95;
}

/// A request or a reply; unmentioned fields are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// 0x80 request, 0x81 reply.
    pub magic: u8,
    /// The command.
    pub opcode: u8,
    /// Vbucket id of a request, status of a reply.
    pub status: u16,
    /// Echoed by the server.
    pub opaque: u32,
    /// CAS id.
    pub cas: u64,
    /// Extras.
    pub extras: Vec<u8>,
    /// Key.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

impl Packet {
    /// A request.
    pub fn request(opcode: u8) -> Packet {
        Packet { magic: 0x80, opcode, ..Packet::default() }
    }

    /// A successful reply.
    pub fn reply(opcode: u8) -> Packet {
        Packet { magic: 0x81, opcode, ..Packet::default() }
    }

    /// A request that stores `value`, with flags and expiry 0. For opcodes such as [`op::SET`] and [`op::ADDQ`].
    pub fn storing(opcode: u8, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Packet {
        Packet::request(opcode).extra64(0).key(key).value(value)
    }

    /// A request that counts up or down by `delta`; what is missing is created as `initial`, to expire after
    /// `exptime` seconds, unless that is [`u32::MAX`].
    pub fn counting(opcode: u8, key: impl AsRef<[u8]>, delta: u64, initial: u64, exptime: u32) -> Packet {
        Packet::request(opcode).key(key).extra64(delta).extra64(initial).extra32(exptime)
    }

    /// The request that closes quiet ones.
    pub fn noop(opaque: u32) -> Packet {
        Packet::request(op::NOOP).opaque(opaque)
    }

    /// Its answer.
    pub fn noop_done(opaque: u32) -> Packet {
        Packet::reply(op::NOOP).opaque(opaque)
    }

    /// Sets the vbucket id or the status.
    pub fn status(mut self, status: u16) -> Packet {
        self.status = status;
        self
    }

    /// Sets the opaque.
    pub fn opaque(mut self, opaque: u32) -> Packet {
        self.opaque = opaque;
        self
    }

    /// Sets the CAS id.
    pub fn cas(mut self, cas: u64) -> Packet {
        self.cas = cas;
        self
    }

    /// Appends to the extras.
    pub fn extras(mut self, extras: impl AsRef<[u8]>) -> Packet {
        self.extras.extend_from_slice(extras.as_ref());
        self
    }

    /// Appends a 32-bit number to the extras.
    pub fn extra32(self, number: u32) -> Packet {
        self.extras(number.to_be_bytes())
    }

    /// Appends a 64-bit number to the extras.
    pub fn extra64(self, number: u64) -> Packet {
        self.extras(number.to_be_bytes())
    }

    /// Sets the key.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Packet {
        self.key = key.as_ref().to_vec();
        self
    }

    /// Sets the value.
    pub fn value(mut self, value: impl AsRef<[u8]>) -> Packet {
        self.value = value.as_ref().to_vec();
        self
    }

    /// As sent.
    pub fn bytes(&self) -> Vec<u8> {
        let body = self.extras.len() + self.key.len() + self.value.len();
        let mut out = Vec::with_capacity(HEADER + body);
        out.extend_from_slice(&[self.magic, self.opcode]);
        out.extend_from_slice(&(self.key.len() as u16).to_be_bytes());
        out.extend_from_slice(&[self.extras.len() as u8, 0]);
        out.extend_from_slice(&self.status.to_be_bytes());
        out.extend_from_slice(&(body as u32).to_be_bytes());
        out.extend_from_slice(&self.opaque.to_be_bytes());
        out.extend_from_slice(&self.cas.to_be_bytes());
        out.extend_from_slice(&self.extras);
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.value);
        out
    }

    /// The length of what follows `head`.
    pub fn body_length(head: &[u8]) -> usize {
        u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize
    }

    /// Takes a packet apart; fails the test if its lengths contradict each other.
    pub fn parse(head: &[u8], body: &[u8]) -> Packet {
        let key = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let extras = usize::from(head[4]);
        assert!(extras + key <= body.len(), "extras {extras} + key {key} > body {}", body.len());
        assert_eq!(head[5], 0, "datatype");
        Packet {
            magic: head[0],
            opcode: head[1],
            status: u16::from_be_bytes([head[6], head[7]]),
            opaque: u32::from_be_bytes([head[12], head[13], head[14], head[15]]),
            cas: u64::from_be_bytes(head[16..24].try_into().expect("eight bytes")),
            extras: body[..extras].to_vec(),
            key: body[extras..extras + key].to_vec(),
            value: body[extras + key..].to_vec(),
        }
    }
}

/// Several packets in a row.
pub fn join(packets: impl IntoIterator<Item = Packet>) -> Vec<u8> {
    packets.into_iter().flat_map(|packet| packet.bytes()).collect()
}
