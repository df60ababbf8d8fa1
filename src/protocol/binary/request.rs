//! A packet as the command that it is: for one key, or for none.

use crate::protocol::keyed::Keyed;
use crate::protocol::keyless::Keyless;
use crate::protocol::op::of;
use crate::protocol::{Arith, Create, Store, expiry};

use super::command::DO_NOT_CREATE;
use super::opcode;
use super::packet::Packet;

/// The number of eight bytes that stands there; 0 if there is none.
pub fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The number of four bytes that stands there; 0 if there is none.
pub fn short(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The command that a packet is, whose shape has been checked; a quiet one is the same as its twin. `None`: it is none for
/// one key, or one that is unknown here.
pub fn keyed<'a>(packet: &Packet<'a>) -> Option<Keyed<'a>> {
    let Packet { key, extras, value, .. } = *packet;
    let (op, cas) = (of(packet.header.opcode), packet.header.cas);
    let line_expiry = |at| i64::from(expiry::to_line(short(extras, at)));
    if let Some(verb) = op.verb() {
        let (flags, exptime) = if extras.is_empty() { (0, 0) } else { (short(extras, 0), line_expiry(4)) };
        return Some(Keyed::Store(Store { verb, key, flags, exptime, cas: (cas != 0).then_some(cas), value }));
    }
    Some(match op.opcode {
        opcode::GET | opcode::GETK => Keyed::Get { key, cas: true },
        opcode::GAT | opcode::GATK => Keyed::Gat { key, exptime: line_expiry(0), cas: true },
        opcode::GETL => Keyed::Getl { key, exptime: (!extras.is_empty()).then(|| short(extras, 0)) },
        opcode::TOUCH => Keyed::Touch { key, exptime: line_expiry(0) },
        opcode::INCREMENT | opcode::DECREMENT => {
            let exptime = short(extras, 16);
            let create = (exptime != DO_NOT_CREATE).then(|| Create { initial: number(extras, 8), exptime });
            Keyed::Arith(Arith { key, delta: number(extras, 0), decr: op.opcode == opcode::DECREMENT, cas, create })
        }
        opcode::DELETE => Keyed::Delete { key, cas },
        opcode::UNL => Keyed::Unl { key, cas },
        _ => return None,
    })
}

/// The command for no key that a packet is, whose shape has been checked; a quiet one is the same as its twin. `None`: it is
/// another.
pub fn keyless<'a>(packet: &Packet<'a>) -> Option<Keyless<'a>> {
    Some(match of(packet.header.opcode).opcode {
        opcode::FLUSH => {
            let delay = expiry::delay_to_line(short(packet.extras, 0));
            Keyless::Flush { delay: (delay != 0).then_some(delay.into()) }
        }
        opcode::STAT => Keyless::Stats { args: packet.key },
        opcode::VERSION => Keyless::Version,
        opcode::NOOP => Keyless::Noop,
        _ => return None,
    })
}
