//! Packets in meta commands: with CAS ids, and keys that are no words.

use super::Written;
use crate::protocol::ascii::meta;
use crate::protocol::binary::command::DO_NOT_CREATE;
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::packet::Packet;
use crate::protocol::binary::request::{number, short};
use crate::protocol::expiry;
use crate::protocol::numbers::push_u64;
use crate::protocol::op::Op;
use crate::sums::sum;

/// Appends the line for `packet`.
///
/// # Errors
/// The status for the client if the server has no such command; nothing is written then.
pub(super) fn write(out: &mut Vec<u8>, packet: &Packet<'_>, op: &Op) -> Result<Written, u16> {
    let verb = verb(op.opcode).ok_or(status::UNKNOWN_COMMAND)?;
    out.extend_from_slice(verb);
    let (key_at, start) = (sum([verb.len(), 1]), sum([out.len(), 1]));
    let is_encoded = meta::push_key(out, packet.key);
    let key_len = out.len().saturating_sub(start);
    let has_value = verb == b"ms";
    if has_value {
        out.push(b' ');
        push_u64(out, packet.value.len() as u64);
    }
    flags(out, packet, op.opcode);
    // Of a get it says nothing.
    if packet.header.cas != 0 && !matches!(verb, b"mg") {
        flag(out, b'C', packet.header.cas);
    }
    if is_encoded {
        out.extend_from_slice(b" b");
    }
    out.extend_from_slice(b"\r\n");
    Ok(Written { key_at, key_len, is_encoded, has_value, create: None })
}

/// Whether there is a command for packets of this kind.
pub(super) fn is_known(op: &Op) -> bool {
    verb(op.opcode).is_some()
}

/// The command that does the same; `None`: there is none.
fn verb(code: u8) -> Option<&'static [u8]> {
    Some(match code {
        opcode::GET | opcode::GETK | opcode::GAT | opcode::GATK | opcode::TOUCH => b"mg",
        opcode::SET | opcode::ADD | opcode::REPLACE | opcode::APPEND | opcode::PREPEND => b"ms",
        opcode::DELETE => b"md",
        opcode::INCREMENT | opcode::DECREMENT => b"ma",
        _ => return None,
    })
}

/// Appends what the command is to do and to tell, other than for the CAS id.
fn flags(out: &mut Vec<u8>, packet: &Packet<'_>, code: u8) {
    let extras = packet.extras;
    match code {
        opcode::GET | opcode::GETK => out.extend_from_slice(b" v f c"),
        opcode::GAT | opcode::GATK => {
            out.extend_from_slice(b" v f c");
            flag(out, b'T', expiry::to_line(short(extras, 0)).into());
        }
        opcode::TOUCH => {
            out.extend_from_slice(b" f c");
            flag(out, b'T', expiry::to_line(short(extras, 0)).into());
        }
        opcode::INCREMENT | opcode::DECREMENT => {
            out.extend_from_slice(if code == opcode::INCREMENT { b" v c MI" } else { b" v c MD" });
            flag(out, b'D', number(extras, 0));
            let exptime = short(extras, 16);
            if exptime != DO_NOT_CREATE {
                flag(out, b'J', number(extras, 8));
                flag(out, b'N', expiry::to_line(exptime).into());
            }
        }
        opcode::DELETE => {}
        _ => {
            out.extend_from_slice(b" c");
            out.extend_from_slice(mode(packet, code));
            if extras.len() == 8 {
                flag(out, b'F', u64::from(short(extras, 0)));
                flag(out, b'T', expiry::to_line(short(extras, 4)).into());
            }
        }
    }
}

/// How a value is stored.
fn mode(packet: &Packet<'_>, code: u8) -> &'static [u8] {
    match code {
        opcode::ADD if packet.header.cas != 0 => b" MS", // as memcached treats an add with an id
        opcode::ADD => b" ME",
        opcode::REPLACE => b" MR",
        opcode::APPEND => b" MA",
        opcode::PREPEND => b" MP",
        _ => b" MS",
    }
}

fn flag(out: &mut Vec<u8>, name: u8, argument: u64) {
    out.extend_from_slice(&[b' ', name]);
    push_u64(out, argument);
}

#[cfg(test)]
mod tests {
    use super::super::write;
    use crate::protocol::binary::opcode::*;
    use crate::protocol::binary::packet::{Parsed, lengths, parse_request};

    fn line(code: u8, cas: u64, extras: &[u8], value: &[u8]) -> String {
        let mut bytes = Vec::new();
        let mut header = lengths(extras.len(), 1, value.len());
        (header.opcode, header.cas) = (code, cas);
        header.write(&mut bytes, 0x80);
        bytes.extend([extras, b"k", value].concat());
        let Parsed::Packet { packet, .. } = parse_request(&bytes) else { panic!("not a packet") };
        let mut out = Vec::new();
        let written = write(&mut out, &packet, true).expect("a command");
        assert_eq!((written.has_value, written.create), (!value.is_empty(), None));
        String::from_utf8(out).expect("text")
    }

    /// 04 §10.
    #[test]
    fn each_command_has_its_mode_and_its_flags() {
        let store = [0, 0, 0, 5, 0, 0, 0, 9];
        let never = [&3u64.to_be_bytes()[..], &8u64.to_be_bytes(), &[0xff; 4]].concat();
        for (code, cas, extras, value, expected) in [
            (GET, 4, &[][..], "", "mg k v f c\r\n"),
            (GATKQ, 4, &[0, 0, 0, 6], "", "mg k v f c T6\r\n"),
            (TOUCH, 0, &[0x80, 0, 0, 0], "", "mg k f c T0\r\n"),
            (SET, 0, &store, "v", "ms k 1 c MS F5 T9\r\n"),
            (ADD, 0, &store, "v", "ms k 1 c ME F5 T9\r\n"),
            (REPLACE, 0, &store, "v", "ms k 1 c MR F5 T9\r\n"),
            (APPENDQ, 0, &[], "v", "ms k 1 c MA\r\n"),
            (PREPEND, 4, &[], "v", "ms k 1 c MP C4\r\n"),
            (DELETEQ, 4, &[], "", "md k C4\r\n"),
            (DECREMENT, 4, &never, "", "ma k v c MD D3 C4\r\n"),
        ] {
            assert_eq!(line(code, cas, extras, value.as_bytes()), expected);
        }
    }
}
