//! A key as a client writes it in a meta command: plain, or in base64 with the flag `b`.

use super::super::line::BAD_FORMAT;
use super::is_word;
use crate::protocol::KEY_MAX;
use crate::sums::sum;

/// The answer to a key that is said to be base64 and is not.
const BAD_BASE64: &[u8] = b"CLIENT_ERROR error decoding key\r\n";

/// How long the key can be whose text has [`KEY_MAX`] bytes.
const DECODED_MAX: usize = KEY_MAX / 4 * 3;

/// A key, in its own bytes.
#[derive(Clone, Copy, PartialEq)]
pub struct Key<'a> {
    text: &'a [u8],
    name: &'a [u8],
    is_encoded: bool,
}

/// Room for the bytes of a key that is written in base64.
#[derive(Debug, Default)]
pub struct KeyRoom(Option<[u8; DECODED_MAX]>);

impl<'a> Key<'a> {
    /// A word of a line. The error is the line to answer with.
    #[inline]
    pub(super) fn plain(text: &'a [u8]) -> Result<Key<'a>, &'static [u8]> {
        if text.len() > KEY_MAX { Err(BAD_FORMAT) } else { Ok(Key { text, name: text, is_encoded: false }) }
    }

    /// The same word, understood as base64.
    pub(super) fn decoded(self, room: &'a mut KeyRoom) -> Result<Key<'a>, &'static [u8]> {
        let name = decode(self.text, room.0.insert([0; DECODED_MAX])).ok_or(BAD_BASE64)?;
        Ok(Key { name, is_encoded: true, ..self })
    }

    /// The key under which the item is kept.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The word that stands in the line.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Whether the client has written it in base64.
    pub fn is_encoded(&self) -> bool {
        self.is_encoded
    }

    /// Whether it can stand in a command as it is.
    pub fn is_word(&self) -> bool {
        is_word(self.name)
    }
}

impl std::fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.name().escape_ascii())
    }
}

/// As memcached does it: bytes that are not of the alphabet are passed over, what stands behind the padding too. `None` if
/// these are not groups of four, or nothing.
fn decode<'a>(text: &[u8], room: &'a mut [u8; DECODED_MAX]) -> Option<&'a [u8]> {
    let sextets = || text.iter().filter_map(|byte| Some((sextet(*byte)?, *byte == b'=')));
    let count = sextets().count();
    if count == 0 || !count.is_multiple_of(4) {
        return None;
    }
    let mut len = 0;
    let (mut group, mut padding) = (0u32, 0usize);
    for (at, (bits, is_padding)) in sextets().enumerate() {
        group = group << 6 | bits;
        padding = padding.saturating_add(is_padding.into());
        if at % 4 < 3 {
            continue;
        }
        let [_, three @ ..] = group.to_be_bytes();
        *room.get_mut(len..)?.first_chunk_mut()? = three;
        len = sum([len, 3usize.saturating_sub(padding)]);
        group = 0;
        match padding {
            0 => {}
            1 | 2 => break,
            _ => return None,
        }
    }
    room.get(..len)
}

/// What a byte stands for; the padding for 0.
fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte.wrapping_sub(b'A'),
        b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
        b'+' => 62,
        b'/' => 63,
        b'=' => 0,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &[u8]) -> Option<Vec<u8>> {
        let mut room = KeyRoom::default();
        let key = Key::plain(text).unwrap().decoded(&mut room).ok()?;
        assert!(key.is_encoded());
        Some(key.name().to_vec())
    }

    #[test]
    fn base64_is_read_as_memcached_reads_it() {
        assert_eq!(name(b"Zm9v"), Some(b"foo".to_vec()));
        assert_eq!(name(b"YSBiDQpjAA=="), Some(b"a b\r\nc\0".to_vec()));
        assert_eq!(name(b"Zm9vYmE="), Some(b"fooba".to_vec()));
        // Passed over, and behind the padding.
        assert_eq!(name(b"Zm-9_v"), Some(b"foo".to_vec()));
        assert_eq!(name(b"Zg==Zm9v"), Some(b"f".to_vec()));
        assert_eq!(name(b"Z=9v"), Some(vec![0x64, 0x0f]));
        for bad in [&b"Zm9"[..], b"Z", b"-_-", b"Z===", b"====", b"Zm9vZ"] {
            assert_eq!(name(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_text_of_251_bytes_is_too_long() {
        assert_eq!(Key::plain(&[b'k'; 251]), Err(BAD_FORMAT));
        assert_eq!(Key::plain(&[b'k'; 250]).unwrap().name(), [b'k'; 250]);
        assert_eq!(name(&[b'A'; 248]), Some(vec![0; 186]));
    }

    proptest! {
        #[test]
        fn any_text_is_a_key_or_none(text in prop::collection::vec(any::<u8>(), 1..=250)) {
            let key = Key::plain(&text).unwrap();
            prop_assert_eq!(key.name(), &text[..]);
            let mut room = KeyRoom::default();
            if let Ok(key) = key.decoded(&mut room) {
                prop_assert!((1..=DECODED_MAX).contains(&key.name().len()));
            }
        }

        #[test]
        fn what_is_written_here_is_read_here(name in prop::collection::vec(any::<u8>(), 1..=186)) {
            let mut text = Vec::new();
            super::super::push_encoded(&mut text, &name);
            let mut room = KeyRoom::default();
            let key = Key::plain(&text).unwrap().decoded(&mut room).unwrap();
            prop_assert_eq!(key.name(), &name[..]);
        }
    }
}
