//! `-Z`: the proxy behaviour keys (05 §3).
//!
//! | file | what |
//! |---|---|
//! | [`keys`] | the one table of keys: parser, help text, statistics and dump read it |
//! | [`setting`] | how a value of each type is read and shown |
//! | [`endpoint`] | a setting that says where to listen |
//! | [`one_in`] | a setting that says which part of all is meant |
//! | [`items`] | how the text falls into items |
//!
//! Nothing in a `-Z` text is fatal, unless it says `strict=1`. What cannot be used leaves the setting as it was and
//! yields a line for the log.

pub mod endpoint;
pub mod items;
pub mod keys;
pub mod one_in;
pub mod setting;

pub use keys::{Behavior, KEYS, Key, Unit, Where};
pub use setting::HashOptions;

use setting::{Accepted, Kind};

/// Value of `default_bucket_name` that stands for "the first bucket of the configuration" (05 §8.1).
pub const FIRST_BUCKET: &str = "[ <FIRST_BUCKET> ]";

impl Behavior {
    /// Applies the `-Z` text to these settings; later items win.
    ///
    /// The second value is what to log: one line for each item that was not understood, or not typed in full.
    pub fn with_text(&self, text: &str) -> (Behavior, Vec<String>) {
        let (behavior, log, _) = self.with_keys(text);
        (behavior, log)
    }

    /// The same. The third value has the names of the keys that the text has set.
    pub(super) fn with_keys(&self, text: &str) -> (Behavior, Vec<String>, Vec<&'static str>) {
        let mut behavior = self.clone();
        let mut log = Vec::new();
        let mut set = Vec::new();
        let mut after_secret = false;
        for item in items::split(text) {
            if after_secret && item.value.is_none() {
                // Most likely the rest of a password with a comma in it.
                log.push("ERROR: config error in key: *** value: (null)".to_owned());
                continue;
            }
            set.extend(behavior.apply(&item, &mut log));
            after_secret = Key::matching(item.key).is_some_and(Key::is_secret);
        }
        (behavior, log, set)
    }

    /// Applies one item. Gives the name of the key that it has set.
    fn apply(&mut self, item: &items::Item<'_>, log: &mut Vec<String>) -> Option<&'static str> {
        let found = Key::matching(item.key);
        let Some((key, value)) = found.zip(item.value) else {
            log.push(rejected(item, found));
            return None;
        };
        match (key.set)(self, value, &key.limit) {
            Accepted::No => {
                log.push(rejected(item, found));
                return None;
            }
            Accepted::Yes => {}
            Accepted::Number => log.push(format!(
                "WARNING: value of {}: only the number counts, {}: {}",
                key.name,
                wanted(key),
                printable(value)
            )),
            Accepted::AsWord(word) => log.push(format!(
                "WARNING: value of {} is abbreviated: {} is taken as {word}",
                key.name,
                printable(value)
            )),
        }
        if !key.is_called(item.key) {
            log.push(format!("WARNING: key is abbreviated: {} is taken as {}", printable(item.key), key.name));
        }
        Some(key.name)
    }

    /// Every key that may be shown, in table order, with its value as text: the `-vv` dump. No passwords.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, String)> {
        KEYS.iter().filter(|key| !key.is_secret()).map(|key| (key.name, key.value(self)))
    }
}

/// The line for an item that is not used (05 §3.3), and why. A password is not repeated.
fn rejected(item: &items::Item<'_>, key: Option<&Key>) -> String {
    let value = match item.value {
        None => "(null)".to_owned(),
        Some(_) if key.is_some_and(Key::is_secret) => "***".to_owned(),
        Some(value) => printable(value),
    };
    let why = match key {
        _ if item.key.is_empty() => "no key".to_owned(),
        None => "there is no such key".to_owned(),
        Some(_) if item.value.is_none() => "= is missing".to_owned(),
        Some(key) => wanted(key),
    };
    format!("ERROR: config error in key: {} value: {value} ({why})", printable(item.key))
}

/// What a key takes.
fn wanted(key: &Key) -> String {
    let (least, most) = (key.limit.start(), key.limit.end());
    match key.kind {
        Kind::Number if key.unit == Unit::Milliseconds => "it is a number of milliseconds".to_owned(),
        Kind::Number if *most < u64::from(u32::MAX) => format!("it is a whole number from {least} to {most}"),
        Kind::Number if *least > 0 => format!("it is a whole number from {least} on"),
        Kind::Number | Kind::Signed => "it is a whole number".to_owned(),
        Kind::Switch => "it is 0 or 1".to_owned(),
        Kind::Text | Kind::Secret => format!("it has at most {most} bytes"),
        Kind::Hash => "it is distribution:ketama, distribution:ketama-weighted or distribution:modula".to_owned(),
        Kind::Protocol => "it is ascii or binary".to_owned(),
        Kind::Endpoint => "it is a port, or HOST:PORT".to_owned(),
        Kind::OneIn => "it is 1/N, as in 1/1000, or 0".to_owned(),
    }
}

/// `text` without control characters, so that it stays on its line of the log.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
