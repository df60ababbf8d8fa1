//! Meta commands of clients, among classic ones.

use moxi::buffer::Output;
use moxi::protocol::ascii::meta::command;
use moxi::protocol::ascii::meta::key::KeyRoom;
use moxi::protocol::ascii::meta::request::{self, Meta, Verb};
use moxi::protocol::ascii::request as classic;
use moxi::protocol::binary::packet;
use moxi::protocol::older::{keyed, misfit};
use moxi::protocol::{Answered, Protocol, op};

use super::served::written;
use crate::choices::Choices;
use crate::session::{Told, check};

/// The largest values that may be allowed.
const VALUES: [u64; 3] = [1 << 20, 16, u64::MAX];

/// Commands mean the same however they arrive. Written for a server that knows them they are the same but for the flags that
/// are moxi's; for others, as far as these can do them, one classic command or packet.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (value_max, at) = (choices.pick(&VALUES), choices.short());
    check(
        choices.rest(),
        at,
        &mut |buf, scanned| match request::parse(buf, &mut KeyRoom::default(), scanned, value_max) {
            None => other(buf, scanned, value_max),
            Some(request::Parsed::Incomplete { need }) => Told::Incomplete(need),
            Some(request::Parsed::Request { meta, len }) => {
                check_command(&meta);
                check_older(&meta);
                Told::Piece { meaning: format!("{meta:?}"), len, swallow: 0 }
            }
            Some(request::Parsed::Refused { reply, len, swallow }) => {
                assert!(reply.ends_with(b"\r\n") && reply.iter().filter(|byte| **byte == b'\n').count() == 1);
                Told::Piece { meaning: reply.escape_ascii().to_string(), len, swallow }
            }
            Some(request::Parsed::TooLarge { len, swallow, .. }) => {
                assert!(swallow >= 2, "a value without its line end");
                Told::Piece { meaning: "too large".to_owned(), len, swallow }
            }
        },
    );
}

/// What is no meta command is left to the classic ones.
fn other(buf: &[u8], scanned: &mut usize, value_max: u64) -> Told {
    match classic::parse(buf, scanned, value_max) {
        classic::Parsed::Incomplete { need } => Told::Incomplete(need),
        classic::Parsed::Request { len, .. } => Told::Piece { meaning: "a request".to_owned(), len, swallow: 0 },
        classic::Parsed::Rejected { len, .. } => Told::Piece { meaning: "refused".to_owned(), len, swallow: 0 },
        classic::Parsed::ValueRefused { len, swallow, .. } => {
            Told::Piece { meaning: "value refused".to_owned(), len, swallow }
        }
        closed @ (classic::Parsed::Http | classic::Parsed::LineTooLong) => Told::Closed(format!("{closed:?}")),
    }
}

/// Written for a server that knows meta commands, the command is the same.
fn check_command(meta: &Meta<'_>) {
    if meta.verb == Verb::Noop {
        return;
    }
    let mut out = Output::default();
    let is_named = command::write(&mut out, meta, 4_294_967_295);
    let mut room = KeyRoom::default();
    let out = written(&mut out);
    let Some(request::Parsed::Request { meta: again, len }) = request::parse(&out[..], &mut room, &mut 0, u64::MAX)
    else {
        panic!("no command: {}", out.escape_ascii());
    };
    assert_eq!(len, out.len(), "not all of {}", out.escape_ascii());
    assert_eq!((again.verb, again.key, again.value.bytes), (meta.verb, meta.key, meta.value.bytes));
    let mut options = again.options;
    options.is_quiet = meta.options.is_quiet;
    assert_eq!(options, meta.options);
    let opaque = again.flags.iter().find(|(letter, _)| *letter == b'O').map(|(_, token)| token);
    assert_eq!(opaque.is_some(), is_named, "{}", out.escape_ascii());
    assert!(opaque.is_none_or(|token| token == b"4294967295"), "{}", out.escape_ascii());
}

/// Written for an older server it is one command that fits.
fn check_older(meta: &Meta<'_>) {
    let key = meta.key.name();
    let Some(command) = keyed(meta) else { return };
    if misfit(meta, Protocol::Ascii).is_none() {
        let mut out = Output::default();
        command.write(Protocol::Ascii, &mut out, 7);
        let out = written(&mut out);
        match classic::parse(&out[..], &mut 0, u64::MAX) {
            classic::Parsed::Request { answered: Answered::Always, len, .. } => assert_eq!(len, out.len()),
            other => panic!("{} is {other:?}", out.escape_ascii()),
        }
    }
    if misfit(meta, Protocol::Binary).is_none() {
        let mut out = Output::default();
        command.write(Protocol::Binary, &mut out, 7);
        let out = written(&mut out);
        match packet::parse_request(&out[..]) {
            packet::Parsed::Packet { packet, len } => {
                assert_eq!((packet.header.opcode, packet.key, len), (command.opcode(), key, out.len()));
                assert!(op::of(packet.header.opcode).fits(&packet), "{}", out.escape_ascii());
            }
            // A value above what a packet may have would be refused by its length.
            packet::Parsed::Malformed(_) if meta.value.len() as u64 > packet::BODY_MAX.into() => {}
            other => panic!("{} is {other:?}", out.escape_ascii()),
        }
    }
}
