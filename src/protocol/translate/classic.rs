//! Packets in classic commands.

use super::Written;
use crate::protocol::ascii::command::{end, line};
use crate::protocol::binary::opcode::status;
use crate::protocol::binary::packet::Packet;
use crate::protocol::binary::request;
use crate::protocol::keyed::Keyed;
use crate::protocol::numbers::push_u64;
use crate::protocol::op::Op;
use crate::protocol::{Arith, Create, Store, StoreVerb, expiry};

/// Appends the line for `packet`.
///
/// # Errors
/// The status for the client if the server has no such command; nothing is written then.
pub(super) fn write(out: &mut Vec<u8>, packet: &Packet<'_>, op: &Op) -> Result<Written, u16> {
    let keyed = command(packet, op)?;
    let key_at = line(out, &keyed);
    let create = match keyed {
        Keyed::Arith(Arith { create, .. }) => create,
        _ => None,
    };
    let has_value = matches!(keyed, Keyed::Store(_));
    Ok(Written { key_at, key_len: packet.key.len(), is_encoded: false, has_value, create })
}

/// Whether there is a command for `packet`.
pub(super) fn is_known(packet: &Packet<'_>, op: &Op) -> bool {
    command(packet, op).is_ok()
}

/// What a classic server is told.
fn command<'a>(packet: &Packet<'a>, op: &Op) -> Result<Keyed<'a>, u16> {
    // Most classic commands cannot be made to depend on an id.
    if packet.header.cas != 0 && op.cas_word.is_empty() {
        return Err(status::NOT_SUPPORTED);
    }
    match request::keyed(packet).filter(|_| !op.is_foreign) {
        // With an id there is one way to store only.
        Some(Keyed::Store(store)) if store.cas.is_some() => Ok(Keyed::Store(Store { verb: StoreVerb::Set, ..store })),
        Some(keyed) => Ok(keyed),
        None => Err(status::UNKNOWN_COMMAND),
    }
}

/// Appends the command that creates a missing number, with its value.
pub fn write_create(out: &mut Vec<u8>, key: &[u8], create: Create) {
    let Create { initial, exptime } = create;
    let mut digits = Vec::with_capacity(20);
    push_u64(&mut digits, initial);
    let exptime = expiry::to_line(exptime).into();
    let store = Store { verb: StoreVerb::Add, key, flags: 0, exptime, cas: None, value: (&digits).into() };
    line(out, &Keyed::Store(store));
    out.extend_from_slice(&digits);
    end(out);
}

#[cfg(test)]
mod tests {
    use super::super::write;
    use super::*;
    use crate::protocol::binary::opcode;
    use crate::protocol::binary::packet::{Parsed, lengths, parse_request};

    fn written(code: u8, extras: &[u8], value: &[u8]) -> (String, Option<Create>, bool) {
        let mut bytes = Vec::new();
        let mut header = lengths(extras.len(), 1, value.len());
        header.opcode = code;
        header.write(&mut bytes, 0x80);
        bytes.extend([extras, b"k", value].concat());
        let Parsed::Packet { packet, .. } = parse_request(&bytes) else { panic!("not a packet") };
        let mut out = Vec::new();
        let written = write(&mut out, &packet, false).expect("a command");
        (String::from_utf8(out).expect("text"), written.create, written.has_value)
    }

    /// 04 §10: the command, as there is no id.
    #[test]
    fn stores_have_their_own_words() {
        let extras = [0, 0, 0, 5, 0, 0, 0, 9];
        for (code, extras, line) in [
            (opcode::SET, &extras[..], "set k 5 9 1\r\n"),
            (opcode::ADD, &extras, "add k 5 9 1\r\n"),
            (opcode::REPLACEQ, &extras, "replace k 5 9 1\r\n"),
            (opcode::APPENDQ, &[], "append k 0 0 1\r\n"),
            (opcode::PREPEND, &[], "prepend k 0 0 1\r\n"),
        ] {
            assert_eq!(written(code, extras, b"v"), (line.to_owned(), None, true));
        }
    }

    /// 04 §10: `incr`, then `add`.
    #[test]
    fn a_number_is_created_in_a_second_step() {
        let extras = |exptime: u32| [&3u64.to_be_bytes()[..], &8u64.to_be_bytes(), &exptime.to_be_bytes()].concat();
        let create = Create { initial: 8, exptime: 30 };
        assert_eq!(written(opcode::INCREMENT, &extras(30), b""), ("incr k 3\r\n".to_owned(), Some(create), false));
        assert_eq!(written(opcode::DECREMENT, &extras(u32::MAX), b""), ("decr k 3\r\n".to_owned(), None, false));
        let mut out = Vec::new();
        write_create(&mut out, b"k", Create { initial: 10, ..create });
        assert_eq!(out, b"add k 0 30 2\r\n10\r\n");
    }
}
