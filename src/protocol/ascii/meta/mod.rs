//! What is peculiar to memcached's meta commands (its `protocol.txt`): keys that are no words, and which servers have
//! the commands in the form that this program writes; in the files, what clients send and get, and what such servers are
//! told.
//!
//! | file | what |
//! |---|---|
//! | [`request`] | a client's line, and the value behind it, to a [`Meta`](request::Meta) |
//! | [`flags`] | the words behind the key |
//! | [`key`] | a client's key, which may be written in base64 |
//! | [`answer`] | the words that most answers have in common |
//! | [`asked`] | what is kept of a command for its answer, and that answer |
//! | [`command`] | a command for a server that knows it |
//! | [`reply`] | what such a server says |

pub mod answer;
pub mod asked;
pub mod command;
pub mod flags;
pub mod key;
pub mod reply;
pub mod request;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::command::key as push_word;
use crate::protocol::KEY_MAX;
use crate::protocol::binary::packet::HEADER;
use crate::protocol::scan::word_end;
use crate::sums::sum;

/// Longest key in bytes that can be sent in base64: memcached's limit holds for the text, which is a third longer and
/// comes in groups of four.
const ENCODED_KEY_MAX: usize = KEY_MAX / 4 * 3;

/// The question whether the server knows meta commands.
pub const QUESTION: &[u8] = b"mn\r\n";

/// The same for one that may speak nothing but binary: so long that such a server finds at once that it is no packet.
pub const WHOLE_QUESTION: &[u8; HEADER] = b"mn                    \r\n";

/// Whether `key` can stand in a command as it is.
pub fn is_word(key: &[u8]) -> bool {
    // Nearly all keys are without any blank or control character.
    !key.is_empty() && (word_end(key).is_none() || !key.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n' | b' ')))
}

/// Whether `key` cannot stand in a command as it is, but can in base64.
pub fn is_encodable(key: &[u8]) -> bool {
    !is_word(key) && (1..=ENCODED_KEY_MAX).contains(&key.len())
}

/// One more word: a blank and the key, in base64 if it cannot stand there as it is. Returns whether that is so: then
/// the command needs the flag `b`.
///
/// The server keeps the item under the bytes of the key itself. (No command may ask for the key in the reply, flag `k`:
/// memcached gives it as it is, line ends and all, if a binary client has stored the item.)
pub fn push_key(out: &mut Vec<u8>, key: &[u8]) -> bool {
    if is_word(key) {
        push_word(out, key);
        return false;
    }
    out.push(b' ');
    push_encoded(out, key);
    true
}

/// Appends the key in base64.
fn push_encoded(out: &mut Vec<u8>, key: &[u8]) {
    let start = out.len();
    out.resize(sum([start, key.len().div_ceil(3).saturating_mul(4)]), 0);
    // There is room for all of it, which is the only thing that could go wrong.
    let len = STANDARD.encode_slice(key, out.get_mut(start..).unwrap_or_default()).unwrap_or(0);
    out.truncate(sum([start, len]));
}

/// Puts the key in the place of its base64 text.
pub fn decode_key(text: &mut Vec<u8>) {
    let len = text.len();
    text.resize(sum([len, len]), 0);
    let (encoded, key) = text.split_at_mut(len);
    let decoded = STANDARD.decode_slice(encoded, key).unwrap_or(0);
    text.drain(..len);
    text.truncate(decoded);
}

/// Whether a server that knows meta commands and answers `version` like this has them in an older form: up to memcached
/// 1.6.9 `ms` takes the length of the value elsewhere, and what it refuses it does not skip the value of, but obeys it.
pub fn is_early(version: &[u8]) -> bool {
    let Some(minor) = version.strip_prefix(b"VERSION 1.6.") else { return false };
    matches!(minor, [b'0'..=b'9'] | [b'0'..=b'9', b'-' | b'_' | b' ', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(push_key(&mut out, key), !is_word(key));
        assert_eq!(out.remove(0), b' ');
        out
    }

    #[test]
    fn a_key_comes_back_as_it_was() {
        for length in 1..=ENCODED_KEY_MAX {
            let mut key: Vec<u8> = (0..length).map(|at| (at * 37) as u8).collect();
            key[length / 2] = b' ';
            let mut text = pushed(&key);
            assert!(is_word(&text) && text.len() <= KEY_MAX, "{length}");
            decode_key(&mut text);
            assert_eq!(text, key);
        }
        assert!(pushed(&[0; ENCODED_KEY_MAX + 1]).len() > KEY_MAX);
    }

    #[test]
    fn the_alphabet_is_memcacheds() {
        assert_eq!(pushed(b"a b\r\nc\0"), b"YSBiDQpjAA==");
        assert_eq!(pushed(b"\xfb\xff\xfe \n"), b"+//+IAo=");
        assert_eq!(pushed(b"plain\x01"), b"plain\x01");
    }

    #[test]
    fn words() {
        for word in [&b"k"[..], b"\x01", b"a\tb", b"\x7f\xff", b"YSBi=="] {
            assert!(is_word(word), "{}", word.escape_ascii());
        }
        for key in [&b""[..], b"\0", b" ", b"a b", b"a\r", b"\na"] {
            assert!(!is_word(key), "{}", key.escape_ascii());
        }
    }

    #[test]
    fn early_forms_of_the_commands() {
        for early in ["1.6.0", "1.6.9", "1.6.0-beta1", "1.6.9_3 x"] {
            assert!(is_early(format!("VERSION {early}").as_bytes()), "{early}");
        }
        for other in ["1.6.10", "1.6.18", "1.6.39-dirty", "1.5.22", "1.7.0", "1.60.1", "1.6", "1.6.", "7.0.0"] {
            assert!(!is_early(format!("VERSION {other}").as_bytes()), "{other}");
        }
        assert!(!is_early(b"ERROR"));
    }
}
