//! How the value of a behaviour key is read and shown, for each type of setting (05 §3.1).

use std::ops::RangeInclusive;

use crate::config::snapshot::Secret;
use crate::protocol::Protocol;
use crate::routing;

/// What may be written for each protocol, in matching order.
const PROTOCOLS: [(&str, Protocol); 6] = [
    ("ascii", Protocol::Ascii),
    ("memcached-ascii", Protocol::Ascii),
    ("membase-ascii", Protocol::Ascii),
    ("binary", Protocol::Binary),
    ("memcached-binary", Protocol::Binary),
    ("membase-binary", Protocol::Binary),
];

/// How server lists are hashed: text in which [`routing`] finds the name of a distribution, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashOptions(String);

impl HashOptions {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of value a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An unsigned number.
    Number,
    /// A signed number.
    Signed,
    /// 0 or another number.
    Switch,
    /// Any text without a comma.
    Text,
    /// Text that names a distribution of keys.
    Hash,
    /// Text that is never shown.
    Secret,
    /// A protocol word.
    Protocol,
    /// Where to listen.
    Endpoint,
    /// One in so many.
    OneIn,
}

/// Whether a value was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// No; the setting is what it was.
    No,
    /// Yes.
    Yes,
    /// Yes: it is the beginning of this word.
    AsWord(&'static str),
    /// Yes: the number at its beginning. The words behind that are ignored.
    Number,
}

impl From<bool> for Accepted {
    fn from(yes: bool) -> Accepted {
        if yes { Accepted::Yes } else { Accepted::No }
    }
}

/// A type that a behaviour key can have.
pub trait Setting {
    /// What help and documentation call it.
    const KIND: Kind;

    /// Reads `text`, which is trimmed, within `limit`: of the number itself, or of the length in bytes.
    fn set(&mut self, text: &str, limit: &RangeInclusive<u64>) -> Accepted;

    /// The value as statistics show it.
    fn show(&self) -> String;
}

/// The first word of a value: `5 6` is 5, as ever.
fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or("")
}

/// Decimal digits, optionally after one `+`.
fn unsigned(text: &str) -> Option<u64> {
    let word = first_word(text);
    let digits = word.strip_prefix('+').unwrap_or(word);
    // `parse` takes a second `+` itself.
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Takes a value over if there is one.
fn replace<T>(slot: &mut T, value: Option<T>) -> Accepted {
    value.map(|value| *slot = value).is_some().into()
}

/// Takes over the number that `text` begins with, if there is one. More numbers may follow, as ever; what looks like a
/// unit is worth a warning.
fn replace_number<T>(slot: &mut T, text: &str, value: Option<T>) -> Accepted {
    match replace(slot, value) {
        Accepted::Yes if text.contains(char::is_alphabetic) => Accepted::Number,
        accepted => accepted,
    }
}

impl Setting for u32 {
    const KIND: Kind = Kind::Number;

    fn set(&mut self, text: &str, limit: &RangeInclusive<u64>) -> Accepted {
        let number = unsigned(text).filter(|number| limit.contains(number));
        replace_number(self, text, number.and_then(|number| u32::try_from(number).ok()))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u64 {
    const KIND: Kind = Kind::Number;

    fn set(&mut self, text: &str, limit: &RangeInclusive<u64>) -> Accepted {
        replace_number(self, text, unsigned(text).filter(|number| limit.contains(number)))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for i32 {
    const KIND: Kind = Kind::Signed;

    /// Any number of the type; whether a port can be bound shows when it is.
    fn set(&mut self, text: &str, _limit: &RangeInclusive<u64>) -> Accepted {
        replace_number(self, text, first_word(text).parse().ok())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Switch;

    fn set(&mut self, text: &str, _limit: &RangeInclusive<u64>) -> Accepted {
        replace_number(self, text, unsigned(text).map(|number| number != 0))
    }

    fn show(&self) -> String {
        u8::from(*self).to_string()
    }
}

/// Whether `text` has a length within `limit`.
fn fits(text: &str, limit: &RangeInclusive<u64>) -> bool {
    u64::try_from(text.len()).is_ok_and(|length| limit.contains(&length))
}

impl Setting for String {
    const KIND: Kind = Kind::Text;

    fn set(&mut self, text: &str, limit: &RangeInclusive<u64>) -> Accepted {
        replace(self, fits(text, limit).then(|| text.to_owned()))
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Setting for HashOptions {
    const KIND: Kind = Kind::Hash;

    fn set(&mut self, text: &str, limit: &RangeInclusive<u64>) -> Accepted {
        let is_known = text.is_empty() || routing::names_distribution(text);
        replace(self, (is_known && fits(text, limit)).then(|| HashOptions(text.to_owned())))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Setting for Secret {
    const KIND: Kind = Kind::Secret;

    fn set(&mut self, text: &str, limit: &RangeInclusive<u64>) -> Accepted {
        replace(self, fits(text, limit).then(|| Secret::new(text)))
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for Protocol {
    const KIND: Kind = Kind::Protocol;

    fn set(&mut self, text: &str, _limit: &RangeInclusive<u64>) -> Accepted {
        let word = first_word(text);
        let Some((full, protocol)) = PROTOCOLS.iter().find(|(name, _)| !word.is_empty() && name.starts_with(word))
        else {
            return Accepted::No;
        };
        *self = *protocol;
        if *full == word { Accepted::Yes } else { Accepted::AsWord(full) }
    }

    /// The numbers that statistics have always shown (06 §4.5).
    fn show(&self) -> String {
        match self {
            Protocol::Ascii => "7".to_owned(),
            Protocol::Binary => "8".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, want) in [
            ("0", Some(0)),
            ("+5", Some(5)),
            ("5 6", Some(5)),
            ("1\n 11", Some(1)),
            ("007", Some(7)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("18446744073709551616", None),
            ("", None),
            ("+", None),
            ("++5", None),
            ("-1", None),
            ("0x10", None),
            ("1.5", None),
            ("5x", None),
            ("\u{0665}", None),
        ] {
            let mut number = 42u32;
            let accepted = number.set(text, &(0..=u64::MAX));
            assert_eq!((accepted, number), (want.is_some().into(), want.unwrap_or(42)), "{text}");
        }
    }

    #[test]
    fn units_are_no_part_of_a_number() {
        for (text, accepted, want) in [
            ("5s", Accepted::No, 42),
            ("5 s", Accepted::Number, 5),
            ("5 ms", Accepted::Number, 5),
            ("5 6", Accepted::Yes, 5),
        ] {
            let (mut number, mut large, mut signed) = (42u32, 42u64, 42i32);
            assert_eq!((number.set(text, &(0..=99)), number), (accepted, want), "{text}");
            assert_eq!((large.set(text, &(0..=99)), large), (accepted, u64::from(want)), "{text}");
            assert_eq!(signed.set(text, &(0..=0)), accepted, "{text}");
        }
        let mut switch = false;
        assert_eq!((switch.set("1 yes", &(0..=0)), switch), (Accepted::Number, true));
        assert_eq!(switch.set("yes", &(0..=0)), Accepted::No);
    }

    #[test]
    fn hash_options_name_a_distribution() {
        for (text, accepted) in [
            ("", Accepted::Yes),
            ("distribution:ketama", Accepted::Yes),
            ("verify_key:1 distribution:modula", Accepted::Yes),
            ("bogus", Accepted::No),
            ("ketama", Accepted::No),
            ("distribution:kitama", Accepted::No),
        ] {
            let mut options = HashOptions(String::new());
            assert_eq!(options.set(text, &(0..=79)), accepted, "{text}");
            assert_eq!(options.as_str(), if accepted == Accepted::Yes { text } else { "" });
        }
    }

    #[test]
    fn limits() {
        let mut number = 7u64;
        assert_eq!(number.set("0", &(1..=10)), Accepted::No);
        assert_eq!(number.set("11", &(1..=10)), Accepted::No);
        assert_eq!(number.set("10", &(1..=10)), Accepted::Yes);
        assert_eq!(number, 10);
        let mut text = String::from("old");
        assert_eq!(text.set("12345", &(0..=4)), Accepted::No);
        assert_eq!(text, "old");
        assert_eq!(text.set("1234", &(0..=4)), Accepted::Yes);
        assert_eq!(text.set("", &(0..=4)), Accepted::Yes);
        assert_eq!(text, "");
    }

    #[test]
    fn signed_numbers() {
        for (text, want) in [
            ("-5", Some(-5)),
            ("+5", Some(5)),
            ("443322", Some(443322)),
            ("2147483648", None),
            ("", None),
            ("1 2", Some(1)),
        ] {
            let mut number = 42i32;
            let accepted = number.set(text, &(0..=0));
            assert_eq!((accepted, number), (want.is_some().into(), want.unwrap_or(42)), "{text}");
        }
    }

    #[test]
    fn protocol_words() {
        use Protocol::{Ascii, Binary};
        for (text, want, accepted) in [
            ("ascii", Ascii, Accepted::Yes),
            ("memcached-ascii", Ascii, Accepted::Yes),
            ("membase-binary", Binary, Accepted::Yes),
            ("a", Ascii, Accepted::AsWord("ascii")),
            ("m", Ascii, Accepted::AsWord("memcached-ascii")),
            ("memb", Ascii, Accepted::AsWord("membase-ascii")),
            ("memcached-b", Binary, Accepted::AsWord("memcached-binary")),
            ("b", Binary, Accepted::AsWord("binary")),
        ] {
            let mut protocol = if want == Ascii { Binary } else { Ascii };
            assert_eq!((protocol.set(text, &(0..=0)), protocol), (accepted, want), "{text}");
        }
        for text in ["", "Ascii", "asciix", "x", "7"] {
            let mut protocol = Binary;
            assert_eq!((protocol.set(text, &(0..=0)), protocol), (Accepted::No, Binary), "{text}");
        }
    }
}
