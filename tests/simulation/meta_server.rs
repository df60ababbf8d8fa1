//! memcached's meta commands, as far as the proxy uses them.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moxi::protocol::StoreVerb;

use super::ascii_server::{Form, Parsed, number};
use super::op::{Key, Op, Outcome};

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
        b"mg" if has("v") && has("f") && has("c") => Op::Get { keys: vec![key], cas: true, touch },
        b"mg" => Op::Touch { key, exptime: touch? },
        b"md" => Op::Delete { key },
        b"ma" if has("v") && matches!(mode, b"I" | b"D") => Op::Arith { key, delta: flag(b'D')?, decr: mode == b"D" },
        b"ms" => {
            let verb = match mode {
                b"S" => StoreVerb::Set,
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
    if !is_store {
        return Some(Parsed::Op(op, Form::Meta, len));
    }
    let len = len + bytes + 2;
    match input.get(len - 2..len) {
        Some(b"\r\n") => Some(Parsed::Op(op, Form::Meta, len)),
        Some(_) => None,
        None => Some(Parsed::Partial { op, form: Form::Meta, len }),
    }
}

/// Appends a server's reply.
pub fn reply(op: &Op, outcome: &Outcome, out: &mut Vec<u8>) {
    let line = match outcome {
        Outcome::Values(values) => match values.first() {
            Some((_, item)) => {
                out.extend_from_slice(format!("VA {} f{} c{}\r\n", item.value.len(), item.flags, item.cas).as_bytes());
                out.extend_from_slice(&item.value);
                String::new()
            }
            None => "EN".to_owned(),
        },
        Outcome::Number(number) => format!("VA {} c5\r\n{number}", number.to_string().len()),
        Outcome::Stored => "HD c6".to_owned(),
        Outcome::Deleted => "HD".to_owned(),
        Outcome::Touched => "HD f5 c6".to_owned(),
        Outcome::NotFound if matches!(op, Op::Touch { .. }) => "EN".to_owned(),
        Outcome::NotFound => "NF".to_owned(),
        Outcome::Exists => "EX".to_owned(),
        Outcome::NotStored => "NS".to_owned(),
        other => other.line(),
    };
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
}
