//! Packets of binary clients.

use moxi::protocol::ascii::meta;
use moxi::protocol::binary::packet::{HEADER, Header, Parsed, REQUEST_MAGIC, parse_request};
use moxi::protocol::{op, translate};

use crate::choices::Choices;
use crate::session::{Told, check};

/// Packets mean the same however they arrive, and their headers are the same when they are written. What a packet is for
/// an ASCII server is exactly one line, in which its key stands where it is said to, classic or as a meta command.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let at = choices.short();
    check(choices.rest(), at, &mut |buf, _| match parse_request(buf) {
        Parsed::Incomplete { need } => Told::Incomplete(need),
        Parsed::Malformed(breach) => Told::Closed(format!("{breach:?}: {}", breach.line(7))),
        Parsed::Packet { packet, len } => {
            check_header(&packet.header, REQUEST_MAGIC, packet.raw.bytes);
            assert_eq!(packet.raw.bytes, &buf[..len]);
            if op::of(packet.header.opcode).fits(&packet) && packet.value.bytes.len() <= 1 << 20 {
                check_line(&packet, false);
                check_line(&packet, true);
            }
            Told::Piece { meaning: format!("{packet:?}"), len, swallow: 0 }
        }
    });
}

/// The header is what it was written from.
pub(super) fn check_header(header: &Header, magic: u8, raw: &[u8]) {
    let mut out = Vec::new();
    header.write(&mut out, magic);
    assert_eq!(out, &raw[..HEADER]);
    assert_eq!(header.body_len as usize, raw.len() - HEADER);
}

fn check_line(packet: &moxi::protocol::binary::packet::Packet<'_>, is_meta: bool) {
    let mut out = b"before\r\n".to_vec();
    let start = out.len();
    let Ok(written) = translate::write(&mut out, packet, is_meta) else {
        assert_eq!(out.len(), start, "something is written of what is refused");
        return;
    };
    let line = &out[start..];
    let text = || format!("{packet:?} is {}", line.escape_ascii());
    assert!(line.ends_with(b"\r\n"), "{}", text());
    assert!(!line[..line.len() - 2].iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')), "{}", text());
    let mut key = line[written.key_at..][..written.key_len].to_vec();
    if written.is_encoded {
        assert!(is_meta && line.windows(3).any(|flag| flag == b" b " || flag == b" b\r"), "{}", text());
        meta::decode_key(&mut key);
    }
    assert_eq!(key, if written.key_len == 0 { b"" } else { packet.key }, "{}", text());
    assert!(written.has_value || packet.value.is_empty(), "{}", text());
}
