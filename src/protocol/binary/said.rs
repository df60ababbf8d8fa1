//! What a binary server says, as any server would.

use super::opcode::status::SUCCESS;
use super::packet::Packet;
use crate::protocol::Reply;
use crate::protocol::op::{self, Answer};

/// How many bytes the flags are that come with a value.
const FLAGS: usize = 4;

/// Whether the reply to a get has a value.
#[inline]
pub fn is_value(packet: &Packet<'_>) -> bool {
    packet.header.vbucket_or_status == SUCCESS && packet.extras.len() >= FLAGS
}

/// The flags in the reply to a get; 0 if there are none.
#[inline]
pub fn flags(packet: &Packet<'_>) -> u32 {
    packet.extras.first_chunk::<FLAGS>().map_or(0, |flags| u32::from_be_bytes(*flags))
}

/// The value in the reply to a get, for the key `name`.
#[inline(always)] // so that what is not needed of it is not written anywhere
pub fn value<'a>(packet: &Packet<'a>, name: &'a [u8]) -> Reply<'a> {
    Reply::Value { key: name, flags: flags(packet), cas: Some(packet.header.cas), data: packet.value, raw: None }
}

/// The reply to a command that asks for no value.
#[inline(always)] // as above
pub fn outcome<'a>(packet: &Packet<'a>) -> Reply<'a> {
    let (code, cas) = (packet.header.vbucket_or_status, packet.header.cas);
    let is_number = code == SUCCESS && op::of(packet.header.opcode).answer == Answer::Number;
    match <[u8; 8]>::try_from(packet.value.bytes) {
        Ok(number) if is_number => Reply::Number { number: u64::from_be_bytes(number), cas },
        _ => Reply::Status { code, cas, text: packet.value.bytes },
    }
}

#[cfg(test)]
mod tests {
    use super::super::opcode::{GETKQ, INCREMENT, SET, status};
    use super::super::packet::{Parsed, parse_reply};
    use super::super::reply;
    use super::*;

    fn with<R>(reply: &reply::Reply<'_>, then: impl FnOnce(&Packet<'_>) -> R) -> R {
        let mut out = Vec::new();
        reply.write(&mut out);
        let Parsed::Packet { packet, .. } = parse_reply(&out) else { panic!("not a packet") };
        then(&packet)
    }

    #[test]
    fn values() {
        let hit = reply::Reply { cas: 9, extras: &[0, 0, 0, 7], key: b"k", value: b"ab", ..reply::Reply::to(GETKQ, 1) };
        let said = Reply::Value { key: b"k", flags: 7, cas: Some(9), data: b"ab".into(), raw: None };
        with(&hit, |packet| assert_eq!((is_value(packet), value(packet, packet.key)), (true, said)));
        with(&reply::Reply { key: b"", ..hit }, |packet| assert_eq!(value(packet, b"k"), said));
        for other in [reply::Reply { extras: &[], ..hit }, reply::Reply { status: status::KEY_NOT_FOUND, ..hit }] {
            with(&other, |packet| assert!(!is_value(packet)));
        }
    }

    #[test]
    fn outcomes() {
        let number = reply::Reply { cas: 9, value: &[0, 0, 0, 0, 0, 0, 0, 5], ..reply::Reply::to(INCREMENT, 1) };
        with(&number, |packet| assert_eq!(outcome(packet), Reply::Number { number: 5, cas: 9 }));
        for other in [
            reply::Reply { value: b"5", ..number },
            reply::Reply { status: status::KEY_EXISTS, ..number },
            reply::Reply { opcode: SET, ..number },
        ] {
            let said = Reply::Status { code: other.status, cas: 9, text: other.value };
            with(&other, |packet| assert_eq!(outcome(packet), said));
        }
    }
}
