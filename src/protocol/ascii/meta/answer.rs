//! The words that most answers to meta commands have in common. Each begins with a blank.

use super::{is_word, push_encoded};
use crate::protocol::numbers::push_u64;

/// The answer to `mn`.
pub const NOOP: &[u8] = b"MN\r\n";

/// A letter and a number.
pub fn number(out: &mut Vec<u8>, letter: u8, number: u64) {
    flag(out, letter);
    push_u64(out, number);
}

/// A letter.
pub fn flag(out: &mut Vec<u8>, letter: u8) {
    out.extend_from_slice(&[b' ', letter]);
}

/// A letter and its token.
pub fn word(out: &mut Vec<u8>, letter: u8, token: &[u8]) {
    flag(out, letter);
    out.extend_from_slice(token);
}

/// The client's own token, as it has written it.
pub fn opaque(out: &mut Vec<u8>, token: &[u8]) {
    word(out, b'O', token);
}

/// What a flag of the request asks for that only repeats the request: its token, or its key.
#[inline]
pub fn repeated(out: &mut Vec<u8>, letter: u8, token: &[u8], name: &[u8], is_encoded: bool) {
    match letter {
        b'O' => opaque(out, token),
        b'k' => key(out, name, is_encoded),
        _ => {}
    }
}

/// The key; `is_encoded`, and if it cannot stand in a line as it is: in base64, and with the flag that says so.
pub fn key(out: &mut Vec<u8>, key: &[u8], is_encoded: bool) {
    flag(out, b'k');
    if name(out, key, is_encoded) {
        flag(out, b'b');
    }
}

/// The key alone, as [`key()`] writes it. The result is whether that is in base64.
pub fn name(out: &mut Vec<u8>, key: &[u8], is_encoded: bool) -> bool {
    let is_encoded = is_encoded || !is_word(key);
    if is_encoded {
        push_encoded(out, key);
    } else {
        out.extend_from_slice(key);
    }
    is_encoded
}

/// The seconds until the end of an item's time: `None` if it has none.
pub fn time_left(out: &mut Vec<u8>, seconds: Option<u32>) {
    match seconds {
        Some(seconds) => number(out, b't', seconds.into()),
        None => out.extend_from_slice(b" t-1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_answer() {
        let mut out = b"HD".to_vec();
        number(&mut out, b'c', u64::MAX);
        opaque(&mut out, b"a=b");
        key(&mut out, b"foo", false);
        key(&mut out, b"foo", true);
        key(&mut out, b"a b\r\nc\0", false);
        time_left(&mut out, None);
        time_left(&mut out, Some(0));
        flag(&mut out, b'W');
        let expected = "HD c18446744073709551615 Oa=b kfoo kZm9v b kYSBiDQpjAA== b t-1 t0 W";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
