//! Headers and whole packets of the binary protocol, parsed and written (02 §9, 04 §8.1).

use super::breach::Breach;
use crate::buffer::Value;
use crate::sums::sum;

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
        let [_, opcode, k0, k1, extras_len, datatype, s0, s1, b0, b1, b2, b3, o0, o1, o2, o3, cas @ ..] = *bytes;
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

/// Puts another vbucket id into the packet that `head` begins with.
pub fn set_vbucket(head: &mut [u8], vbucket: u16) {
    if let Some(field) = head.get_mut(6..8) {
        field.copy_from_slice(&vbucket.to_be_bytes());
    }
}

/// Puts another opcode into the packet that `head` begins with.
pub fn set_opcode(head: &mut [u8], opcode: u8) {
    if let Some(field) = head.get_mut(1) {
        *field = opcode;
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
    pub value: Value<'a>,
    /// Everything, header included.
    pub raw: Value<'a>,
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
    /// The connection has to be closed.
    Malformed(Breach),
}

/// Whether a client whose bytes begin like this speaks the binary protocol: its first byte decides, once and for all
/// (02 §4).
pub fn is_binary(data: &[u8]) -> bool {
    data.first() == Some(&REQUEST_MAGIC)
}

/// Looks at the beginning of a client's bytes.
pub fn parse_request<'a>(buf: impl Into<Value<'a>>) -> Parsed<'a> {
    parse(buf.into(), REQUEST_MAGIC)
}

/// Looks at the beginning of a server's bytes.
pub fn parse_reply<'a>(buf: impl Into<Value<'a>>) -> Parsed<'a> {
    parse(buf.into(), REPLY_MAGIC)
}

fn parse(all: Value<'_>, magic: u8) -> Parsed<'_> {
    let buf = all.bytes;
    // The first byte alone tells, so a peer that speaks something else does not keep us waiting for 24.
    if let Some(&first) = buf.first()
        && first != magic
    {
        return Parsed::Malformed(Breach::Magic(first));
    }
    let Some((head, rest)) = buf.split_first_chunk::<HEADER>() else {
        return Parsed::Incomplete { need: HEADER };
    };
    let header = Header::parse(head);
    let (extras_len, key_len) = (usize::from(header.extras_len), usize::from(header.key_len));
    // At most 21 MiB once compared, so it fits any usize.
    let body_len = header.body_len as usize;
    if header.body_len > BODY_MAX {
        return Parsed::Malformed(Breach::TooBig(header.body_len));
    }
    let content = u32::from(header.extras_len).saturating_add(header.key_len.into());
    if content > header.body_len {
        return Parsed::Malformed(Breach::Overfull { content, body: header.body_len });
    }
    let len = sum([HEADER, body_len]);
    let (Some(body), Some(raw)) = (rest.get(..body_len), buf.get(..len)) else {
        return Parsed::Incomplete { need: len };
    };
    // Both of them are within, as the comparison above has shown.
    let (extras, body) = body.split_at(extras_len);
    let (key, value) = body.split_at(key_len);
    Parsed::Packet { packet: Packet { header, extras, key, value: all.with(value), raw: all.with(raw) }, len }
}

/// A header with these lengths, all else 0.
pub(crate) fn lengths(extras: usize, key: usize, value: usize) -> Header {
    debug_assert!(extras <= usize::from(u8::MAX) && key <= usize::from(u16::MAX));
    let body = sum([extras, key, value]);
    debug_assert!(u32::try_from(body).is_ok());
    Header {
        extras_len: u8::try_from(extras).unwrap_or(u8::MAX),
        key_len: u16::try_from(key).unwrap_or(u16::MAX),
        body_len: u32::try_from(body).unwrap_or(u32::MAX),
        ..Header::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::binary::reply::Reply;
    use proptest::prelude::*;

    /// A GETK hit as of 04 §17: status 0, opaque 4, flags 110.
    const HIT: &[u8] = b"\x81\x0c\0\x01\x04\0\0\0\0\0\0\x08\0\0\0\x04\0\0\0\0\0\0\0\x09\0\0\0\x6eaxyz";

    #[test]
    fn a_reply_is_parsed_into_its_parts() {
        let Parsed::Packet { packet, len } = parse_reply(HIT) else { panic!("not a packet") };
        assert_eq!(len, HIT.len());
        let header = Header {
            opcode: 0x0c,
            key_len: 1,
            extras_len: 4,
            datatype: 0,
            vbucket_or_status: 0,
            body_len: 8,
            opaque: 4,
            cas: 9,
        };
        assert_eq!(packet.header, header);
        assert_eq!((packet.extras, packet.key, packet.value.bytes), (&b"\0\0\0\x6e"[..], &b"a"[..], &b"xyz"[..]));
        assert_eq!(packet.raw.bytes, HIT);
        let mut out = Vec::new();
        let (extras, key, value) = (packet.extras, packet.key, &packet.value[..]);
        Reply { opcode: 0x0c, opaque: 4, cas: 9, extras, key, value, ..Reply::default() }.write(&mut out);
        assert_eq!(out, HIT);
    }

    #[test]
    fn headers_are_changed_in_place() {
        let mut packet = HIT.to_vec();
        set_opcode(&mut packet, 0x0d);
        set_vbucket(&mut packet, 0x1234);
        let Parsed::Packet { packet: before, .. } = parse_reply(HIT) else { panic!("not a packet") };
        let Parsed::Packet { packet: after, .. } = parse_reply(&packet) else { panic!("not a packet") };
        assert_eq!(after.header, Header { opcode: 0x0d, vbucket_or_status: 0x1234, ..before.header });
        set_vbucket(&mut [0; 7], 1);
        set_opcode(&mut [], 1);
    }

    #[test]
    fn nothing_is_said_before_the_packet_is_complete() {
        for length in 0..HIT.len() {
            let need = if length < HEADER { HEADER } else { HIT.len() };
            assert_eq!(parse_reply(&HIT[..length]), Parsed::Incomplete { need }, "{length}");
        }
        let two = [HIT, HIT].concat();
        assert!(matches!(parse_reply(&two), Parsed::Packet { len: 32, .. }));
    }

    #[test]
    fn the_first_byte_tells_the_direction() {
        assert_eq!(parse_request(HIT), Parsed::Malformed(Breach::Magic(REPLY_MAGIC)));
        assert_eq!(parse_request(b"g"), Parsed::Malformed(Breach::Magic(b'g')));
        assert_eq!(parse_reply(b"\x80"), Parsed::Malformed(Breach::Magic(REQUEST_MAGIC)));
        assert_eq!(parse_request(b"\x80"), Parsed::Incomplete { need: HEADER });
    }

    #[test]
    fn a_clients_first_byte_tells_its_protocol() {
        for (data, expected) in
            [(&b"\x80"[..], true), (b"\x80\x0a", true), (b"\x81", false), (b"get", false), (b"", false)]
        {
            assert_eq!(is_binary(data), expected, "{}", data.escape_ascii());
        }
    }

    #[test]
    fn bodies_have_at_most_21_mib_and_hold_their_parts() {
        let head = |header: Header| {
            let mut out = Vec::new();
            header.write(&mut out, REQUEST_MAGIC);
            out
        };
        let of = |key_len, extras_len, body_len| head(Header { key_len, extras_len, body_len, ..Header::default() });
        assert_eq!(parse_request(&of(0, 0, BODY_MAX)), Parsed::Incomplete { need: HEADER + 22_020_096 });
        let overfull = |content, body| Parsed::Malformed(Breach::Overfull { content, body });
        assert_eq!(parse_request(&of(0, 0, BODY_MAX + 1)), Parsed::Malformed(Breach::TooBig(BODY_MAX + 1)));
        assert_eq!(parse_request(&of(0, 0, u32::MAX)), Parsed::Malformed(Breach::TooBig(u32::MAX)));
        assert_eq!(parse_request(&of(3, 4, 6)), overfull(7, 6));
        assert_eq!(parse_request(&of(3, 4, 7)), Parsed::Incomplete { need: HEADER + 7 });
        assert_eq!(parse_request(&of(u16::MAX, u8::MAX, 0)), overfull(65790, 0));
    }

    #[test]
    fn over_long_parts_of_a_reply_are_cut_so_that_lengths_agree() {
        let mut out = Vec::new();
        Reply { extras: &[1; 300], key: &[2; 70_000], value: b"v", ..Reply::default() }.write(&mut out);
        let Parsed::Packet { packet, len } = parse_reply(&out) else { panic!("not a packet") };
        assert_eq!(
            (packet.extras.len(), packet.key.len(), packet.value.bytes, len),
            (255, 65_535, &b"v"[..], out.len())
        );
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(mut bytes: Vec<u8>, magic in prop::sample::select(vec![0x80, 0x81]), body in 0u32..40) {
            if let Some(first) = bytes.first_mut() {
                *first = magic;
            }
            if let Some(length) = bytes.get_mut(8..12) {
                length.copy_from_slice(&body.to_be_bytes());
            }
            for parsed in [parse_request(&bytes), parse_reply(&bytes)] {
                match parsed {
                    Parsed::Incomplete { need } => prop_assert!(need > bytes.len()),
                    Parsed::Packet { packet, len } => {
                        prop_assert!(len <= bytes.len() && packet.raw.bytes == &bytes[..len]);
                        let parts = [packet.extras, packet.key, packet.value.bytes].concat();
                        prop_assert_eq!(&parts[..], &bytes[HEADER..len]);
                    }
                    Parsed::Malformed(_) => (),
                }
            }
        }
    }
}
