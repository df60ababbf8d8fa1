//! Lines and values of ASCII servers.

use moxi::buffer::Output;
use moxi::protocol::Reply;
use moxi::protocol::ascii::answer;
use moxi::protocol::ascii::reply::{Parsed, parse};
use moxi::protocol::binary::packet;
use moxi::protocol::op;
use moxi::protocol::translate::{self, Asked, Outcome};

use super::served::written;
use crate::choices::Choices;
use crate::session::{Told, check};

/// Replies mean the same however they arrive. A value that is passed on is the same, and what a binary client is told of
/// any reply, whatever it has asked for, is one packet that bears its opcode and its number, or nothing.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (opcode, at) = (choices.byte(), choices.short());
    let asked = Asked { opcode, opaque: 0x0102_0304, key: b"key", may_create: at & 1 == 1 };
    check(choices.rest(), at, &mut |buf, scanned| match parse(buf, scanned) {
        Parsed::Incomplete { need } => Told::Incomplete(need),
        Parsed::Malformed => Told::Closed("malformed".to_owned()),
        Parsed::Reply { reply, len } => {
            check_shape(&reply, &buf[..len]);
            check_translation(&asked, &reply);
            Told::Piece { meaning: format!("{reply:?}"), len, swallow: 0 }
        }
    });
}

/// Lines are lines; a value is passed on as it is.
fn check_shape(reply: &Reply<'_>, all: &[u8]) {
    match *reply {
        Reply::Line { line } | Reply::Stat { line } => {
            assert!(!line.is_empty() && !line.contains(&b'\n'), "no line: {}", line.escape_ascii());
        }
        Reply::Value { key, flags, cas, data, raw } => {
            assert_eq!(raw.map(|raw| raw.bytes), Some(all));
            let mut out = Output::default();
            answer::value(&mut out, key, flags, cas, data);
            let out = written(&mut out);
            let Parsed::Reply { reply: Reply::Value { key: k, flags: f, cas: c, data: d, .. }, len } =
                parse(&out, &mut 0)
            else {
                panic!("no value: {}", out.escape_ascii());
            };
            assert_eq!((k, f, c, d.bytes, len), (key, flags, cas, data.bytes, out.len()));
        }
        Reply::Meta { flags, data } => assert!(flags.len() + data.bytes.len() < all.len()),
        Reply::End => {}
        Reply::Number { .. } | Reply::Status { .. } | Reply::NoValue { .. } => panic!("no line says {reply:?}"),
    }
}

fn check_translation(asked: &Asked<'_>, reply: &Reply<'_>) {
    let mut out = Output::default();
    let outcome = translate::answer(Some(&mut out), asked, reply);
    assert_eq!(translate::answer(None, asked, reply), outcome, "it matters whether somebody listens");
    let out = written(&mut out);
    if out.is_empty() {
        assert!(
            outcome != Outcome::Answered || op::answered(asked.opcode).is_quiet(),
            "no answer to opcode {:#x}",
            asked.opcode
        );
        return;
    }
    assert_eq!(outcome, Outcome::Answered);
    let packet::Parsed::Packet { packet, len } = packet::parse_reply(&out) else {
        panic!("no packet: {}", out.escape_ascii());
    };
    assert_eq!((packet.header.opcode, packet.header.opaque, len), (asked.opcode, asked.opaque, out.len()));
}
