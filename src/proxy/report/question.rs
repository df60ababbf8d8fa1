//! What may follow `stats proxy`.

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
}

impl Part {
    /// Every part by its name.
    const NAMES: [(&str, Part); 11] = [
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
    ];

    /// The part of this name; without a name it is all.
    fn named(word: &[u8]) -> Option<Part> {
        let word = if word.is_empty() { b"all" } else { word };
        Self::NAMES.iter().find(|(name, _)| name.as_bytes() == word).map(|&(_, part)| part)
    }
}

/// What follows `stats proxy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Show this part.
    Show(Part),
    /// Count from zero again.
    Reset,
}

impl Question {
    /// What `word` asks.
    ///
    /// # Errors
    /// The words that there are, for the client.
    pub fn parse(word: &[u8]) -> Result<Question, String> {
        if word == RESET.as_bytes() {
            return Ok(Question::Reset);
        }
        Part::named(word).map(Question::Show).ok_or_else(|| {
            let names: Vec<&str> = Part::NAMES.iter().map(|(name, _)| *name).chain([RESET]).collect();
            format!("CLIENT_ERROR unknown word behind stats proxy, valid: {}\r\n", names.join(" "))
        })
    }
}

/// The word that is no part.
const RESET: &str = "reset";
