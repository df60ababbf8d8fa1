//! An answer, in three protocols: what came, and whether it can be the answer to that.

use moxi_test_support::packet::{HEADER, Packet, op};

use super::ask::{self, Ask, Words};
use super::plan::KEYS;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was done.
    Done,
    /// There is nothing of that name.
    Absent,
    /// An error.
    Failed(String),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The keys that have values, and their versions.
    pub found: Vec<(usize, u64)>,
    pub status: Status,
}

impl Answer {
    /// Whether it was not done.
    pub fn is_error(&self) -> bool {
        matches!(self.status, Status::Failed(_))
    }
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// There are not enough of them.
    More,
    /// So many belong to the answer, which goes on.
    Used(usize),
    /// So many are the rest of it.
    Last(usize, Answer),
}

/// An answer that is being read.
#[derive(Clone, Debug)]
pub struct Reading {
    pub ask: Ask,
    client: usize,
    words: Words,
    number: u32,
    found: Vec<(usize, u64)>,
}

impl Reading {
    /// The answer to what `client` has asked under this number.
    pub fn new(ask: Ask, client: usize, words: Words, number: u32) -> Reading {
        Reading { ask, client, words, number, found: Vec::new() }
    }

    /// Takes a piece of it. The error is what is wrong with it.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, String> {
        if self.words == Words::Binary {
            return self.packet(input);
        }
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Ok(Step::More) };
        let line = std::str::from_utf8(&input[..end]).ok().and_then(|line| line.strip_suffix('\r'));
        let line = line.ok_or_else(|| format!("no line: {}", input[..end.min(80)].escape_ascii()))?;
        let rest = &input[end + 1..];
        if line.starts_with("SERVER_ERROR proxy ") {
            return Ok(if self.goes_on_after_error() {
                Step::Used(end + 1)
            } else {
                self.last(end + 1, Status::Failed(line.to_owned()))
            });
        }
        match self.words {
            Words::Classic => self.classic(line, rest, end + 1),
            _ => self.meta(line, rest, end + 1),
        }
    }

    /// A batch of quiet meta commands has an answer for each that fails.
    fn goes_on_after_error(&self) -> bool {
        self.words == Words::Meta && self.ask == Ask::All
    }

    fn last(&mut self, used: usize, status: Status) -> Step {
        Step::Last(used, Answer { found: std::mem::take(&mut self.found), status })
    }

    fn classic(&mut self, line: &str, rest: &[u8], used: usize) -> Result<Step, String> {
        let words: Vec<&str> = line.split(' ').collect();
        match (self.ask, words[..].first().copied(), words.len()) {
            (Ask::Get(_) | Ask::All, Some("VALUE"), 4) if words[2] == "0" => {
                let length = words[3].parse().map_err(|_| format!("no length: {line}"))?;
                self.value(words[1], length, rest, used)
            }
            (Ask::Get(_) | Ask::All, Some("END"), 1) => Ok(self.last(used, Status::Done)),
            (Ask::Set(..), Some("STORED"), 1) | (Ask::Delete(..), Some("DELETED"), 1) => {
                Ok(self.last(used, Status::Done))
            }
            (Ask::Delete(..), Some("NOT_FOUND"), 1) => Ok(self.last(used, Status::Absent)),
            _ => Err(format!("no answer to {:?}: {line}", self.ask)),
        }
    }

    fn meta(&mut self, line: &str, rest: &[u8], used: usize) -> Result<Step, String> {
        let words: Vec<&str> = line.split(' ').collect();
        let token = |letter: char| words.iter().find_map(|word| word.strip_prefix(letter));
        let own = format!("{}", self.number);
        match (self.ask, words[0]) {
            (Ask::Get(_) | Ask::All, "VA") => {
                let length = words.get(1).and_then(|word| word.parse().ok()).ok_or(format!("no length: {line}"))?;
                let key = token('k').ok_or(format!("no key: {line}"))?;
                let number = token('O').and_then(|number| number.parse::<u32>().ok()).ok_or(format!("no O: {line}"))?;
                // The number is that of the key.
                let index = number.wrapping_sub(self.number) as usize;
                let expected = if self.ask == Ask::All { index } else { self.ask.keys().start };
                if ask::name(self.client, expected) != key || (self.ask != Ask::All && index != 0) {
                    return Err(format!("another command's answer: {line}"));
                }
                match self.value(key, length, rest, used)? {
                    Step::Used(used) if self.ask != Ask::All => Ok(self.last(used, Status::Done)),
                    step => Ok(step),
                }
            }
            (Ask::Get(_), "EN") | (Ask::All, "MN") => Ok(self.last(used, Status::Done)),
            (Ask::Set(..) | Ask::Delete(..), "HD") if token('O') == Some(&own) => Ok(self.last(used, Status::Done)),
            (Ask::Delete(..), "NF") if token('O').is_none_or(|number| number == own) => {
                Ok(self.last(used, Status::Absent))
            }
            _ => Err(format!("no answer to {:?}: {line}", self.ask)),
        }
    }

    /// A value, and the line end behind it.
    fn value(&mut self, name: &str, length: usize, rest: &[u8], used: usize) -> Result<Step, String> {
        if length > 1 << 20 {
            return Err(format!("a value of {length} bytes of {name}"));
        }
        let Some(bytes) = rest.get(..length + 2) else { return Ok(Step::More) };
        if !bytes.ends_with(b"\r\n") {
            return Err(format!("a value without its end, of {name}"));
        }
        self.find(name.as_bytes(), &bytes[..length])?;
        Ok(Step::Used(used + length + 2))
    }

    /// A value has come for the key of this name.
    fn find(&mut self, name: &[u8], bytes: &[u8]) -> Result<(), String> {
        let key = self.ask.keys().find(|key| ask::name(self.client, *key).as_bytes() == name);
        let key = key.ok_or_else(|| format!("not asked for: {}", name.escape_ascii()))?;
        if self.found.iter().any(|(other, _)| *other == key) {
            return Err(format!("twice: {}", name.escape_ascii()));
        }
        self.found.push((key, ask::version(self.client, key, bytes)?));
        Ok(())
    }

    fn packet(&mut self, input: &[u8]) -> Result<Step, String> {
        let Some(head) = input.get(..HEADER) else { return Ok(Step::More) };
        let used = HEADER + Packet::body_length(head);
        if head[0] != 0x81 || used > 1 << 20 {
            return Err(format!("no packet: {}", head.escape_ascii()));
        }
        let Some(body) = input.get(HEADER..used) else { return Ok(Step::More) };
        let packet = Packet::parse(head, body);
        let expected = match self.ask {
            Ask::All if packet.opcode == op::NOOP => (op::NOOP, self.number + KEYS as u32),
            Ask::All => (op::GETKQ, packet.opaque.clamp(self.number, self.number + KEYS as u32 - 1)),
            Ask::Get(_) => (op::GETK, self.number),
            Ask::Set(..) => (op::SET, self.number),
            Ask::Delete(..) => (op::DELETE, self.number),
        };
        if (packet.opcode, packet.opaque) != expected {
            return Err(format!("no answer to {:?}, number {}: {packet:?}", self.ask, self.number));
        }
        let is_member = packet.opcode == op::GETKQ;
        match packet.status {
            0 if is_member || packet.opcode == op::GETK => {
                let key = if is_member { (packet.opaque - self.number) as usize } else { self.ask.keys().start };
                if ask::name(self.client, key).as_bytes() != packet.key {
                    return Err(format!("another command's answer: {packet:?}"));
                }
                self.find(&packet.key, &packet.value)?;
                Ok(if is_member { Step::Used(used) } else { self.last(used, Status::Done) })
            }
            0 => Ok(self.last(used, Status::Done)),
            1 if packet.opcode == op::GETK => Ok(self.last(used, Status::Done)),
            1 if packet.opcode == op::DELETE => Ok(self.last(used, Status::Absent)),
            // Its key is a miss that has a reason.
            0x84 | 0x85 if is_member => Ok(Step::Used(used)),
            0x84 | 0x85 => Ok(self.last(used, Status::Failed(String::from_utf8_lossy(&packet.value).into_owned()))),
            _ => Err(format!("no answer to {:?}: {packet:?}", self.ask)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an answer that comes byte by byte.
    fn read(ask: Ask, words: Words, bytes: &[u8]) -> Result<Answer, String> {
        let mut reading = Reading::new(ask, 1, words, 7);
        let (mut start, mut end) = (0, 0);
        loop {
            match reading.step(&bytes[start..end])? {
                Step::More if end == bytes.len() => return Err("not all of it".to_owned()),
                Step::More => end += 1,
                Step::Used(used) => start += used,
                Step::Last(used, answer) if start + used == bytes.len() => return Ok(answer),
                Step::Last(..) => return Err("there is more".to_owned()),
            }
        }
    }

    fn value(key: usize, version: u64) -> String {
        ask::value(1, key, version)
    }

    #[test]
    fn lines() {
        let hit = |key: usize| format!("VALUE c1k{key} 0 {}\r\n{}\r\n", value(key, 3).len(), value(key, 3));
        let done = |found: &[(usize, u64)]| Ok(Answer { found: found.to_vec(), status: Status::Done });
        let read = |ask, text: &str| read(ask, Words::Classic, text.as_bytes());
        assert_eq!(read(Ask::Get(2), "END\r\n"), done(&[]));
        assert_eq!(read(Ask::Get(2), &(hit(2) + "END\r\n")), done(&[(2, 3)]));
        assert_eq!(read(Ask::All, &(hit(2) + &hit(0) + "END\r\n")), done(&[(2, 3), (0, 3)]));
        assert_eq!(read(Ask::Set(1, 4), "STORED\r\n"), done(&[]));
        assert_eq!(read(Ask::Delete(1, 4), "NOT_FOUND\r\n").expect("an answer").status, Status::Absent);
        let failed = read(Ask::Set(1, 4), "SERVER_ERROR proxy downstream timeout\r\n").expect("an answer");
        assert!(matches!(failed.status, Status::Failed(_)));
        for (ask, text) in [
            (Ask::Get(2), hit(1) + "END\r\n"),
            (Ask::All, hit(1) + &hit(1) + "END\r\n"),
            (Ask::Get(2), "STORED\r\n".to_owned()),
            (Ask::Set(2, 1), "END\r\n".to_owned()),
            (Ask::Get(2), "END\r\nEND\r\n".to_owned()),
        ] {
            assert!(read(ask, &text).is_err(), "{text}");
        }
    }

    #[test]
    fn meta_lines_have_the_number_of_their_command() {
        let hit =
            |key: usize, number| format!("VA {} kc1k{key} O{number}\r\n{}\r\n", value(key, 3).len(), value(key, 3));
        let read = |ask, text: &str| read(ask, Words::Meta, text.as_bytes());
        assert_eq!(read(Ask::Get(2), &hit(2, 7)).expect("an answer").found, [(2, 3)]);
        assert!(read(Ask::Get(2), &hit(2, 8)).is_err());
        assert!(read(Ask::Get(2), "EN\r\n").expect("an answer").found.is_empty());
        assert_eq!(read(Ask::All, &(hit(2, 9) + &hit(4, 11) + "MN\r\n")).expect("an answer").found, [(2, 3), (4, 3)]);
        assert!(read(Ask::All, &(hit(2, 10) + "MN\r\n")).is_err());
        assert_eq!(read(Ask::Set(1, 4), "HD O7\r\n").expect("an answer").status, Status::Done);
        assert!(read(Ask::Set(1, 4), "HD O8\r\n").is_err());
        assert_eq!(read(Ask::Delete(1, 4), "NF O7\r\n").expect("an answer").status, Status::Absent);
    }

    #[test]
    fn packets() {
        let hit =
            |key: usize, number| Packet::reply(op::GETKQ).key(ask::name(1, key)).value(value(key, 3)).opaque(number);
        let read = |ask, packets: &[Packet]| {
            let bytes: Vec<u8> = packets.iter().flat_map(Packet::bytes).collect();
            read(ask, Words::Binary, &bytes)
        };
        let end = Packet::noop_done(7 + KEYS as u32);
        assert_eq!(read(Ask::All, &[hit(2, 9), end.clone()]).expect("an answer").found, [(2, 3)]);
        assert!(read(Ask::All, &[hit(2, 99), end.clone()]).is_err());
        assert!(read(Ask::All, &[hit(2, 8), end]).is_err());
        let busy = Packet::reply(op::SET).status(0x85).opaque(7);
        assert!(matches!(read(Ask::Set(1, 1), &[busy]).expect("an answer").status, Status::Failed(_)));
        assert!(read(Ask::Set(1, 1), &[Packet::reply(op::SET).opaque(8)]).is_err());
    }
}
