//! Headers and whole packets of the binary protocol, parsed and written (02 §9, 04 §8.1).

/// Size of a header in bytes.
pub const HEADER: usize = 24;

/// Largest body in bytes, in both directions: 21 MiB (04 §8.1).
pub const BODY_MAX: u32 = 22_020_096;

/// First byte of a request.
pub const REQUEST_MAGIC: u8 = 0x80;

/// First byte of a reply.
pub const REPLY_MAGIC: u8 = 0x81;

/// A header without its first byte; all numbers are big endian on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// What is asked for, or was (see [`opcode`](super::opcode)).
    pub opcode: u8,
    /// Bytes of the key.
    pub key_len: u16,
    /// Bytes of the extras.
    pub extras_len: u8,
    /// Not interpreted.
    pub datatype: u8,
    /// The vbucket in a request, the status in a reply.
    pub vbucket_or_status: u16,
    /// Bytes of extras, key and value together.
    pub body_len: u32,
    /// Returned by the server as it is.
    pub opaque: u32,
    /// CAS id; 0 is none.
    pub cas: u64,
}

impl Header {
    /// Reads a header.
    pub fn parse(bytes: &[u8; HEADER]) -> Header {
        // Patterns instead of offsets: the compiler counts the bytes.
        let [
            _,
            opcode,
            k0,
            k1,
            extras_len,
            datatype,
            s0,
            s1,
            b0,
            b1,
            b2,
            b3,
            o0,
            o1,
            o2,
            o3,
            cas @ ..,
        ] = *bytes;
        Header {
            opcode,
            key_len: u16::from_be_bytes([k0, k1]),
            extras_len,
            datatype,
            vbucket_or_status: u16::from_be_bytes([s0, s1]),
            body_len: u32::from_be_bytes([b0, b1, b2, b3]),
            opaque: u32::from_be_bytes([o0, o1, o2, o3]),
            cas: u64::from_be_bytes(cas),
        }
    }

    /// Appends the header behind `magic`.
    pub fn write(&self, out: &mut Vec<u8>, magic: u8) {
        let mut bytes = [0; HEADER];
        bytes[0] = magic;
        bytes[1] = self.opcode;
        bytes[2..4].copy_from_slice(&self.key_len.to_be_bytes());
        bytes[4] = self.extras_len;
        bytes[5] = self.datatype;
        bytes[6..8].copy_from_slice(&self.vbucket_or_status.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.body_len.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.opaque.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.cas.to_be_bytes());
        out.extend_from_slice(&bytes);
    }
}

/// A whole packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The header; its lengths are those of the parts below.
    pub header: Header,
    /// Arguments of fixed shape.
    pub extras: &'a [u8],
    /// The key.
    pub key: &'a [u8],
    /// What is behind extras and key.
    pub value: &'a [u8],
    /// Everything, header included.
    pub raw: &'a [u8],
}

/// What the beginning of a peer's bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Nothing can be said before the buffer holds `need` bytes, which is always more than it holds now.
    Incomplete {
        /// Bytes, counted from the beginning of the buffer.
        need: usize,
    },
    /// One complete packet.
    Packet {
        /// The packet.
        packet: Packet<'a>,
        /// Bytes to consume.
        len: usize,
    },
    /// Wrong first byte, impossible lengths or too large: the connection has to be closed.
    Malformed,
}

/// Looks at the beginning of a client's bytes.
pub fn parse_request(buf: &[u8]) -> Parsed<'_> {
    parse(buf, REQUEST_MAGIC)
}

/// Looks at the beginning of a server's bytes.
pub fn parse_reply(buf: &[u8]) -> Parsed<'_> {
    parse(buf, REPLY_MAGIC)
}

fn parse(buf: &[u8], magic: u8) -> Parsed<'_> {
    // The first byte alone tells, so a peer that speaks something else does not keep us waiting for 24.
    if buf.first().is_some_and(|&first| first != magic) {
        return Parsed::Malformed;
    }
    let Some((head, rest)) = buf.split_first_chunk::<HEADER>() else {
        return Parsed::Incomplete { need: HEADER };
    };
    let header = Header::parse(head);
    let (extras_len, key_len) = (usize::from(header.extras_len), usize::from(header.key_len));
    // At most 21 MiB once compared, so it fits any usize.
    let body_len = header.body_len as usize;
    if header.body_len > BODY_MAX || extras_len + key_len > body_len {
        return Parsed::Malformed;
    }
    let len = HEADER + body_len;
    let (Some(body), Some(raw)) = (rest.get(..body_len), buf.get(..len)) else {
        return Parsed::Incomplete { need: len };
    };
    let (extras, body) = body.split_at(extras_len);
    let (key, value) = body.split_at(key_len);
    Parsed::Packet {
        packet: Packet {
            header,
            extras,
            key,
            value,
            raw,
        },
        len,
    }
}

/// Appends a reply.
///
/// Extras of at most 255 bytes and a key of at most 65,535 are the caller's duty; what is longer is cut there,
/// so that lengths and bytes always agree.
#[expect(clippy::too_many_arguments, reason = "a packet has that many parts")]
pub fn write_reply(
    out: &mut Vec<u8>,
    opcode: u8,
    status: u16,
    opaque: u32,
    cas: u64,
    extras: &[u8],
    key: &[u8],
    value: &[u8],
) {
    let extras = &extras[..extras.len().min(usize::from(u8::MAX))];
    let key = &key[..key.len().min(usize::from(u16::MAX))];
    let header = Header {
        opcode,
        vbucket_or_status: status,
        opaque,
        cas,
        ..lengths(extras.len(), key.len(), value.len())
    };
    header.write(out, REPLY_MAGIC);
    out.extend_from_slice(extras);
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// A header with these lengths, all else 0.
pub(super) fn lengths(extras: usize, key: usize, value: usize) -> Header {
    debug_assert!(extras <= usize::from(u8::MAX) && key <= usize::from(u16::MAX));
    debug_assert!(u32::try_from(extras + key + value).is_ok());
    Header {
        extras_len: u8::try_from(extras).unwrap_or(u8::MAX),
        key_len: u16::try_from(key).unwrap_or(u16::MAX),
        body_len: u32::try_from(extras + key + value).unwrap_or(u32::MAX),
        ..Header::default()
    }
}
