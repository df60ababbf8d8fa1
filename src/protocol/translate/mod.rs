//! Binary requests in ASCII words, and the answers back, for binary clients of ASCII servers.
//!
//! Servers that know the meta commands (memcached 1.6.10) get those: they carry CAS ids, initial values and expiry in
//! one atomic command, and keys that are no words in base64. Others get the classic commands; what these cannot say is
//! refused with 0x83, such a key with 0x04.
//!
//! | file | what |
//! |---|---|
//! | `meta`, `classic` | a packet in the words of a server that knows meta commands, or of another |
//! | [`mod@answer`] | the server's answer as a packet |

pub mod answer;
mod classic;
mod meta;

use super::Create;
use super::ascii::command::keyless;
use super::ascii::meta::{is_encodable, is_word};
use super::binary::opcode::status;
use super::binary::packet::Packet;
use super::binary::request;
use super::op::{self, Op, Target};

pub use answer::{Asked, Outcome, answer, created};
pub use classic::write_create;

/// What was written for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where the key stands, counted from where the writing began.
    pub key_at: usize,
    /// How long it is there.
    pub key_len: usize,
    /// It stands there in base64.
    pub is_encoded: bool,
    /// The packet's value and a line end are to follow.
    pub has_value: bool,
    /// A missing number is to be created, by a further command.
    pub create: Option<Create>,
}

/// Appends the line for `packet`, whose shape has been checked.
///
/// # Errors
/// The status for the client if the server has no such command; nothing is written then.
pub fn write(out: &mut Vec<u8>, packet: &Packet<'_>, is_meta: bool) -> Result<Written, u16> {
    let op = op::of(packet.header.opcode);
    if op.target == Target::All
        && let Some(command) = request::keyless(packet)
    {
        keyless(out, &command);
        return Ok(Written { key_at: 0, key_len: 0, is_encoded: false, has_value: false, create: None });
    }
    check_key(packet, op, is_meta)?;
    if is_meta { meta::write(out, packet, op) } else { classic::write(out, packet, op) }
}

fn check_key(packet: &Packet<'_>, op: &Op, is_meta: bool) -> Result<(), u16> {
    match is_word(packet.key) || is_meta && is_encodable(packet.key) {
        true => Ok(()),
        // What no such server knows is not known for this key either.
        false => Err(if op.is_foreign { status::UNKNOWN_COMMAND } else { status::INVALID }),
    }
}

/// Whether `packet` is among those for which there is a line whatever the server knows, as nearly all are.
pub fn is_plain(packet: &Packet<'_>) -> bool {
    let op = op::of(packet.header.opcode);
    op.target == Target::All || !op.is_foreign && packet.header.cas == 0 && is_word(packet.key)
}

/// Whether [`write()`] knows a line for `packet`, whose shape has been checked.
pub fn is_known(packet: &Packet<'_>, is_meta: bool) -> bool {
    let op = op::of(packet.header.opcode);
    op.target == Target::All && request::keyless(packet).is_some()
        || check_key(packet, op, is_meta).is_ok()
            && if is_meta { meta::is_known(op) } else { classic::is_known(packet, op) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Output;
    use crate::protocol::ascii::meta;
    use crate::protocol::ascii::reply;
    use crate::protocol::binary::opcode;
    use crate::protocol::binary::packet::{Parsed, lengths, parse_request};

    fn packet(code: u8, extras: &[u8], key: &[u8], value: &[u8], cas: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut header = lengths(extras.len(), key.len(), value.len());
        (header.opcode, header.cas, header.opaque) = (code, cas, 7);
        header.write(&mut out, 0x80);
        for part in [extras, key, value] {
            out.extend_from_slice(part);
        }
        out
    }

    fn line(bytes: &[u8], is_meta: bool) -> Result<String, u16> {
        let Parsed::Packet { packet, .. } = parse_request(bytes) else { panic!("not a packet") };
        let mut out = Vec::new();
        let written = write(&mut out, &packet, is_meta)?;
        let mut key = out[written.key_at..written.key_at + written.key_len].to_vec();
        if written.is_encoded {
            meta::decode_key(&mut key);
        }
        assert_eq!(key, packet.key);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn requests_in_both_dialects() {
        let set = [0, 0, 0, 5, 0, 0, 0, 9];
        let arith = [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0];
        type Line = Result<&'static str, u16>;
        let invalid: Line = Err(status::INVALID);
        let unknown: Line = Err(status::UNKNOWN_COMMAND);
        let table: [(Vec<u8>, Line, Line); 17] = [
            (packet(opcode::GETKQ, &[], b"k", &[], 0), Ok("mg k v f c\r\n"), Ok("gets k\r\n")),
            (packet(opcode::SETQ, &set, b"k", b"ab", 0), Ok("ms k 2 c MS F5 T9\r\n"), Ok("set k 5 9 2\r\n")),
            (packet(opcode::SET, &set, b"k", b"ab", 4), Ok("ms k 2 c MS F5 T9 C4\r\n"), Ok("cas k 5 9 2 4\r\n")),
            (packet(opcode::REPLACEQ, &set, b"k", b"ab", 4), Ok("ms k 2 c MR F5 T9 C4\r\n"), Ok("cas k 5 9 2 4\r\n")),
            (packet(opcode::ADD, &set, b"k", b"ab", 4), Ok("ms k 2 c MS F5 T9 C4\r\n"), Ok("cas k 5 9 2 4\r\n")),
            (packet(opcode::APPEND, &[], b"k", b"ab", 4), Ok("ms k 2 c MA C4\r\n"), Err(status::NOT_SUPPORTED)),
            (packet(opcode::DELETE, &[], b"k", &[], 0), Ok("md k\r\n"), Ok("delete k\r\n")),
            (packet(opcode::INCREMENT, &arith, b"k", &[], 0), Ok("ma k v c MI D3 J8 N0\r\n"), Ok("incr k 3\r\n")),
            (packet(opcode::GATQ, &[0, 0, 0, 6], b"k", &[], 0), Ok("mg k v f c T6\r\n"), Ok("gats 6 k\r\n")),
            (packet(opcode::GETL, &[], b"k", &[], 0), unknown, unknown),
            (packet(opcode::GETK, &[], b"a b", &[], 0), Ok("mg YSBi v f c b\r\n"), invalid),
            (packet(opcode::ADDQ, &set, b"\0", b"ab", 0), Ok("ms AA== 2 c ME F5 T9 b\r\n"), invalid),
            (packet(opcode::DELETE, &[], b"a\r", &[], 7), Ok("md YQ0= C7 b\r\n"), invalid),
            (packet(opcode::DECREMENT, &arith, b"\n", &[], 0), Ok("ma Cg== v c MD D3 J8 N0 b\r\n"), invalid),
            (packet(opcode::TOUCH, &[0, 0, 0, 6], b" ", &[], 0), Ok("mg IA== f c T6 b\r\n"), invalid),
            (packet(opcode::GET, &[], &[b' '; 187], &[], 0), invalid, invalid),
            (packet(opcode::GETL, &[], b"a b", &[], 0), unknown, unknown),
        ];
        for (bytes, meta, classic) in table {
            let Parsed::Packet { packet, .. } = parse_request(&bytes) else { panic!("not a packet") };
            assert_eq!([true, false].map(|is_meta| is_known(&packet, is_meta)), [meta.is_ok(), classic.is_ok()]);
            assert_eq!(line(&bytes, true), meta.map(str::to_owned));
            assert_eq!(line(&bytes, false), classic.map(str::to_owned));
        }
    }

    #[test]
    fn most_packets_are_plain() {
        let plain = |code, key: &[u8], cas| {
            let bytes = packet(code, &[], key, &[], cas);
            let Parsed::Packet { packet, .. } = parse_request(&bytes) else { panic!("not a packet") };
            (is_plain(&packet), is_known(&packet, true), is_known(&packet, false))
        };
        assert_eq!(plain(opcode::GETKQ, b"k", 0), (true, true, true));
        assert_eq!(plain(opcode::NOOP, b"", 0), (true, true, true));
        assert_eq!(plain(opcode::NOOP, b"", 9), (true, true, true));
        assert_eq!(plain(opcode::DELETE, b"k", 9), (false, true, false));
        assert_eq!(plain(opcode::GET, b"a b", 0), (false, true, false));
        assert_eq!(plain(opcode::GETL, b"k", 0), (false, false, false));
    }

    /// 04 §10: in the same words to servers of either kind.
    #[test]
    fn what_all_servers_get() {
        for (code, extras, key, expected) in [
            (opcode::FLUSH, &[][..], &b""[..], "flush_all\r\n"),
            (opcode::FLUSHQ, &[0, 0, 0, 9], b"", "flush_all 9\r\n"),
            (opcode::FLUSH, &[0xff; 4], b"", "flush_all 2147483647\r\n"),
            (opcode::NOOP, &[], b"", "version\r\n"),
            (opcode::STAT, &[], b"", "stats\r\n"),
            (opcode::STAT, &[], b"settings", "stats settings\r\n"),
        ] {
            for is_meta in [false, true] {
                let bytes = packet(code, extras, key, &[], 0);
                let Parsed::Packet { packet, .. } = parse_request(&bytes) else { panic!("not a packet") };
                let mut out = Vec::new();
                let written = write(&mut out, &packet, is_meta).expect("a command");
                assert!(is_known(&packet, is_meta));
                assert_eq!((written.key_len, written.has_value, written.create), (0, false, None));
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }

    fn reply(code: u8, may_create: bool, server: &[u8]) -> (Outcome, Vec<u8>) {
        let reply::Parsed::Reply { reply, .. } = reply::parse(server, &mut 0) else { panic!("not a reply") };
        let mut out = Output::default();
        let asked = Asked { opcode: code, opaque: 7, key: b"k", may_create };
        let outcome = answer(Some(&mut out), &asked, &reply);
        let bytes = out.contiguous(u64::MAX).unwrap_or_default().to_vec();
        (outcome, bytes)
    }

    #[test]
    fn answers_carry_status_and_cas() {
        let (outcome, bytes) = reply(opcode::GETK, false, b"VA 2 f5 c9\r\nab\r\n");
        assert_eq!(outcome, Outcome::Answered);
        assert_eq!(bytes, b"\x81\x0c\0\x01\x04\0\0\0\0\0\0\x07\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\x05kab");
        let (_, bytes) = reply(opcode::SET, false, b"HD c9\r\n");
        assert_eq!(bytes, b"\x81\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09");
        assert_eq!(reply(opcode::SETQ, false, b"HD c9\r\n"), (Outcome::Answered, vec![]));
        assert_eq!(reply(opcode::GETQ, false, b"EN\r\n"), (Outcome::Answered, vec![]));
        assert_eq!(reply(opcode::INCREMENT, true, b"NOT_FOUND\r\n"), (Outcome::Missing, vec![]));
        let (_, bytes) = reply(opcode::INCREMENT, false, b"VA 2 c9\r\n12\r\n");
        assert_eq!(&bytes[24..], 12u64.to_be_bytes());
        let status = |code, server| u16::from_be_bytes(reply(code, false, server).1[6..8].try_into().unwrap());
        assert_eq!(status(opcode::ADD, b"NS\r\n"), status::KEY_EXISTS);
        assert_eq!(status(opcode::REPLACE, b"NOT_STORED\r\n"), status::KEY_NOT_FOUND);
        assert_eq!(status(opcode::APPENDQ, b"NS\r\n"), status::NOT_STORED);
        assert_eq!(status(opcode::SETQ, b"EX\r\n"), status::KEY_EXISTS);
        assert_eq!(status(opcode::GET, b"END\r\n"), status::KEY_NOT_FOUND);
        assert_eq!(reply(opcode::SET, false, b"END\r\n").0, Outcome::Unfit);
        for line in [&b"HD\r\n"[..], b"STORED\r\n", b"TOUCHED\r\n", b"OK\r\n"] {
            assert_eq!(reply(opcode::GAT, false, line).0, Outcome::Unfit);
            assert_eq!(reply(opcode::INCREMENT, false, line).0, Outcome::Unfit);
        }
    }
}
