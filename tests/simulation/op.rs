//! What clients ask for and servers do, whichever protocol carries it.

use std::rc::Rc;

use moxi::protocol::StoreVerb;

use super::truth::shown;

/// A key.
pub type Key = Rc<[u8]>;

/// What an item holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub flags: u32,
    pub cas: u64,
    pub value: Rc<[u8]>,
}

/// A request.
#[derive(Clone, PartialEq)]
pub enum Op {
    /// `get`, `gets`; with `touch` `gat`, `gats`.
    Get {
        keys: Vec<Key>,
        cas: bool,
        touch: Option<i64>,
    },
    Getl {
        key: Key,
        exptime: Option<u32>,
    },
    Store {
        verb: StoreVerb,
        key: Key,
        flags: u32,
        exptime: i64,
        cas: Option<u64>,
        value: Rc<[u8]>,
    },
    Arith {
        key: Key,
        delta: u64,
        decr: bool,
    },
    Delete {
        key: Key,
    },
    Touch {
        key: Key,
        exptime: i64,
    },
    Unl {
        key: Key,
        cas: u64,
    },
    Flush {
        delay: Option<i64>,
    },
    Stats {
        args: &'static str,
    },
}

/// Keys of hostile clients begin like this; their requests carry no ids.
pub const HOSTILE: u8 = b'h';

/// What ids may be. Hostile clients use other numbers.
pub const IDS: std::ops::Range<u64> = 100..1_000_000;

/// Keys of numbers begin like this.
pub const NUMBER: u8 = b'n';

impl Op {
    /// The only key.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Op::Getl { key, .. }
            | Op::Store { key, .. }
            | Op::Arith { key, .. }
            | Op::Delete { key }
            | Op::Touch { key, .. }
            | Op::Unl { key, .. } => Some(key),
            Op::Get { .. } | Op::Flush { .. } | Op::Stats { .. } => None,
        }
    }

    /// The keys; none: it is for all of them.
    pub fn keys(&self) -> &[Key] {
        match self {
            Op::Get { keys, .. } => keys,
            other => other.key().map_or(&[], std::slice::from_ref),
        }
    }

    /// The same as [`Op::id`]; a get that touches has one, too.
    pub fn any_id(&self) -> Option<u64> {
        match self {
            Op::Get { touch, .. } => {
                touch.and_then(|exptime| u64::try_from(exptime).ok()).filter(|id| IDS.contains(id))
            }
            other => other.id(),
        }
    }

    /// The number that tells this request from all others, if it has a place for one.
    pub fn id(&self) -> Option<u64> {
        if self.key().is_some_and(|key| key.first() == Some(&HOSTILE)) {
            return None;
        }
        match self {
            Op::Store { value, .. } => value_id(value),
            Op::Arith { delta, .. } => Some(*delta),
            Op::Touch { exptime, .. } => u64::try_from(*exptime).ok(),
            Op::Getl { exptime, .. } => exptime.map(u64::from),
            Op::Unl { cas, .. } => Some(*cas),
            Op::Flush { delay } => delay.and_then(|delay| u64::try_from(delay).ok()),
            Op::Get { .. } | Op::Delete { .. } | Op::Stats { .. } => None,
        }
        .filter(|id| IDS.contains(id))
    }

    /// Whether no server may execute it twice for one request of a client (03 §8.1).
    pub fn only_once(&self) -> bool {
        match self {
            Op::Store { verb, cas, .. } => cas.is_some() || !matches!(verb, StoreVerb::Set | StoreVerb::Replace),
            Op::Arith { .. } | Op::Getl { .. } | Op::Unl { .. } => true,
            _ => false,
        }
    }
}

/// Short: for messages.
impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |key: &Key| shown(key);
        match self {
            Op::Get { keys, cas, touch } => {
                let keys: Vec<String> = keys.iter().map(name).collect();
                write!(f, "get {} cas {cas} touch {touch:?}", keys.join(" "))
            }
            Op::Getl { key, exptime } => write!(f, "getl {} {exptime:?}", name(key)),
            Op::Store { verb, key, flags, cas, value, .. } => {
                write!(f, "{verb:?} {} {flags} cas {cas:?}: {}", name(key), shown(value))
            }
            Op::Arith { key, delta, decr } => write!(f, "add {} {delta} decr {decr}", name(key)),
            Op::Delete { key } => write!(f, "delete {}", name(key)),
            Op::Touch { key, exptime } => write!(f, "touch {} {exptime}", name(key)),
            Op::Unl { key, cas } => write!(f, "unl {} {cas}", name(key)),
            Op::Flush { delay } => write!(f, "flush {delay:?}"),
            Op::Stats { args } => write!(f, "stats {args}"),
        }
    }
}

/// The id that a stored value begins with: `#12;…`, or the whole number.
pub fn value_id(value: &[u8]) -> Option<u64> {
    let digits = match value.strip_prefix(b"#") {
        Some(rest) => &rest[..rest.iter().position(|&byte| byte == b';')?],
        None => value,
    };
    str::from_utf8(digits).ok()?.parse().ok()
}

/// What a server makes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Stored,
    NotStored,
    Exists,
    NotFound,
    Deleted,
    Touched,
    Number(u64),
    NonNumeric,
    Unlocked,
    /// Flushed.
    Done,
    /// The server does not know the command.
    Unknown,
    TooLarge,
    Temporary,
    /// The server cannot flush.
    NotSupported,
    /// The key is another server's; with what the server says.
    NotMine(Rc<str>),
    /// Present ones only.
    Values(Vec<(Key, Item)>),
    Stats(Vec<(String, String)>),
}

impl Outcome {
    /// The line of an ASCII server.
    pub fn line(&self) -> String {
        match self {
            Outcome::Stored => "STORED",
            Outcome::NotStored => "NOT_STORED",
            Outcome::Exists => "EXISTS",
            Outcome::NotFound => "NOT_FOUND",
            Outcome::Deleted => "DELETED",
            Outcome::Touched => "TOUCHED",
            Outcome::Number(number) => return number.to_string(),
            Outcome::NonNumeric => "CLIENT_ERROR cannot increment or decrement non-numeric value",
            Outcome::Unlocked => "UNLOCKED",
            Outcome::Done => "OK",
            Outcome::Unknown => "ERROR",
            Outcome::TooLarge => "SERVER_ERROR object too large for cache",
            Outcome::Temporary => "SERVER_ERROR temporary failure",
            Outcome::NotSupported => "SERVER_ERROR not supported",
            Outcome::NotMine(_) => "SERVER_ERROR a2b not_my_vbucket",
            Outcome::Values(_) | Outcome::Stats(_) => "END",
        }
        .to_owned()
    }

    /// Status and body of a binary server's packet.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Outcome::NotFound => (0x01, "Not found"),
            Outcome::Exists => (0x02, "Data exists for key."),
            Outcome::TooLarge => (0x03, "Too large."),
            Outcome::NotStored => (0x05, "Not stored."),
            Outcome::NotMine(_) => (0x07, ""),
            Outcome::NonNumeric => (0x06, "Non-numeric server-side value for incr or decr"),
            Outcome::Unknown => (0x81, "Unknown command"),
            Outcome::NotSupported => (0x83, "Not supported"),
            Outcome::Temporary => (0x86, "Temporary failure"),
            Outcome::Unlocked => (0, "UNLOCKED"),
            _ => (0, ""),
        }
    }

    /// The line that an ASCII client gets for it, if `op` is answered by one line of one server.
    pub fn seen(&self, op: &Op, binary: bool) -> String {
        match (op, self) {
            (Op::Unl { .. }, Outcome::NotMine(text)) => text.to_string(),
            (Op::Unl { .. }, outcome) if binary => outcome.status().1.to_owned(),
            (Op::Arith { .. }, Outcome::Temporary | Outcome::NotMine(_)) if binary => {
                "SERVER_ERROR a2b arith error".to_owned()
            }
            (Op::Getl { .. }, Outcome::Unknown | Outcome::Temporary) => {
                if binary { "LOCK_ERROR" } else { "END" }.to_owned()
            }
            _ => self.line(),
        }
    }
}
