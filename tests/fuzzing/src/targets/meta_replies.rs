//! What servers say to meta commands, and what the client is told of it.

use moxi::buffer::Output;
use moxi::protocol::Reply;
use moxi::protocol::ascii::meta::asked::{Asked, Status};
use moxi::protocol::ascii::meta::key::KeyRoom;
use moxi::protocol::ascii::meta::reply::Said;
use moxi::protocol::ascii::meta::request::{self, Verb};
use moxi::protocol::ascii::reply::{Parsed, parse};

use super::served::written;
use crate::choices::Choices;
use crate::session::{Told, check};

/// The commands that may have been asked.
const COMMANDS: [&[u8]; 12] = [
    b"mg k v f c k Oab t s\r\n",
    b"mg k q v\r\n",
    b"mg k\r\n",
    b"mg YSBi b k v\r\n",
    b"mg k N30 v k W1\r\n",
    b"ms k 1 c k s\r\na\r\n",
    b"ms k 1 q MR C5\r\na\r\n",
    b"md k q k O1\r\n",
    b"ma k v t c\r\n",
    b"ma k q\r\n",
    b"me k\r\n",
    b"mg k v T30 c C7\r\n",
];

/// An answer to a meta command means the same however it arrives, and becomes one answer for the client, or none if it was
/// quiet; so does every classic line.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (command, at) = (choices.pick(&COMMANDS), choices.short());
    let mut room = KeyRoom::default();
    let Some(request::Parsed::Request { meta, .. }) = request::parse(command, &mut room, &mut 0, 10) else { return };
    let mut asked = Asked::default();
    asked.keep(&meta);
    check(choices.rest(), at, &mut |buf, scanned| match parse(buf, scanned) {
        Parsed::Incomplete { need } => Told::Incomplete(need),
        Parsed::Malformed => Told::Closed("malformed".to_owned()),
        Parsed::Reply { reply, len } => {
            let said = Said::of(&reply);
            if let Some(said) = &said {
                let may_be_silent = matches!(said, Said::Status(Status::Done | Status::Missing, ..));
                check_told(meta.answered().is_quiet() && may_be_silent, |out| asked.pass(out, said));
            }
            if matches!(reply, Reply::Line { .. } | Reply::Value { .. } | Reply::End) {
                check_told(meta.answered().is_quiet(), |out| asked.reply(out, reply));
            }
            Told::Piece {
                meaning: format!("{said:?} {}", said.is_some_and(|said| said.belongs_to(5))),
                len,
                swallow: 0,
            }
        }
    });
    assert!(matches!(asked.verb(), Verb::Get | Verb::Store(_) | Verb::Delete | Verb::Arith { .. } | Verb::Debug));
}

/// What the client is told is one whole answer, or nothing.
fn check_told(may_be_silent: bool, write: impl FnOnce(&mut Output)) {
    let mut out = Output::default();
    write(&mut out);
    let out = written(&mut out);
    if out.is_empty() {
        return assert!(may_be_silent, "no answer");
    }
    match parse(&out[..], &mut 0) {
        Parsed::Reply { len, .. } => assert_eq!(len, out.len(), "more than one answer: {}", out.escape_ascii()),
        // Its line is empty, or blanks: what a server has said for a line.
        Parsed::Malformed => assert!(out.trim_ascii().is_empty(), "no answer: {}", out.escape_ascii()),
        Parsed::Incomplete { .. } => panic!("half an answer: {}", out.escape_ascii()),
    }
}
