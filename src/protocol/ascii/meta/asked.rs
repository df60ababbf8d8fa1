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

impl Status {
    /// Whether that can become of a command of this class: else it is the answer to another one, from a server that is out of
    /// step.
    pub fn fits(self, class: CommandClass) -> bool {
        match self {
            Status::Done | Status::Missing => true,
            Status::Exists => !matches!(class, CommandClass::Get | CommandClass::Touch),
            Status::NotStored => !matches!(class, CommandClass::Get | CommandClass::Touch | CommandClass::Delete),
        }
    }
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
mod tests;
