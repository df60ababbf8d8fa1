//! Requests of ASCII clients in meta commands; their answers are judged as the classic ones that say the same.

use moxi::protocol::StoreVerb;

use super::judge::{Answer, Value};
use super::op::{Key, Op};
use super::request::Want;
use super::truth::{Truth, shown};
use moxi_fuzzing::memory::Random;

/// What its answer must repeat.
#[derive(Debug)]
pub struct Spoken {
    key: Key,
    is_get: bool,
    done: &'static str,
    wants_key: bool,
    opaque: Option<u64>,
}

/// The request in a meta command, now and then, if there is one that says the same to every server.
pub fn encode(op: &Op, truth: &mut Truth, out: &mut Vec<u8>) -> Option<Spoken> {
    if !truth.random.once_in(3) {
        return None;
    }
    let random = &mut truth.random;
    let (verb, key, done) = match op {
        Op::Get { keys, .. } => match &keys[..] {
            [key] => ("mg", key, ""),
            _ => return None,
        },
        Op::Touch { key, .. } => ("mg", key, "TOUCHED"),
        Op::Store { key, .. } => ("ms", key, "STORED"),
        Op::Delete { key } => ("md", key, "DELETED"),
        Op::Arith { key, .. } => ("ma", key, ""),
        Op::Getl { .. } | Op::Unl { .. } | Op::Flush { .. } | Op::Stats { .. } => return None,
    };
    let opaque = random.once_in(2).then(|| random.below(1000));
    let wants_key = random.once_in(3);
    let mut flags = of(op, random);
    flags.extend(wants_key.then(|| "k".to_owned()));
    flags.extend(opaque.map(|opaque| format!("O{opaque}")));
    // In any order.
    for at in (1..flags.len()).rev() {
        flags.swap(at, random.index(at + 1));
    }
    out.extend_from_slice(verb.as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    if let Op::Store { value, .. } = op {
        out.extend_from_slice(format!(" {}", value.len()).as_bytes());
    }
    for flag in &flags {
        out.push(b' ');
        out.extend_from_slice(flag.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    if let Op::Store { value, .. } = op {
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    Some(Spoken { key: key.clone(), is_get: matches!(op, Op::Get { .. }), done, wants_key, opaque })
}

/// The flags that make the command what it is.
fn of(op: &Op, random: &mut Random) -> Vec<String> {
    match op {
        Op::Get { cas, touch, .. } => {
            let mut flags = vec!["v".to_owned(), "f".to_owned()];
            flags.extend(cas.then(|| "c".to_owned()));
            flags.extend(touch.map(|exptime| format!("T{exptime}")));
            flags
        }
        Op::Touch { exptime, .. } => vec![format!("T{exptime}")],
        Op::Arith { delta, decr, .. } => {
            let mut flags = vec!["v".to_owned(), format!("D{delta}")];
            flags.extend(if *decr { Some("MD") } else { random.once_in(2).then_some("MI") }.map(str::to_owned));
            flags
        }
        Op::Store { verb, flags, cas, .. } => {
            let mode = match verb {
                StoreVerb::Set => random.once_in(2).then_some("MS"),
                StoreVerb::Add => Some("ME"),
                StoreVerb::Replace => Some("MR"),
                StoreVerb::Append => Some("MA"),
                StoreVerb::Prepend => Some("MP"),
            };
            let mut all: Vec<String> = mode.map(str::to_owned).into_iter().collect();
            all.extend((*flags != 0).then(|| format!("F{flags}")));
            all.extend(cas.map(|cas| format!("C{cas}")));
            all
        }
        _ => Vec::new(),
    }
}

/// The request that the answer is judged by, and what it must repeat if it was a meta command.
pub fn of_want(want: &Want) -> (&Want, Option<&Spoken>) {
    match want {
        Want::Meta(want, spoken) => (want, Some(spoken)),
        want => (want, None),
    }
}

/// A whole answer at the beginning of `bytes` to a meta command, as a classic one, and its length.
pub fn parse<'a>(bytes: &'a [u8], spoken: &'a Spoken) -> Option<(Answer<'a>, usize)> {
    let end = memchr::memchr(b'\n', bytes)?;
    let line = bytes[..=end].strip_suffix(b"\r\n");
    let line = line.unwrap_or_else(|| panic!("a line without carriage return: {}", shown(bytes)));
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let mut answer = Answer::default();
    let status = words[0];
    let len = end + 1;
    answer.line = match status {
        b"VA" => {
            let size: usize = number(words[1]).expect("a size") as usize;
            let data = bytes.get(len..len + size)?;
            assert_eq!(bytes.get(len + size..len + size + 2)?, b"\r\n", "behind the value of {}", line.escape_ascii());
            check(&words[2..], spoken);
            let token = |letter| words[2..].iter().find_map(|word| number(word.strip_prefix(&[letter])?));
            if spoken.is_get {
                let flags = token(b'f').expect("flags") as u32;
                answer.values.push(Value { key: &spoken.key, flags, cas: token(b'c'), data });
                answer.line = "END";
            } else {
                answer.line = str::from_utf8(data).expect("a number");
            }
            return Some((answer, len + size + 2));
        }
        b"HD" => spoken.done,
        b"EN" if spoken.is_get => "END",
        b"EN" | b"NF" => "NOT_FOUND",
        b"NS" => "NOT_STORED",
        b"EX" => "EXISTS",
        // A get tells of it, as other commands do.
        b"SERVER_ERROR"
            if spoken.is_get && (line.ends_with(b" temporary failure") || line.ends_with(b" not_my_vbucket")) =>
        {
            "END"
        }
        _ => str::from_utf8(line).ok().filter(|text| text.is_ascii()).unwrap_or("GARBAGE"),
    };
    if matches!(status, b"HD" | b"EN" | b"NF" | b"NS" | b"EX") {
        check(&words[1..], spoken);
    }
    Some((answer, len))
}

/// Panics if the words of an answer do not repeat what they must.
fn check(words: &[&[u8]], spoken: &Spoken) {
    let token = |letter| words.iter().find_map(|word| word.strip_prefix(&[letter]));
    assert_eq!(token(b'O').and_then(number), spoken.opaque, "{spoken:?}");
    assert_eq!(token(b'k'), spoken.wants_key.then_some(&*spoken.key), "{spoken:?}");
}

fn number(word: &[u8]) -> Option<u64> {
    str::from_utf8(word).ok()?.parse().ok()
}
