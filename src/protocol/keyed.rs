//! A command for one key, whichever client has sent it and in whichever words. What a client of either protocol sends
//! becomes one, and one is written for a server of either: [`ascii::command`],
//! [`binary::command`].

use crate::buffer::Output;

use super::binary::opcode;
use super::op::{self, Op};
use super::{Arith, Protocol, Store, ascii, binary};

/// A command for one key. Borrows the client's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keyed<'a> {
    /// The value.
    Get {
        /// The key.
        key: &'a [u8],
        /// Whether the reply carries the CAS id. A packet always does.
        cas: bool,
    },
    /// The value, with a new expiry for the item.
    Gat {
        /// The key.
        key: &'a [u8],
        /// The new expiry, as a line has it ([`expiry`](super::expiry)).
        exptime: i64,
        /// Whether the reply carries the CAS id. A packet always does.
        cas: bool,
    },
    /// The value, and a lock on the item (Membase).
    Getl {
        /// The key.
        key: &'a [u8],
        /// Lock time in seconds; `None`: the server's default.
        exptime: Option<u32>,
    },
    /// A value is stored.
    Store(Store<'a>),
    /// A computation. What becomes of a missing number, and the CAS id, have no place in a line.
    Arith(Arith<'a>),
    /// The item is deleted.
    Delete {
        /// The key.
        key: &'a [u8],
        /// Only if it has this CAS id; 0: whichever it has. It has no place in a line.
        cas: u64,
    },
    /// A new expiry for the item.
    Touch {
        /// The key.
        key: &'a [u8],
        /// The new expiry, as a line has it ([`expiry`](super::expiry)).
        exptime: i64,
    },
    /// The item is unlocked (Membase).
    Unl {
        /// The key.
        key: &'a [u8],
        /// The CAS id that `getl` gave.
        cas: u64,
    },
}

impl<'a> Keyed<'a> {
    /// The key.
    pub fn key(&self) -> &'a [u8] {
        match *self {
            Keyed::Get { key, .. }
            | Keyed::Gat { key, .. }
            | Keyed::Getl { key, .. }
            | Keyed::Store(Store { key, .. })
            | Keyed::Arith(Arith { key, .. })
            | Keyed::Delete { key, .. }
            | Keyed::Touch { key, .. }
            | Keyed::Unl { key, .. } => key,
        }
    }

    /// What is known of the packet that says it: one that is always answered, and with the key if it gives a value.
    #[inline]
    pub fn op(&self) -> &'static Op {
        op::of(match self {
            Keyed::Get { .. } => opcode::GETK,
            Keyed::Gat { .. } => opcode::GATK,
            Keyed::Getl { .. } => opcode::GETL,
            Keyed::Store(store) => return Op::store(store.verb),
            Keyed::Arith(Arith { decr: false, .. }) => opcode::INCREMENT,
            Keyed::Arith(Arith { decr: true, .. }) => opcode::DECREMENT,
            Keyed::Delete { .. } => opcode::DELETE,
            Keyed::Touch { .. } => opcode::TOUCH,
            Keyed::Unl { .. } => opcode::UNL,
        })
    }

    /// The opcode of that packet.
    pub fn opcode(&self) -> u8 {
        self.op().opcode
    }

    /// Whether it is carried out only if the item has a certain CAS id.
    pub fn has_cas(&self) -> bool {
        match self {
            Keyed::Store(store) => store.cas.is_some(),
            Keyed::Arith(Arith { cas, .. }) | Keyed::Delete { cas, .. } => *cas != 0,
            _ => false,
        }
    }

    /// Appends it for a server of this protocol, with its value; `vbucket` is that of its key, and the opaque of the packet.
    /// The result is where the key stands.
    #[inline]
    pub fn write(&self, speak: Protocol, out: &mut Output, vbucket: u16) -> u64 {
        match speak {
            Protocol::Ascii => ascii::command::keyed(out, self),
            Protocol::Binary => binary::command::keyed(out, self, vbucket, u32::from(vbucket)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ascii::request;
    use crate::protocol::binary::packet;
    use crate::protocol::binary::request as packets;
    use crate::protocol::{Answered, Request, StoreVerb};

    const KEY: &[u8] = b"key";

    fn all() -> Vec<Keyed<'static>> {
        let store = |verb, cas| {
            let (flags, exptime) = if verb == StoreVerb::Append { (0, 0) } else { (7, 60) };
            Keyed::Store(Store { verb, key: KEY, flags, exptime, cas, value: b"some value".into() })
        };
        let arith = |decr| Keyed::Arith(Arith { key: KEY, delta: 5, decr, cas: 0, create: None });
        vec![
            Keyed::Get { key: KEY, cas: true },
            Keyed::Gat { key: KEY, exptime: 60, cas: true },
            Keyed::Getl { key: KEY, exptime: Some(15) },
            Keyed::Getl { key: KEY, exptime: None },
            store(StoreVerb::Set, None),
            store(StoreVerb::Set, Some(9)),
            store(StoreVerb::Add, None),
            store(StoreVerb::Replace, None),
            store(StoreVerb::Append, None),
            arith(false),
            arith(true),
            Keyed::Delete { key: KEY, cas: 0 },
            Keyed::Touch { key: KEY, exptime: 60 },
            Keyed::Unl { key: KEY, cas: 9 },
        ]
    }

    /// What is written behind something else, and where its key stands in there.
    fn written(keyed: &Keyed<'_>, speak: Protocol) -> (Vec<u8>, usize) {
        let mut out = Output::default();
        out.tail().extend_from_slice(b"before\r\n");
        let start = out.end();
        let at = keyed.write(speak, &mut out, 3);
        let bytes = out.contiguous(u64::MAX).expect("one piece");
        (bytes[start as usize..].to_vec(), (at - start) as usize)
    }

    #[test]
    fn a_line_says_it() {
        for keyed in all() {
            let (line, at) = written(&keyed, Protocol::Ascii);
            assert_eq!(&line[at..at + KEY.len()], KEY, "{}", line.escape_ascii());
            let request::Parsed::Request { request, answered: Answered::Always, len } =
                request::parse(&line, &mut 0, 100)
            else {
                panic!("{}", line.escape_ascii())
            };
            assert_eq!((request, len), (Request::Keyed(keyed), line.len()));
        }
    }

    /// 03 §8.1: what carries a CAS id is not sent again.
    #[test]
    fn what_depends_on_a_cas_id() {
        let arith = |cas| Keyed::Arith(Arith { key: KEY, delta: 1, decr: false, cas, create: None });
        let store =
            |cas| Keyed::Store(Store { verb: StoreVerb::Set, key: KEY, flags: 0, exptime: 0, cas, value: b"".into() });
        for (keyed, expected) in [
            (store(None), false),
            // A line can say so; no item has it.
            (store(Some(0)), true),
            (store(Some(9)), true),
            (arith(0), false),
            (arith(9), true),
            (Keyed::Delete { key: KEY, cas: 0 }, false),
            (Keyed::Delete { key: KEY, cas: 9 }, true),
            (Keyed::Get { key: KEY, cas: true }, false),
            (Keyed::Unl { key: KEY, cas: 9 }, false),
        ] {
            assert_eq!(keyed.has_cas(), expected, "{keyed:?}");
        }
    }

    #[test]
    fn a_packet_says_it() {
        for keyed in all() {
            let (bytes, at) = written(&keyed, Protocol::Binary);
            assert_eq!(&bytes[at..at + KEY.len()], KEY);
            let packet::Parsed::Packet { packet, len } = packet::parse_request(&bytes) else { panic!("{keyed:?}") };
            assert_eq!((packet.header.opcode, packet.header.vbucket_or_status), (keyed.opcode(), 3));
            assert_eq!((packets::keyed(&packet), len), (Some(keyed), bytes.len()));
        }
    }
}
