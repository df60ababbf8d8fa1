//! Lists of key prefixes (03 §14.3, 05 §3.2).

/// Prefixes separated by `|`; a key matches if it begins with one of them. Empty ones are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    prefixes: Vec<Box<[u8]>>,
}

impl Matcher {
    /// The prefixes that `text` lists.
    pub fn new(text: &str) -> Matcher {
        let prefixes = text.split('|').filter(|prefix| !prefix.is_empty());
        Matcher { prefixes: prefixes.map(|prefix| prefix.as_bytes().into()).collect() }
    }

    /// Whether nothing can match.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// Whether `key` begins with one of the prefixes.
    pub fn matches(&self, key: &[u8]) -> bool {
        self.prefixes.iter().any(|prefix| key.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_literal() {
        let matcher = Matcher::new("|user:|*|ü||");
        for (key, want) in
            [("user:1", true), ("user", false), ("User:1", false), ("*x", true), ("x*", false), ("ü", true)]
        {
            assert_eq!(matcher.matches(key.as_bytes()), want, "{key}");
        }
        assert!(!matcher.matches(b""));
        for text in ["", "|", "||"] {
            assert!(Matcher::new(text).is_empty());
            assert!(!Matcher::new(text).matches(b"a"));
        }
    }
}
