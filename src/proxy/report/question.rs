//! What may follow `stats proxy`.

use crate::protocol::KEY_MAX;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `all`, or nothing.
    All,
    /// `info`
    Info,
    /// `settings`
    Settings,
    /// `behaviors`
    Behaviors,
    /// `frontcache`
    FrontCache,
    /// `stats`
    Stats,
    /// `timings`
    Timings,
    /// `config`
    Config,
    /// `keystats`
    KeyStats,
    /// `hotkeys`
    HotKeys,
    /// `buckets`: the counters of buckets alone.
    Buckets,
    /// `latency`
    Latency,
    /// `servers`
    Servers,
}

impl Part {
    /// Every part by its name.
    const NAMES: [(&str, Part); 13] = [
        ("all", Part::All),
        ("info", Part::Info),
        ("settings", Part::Settings),
        ("behaviors", Part::Behaviors),
        ("frontcache", Part::FrontCache),
        ("keystats", Part::KeyStats),
        ("stats", Part::Stats),
        ("timings", Part::Timings),
        ("config", Part::Config),
        ("buckets", Part::Buckets),
        ("hotkeys", Part::HotKeys),
        ("latency", Part::Latency),
        ("servers", Part::Servers),
    ];

    /// The part of this name; without a name it is all.
    fn named(word: &[u8]) -> Option<Part> {
        let word = if word.is_empty() { b"all" } else { word };
        Self::NAMES.iter().find(|(name, _)| name.as_bytes() == word).map(|&(_, part)| part)
    }
}

/// What follows `stats proxy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// Show this part.
    Show(Part),
    /// Where this key goes.
    Route(&'a [u8]),
    /// Count from zero again.
    Reset,
}

impl<'a> Question<'a> {
    /// What `word` asks.
    ///
    /// # Errors
    /// The words that there are, for the client.
    pub fn parse(word: &'a [u8]) -> Result<Question<'a>, String> {
        if word == RESET.as_bytes() {
            return Ok(Question::Reset);
        }
        if let Some(key) = word.strip_prefix(ROUTE.as_bytes())
            && matches!(key.first(), None | Some(b' '))
        {
            let key = key.trim_ascii();
            let is_key = (1..=KEY_MAX).contains(&key.len());
            return is_key.then_some(Question::Route(key)).ok_or_else(|| BAD_KEY.to_owned());
        }
        Part::named(word).map(Question::Show).ok_or_else(|| {
            let names: Vec<&str> = Part::NAMES.iter().map(|(name, _)| *name).chain([RESET, ROUTE]).collect();
            format!("CLIENT_ERROR unknown word behind stats proxy, valid: {}\r\n", names.join(" "))
        })
    }
}

/// The words that are no parts.
const RESET: &str = "reset";
const ROUTE: &str = "route";
/// What who asks for the route of no key is told.
const BAD_KEY: &str = "CLIENT_ERROR stats proxy route takes a key of 1 to 250 bytes\r\n";
