//! Lines and values of ASCII clients.

use moxi::protocol::ascii::command;
use moxi::protocol::ascii::request::{Parsed, parse};
use moxi::protocol::binary::command as packets;
use moxi::protocol::binary::packet;
use moxi::protocol::keyed::Keyed;
use moxi::protocol::{Answered, KEY_MAX, Request, op};

use crate::choices::Choices;
use crate::session::{Told, check};

/// The largest values that may be allowed.
const VALUES: [u64; 3] = [1 << 20, 16, u64::MAX];

/// Requests mean the same however they arrive, and the same when they are written for an ASCII server. Written for a
/// binary server they are one packet each, with the parts that their opcode must have.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (value_max, at) = (choices.pick(&VALUES), choices.short());
    check(choices.rest(), at, &mut |buf, scanned| match parse(buf, scanned, value_max) {
        Parsed::Incomplete { need } => Told::Incomplete(need),
        Parsed::Request { request, answered, len } => {
            check_lines(&request);
            check_packets(&request);
            Told::Piece { meaning: format!("{} {answered:?}", shown(&request)), len, swallow: 0 }
        }
        Parsed::Rejected { reply, answered, len } => {
            check_reply(reply);
            Told::Piece { meaning: format!("{} {answered:?}", reply.escape_ascii()), len, swallow: 0 }
        }
        Parsed::ValueRefused { reply, answered, len, swallow } => {
            check_reply(reply);
            assert!(swallow >= 2, "a value without its line end");
            Told::Piece { meaning: format!("{} {answered:?}", reply.escape_ascii()), len, swallow }
        }
        closed @ (Parsed::Http | Parsed::LineTooLong) => Told::Closed(format!("{closed:?}")),
    });
}

/// A reply is one line.
fn check_reply(reply: &[u8]) {
    assert!(reply.ends_with(b"\r\n") && reply.iter().filter(|byte| **byte == b'\n').count() == 1);
}

/// What a request asks for, without the line that it stood in.
fn shown(request: &Request<'_>) -> String {
    match request {
        Request::GetMany { keys, cas, exptime } => {
            format!("get {exptime:?} {cas} {:?}", keys.iter().map(|(_, key)| key).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

/// Written for an ASCII server the request is the same.
fn check_lines(request: &Request<'_>) {
    let mut out = Vec::new();
    if !write_line(&mut out, request) {
        return;
    }
    match parse(&out, &mut 0, u64::MAX) {
        Parsed::Request { request: again, answered: Answered::Always, len } => {
            assert_eq!(len, out.len(), "not all of {}", out.escape_ascii());
            assert_eq!(shown(&again), shown(request));
        }
        other => panic!("{} is {other:?}", out.escape_ascii()),
    }
}

/// Whether it has a line for servers.
fn write_line(out: &mut Vec<u8>, request: &Request<'_>) -> bool {
    match *request {
        Request::Keyed(keyed) => {
            let key_at = command::line(out, &keyed);
            assert_eq!(&out[key_at..][..keyed.key().len()], keyed.key());
            if let Keyed::Store(store) = keyed {
                out.extend_from_slice(&store.value);
                command::end(out);
            }
        }
        Request::GetMany { keys, cas, exptime } => {
            match exptime {
                None => command::get_start(out, cas),
                Some(exptime) => command::gat_start(out, cas, exptime),
            }
            keys.iter().for_each(|(_, key)| command::key(out, key));
            command::end(out);
        }
        Request::Keyless(keyless) => command::keyless(out, &keyless),
        Request::Dump(dump) => command::dump(out, dump),
        _ => return false,
    }
    true
}

/// Written for a binary server the request is whole packets that fit their opcodes.
fn check_packets(request: &Request<'_>) {
    let (mut out, mut count) = (Vec::new(), 1);
    match *request {
        Request::Keyed(keyed) => {
            packets::head(&mut out, &keyed, 1, 2);
            if let Keyed::Store(store) = keyed {
                out.extend_from_slice(&store.value);
            }
        }
        Request::GetMany { keys, exptime, .. } => {
            let mut write = |at: usize, key| match exptime {
                None => packets::getq(&mut out, key, 1, at as u32),
                Some(exptime) => packets::gatq(&mut out, key, exptime, 1, at as u32),
            };
            count = keys.iter().map(|(at, key)| write(at, key)).count();
        }
        Request::Keyless(keyless) => packets::keyless(&mut out, &keyless),
        _ => return,
    }
    let mut rest = &out[..];
    for _ in 0..count {
        let packet::Parsed::Packet { packet, len } = packet::parse_request(rest) else {
            panic!("no packet for {}: {}", shown(request), rest.escape_ascii());
        };
        assert!(op::of(packet.header.opcode).fits(&packet), "{}: {packet:?}", shown(request));
        assert!(packet.key.len() <= KEY_MAX);
        rest = &rest[len..];
    }
    assert!(rest.is_empty(), "{}: {}", shown(request), rest.escape_ascii());
}
