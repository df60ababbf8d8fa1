//! memcached's meta commands, as far as the proxy uses them.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moxi::protocol::StoreVerb;

use super::ascii_server::{Form, Parsed, number};
use super::op::{Item, Key, Op, Outcome};

/// Looks at a line that begins with `words`, of `len` bytes at the beginning of `input`. `None`: it is wrong.
pub fn parse(words: &[&[u8]], input: &[u8], len: usize) -> Option<Parsed> {
    let name = *words.get(1).filter(|key| key.len() <= 250)?;
    let is_encoded = words[2..].contains(&&b"b"[..]);
    let key = if is_encoded { Key::from(STANDARD.decode(name).ok()?) } else { Key::from(name) };
    // Only what cannot stand there otherwise.
    let is_word = !key.iter().any(|byte| matches!(byte, 0 | b' ' | b'\r' | b'\n'));
    if is_encoded == is_word {
        return None;
    }
    let is_store = words[0] == b"ms";
    let bytes: usize = if is_store { number(words.get(2)?)? } else { 0 };
    let flags = &words[if is_store { 3 } else { 2 }..];
    let has = |name: &str| flags.contains(&name.as_bytes());
    let flag = |name: u8| flags.iter().find_map(|word| number::<u64>(word.strip_prefix(&[name])?));
    let mode = flags.iter().find_map(|word| word.strip_prefix(b"M")).unwrap_or_default();
    let touch = flag(b'T').map(|exptime| exptime as i64);
    let op = match words[0] {
        b"mg" if has("v") => Op::Get { keys: vec![key], cas: has("c"), touch },
        b"mg" => Op::Touch { key, exptime: touch? },
        b"md" => Op::Delete { key },
        b"ma" if has("v") && matches!(mode, b"" | b"I" | b"D") => {
            Op::Arith { key, delta: flag(b'D')?, decr: mode == b"D" }
        }
        b"ms" => {
            let verb = match mode {
                b"" | b"S" => StoreVerb::Set,
                b"E" => StoreVerb::Add,
                b"R" => StoreVerb::Replace,
                b"A" => StoreVerb::Append,
                b"P" => StoreVerb::Prepend,
                _ => return None,
            };
            let value = Rc::from(&input[len..input.len().min(len + bytes)]);
            let flags = flag(b'F').unwrap_or(0) as u32;
            Op::Store { verb, key, flags, exptime: touch.unwrap_or(0), cas: flag(b'C'), value }
        }
        _ => return None,
    };
    let form = Form::Meta(Rc::from(flags.join(&b' ')));
    if !is_store {
        return Some(Parsed::Op(op, form, len));
    }
    let len = len + bytes + 2;
    match input.get(len - 2..len) {
        Some(b"\r\n") => Some(Parsed::Op(op, form, len)),
        Some(_) => None,
        None => Some(Parsed::Partial { op, form, len }),
    }
}

/// Appends a server's reply.
pub fn reply(op: &Op, flags: &[u8], outcome: &Outcome, out: &mut Vec<u8>) {
    let value = |item: &Item| item.value.clone();
    let (status, item, value) = match outcome {
        Outcome::Values(values) => match values.first() {
            Some((_, item)) => ("VA", Some(item), Some(value(item))),
            None => ("EN", None, None),
        },
        Outcome::Number(number) => ("VA", None, Some(Rc::from(number.to_string().into_bytes()))),
        Outcome::Stored | Outcome::Deleted | Outcome::Touched => ("HD", None, None),
        Outcome::NotFound if matches!(op, Op::Touch { .. }) => ("EN", None, None),
        Outcome::NotFound => ("NF", None, None),
        Outcome::Exists => ("EX", None, None),
        Outcome::NotStored => ("NS", None, None),
        other => {
            out.extend_from_slice(other.line().as_bytes());
            return out.extend_from_slice(b"\r\n");
        }
    };
    out.extend_from_slice(status.as_bytes());
    if let Some(value) = &value {
        out.extend_from_slice(format!(" {}", value.len()).as_bytes());
    }
    let key = match op {
        Op::Get { keys, .. } => keys.first(),
        other => other.key(),
    };
    for flag in flags.split(|byte| *byte == b' ') {
        let word = match (flag, key) {
            (b"f", _) => format!("f{}", item.map_or(5, |item| item.flags)).into_bytes(),
            (b"c", _) if !matches!(status, "EN" | "NF") => format!("c{}", item.map_or(6, |item| item.cas)).into_bytes(),
            (b"k", Some(key)) => [b"k", &key[..]].concat(),
            ([b'O', ..], _) => flag.to_vec(),
            _ => continue,
        };
        if flag == b"f" && status == "EN" {
            continue;
        }
        out.push(b' ');
        out.extend_from_slice(&word);
    }
    out.extend_from_slice(b"\r\n");
    if let Some(value) = &value {
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}
