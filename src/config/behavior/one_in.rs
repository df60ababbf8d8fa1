//! A setting that says which part of all is meant: one in so many.

use std::ops::RangeInclusive;

use super::setting::{Accepted, Kind, Setting};

/// One in so many, written `1/N`; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OneIn(Option<u32>);

impl OneIn {
    /// In how many; `None`: none is meant.
    pub fn number(self) -> Option<u32> {
        self.0
    }
}

/// What `text` says; `None`: it says nothing that could be.
fn parse(text: &str) -> Option<OneIn> {
    if text.is_empty() || text == "0" {
        return Some(OneIn::default());
    }
    let digits = text.strip_prefix("1/")?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|number| is_number && *number > 0)?;
    Some(OneIn(Some(number)))
}

impl Setting for OneIn {
    const KIND: Kind = Kind::OneIn;

    fn set(&mut self, text: &str, _limit: &RangeInclusive<u64>) -> Accepted {
        parse(text).map(|one_in| *self = one_in).is_some().into()
    }

    fn show(&self) -> String {
        self.0.map(|number| format!("1/{number}")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_so_many_or_none() {
        for (text, want) in [
            ("", Some("")),
            ("0", Some("")),
            ("1/1", Some("1/1")),
            ("1/100", Some("1/100")),
            ("1/4294967295", Some("1/4294967295")),
            ("1/4294967296", None),
            ("1/0", None),
            ("1/", None),
            ("1/+5", None),
            ("1/-5", None),
            ("1/5x", None),
            ("1 / 5", None),
            ("2/5", None),
            ("0.01", None),
            ("1%", None),
            ("100", None),
        ] {
            let mut one_in = OneIn(Some(7));
            assert_eq!(one_in.set(text, &(0..=u64::MAX)), want.is_some().into(), "{text}");
            assert_eq!(one_in.show(), want.unwrap_or("1/7"), "{text}");
        }
    }
}
