//! How `-vv` shows what clients send and get: the first line, or a packet's header and key. Never a value, which may be
//! large, and in a SASL packet is a password.

use super::binary::packet::{HEADER, Header, REPLY_MAGIC, REQUEST_MAGIC};

/// How much of a line or key is shown, in bytes.
const SHOWN_MAX: usize = 300;

/// The beginning of a request or reply, as one line of printable text.
pub fn shown(data: &[u8]) -> String {
    match (data.first(), data.split_first_chunk::<HEADER>()) {
        (Some(&REQUEST_MAGIC), Some((head, body))) => request(&Header::parse(head), body),
        (Some(&REPLY_MAGIC), Some((head, _))) => reply(&Header::parse(head)),
        _ => {
            let line = data.split(|&byte| byte == b'\n').next().unwrap_or(data);
            printable(line.strip_suffix(b"\r").unwrap_or(line))
        }
    }
}

fn request(header: &Header, body: &[u8]) -> String {
    let (extras_len, key_len) = (usize::from(header.extras_len), usize::from(header.key_len));
    let key = body.get(extras_len..).unwrap_or(b"");
    let key = printable(key.get(..key_len).unwrap_or(key));
    format!("0x{:02x} {key} (opaque 0x{:x}, body of {})", header.opcode, header.opaque, header.body_len)
}

fn reply(header: &Header) -> String {
    let (opcode, status) = (header.opcode, header.vbucket_or_status);
    format!("0x{opcode:02x} status 0x{status:04x} (opaque 0x{:x}, body of {})", header.opaque, header.body_len)
}

fn printable(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN_MAX) {
        Some(shown) if shown.len() < bytes.len() => format!("{}...", shown.escape_ascii()),
        _ => bytes.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_without_what_follows() {
        assert_eq!(shown(b"set a 0 0 6\r\nsecret\r\n"), "set a 0 0 6");
        assert_eq!(shown(b"get a\nget b\n"), "get a");
        assert_eq!(shown(b"get \xc3\xa9\t\x1b[1m\r\n"), r"get \xc3\xa9\t\x1b[1m");
        assert_eq!(shown(b"not yet"), "not yet");
        assert_eq!(shown(b""), "");
        assert_eq!(shown(&[b'a'; SHOWN_MAX]), "a".repeat(SHOWN_MAX));
        assert_eq!(shown(&[b'a'; SHOWN_MAX + 1]), "a".repeat(SHOWN_MAX) + "...");
    }

    #[test]
    fn packets_are_shown_without_their_values() {
        let packet = |first, status| {
            let header = Header {
                opcode: 0x21,
                key_len: 5,
                extras_len: 2,
                body_len: 13,
                opaque: 0xbeef,
                vbucket_or_status: status,
                ..Header::default()
            };
            let mut out = Vec::new();
            header.write(&mut out, first);
            out.extend_from_slice(b"xxPLAINsecret");
            out
        };
        let sent = packet(REQUEST_MAGIC, 0);
        assert_eq!(shown(&sent), "0x21 PLAIN (opaque 0xbeef, body of 13)");
        assert_eq!(shown(&sent[..HEADER + 4]), "0x21 PL (opaque 0xbeef, body of 13)");
        assert_eq!(shown(&sent[..HEADER]), "0x21  (opaque 0xbeef, body of 13)");
        assert_eq!(shown(&sent[..3]), r"\x80!\x00");
        let mut odd = sent.clone();
        odd[HEADER + 2..HEADER + 7].copy_from_slice(b"\0\r\n\x1b\xff");
        assert_eq!(shown(&odd), r"0x21 \x00\r\n\x1b\xff (opaque 0xbeef, body of 13)");
        assert_eq!(shown(&packet(REPLY_MAGIC, 0x20)), "0x21 status 0x0020 (opaque 0xbeef, body of 13)");
    }
}
