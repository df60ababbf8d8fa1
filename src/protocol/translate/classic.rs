//! Packets in classic commands.

use super::{NO_CREATE, Written, number, short};
use crate::protocol::Create;
use crate::protocol::ascii::command::key as push_key;
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::packet::Packet;
use crate::protocol::expiry;
use crate::protocol::numbers::{digits, push_u64};
use crate::protocol::op::Op;
use crate::sums::sum;

/// Appends the line for `packet`.
///
/// # Errors
/// The status for the client if the server has no such command; nothing is written then.
pub(super) fn write(out: &mut Vec<u8>, packet: &Packet<'_>, op: &Op) -> Result<Written, u16> {
    let (key, extras, cas) = (packet.key, packet.extras, packet.header.cas);
    let verb = match (op.is_foreign, op.gives_value(), cas) {
        (false, true, _) => op.cas_word,
        // Most classic commands cannot be made to depend on an id.
        (_, _, 1..) if op.cas_word.is_empty() => return Err(status::NOT_SUPPORTED),
        (false, false, 1..) => op.cas_word,
        (false, false, 0) => op.word,
        (true, ..) => return Err(status::UNKNOWN_COMMAND),
    };
    out.extend_from_slice(verb.as_bytes());
    let mut key_at = sum([verb.len(), 1]);
    let mut create = None;
    let mut has_value = false;
    match op.opcode {
        opcode::GAT | opcode::GATK => {
            let exptime = expiry::to_line(short(extras, 0)).into();
            out.push(b' ');
            push_u64(out, exptime);
            key_at = sum([key_at, 1, digits(exptime)]);
            push_key(out, key);
        }
        opcode::TOUCH => {
            push_key(out, key);
            out.push(b' ');
            push_u64(out, expiry::to_line(short(extras, 0)).into());
        }
        opcode::INCREMENT | opcode::DECREMENT => {
            push_key(out, key);
            out.push(b' ');
            push_u64(out, number(extras, 0));
            let exptime = short(extras, 16);
            create = (exptime != NO_CREATE).then(|| Create { initial: number(extras, 8), exptime });
        }
        opcode::GET | opcode::GETK | opcode::DELETE => push_key(out, key),
        _ => {
            has_value = true;
            push_key(out, key);
            for number in [short(extras, 0).into(), expiry::to_line(short(extras, 4)).into(), packet.value.len() as u64]
            {
                out.push(b' ');
                push_u64(out, number);
            }
            if cas != 0 {
                out.push(b' ');
                push_u64(out, cas);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(Written { key_at, key_len: key.len(), is_encoded: false, has_value, create })
}

/// Appends the command that creates a missing number. It is answered like an `add`.
pub fn write_create(out: &mut Vec<u8>, key: &[u8], create: Create) {
    let Create { initial, exptime } = create;
    let mut digits = Vec::with_capacity(20);
    push_u64(&mut digits, initial);
    out.extend_from_slice(b"add");
    push_key(out, key);
    out.extend_from_slice(b" 0 ");
    push_u64(out, expiry::to_line(exptime).into());
    out.push(b' ');
    push_u64(out, digits.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&digits);
    out.extend_from_slice(b"\r\n");
}
