//! What is kept of a meta command while a server has it, and the client's answer, whatever the server speaks.

use super::answer;
use super::flags::{Each, Letters};
use super::reply::{MARKS, Said, Words};
use super::request::{Meta, Verb};
use crate::buffer::{Output, Value};
use crate::protocol::ascii::answer as classic;
use crate::protocol::binary::opcode::status::SUCCESS;
use crate::protocol::numbers::{digits, parse_u64, push_u64};
use crate::protocol::status::{self, CommandClass};
use crate::protocol::{Answered, Reply, StoreVerb};
use crate::sums::sum;

/// The flags that a server answers, beside the key.
const ANSWERED: Letters = Letters::of(b"tcfslh");

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is done, or the item is there: `HD`, `VA`.
    Done,
    /// There is no item: `EN`, `NF`.
    Missing,
    /// The item has another CAS id: `EX`.
    Exists,
    /// The item is there, or is not, and that was not wanted: `NS`.
    NotStored,
}

/// What an older server has said of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Item<'a> {
    /// What the client keeps with the value.
    flags: u32,
    /// The CAS id, where the server tells it.
    cas: u64,
    /// The value, if it was asked for.
    value: Option<Value<'a>>,
}

/// A meta command whose answer is awaited.
#[derive(Debug, Default)]
pub struct Asked {
    verb: Verb,
    /// The key, and behind it the flags as they were written.
    text: Vec<u8>,
    key_len: u8,
    is_encoded: bool,
    answered: Answered,
    wants_value: bool,
    /// The CAS id to compare with.
    cas: Option<u64>,
    /// How long the value is that came with it.
    length: usize,
    /// To be asked for changes nothing.
    is_read: bool,
    may_miss: bool,
    /// A get that only sets the expiry.
    is_touch: bool,
    needs_cas: bool,
}

impl Asked {
    /// Keeps another command in its memory.
    pub fn keep(&mut self, meta: &Meta<'_>) {
        let Asked { text, .. } = self;
        let (name, options) = (meta.key.name(), &meta.options);
        let is_touch = options.expiry.is_some() && !meta.needs_item();
        text.clear();
        text.reserve(sum([name.len(), meta.flags.text().len()]));
        text.extend_from_slice(name);
        text.extend_from_slice(meta.flags.text());
        self.verb = meta.verb;
        self.key_len = name.len().min(u8::MAX.into()) as u8;
        self.is_encoded = meta.key.is_encoded();
        self.answered = meta.answered();
        self.wants_value = options.wants_value;
        self.cas = options.cas;
        self.length = meta.value.len();
        self.is_read = meta.is_read();
        self.may_miss = meta.verb == Verb::Get && options.vivify.is_none() && options.recache.is_none() && !is_touch;
        self.is_touch = is_touch;
        self.needs_cas = meta.needs_cas();
    }

    /// What was asked for.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Whether it changes nothing, so that nobody but its client misses it.
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// Whether its client takes a failure as a miss, as that of a classic get: it only reads, or sets the expiry besides.
    pub fn may_miss(&self) -> bool {
        self.may_miss
    }

    /// Whether an older server has to be asked for the CAS id.
    pub fn needs_cas(&self) -> bool {
        self.needs_cas
    }

    /// The class of the command that an older server gets.
    pub fn class(&self) -> CommandClass {
        match self.verb {
            Verb::Get if self.is_touch => CommandClass::Touch,
            Verb::Get | Verb::Noop | Verb::Debug => CommandClass::Get,
            Verb::Store(verb) => CommandClass::Store(verb),
            Verb::Delete => CommandClass::Delete,
            Verb::Arith { .. } => CommandClass::Arith,
        }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        self.text.get(..self.key_len.into()).unwrap_or_default()
    }

    /// The flags, in the order in which the client has written them.
    fn flags(&self) -> Each<'_> {
        Each::of(self.text.get(self.key_len.into()..).unwrap_or_default())
    }

    /// Whether the client is told that.
    fn is_told(&self, status: Status) -> bool {
        match status {
            Status::Done => self.answered.says_done(),
            Status::Missing => self.answered.says_missing(),
            Status::Exists | Status::NotStored => true,
        }
    }

    /// The word for a status, without a value.
    fn word(&self, status: Status) -> &'static [u8] {
        match status {
            Status::Done => b"HD",
            Status::Missing if matches!(self.verb, Verb::Get | Verb::Debug) => b"EN",
            Status::Missing => b"NF",
            Status::Exists => b"EX",
            Status::NotStored => b"NS",
        }
    }

    /// Begins the answer; `size` is that of a value.
    fn begin(&self, out: &mut Vec<u8>, status: Status, size: Option<usize>) {
        match size {
            Some(size) => {
                out.extend_from_slice(b"VA ");
                push_u64(out, size as u64);
            }
            None => out.extend_from_slice(self.word(status)),
        }
    }

    /// Appends the answer to what a server has said that knows meta commands.
    pub fn pass(&self, out: &mut Output, said: &Said<'_>) {
        let (status, words, value) = match *said {
            Said::Line(line) => return classic::line(out.tail(), line),
            Said::Status(status, words, value) => (status, words, value),
        };
        if !self.is_told(status) {
            return;
        }
        let tail = out.tail();
        self.begin(tail, status, value.map(|value| value.len()));
        // Servers answer flags in the order in which they have got them, so that what comes next is mostly the one.
        let mut rest = words.iter();
        let mut next = rest.next();
        for (letter, token) in self.flags() {
            match (letter, next) {
                (b'O', _) => answer::opaque(tail, token),
                (b'k', _) => self.pass_key(words, tail),
                (_, Some((other, token))) if other == letter => {
                    answer::word(tail, letter, token);
                    next = rest.next();
                }
                _ if ANSWERED.has(letter) => {
                    if let Some(token) = words.token(letter) {
                        answer::word(tail, letter, token);
                    }
                }
                _ => {}
            }
            // The key is passed on by itself.
            while let Some((b'k' | b'b', _)) = next {
                next = rest.next();
            }
        }
        while let Some((letter, _)) = next {
            if MARKS.has(letter) {
                answer::flag(tail, letter);
            }
            next = rest.next();
        }
        end(out, value);
    }

    /// Appends the answer to what an older server has said.
    pub fn reply(&self, out: &mut Output, reply: Reply<'_>) {
        match reply {
            Reply::Value { flags, cas, data, .. } => {
                self.item(out, &Item { flags, cas: cas.unwrap_or(0), value: Some(data) });
            }
            Reply::End => self.without(out, Status::Missing),
            Reply::Line { line } => self.line(out, classic::bare(line)),
            Reply::Number { number, cas } => self.number(out, number, cas),
            Reply::Status { code: SUCCESS, cas, .. } => self.item(out, &Item { cas, ..Item::default() }),
            Reply::Status { code, .. } => self.line(out, status::line(self.class(), code)),
            Reply::NoValue { code, tells } => self.line(out, status::no_value(self.class(), code, tells)),
            // These are no answers to what it is told.
            Reply::Stat { .. } | Reply::Meta { .. } => {}
        }
    }

    /// The key, as the server has said it, or else as the client has.
    fn pass_key(&self, words: Words<'_>, out: &mut Vec<u8>) {
        let Some(token) = words.token(b'k') else { return answer::key(out, self.key(), self.is_encoded) };
        answer::word(out, b'k', token);
        if words.has_encoded_key() {
            answer::flag(out, b'b');
        }
    }

    /// Appends the answer to what an older server has said of the item.
    fn item(&self, out: &mut Output, item: &Item<'_>) {
        if !self.is_told(Status::Done) {
            return;
        }
        // Who knows the item by its CAS id does not need its value.
        let value = item.value.filter(|_| self.wants_value && self.cas != Some(item.cas));
        let size = item.value.map_or(self.length, |value| value.len());
        self.begin(out.tail(), Status::Done, value.map(|value| value.len()));
        self.show(out.tail(), item, size);
        end(out, value);
    }

    /// Appends the answer to a number that an older server has computed.
    fn number(&self, out: &mut Output, number: u64, cas: u64) {
        if !self.is_told(Status::Done) {
            return;
        }
        let digits = digits(number);
        self.begin(out.tail(), Status::Done, self.wants_value.then_some(digits));
        self.show(out.tail(), &Item { cas, ..Item::default() }, digits);
        end(out, None);
        if self.wants_value {
            classic::number(out.tail(), number);
        }
    }

    /// What the flags of the request ask for.
    fn show(&self, out: &mut Vec<u8>, item: &Item<'_>, size: usize) {
        for (letter, token) in self.flags() {
            match letter {
                b'c' if self.verb != Verb::Delete => answer::number(out, b'c', item.cas),
                b's' if matches!(self.verb, Verb::Get | Verb::Store(_)) => answer::number(out, b's', size as u64),
                b'f' if self.verb == Verb::Get => answer::number(out, b'f', item.flags.into()),
                _ => answer::repeated(out, letter, token, self.key(), self.is_encoded),
            }
        }
    }

    /// Appends the answer without an item.
    fn without(&self, out: &mut Output, status: Status) {
        if !self.is_told(status) {
            return;
        }
        let tail = out.tail();
        self.begin(tail, status, None);
        let is_store = matches!(self.verb, Verb::Store(_));
        for (letter, token) in self.flags() {
            match letter {
                b'c' if is_store => answer::number(tail, b'c', 0),
                b's' if is_store => answer::number(tail, b's', self.length as u64),
                _ => answer::repeated(tail, letter, token, self.key(), self.is_encoded),
            }
        }
        end(out, None);
    }

    /// Appends the answer to a classic line of an older server, or to what stands for it. It may have its end.
    fn line(&self, out: &mut Output, line: &[u8]) {
        let line = line.trim_ascii_end();
        let is_replace = self.verb == Verb::Store(StoreVerb::Replace);
        match line {
            b"END" | b"NOT_FOUND" => self.without(out, Status::Missing),
            b"STORED" | b"DELETED" | b"TOUCHED" => self.item(out, &Item::default()),
            b"EXISTS" => self.without(out, Status::Exists),
            // With a CAS id to compare with, none is found.
            b"NOT_STORED" if is_replace && self.cas.is_some() => self.without(out, Status::Missing),
            b"NOT_STORED" => self.without(out, Status::NotStored),
            _ => match parse_u64(line).filter(|_| matches!(self.verb, Verb::Arith { .. })) {
                Some(number) => self.number(out, number, 0),
                None => classic::line(out.tail(), line),
            },
        }
    }
}

/// Ends the line, and appends the value.
fn end(out: &mut Output, value: Option<Value<'_>>) {
    out.tail().extend_from_slice(b"\r\n");
    if let Some(value) = value {
        out.push(value);
        out.tail().extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::KeyRoom;
    use super::super::request::{Parsed, parse};
    use super::*;
    use crate::protocol::ascii::reply;

    fn asked(line: &str) -> Asked {
        let mut room = KeyRoom::default();
        let Some(Parsed::Request { meta, .. }) = parse(line.as_bytes(), &mut room, &mut 0, 100) else {
            panic!("{line}")
        };
        let mut asked = Asked::default();
        asked.keep(&meta);
        asked
    }

    fn text(write: impl FnOnce(&mut Output)) -> String {
        let mut out = Output::default();
        write(&mut out);
        String::from_utf8(out.contiguous(u64::MAX).unwrap_or_default().to_vec()).expect("text")
    }

    #[track_caller]
    fn passed(line: &str, server: &str, expected: &str) {
        let reply::Parsed::Reply { reply, .. } = reply::parse(server.as_bytes(), &mut 0) else { panic!("{server}") };
        let said = Said::of(&reply).expect("an answer");
        assert_eq!(text(|out| asked(line).pass(out, &said)), expected, "{line} {server}");
    }

    #[test]
    fn a_servers_answer_with_the_clients_own_flags() {
        passed("mg k v f c\r\n", "VA 2 f5 c9 O1\r\nab\r\n", "VA 2 f5 c9\r\nab\r\n");
        // In another order, with marks, and with more than was asked for.
        passed("mg k t O1 f h s\r\n", "HD s2 f5 W h1 t-1 Z O8 l3\r\n", "HD t-1 O1 f5 h1 s2 W Z\r\n");
        passed("mg aw== b k f v\r\n", "VA 2 f5 kaw== b O1 X\r\nab\r\n", "VA 2 kaw== b f5 X\r\nab\r\n");
        passed("mg k f k\r\n", "HD kk f5 X O1\r\n", "HD f5 kk X\r\n");
        passed("mg k v Oabc k\r\n", "VA 2 kk O1\r\nab\r\n", "VA 2 Oabc kk\r\nab\r\n");
        passed("mg k k O1 t\r\n", "HD kaw== b t-1 O8 W X\r\n", "HD kaw== b O1 t-1 W X\r\n");
        passed("mg YSBi b k\r\n", "HD O8\r\n", "HD kYSBi b\r\n");
        passed("mg k q\r\n", "EN\r\n", "");
        passed("mg k q\r\n", "HD O2\r\n", "HD\r\n");
        passed("mg k O5 k\r\n", "EN\r\n", "EN O5 kk\r\n");
        passed("ms k 1 q\r\na\r\n", "HD O2\r\n", "");
        passed("ms k 1 q c O9\r\na\r\n", "NS c0 O2\r\n", "NS c0 O9\r\n");
        passed("ma k q v\r\n", "VA 1 O2\r\n5\r\n", "");
        passed("ma k N0 v t\r\n", "VA 1 t-1 O2\r\n5\r\n", "VA 1 t-1\r\n5\r\n");
        passed("md k q\r\n", "NF O2\r\n", "NF\r\n");
        passed("mg k q\r\n", "SERVER_ERROR busy\r\n", "SERVER_ERROR busy\r\n");
        passed("me k\r\n", "ME k exp=-1\r\n", "ME k exp=-1\r\n");
    }

    #[test]
    fn an_older_servers_line() {
        for (line, said, expected) in [
            ("mg k O1 k\r\n", "END\r\n", "EN O1 kk\r\n"),
            ("mg k T5 k\r\n", "TOUCHED", "HD kk\r\n"),
            ("ms k 1 k s\r\na\r\n", "STORED", "HD kk s1\r\n"),
            ("ms k 1 c ME\r\na\r\n", "NOT_STORED", "NS c0\r\n"),
            ("ms k 1 MR C5\r\na\r\n", "NOT_STORED", "NF\r\n"),
            ("ms k 1 MA\r\na\r\n", "NOT_STORED", "NS\r\n"),
            ("ms k 1 C5\r\na\r\n", "EXISTS", "EX\r\n"),
            ("ms k 1 q\r\na\r\n", "STORED", ""),
            ("md k q O1\r\n", "DELETED", ""),
            ("md k O1\r\n", "NOT_FOUND", "NF O1\r\n"),
            ("ma k v O1\r\n", "0", "VA 1 O1\r\n0\r\n"),
            ("ma k v\r\n", "18446744073709551615", "VA 20\r\n18446744073709551615\r\n"),
            ("ma k\r\n", "10  ", "HD\r\n"),
            ("ma k v\r\n", "CLIENT_ERROR cannot", "CLIENT_ERROR cannot\r\n"),
            ("mg k v q\r\n", "SERVER_ERROR busy\r\n", "SERVER_ERROR busy\r\n"),
        ] {
            assert_eq!(text(|out| asked(line).line(out, said.as_bytes())), expected, "{line} {said}");
        }
    }

    #[test]
    fn an_older_servers_item() {
        let item = Item { flags: 7, cas: 9, value: Some(b"abc".as_slice().into()) };
        for (line, expected) in [
            ("mg k v f c s k O1\r\n", "VA 3 f7 c9 s3 kk O1\r\nabc\r\n"),
            ("mg k s f\r\n", "HD s3 f7\r\n"),
            ("mg k v C9 c\r\n", "HD c9\r\n"),
            ("mg k v C8 c\r\n", "VA 3 c9\r\nabc\r\n"),
            ("mg aw== b v k\r\n", "VA 3 kaw== b\r\nabc\r\n"),
        ] {
            assert_eq!(text(|out| asked(line).item(out, &item)), expected, "{line}");
        }
    }

    #[test]
    fn memory_is_used_again_for_another_command() {
        let (mut asked, mut room) = (asked("ms key 1 q O1 k\r\na\r\n"), KeyRoom::default());
        let Some(Parsed::Request { meta, .. }) = parse(b"mg k k\r\n", &mut room, &mut 0, 100) else {
            panic!("a request")
        };
        asked.keep(&meta);
        assert_eq!(text(|out| asked.without(out, Status::Missing)), "EN kk\r\n");
    }
}
