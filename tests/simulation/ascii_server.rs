//! The ASCII protocol as a strict server sees it: what the proxy sends must be exactly what it is meant to send.

use std::rc::Rc;

use moxi::protocol::StoreVerb;

use super::meta_server;
use super::op::{Key, Op, Outcome};

/// In which words a request was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Classic,
    /// With these flags.
    Meta(Rc<[u8]>),
}

/// What the beginning of the proxy's bytes is.
#[derive(Debug)]
pub enum Parsed {
    /// More is needed.
    Incomplete,
    /// The line of a storage command, whose value of `missing` bytes (of `len` in all) has not arrived in full.
    Partial { op: Op, form: Form, len: usize },
    /// A request of so many bytes.
    Op(Op, Form, usize),
    /// The question whether meta commands are known, and its length.
    Probe(usize),
    /// `version`, and its length.
    Version(usize),
}

/// Looks at the beginning of `input`.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse(input: &[u8]) -> Result<Parsed, String> {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
        return Ok(Parsed::Incomplete);
    };
    let len = end + 1;
    let Some(line) = input[..len].strip_suffix(b"\r\n") else {
        return Err(format!("a line without carriage return: {}", input[..len].escape_ascii()));
    };
    // With more behind it where the server may speak nothing but binary.
    if line.trim_ascii_end() == b"mn" {
        return Ok(Parsed::Probe(len));
    }
    let bad = || format!("not a request: {}", line.escape_ascii());
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    if words.iter().any(|word| word.is_empty() || word.contains(&0)) {
        return Err(bad());
    }
    // Where keys may stand, it is one.
    let takes_keys = matches!(words[0], b"get" | b"gets" | b"gat" | b"gats" | b"delete");
    if words.len() > 1 && words.last() == Some(&&b"noreply"[..]) && !takes_keys {
        return Err(format!("noreply reached a server: {}", line.escape_ascii()));
    }
    let key = |at: usize| words.get(at).filter(|key| key.len() <= 250).map(|key| Key::from(*key)).ok_or_else(bad);
    let op = match (words[0], words.len()) {
        (b"get" | b"gets", 2..) => Op::Get {
            keys: (1..words.len()).map(key).collect::<Result<_, _>>()?,
            cas: words[0] == b"gets",
            touch: None,
        },
        (b"gat" | b"gats", 3..) => Op::Get {
            keys: (2..words.len()).map(key).collect::<Result<_, _>>()?,
            cas: words[0] == b"gats",
            touch: Some(number(words[1]).ok_or_else(bad)?),
        },
        (b"getl", 2) => Op::Getl { key: key(1)?, exptime: None },
        (b"getl", 3) => Op::Getl { key: key(1)?, exptime: Some(number(words[2]).ok_or_else(bad)?) },
        (b"incr" | b"decr", 3) => {
            Op::Arith { key: key(1)?, delta: number(words[2]).ok_or_else(bad)?, decr: words[0] == b"decr" }
        }
        (b"delete", 2) => Op::Delete { key: key(1)? },
        (b"touch", 3) => Op::Touch { key: key(1)?, exptime: number(words[2]).ok_or_else(bad)? },
        (b"unl", 3) => Op::Unl { key: key(1)?, cas: number(words[2]).ok_or_else(bad)? },
        (b"flush_all", 1) => Op::Flush { delay: None },
        (b"flush_all", 2) => Op::Flush { delay: Some(number(words[1]).ok_or_else(bad)?) },
        (b"version", 1) => return Ok(Parsed::Version(len)),
        (b"mg" | b"ms" | b"md" | b"ma", 2..) => return meta_server::parse(&words, input, len).ok_or_else(bad),
        (b"stats", 1) => Op::Stats { args: "" },
        (b"stats", 2) => Op::Stats { args: stats_args(words[1]) },
        (verb, count) => {
            let (verb, has_cas) = match (verb, count) {
                (b"set", 5) => (StoreVerb::Set, false),
                (b"cas", 6) => (StoreVerb::Set, true),
                (b"add", 5) => (StoreVerb::Add, false),
                (b"replace", 5) => (StoreVerb::Replace, false),
                (b"append", 5) => (StoreVerb::Append, false),
                (b"prepend", 5) => (StoreVerb::Prepend, false),
                _ => return Err(bad()),
            };
            let bytes: usize = number(words[4]).ok_or_else(bad)?;
            let cas = if has_cas { Some(number(words[5]).ok_or_else(bad)?) } else { None };
            let (flags, exptime) = (number(words[2]).ok_or_else(bad)?, number(words[3]).ok_or_else(bad)?);
            let there = &input[len..input.len().min(len + bytes)];
            let op = Op::Store { verb, key: key(1)?, flags, exptime, cas, value: Rc::from(there) };
            return match input.get(len + bytes..len + bytes + 2) {
                Some(b"\r\n") => Ok(Parsed::Op(op, Form::Classic, len + bytes + 2)),
                Some(_) => Err(format!("a value of the wrong length: {}", line.escape_ascii())),
                None => Ok(Parsed::Partial { op, form: Form::Classic, len: len + bytes + 2 }),
            };
        }
    };
    Ok(Parsed::Op(op, Form::Classic, len))
}

/// The statistics that are asked for; those with a name that nobody knows are all the same.
pub fn stats_args(word: &[u8]) -> &'static str {
    let known = ["", "reset", "settings", "items", "slabs", "sizes", "conns"];
    known.into_iter().find(|args| args.as_bytes() == word).unwrap_or("unknown")
}

/// A number as this program writes them: no sign but minus, no zeros in front.
pub fn number<T: std::str::FromStr + ToString>(word: &[u8]) -> Option<T> {
    let text = str::from_utf8(word).ok()?;
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Appends a server's reply.
pub fn reply(op: &Op, form: &Form, outcome: &Outcome, out: &mut Vec<u8>) {
    if let Form::Meta(flags) = form {
        return meta_server::reply(op, flags, outcome, out);
    }
    let with_cas = matches!(op, Op::Get { cas: true, .. } | Op::Getl { .. });
    match outcome {
        Outcome::Values(values) => {
            for (key, item) in values {
                out.extend_from_slice(b"VALUE ");
                out.extend_from_slice(key);
                out.extend_from_slice(format!(" {} {}", item.flags, item.value.len()).as_bytes());
                if with_cas {
                    out.extend_from_slice(format!(" {}", item.cas).as_bytes());
                }
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(&item.value);
                out.extend_from_slice(b"\r\n");
            }
        }
        Outcome::Stats(_) if matches!(op, Op::Stats { args: "reset" }) => {
            return out.extend_from_slice(b"RESET\r\n");
        }
        Outcome::Stats(stats) => {
            for (name, value) in stats {
                out.extend_from_slice(format!("STAT {name} {value}\r\n").as_bytes());
            }
        }
        _ => {}
    }
    out.extend_from_slice(outcome.line().as_bytes());
    out.extend_from_slice(b"\r\n");
}
