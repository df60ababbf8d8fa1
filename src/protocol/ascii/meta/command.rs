//! A meta command for a server that knows them: the client's own, with a few flags changed.
//!
//! * `q` is left out: each command is answered, so that the engine knows when it is done. What the client does not want to
//!   hear is dropped then ([`Asked`](super::asked::Asked)).
//! * `O` is the engine's own number, which shows that an answer belongs to the command; the client's token is given back in
//!   the answer.
//! * `k` is left out for a key that is no word: memcached gives the key of an item that a binary client has stored as it is,
//!   line ends and all.

use super::request::{Meta, Verb};
use crate::buffer::Output;
use crate::protocol::numbers::push_u64;
use crate::sums::sum;

/// At least as much as a line has besides the client's words: the number of the value's bytes, and the opaque.
const ROOM: usize = 48;

/// Appends the command, with its value if it has one. `opaque` stands in for the client's `O`. The result is whether there
/// was room for it, as memcached takes so many flags and no more.
pub fn write(out: &mut Output, meta: &Meta<'_>, opaque: u32) -> bool {
    let tail = out.tail();
    tail.reserve(sum([ROOM, meta.key.text().len(), meta.flags.text().len()]));
    let [first, second] = *meta.verb.word();
    tail.extend_from_slice(&[first, second, b' ']);
    tail.extend_from_slice(meta.key.text());
    if let Verb::Store(_) = meta.verb {
        tail.push(b' ');
        push_u64(tail, meta.value.len() as u64);
    }
    let hides_key = meta.flags.letters().has(b'k') && !meta.key.is_word();
    let (plain, others) = if hides_key { (&b""[..], meta.flags.iter()) } else { meta.flags.split_plain() };
    tail.extend_from_slice(plain);
    let mut gives_room = false;
    for (letter, token) in others {
        match letter {
            b'q' | b'O' => gives_room = true,
            b'k' if hides_key => gives_room = true,
            _ => {
                tail.extend_from_slice(&[b' ', letter]);
                tail.extend_from_slice(token);
            }
        }
    }
    // With the number.
    let words = if matches!(meta.verb, Verb::Store(_)) { 4 } else { 3 };
    let is_named = meta.verb != Verb::Debug && (gives_room || meta.flags.are_few(words));
    if is_named {
        tail.extend_from_slice(b" O");
        push_u64(tail, opaque.into());
    }
    tail.extend_from_slice(b"\r\n");
    if let Verb::Store(_) = meta.verb {
        out.push(meta.value);
        out.tail().extend_from_slice(b"\r\n");
    }
    is_named
}

#[cfg(test)]
mod tests {
    use super::super::key::KeyRoom;
    use super::super::request::{Parsed, parse};
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let mut room = KeyRoom::default();
        let Some(Parsed::Request { meta, .. }) = parse(line.as_bytes(), &mut room, &mut 0, 100) else {
            panic!("{line}")
        };
        let mut out = Output::default();
        let is_named = write(&mut out, &meta, 7);
        let text = String::from_utf8(out.contiguous(u64::MAX).unwrap_or_default().to_vec()).expect("text");
        assert_eq!(text, expected);
        assert_eq!(is_named, text.contains(" O7"), "{text}");
    }

    #[test]
    fn what_the_server_gets() {
        check("mg k v t f\r\n", "mg k v t f O7\r\n");
        check("mg  k  Oabc q  v k\r\n", "mg k v k O7\r\n");
        check("ms k 3 T0 q F5\r\na\r\n\r\n", "ms k 3 T0 F5 O7\r\na\r\n\r\n");
        check("md Zm9v b k\r\n", "md Zm9v b k O7\r\n");
        check("md YSBi b k\r\n", "md YSBi b O7\r\n");
        check("ma k N0 J5 D3 MI\r\n", "ma k N0 J5 D3 MI O7\r\n");
        check("me k\r\n", "me k\r\n");
        check("me Zm9v b\r\n", "me Zm9v b\r\n");
    }

    #[test]
    fn as_many_flags_as_there_may_be() {
        let flags = "v t f c s l h k u P1 L1 N1 R1 T1 E1 C1 x";
        check(&format!("mg k {flags}\r\n"), &format!("mg k {flags}\r\n"));
        let some = flags.replace(" x", " q");
        check(&format!("mg k {some}\r\n"), &format!("mg k {} O7\r\n", flags.replace(" x", "")));
    }
}
