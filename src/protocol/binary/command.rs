//! [`Request`](crate::protocol::Request) to the packets a binary server gets (04 §6.1).
//!
//! Gets use the opcodes that return the key. All others are the plain opcodes, which always answer: an answer that
//! the client does not want is dropped when it comes. `opaque` comes back with the reply. Keys are at most
//! [`KEY_MAX`](crate::protocol::KEY_MAX) bytes long.

use super::opcode;
use super::packet::{Header, REQUEST_MAGIC, lengths};
use crate::buffer::Output;
use crate::protocol::keyed::Keyed;
use crate::protocol::keyless::Keyless;
use crate::protocol::op::Op;
use crate::protocol::{Arith, Store, StoreVerb, expiry};
use crate::sums::sum;

/// Expiry of an increment that must not create the item (memcached's `protocol_binary.txt`).
pub const DO_NOT_CREATE: u32 = u32::MAX;

/// Appends a command for one key, with its value; the result is where in `out` the key stands.
pub fn keyed(out: &mut Output, command: &Keyed<'_>, vbucket: u16, opaque: u32) -> u64 {
    head(out.tail(), command, vbucket, opaque);
    let key_at = out.end().saturating_sub(command.key().len() as u64);
    if let Keyed::Store(store) = command {
        out.push(store.value);
    }
    key_at
}

/// Everything of a command for one key but the value, if it has one; the key is the last of it.
pub fn head(out: &mut Vec<u8>, command: &Keyed<'_>, vbucket: u16, opaque: u32) {
    match command {
        Keyed::Get { key, .. } => get(out, key, vbucket, opaque),
        Keyed::Gat { key, exptime, .. } => gat(out, key, *exptime, vbucket, opaque),
        Keyed::Getl { key, exptime } => getl(out, key, *exptime, vbucket, opaque),
        Keyed::Store(store) => store_head(out, store, vbucket, opaque),
        Keyed::Arith(number) => arith(out, number, vbucket, opaque),
        Keyed::Delete { key, cas } => delete(out, key, *cas, vbucket, opaque),
        Keyed::Touch { key, exptime } => touch(out, key, *exptime, vbucket, opaque),
        Keyed::Unl { key, cas } => unl(out, key, *cas, vbucket, opaque),
    }
}

/// One get, always answered.
pub fn get(out: &mut Vec<u8>, key: &[u8], vbucket: u16, opaque: u32) {
    packet(out, header(opcode::GETK, vbucket, opaque), &[], key);
}

/// One get of several, silent on a miss. A [`noop`] ends them.
pub fn getq(out: &mut Vec<u8>, key: &[u8], vbucket: u16, opaque: u32) {
    packet(out, header(opcode::GETKQ, vbucket, opaque), &[], key);
}

/// Nothing; its reply says that everything before has been answered.
pub fn noop(out: &mut Vec<u8>, opaque: u32) {
    packet(out, header(opcode::NOOP, 0, opaque), &[], &[]);
}

/// Everything of a storage command but the value, which the caller appends.
///
/// Together with extras and key the value must not exceed [`BODY_MAX`](super::packet::BODY_MAX), or the server
/// will close the connection. A `cas` with id 0 asks for 2^64 - 1 instead: 0 would store unconditionally, while
/// no item has that one, so that the server says "exists" or "not found" as the client expects (04 §6.1).
fn store_head(out: &mut Vec<u8>, store: &Store<'_>, vbucket: u16, opaque: u32) {
    let mut extras = [0; 8];
    extras[..4].copy_from_slice(&store.flags.to_be_bytes());
    extras[4..].copy_from_slice(&expiry::to_packet(store.exptime).to_be_bytes());
    let extras = match store.verb {
        StoreVerb::Set | StoreVerb::Add | StoreVerb::Replace => &extras[..],
        // These two leave flags and expiry of the item alone.
        StoreVerb::Append | StoreVerb::Prepend => &[],
    };
    let cas = match store.cas {
        None => 0,
        Some(0) => u64::MAX,
        Some(cas) => cas,
    };
    let header = Header {
        opcode: Op::store(store.verb).opcode,
        vbucket_or_status: vbucket,
        opaque,
        cas,
        ..lengths(extras.len(), store.key.len(), store.value.len())
    };
    header.write(out, REQUEST_MAGIC);
    out.extend_from_slice(extras);
    out.extend_from_slice(store.key);
}

/// `incr` or `decr`; a missing item is created only if that is asked for.
fn arith(out: &mut Vec<u8>, arith: &Arith<'_>, vbucket: u16, opaque: u32) {
    let mut extras = [0; 20];
    extras[..8].copy_from_slice(&arith.delta.to_be_bytes());
    extras[8..16].copy_from_slice(&arith.create.map_or(0, |create| create.initial).to_be_bytes());
    extras[16..].copy_from_slice(&arith.create.map_or(DO_NOT_CREATE, |create| create.exptime).to_be_bytes());
    let opcode = if arith.decr { opcode::DECREMENT } else { opcode::INCREMENT };
    packet(out, Header { cas: arith.cas, ..header(opcode, vbucket, opaque) }, &extras, arith.key);
}

/// `delete`; if `cas` is not 0, only what has this CAS id.
fn delete(out: &mut Vec<u8>, key: &[u8], cas: u64, vbucket: u16, opaque: u32) {
    packet(out, Header { cas, ..header(opcode::DELETE, vbucket, opaque) }, &[], key);
}

/// `touch`.
fn touch(out: &mut Vec<u8>, key: &[u8], exptime: i64, vbucket: u16, opaque: u32) {
    packet(out, header(opcode::TOUCH, vbucket, opaque), &expiry::to_packet(exptime).to_be_bytes(), key);
}

/// `gat`, always answered.
fn gat(out: &mut Vec<u8>, key: &[u8], exptime: i64, vbucket: u16, opaque: u32) {
    packet(out, header(opcode::GATK, vbucket, opaque), &expiry::to_packet(exptime).to_be_bytes(), key);
}

/// The same, silent on a miss. A [`noop`] ends several.
pub fn gatq(out: &mut Vec<u8>, key: &[u8], exptime: i64, vbucket: u16, opaque: u32) {
    packet(out, header(opcode::GATKQ, vbucket, opaque), &expiry::to_packet(exptime).to_be_bytes(), key);
}

/// `getl`, which plain memcached does not know (04 §8.6: it travels alone).
fn getl(out: &mut Vec<u8>, key: &[u8], exptime: Option<u32>, vbucket: u16, opaque: u32) {
    match exptime {
        Some(exptime) => packet(out, header(opcode::GETL, vbucket, opaque), &exptime.to_be_bytes(), key),
        None => packet(out, header(opcode::GETL, vbucket, opaque), &[], key),
    }
}

/// `unl`, which plain memcached does not know (04 §8.6: it travels alone).
fn unl(out: &mut Vec<u8>, key: &[u8], cas: u64, vbucket: u16, opaque: u32) {
    packet(out, Header { cas, ..header(opcode::UNL, vbucket, opaque) }, &[], key);
}

/// Appends a command for no key. Of one that binary servers do not have nothing is asked.
pub fn keyless(out: &mut Vec<u8>, command: &Keyless<'_>) {
    let header = header(command.op().opcode, 0, 0);
    match *command {
        // The delay is always sent; none is 0: at once (02 §8).
        Keyless::Flush { delay } => {
            packet(out, header, &expiry::delay_to_packet(delay.unwrap_or(0)).to_be_bytes(), &[]);
        }
        Keyless::Stats { args } => packet(out, header, &[], args),
        Keyless::MemLimit { .. } | Keyless::Version | Keyless::Noop => packet(out, header, &[], &[]),
    }
}

/// Authenticates by SASL's PLAIN (RFC 4616), without an authorization identity.
pub fn sasl_plain(out: &mut Vec<u8>, user: &[u8], password: &[u8]) {
    const MECHANISM: &[u8] = b"PLAIN";
    let value_len = sum([2, user.len(), password.len()]);
    let header = Header { opcode: opcode::SASL_AUTH, ..lengths(0, MECHANISM.len(), value_len) };
    header.write(out, REQUEST_MAGIC);
    out.extend_from_slice(MECHANISM);
    out.push(0);
    out.extend_from_slice(user);
    out.push(0);
    out.extend_from_slice(password);
}

/// Chooses a bucket by the opcode of moxi's own time (04 §11.5).
pub fn select_bucket(out: &mut Vec<u8>, name: &[u8]) {
    packet(out, header(opcode::BUCKET, 0, 0), &[], name);
}

/// The header of a request for a key, its lengths left out.
fn header(opcode: u8, vbucket: u16, opaque: u32) -> Header {
    Header { opcode, vbucket_or_status: vbucket, opaque, ..Header::default() }
}

/// A request without a value. The lengths in `header` are filled in.
fn packet(out: &mut Vec<u8>, header: Header, extras: &[u8], key: &[u8]) {
    let Header { opcode, vbucket_or_status, opaque, cas, .. } = header;
    let header = Header { opcode, vbucket_or_status, opaque, cas, ..lengths(extras.len(), key.len(), 0) };
    header.write(out, REQUEST_MAGIC);
    out.extend_from_slice(extras);
    out.extend_from_slice(key);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::binary::packet::{Packet, Parsed, parse_request};
    use crate::protocol::{Create, op};

    /// Writes one packet (and the value that the caller would append), and reads it back.
    fn sent(value: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out.extend_from_slice(value);
        let Parsed::Packet { len, .. } = parse_request(&out) else { panic!("not a packet: {out:?}") };
        assert_eq!(len, out.len());
        out
    }

    fn packet(bytes: &[u8]) -> Packet<'_> {
        match parse_request(bytes) {
            Parsed::Packet { packet, .. } => packet,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], opcode: u8, numbers: (u16, u32, u64), extras: &[u8], key: &[u8], value: &[u8]) {
        let packet = packet(bytes);
        let header = packet.header;
        assert_eq!((header.opcode, header.datatype), (opcode, 0));
        assert_eq!((header.vbucket_or_status, header.opaque, header.cas), numbers);
        assert_eq!((packet.extras, packet.key, packet.value.bytes), (extras, key, value));
        let foreign = matches!(opcode, opcode::GETL | opcode::UNL | opcode::BUCKET);
        let op = op::of(packet.header.opcode);
        assert_eq!((op.fits(&packet), op.is_foreign), (true, foreign));
    }

    #[test]
    fn gets() {
        check(&sent(b"", |out| get(out, b"k", 7, 9)), 0x0c, (7, 9, 0), b"", b"k", b"");
        check(&sent(b"", |out| getq(out, b"k", 7, 4)), 0x0d, (7, 4, 0), b"", b"k", b"");
        check(&sent(b"", |out| gat(out, b"k", 10, 7, 4)), 0x23, (7, 4, 0), b"\0\0\0\x0a", b"k", b"");
        check(&sent(b"", |out| gatq(out, b"k", 10, 7, 4)), 0x24, (7, 4, 0), b"\0\0\0\x0a", b"k", b"");
        check(&sent(b"", |out| getl(out, b"k", Some(15), 1, 2)), 0x94, (1, 2, 0), b"\0\0\0\x0f", b"k", b"");
        check(&sent(b"", |out| getl(out, b"k", None, 1, 2)), 0x94, (1, 2, 0), b"", b"k", b"");
    }

    #[test]
    fn the_end_of_quiet_gets_is_all_zeros() {
        let mut expected = [0; 24];
        (expected[0], expected[1]) = (0x80, 0x0a);
        assert_eq!(sent(b"", |out| noop(out, 0)), expected);
        check(&sent(b"", |out| noop(out, 5)), 0x0a, (0, 5, 0), b"", b"", b"");
    }

    #[test]
    fn stores() {
        let stored = |verb, cas| {
            let store = Store { verb, key: b"k", flags: 1234, exptime: 4321, cas, value: b"abc".into() };
            sent(&store.value, |out| store_head(out, &store, 3, 5))
        };
        let extras = b"\0\0\x04\xd2\0\0\x10\xe1";
        check(&stored(StoreVerb::Set, None), 0x01, (3, 5, 0), extras, b"k", b"abc");
        check(&stored(StoreVerb::Add, None), 0x02, (3, 5, 0), extras, b"k", b"abc");
        check(&stored(StoreVerb::Replace, None), 0x03, (3, 5, 0), extras, b"k", b"abc");
        check(&stored(StoreVerb::Append, None), 0x0e, (3, 5, 0), b"", b"k", b"abc");
        check(&stored(StoreVerb::Prepend, None), 0x0f, (3, 5, 0), b"", b"k", b"abc");
        check(&stored(StoreVerb::Set, Some(77)), 0x01, (3, 5, 77), extras, b"k", b"abc");
        // An id that no item has must not become "any id".
        check(&stored(StoreVerb::Set, Some(0)), 0x01, (3, 5, u64::MAX), extras, b"k", b"abc");
    }

    #[test]
    fn arithmetic_creates_when_asked_to() {
        let by_five = |decr| Arith { key: b"k", delta: 5, decr, cas: 0, create: None };
        let extras = b"\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\xff\xff\xff\xff";
        check(&sent(b"", |out| arith(out, &by_five(false), 1, 2)), 0x05, (1, 2, 0), extras, b"k", b"");
        check(&sent(b"", |out| arith(out, &by_five(true), 1, 2)), 0x06, (1, 2, 0), extras, b"k", b"");
        let create = Some(Create { initial: 9, exptime: 30 });
        let extras = b"\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x09\0\0\0\x1e";
        let arith_with = Arith { cas: 7, create, ..by_five(false) };
        check(&sent(b"", |out| arith(out, &arith_with, 1, 2)), 0x05, (1, 2, 7), extras, b"k", b"");
        check(&sent(b"", |out| delete(out, b"k", 7, 1, 2)), 0x04, (1, 2, 7), b"", b"k", b"");
    }

    #[test]
    fn keyed_commands() {
        check(&sent(b"", |out| delete(out, b"k", 0, 1, 2)), 0x04, (1, 2, 0), b"", b"k", b"");
        check(&sent(b"", |out| touch(out, b"k", 10, 1, 2)), 0x1c, (1, 2, 0), b"\0\0\0\x0a", b"k", b"");
        let expired = expiry::EXPIRED.to_be_bytes();
        check(&sent(b"", |out| touch(out, b"k", -1, 1, 2)), 0x1c, (1, 2, 0), &expired, b"k", b"");
        check(&sent(b"", |out| touch(out, b"k", 1 << 31, 1, 2)), 0x1c, (1, 2, 0), &expired, b"k", b"");
        let unlock = sent(b"", |out| unl(out, b"k", 258, 1, 2));
        check(&unlock, 0x95, (1, 2, 258), b"", b"k", b"");
        assert_eq!(unlock[16..24], [0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn commands_for_every_server() {
        check(&sent(b"", |out| keyless(out, &Keyless::Flush { delay: None })), 0x08, (0, 0, 0), &[0; 4], b"", b"");
        check(
            &sent(b"", |out| keyless(out, &Keyless::Flush { delay: Some(1234) })),
            0x08,
            (0, 0, 0),
            b"\0\0\x04\xd2",
            b"",
            b"",
        );
        check(&sent(b"", |out| keyless(out, &Keyless::Flush { delay: Some(-1) })), 0x08, (0, 0, 0), &[0; 4], b"", b"");
        check(
            &sent(b"", |out| keyless(out, &Keyless::Flush { delay: Some(1 << 31) })),
            0x08,
            (0, 0, 0),
            &[0; 4],
            b"",
            b"",
        );
        check(&sent(b"", |out| keyless(out, &Keyless::Stats { args: b"" })), 0x10, (0, 0, 0), b"", b"", b"");
        check(&sent(b"", |out| keyless(out, &Keyless::Stats { args: b"reset" })), 0x10, (0, 0, 0), b"", b"reset", b"");
    }

    #[test]
    fn handshakes() {
        let auth = sent(b"", |out| sasl_plain(out, b"TheUser", b"not-a-secret"));
        check(&auth, 0x21, (0, 0, 0), b"", b"PLAIN", b"\0TheUser\0not-a-secret");
        let empty = sent(b"", |out| sasl_plain(out, b"default", b""));
        check(&empty, 0x21, (0, 0, 0), b"", b"PLAIN", b"\0default\0");
        check(&sent(b"", |out| select_bucket(out, b"bucket0")), 0x2a, (0, 0, 0), b"", b"bucket0", b"");
    }
}
