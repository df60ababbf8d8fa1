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
