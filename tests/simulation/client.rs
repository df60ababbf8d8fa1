//! A client: what it sends, what it waits for, what it has got.

use std::collections::{HashMap, VecDeque};

use moxi::protocol::binary::packet::{Parsed, parse_reply};
use moxi::proxy::timers::Micros;

use super::binary_client::{self, Item};
use super::garbage;
use super::history::{Place, Seen, Told};
use super::judge::{Answer, Context, Floors, Value};
use super::meta_client;
use super::op::{Key, Op};
use super::request::{self, Asker, Pending, Sending, Sure, Want};
use super::store::{Store, Tick};
use super::truth::{Truth, shown};
use moxi_fuzzing::memory::Bytes;
use moxi_fuzzing::memory::Pipe;

/// A client.
pub struct Client {
    /// Its connection.
    pub pipe: Pipe,
    /// Its number among all clients of the run.
    pub number: u64,
    bucket: usize,
    /// It sends anything, and does not care what it gets.
    pub hostile: bool,
    /// It speaks the binary protocol.
    binary: bool,
    /// It sends quiet packets only.
    all_quiet: bool,
    /// Its quiet packets since the last one that is answered.
    silent: VecDeque<Item>,
    /// To be sent.
    pub outgoing: Bytes,
    /// Got and not understood.
    received: Bytes,
    pub pending: VecDeque<Pending>,
    /// How many requests it has in flight at most.
    depth: usize,
    /// It reads nothing for a while.
    pub deaf_until: Micros,
    /// When it last took something, and how long it had not before.
    taken: (Micros, Micros),
    /// It sends no more requests.
    pub is_done: bool,
    /// It has finished sending, or will be closed by the proxy.
    pub is_closing: bool,
    own: Store,
    floors: Floors,
    seen_cas: HashMap<Key, u64>,
    /// Requests that must have been executed in the end, if nothing failed: each with where it ends in everything that the
    /// client sends, and whether it changes something.
    sure: Vec<(Sure, u64, bool)>,
    /// What the proxy had read of it when it was told to end: what comes behind that it need not answer.
    cut_at: u64,
    /// How many bytes it has produced, and sent.
    produced: u64,
    pub sent: u64,
    /// Requests without reply since the last one with a reply.
    quiet: u32,
    /// Before when its requests without reply have ended at the latest.
    quiet_bound: Micros,
    /// Since when its oldest request has been the oldest, all of it has been sent, and nothing was left to read.
    waiting_since: Micros,
}

impl Client {
    /// A client that has just connected.
    pub fn new(truth: &mut Truth, pipe: Pipe, number: u64, bucket: usize) -> Client {
        Client {
            pipe,
            number,
            bucket,
            hostile: truth.scenario.hostile && truth.random.once_in(3),
            binary: truth.random.below(10) < truth.scenario.binary,
            all_quiet: truth.random.once_in(5),
            silent: VecDeque::new(),
            outgoing: Bytes::default(),
            received: Bytes::default(),
            pending: VecDeque::new(),
            depth: truth.random.pick(&[1, 3, 10, 60]),
            deaf_until: 0,
            taken: (0, 0),
            is_done: false,
            is_closing: false,
            own: Store::default(),
            floors: Floors::default(),
            seen_cas: HashMap::new(),
            sure: Vec::new(),
            cut_at: u64::MAX,
            produced: 0,
            sent: 0,
            quiet: 0,
            quiet_bound: 0,
            waiting_since: 0,
        }
    }

    /// Thinks of another request.
    pub fn produce(&mut self, truth: &mut Truth) {
        if self.is_done || self.pending.len() >= self.depth || self.outgoing.len() > 300_000 || self.quiet > 200 {
            return;
        }
        if self.hostile {
            let bytes = match self.binary {
                true => garbage::packet(&mut truth.random),
                false => garbage::request(&mut truth.random),
            };
            return self.outgoing.push(&bytes);
        }
        let mut asker = Asker { number: self.number, bucket: self.bucket, own: &mut self.own, seen: &self.seen_cas };
        let sending = match self.binary {
            true => binary_client::next(truth, &mut asker, &mut self.silent, self.all_quiet),
            false => request::next(truth, &mut asker),
        };
        self.ask(truth, sending);
    }

    fn ask(&mut self, truth: &mut Truth, sending: Sending) {
        let number = self.number;
        truth.note(|| format!("client {number} asks {}", shown(&sending.bytes)));
        self.outgoing.push(&sending.bytes);
        self.produced += sending.bytes.len() as u64;
        self.sure.extend(sending.sure.map(|sure| (sure, self.produced, sending.changes)));
        self.quiet += u32::from(sending.quiet);
        if sending.is_last {
            (self.is_done, self.is_closing) = (true, true);
        }
        let issued = truth.tick();
        if let Some(op) = sending.untold {
            self.untold(truth, &op, issued);
        }
        for want in sending.wants {
            if self.pending.is_empty() {
                self.waiting_since = truth.now;
            }
            let quiet_before = std::mem::take(&mut self.quiet);
            self.pending.push_back(Pending { want, issued, end: self.produced, quiet_before });
        }
    }

    /// The proxy is told to end.
    pub fn cut(&mut self) {
        self.cut_at = self.sent - self.pipe.ends().inbound.len() as u64;
        (self.is_done, self.is_closing) = (true, true);
    }

    /// Asks the proxy to close the connection.
    pub fn quit(&mut self) {
        if !self.is_closing {
            let bytes = if self.binary { binary_client::quit() } else { b"quit\r\n".to_vec() };
            self.outgoing.push(&bytes);
            self.produced += bytes.len() as u64;
            (self.is_done, self.is_closing) = (true, true);
        }
    }

    /// Reads up to `count` bytes that the proxy has sent.
    pub fn receive(&mut self, truth: &mut Truth, from: &mut Bytes, count: usize) {
        let number = self.number;
        truth.note(|| format!("client {number} gets {}", shown(&from.as_slice()[..count])));
        from.move_to(&mut self.received, count);
        self.waiting_since = truth.now;
        if self.hostile {
            return self.received.clear();
        }
        if self.binary {
            return self.receive_packets(truth);
        }
        while let Some(pending) = self.pending.pop_front() {
            let (want, spoken) = meta_client::of_want(&pending.want);
            let bytes = self.received.as_slice();
            let parsed = match spoken {
                Some(spoken) => meta_client::parse(bytes, spoken),
                None => parse(bytes),
            };
            let Some((answer, len)) = parsed else {
                self.pending.push_front(pending);
                return;
            };
            truth.tick();
            for value in &answer.values {
                if let Some(cas) = value.cas {
                    self.seen_cas.insert(Key::from(value.key), cas);
                }
            }
            let floors = &mut self.floors;
            let mut context =
                Context { truth, client: self.number, bucket: self.bucket, issued: pending.issued, floors };
            if let Err(error) = context.judge(want, &answer) {
                panic!(
                    "client {}: {error}; it got {} for {:?}",
                    self.number,
                    shown(&self.received.as_slice()[..len]),
                    pending.want
                );
            }
            self.answered(truth, &pending);
            self.received.drop_front(len);
        }
        let rest = self.received.as_slice();
        assert!(rest.is_empty(), "client {} got an answer to nothing: {}", self.number, shown(rest));
    }

    fn answered(&mut self, truth: &Truth, pending: &Pending) {
        if let Some(bound) = truth.bound {
            let quiet = u64::from(pending.quiet_before);
            self.quiet_bound = self.quiet_bound.max(truth.now) + bound * quiet;
        }
    }

    fn receive_packets(&mut self, truth: &mut Truth) {
        let mut received = std::mem::take(&mut self.received);
        loop {
            let (packet, len) = match parse_reply(received.as_slice()) {
                Parsed::Packet { packet, len } => (packet, len),
                Parsed::Incomplete { .. } => break,
                Parsed::Malformed(_) => panic!("client {} got {}", self.number, shown(received.as_slice())),
            };
            truth.tick();
            if packet.header.cas != 0 && !packet.key.is_empty() {
                self.seen_cas.insert(Key::from(packet.key), packet.header.cas);
            }
            let issued = self.pending.front().map_or(truth.tick, |pending| pending.issued);
            let mut context =
                Context { truth, client: self.number, bucket: self.bucket, issued, floors: &mut self.floors };
            let front = self.pending.front_mut().map(|pending| &mut pending.want);
            let verdict = match front {
                Some(Want::Batch(batch)) => context.judge_packet(batch, &packet),
                _ => context.judge_quiet(&mut self.silent, &packet).map(|()| false),
            };
            match verdict {
                Ok(true) => {
                    let pending = self.pending.pop_front();
                    pending.iter().for_each(|pending| self.answered(truth, pending));
                }
                Ok(false) => {}
                Err(error) => {
                    let want = self.pending.front().map(|pending| &pending.want);
                    panic!("client {}: {error}; it got {} for {want:?}", self.number, shown(&packet.raw));
                }
            }
            received.drop_front(len);
        }
        self.received = received;
    }

    /// More of what it has to say is on its way. Its oldest request waits from when all of that is.
    pub fn note_sent(&mut self, count: usize, now: Micros) {
        if self.pending.front().is_some_and(|first| self.sent < first.end) {
            self.waiting_since = now;
        }
        self.sent += count as u64;
    }

    /// It takes some of what has come.
    pub fn note_taken(&mut self, now: Micros) {
        self.taken = (now, now - self.taken.0);
    }

    /// Panics if its oldest request has waited for too long. `is_read`: all that was sent has arrived, all that came
    /// back was read.
    pub fn check_patience(&mut self, truth: &Truth, is_read: bool) {
        let (Some(bound), Some(first)) = (truth.bound, self.pending.front()) else { return };
        if !is_read || self.hostile || self.sent < first.end {
            self.waiting_since = truth.now;
            return;
        }
        let since = self.waiting_since.max(self.quiet_bound);
        let patience = bound * (u64::from(first.quiet_before) + 1);
        assert!(
            truth.now <= since + patience,
            "client {} has waited since {since} for {:?}, longer than {patience}",
            self.number,
            first.want
        );
    }

    /// The requests that must be executed in the end, if nothing fails: all that have arrived in full; of a client
    /// that has gone those that change something.
    pub fn arrived(&self, has_gone: bool) -> impl Iterator<Item = Sure> {
        let is_it =
            move |(_, end, changes): &&(Sure, u64, bool)| *end <= self.sent.min(self.cut_at) && (*changes || !has_gone);
        self.sure.iter().filter(is_it).map(|(sure, _, _)| sure.clone())
    }

    /// Panics if its quiet packets should have been answered: no more answers will come.
    pub fn check_silence(&mut self, truth: &Truth) {
        if self.produced > self.cut_at {
            return; // they may not have come
        }
        let mut context =
            Context { truth, client: self.number, bucket: self.bucket, issued: truth.tick, floors: &mut self.floors };
        if let Err(error) = context.judge_silence(&self.silent) {
            panic!("client {}: {error}", self.number);
        }
        self.silent.clear();
    }

    /// Nobody will tell it any more what became of what it has sent.
    pub fn forget(&self, truth: &Truth) {
        for item in &self.silent {
            self.untold(truth, &item.op, item.issued);
        }
        for Pending { want, issued, .. } in &self.pending {
            match meta_client::of_want(want).0 {
                Want::One { op, .. } => self.untold(truth, op, *issued),
                Want::Batch(batch) => {
                    let quiet = batch.quiet.iter().filter(|item| !item.is_answered);
                    quiet.chain(batch.closing.item()).for_each(|item| self.untold(truth, &item.op, item.issued));
                }
                _ => {}
            }
        }
    }

    /// It may have been done, and it may yet.
    fn untold(&self, truth: &Truth, op: &Op, call: Tick) {
        let (op, place) = (op.clone(), Place::In(self.bucket));
        let told = Told { client: self.number, op, seen: Seen::Nothing, call, back: None, place };
        truth.history.borrow_mut().note(told);
    }

    /// Panics if it was closed although something is owed to it. `is_slow`: there was something for it to take, or
    /// not all that it has sent had come.
    pub fn check_closed(&self, truth: &Truth, is_slow: bool) {
        let first = self.pending.front();
        let limits =
            truth.eras.behaviors(self.bucket, 0).map(|behavior| Micros::from(behavior.client_idle_timeout) * 1000);
        let limit = limits.filter(|limit| *limit > 0).min();
        // Who takes it all at last may be too late by a moment.
        let was_slow = limit.is_some_and(|limit| self.taken.1 >= limit);
        if limit.is_some() && (is_slow || was_slow || first.is_none_or(|first| first.end > self.sent)) {
            return;
        }
        let first = first.filter(|first| first.end <= self.cut_at).map(|pending| &pending.want);
        assert!(self.hostile || self.is_closing, "client {} was closed", self.number);
        assert!(first.is_none(), "client {} was closed and waits for {first:?}", self.number);
        assert!(
            self.received.is_empty(),
            "client {} was closed inside {}",
            self.number,
            shown(self.received.as_slice())
        );
    }
}

/// A whole answer at the beginning of `bytes`, and its length.
fn parse(bytes: &[u8]) -> Option<(Answer<'_>, usize)> {
    let mut answer = Answer::default();
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let end = memchr::memchr(b'\n', rest)?;
        let line = rest[..=end].strip_suffix(b"\r\n");
        let line = line.unwrap_or_else(|| panic!("a line without carriage return: {}", shown(rest)));
        at += end + 1;
        if line.starts_with(b"VALUE ") {
            let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
            let number = |at: usize| words.get(at).and_then(|word| str::from_utf8(word).ok()?.parse::<u64>().ok());
            let (Some(flags), Some(len), 4..=5) = (number(2), number(3), words.len()) else {
                panic!("a wrong value line: {}", line.escape_ascii());
            };
            let len = len as usize;
            let data = bytes.get(at..at + len)?;
            let end = bytes.get(at + len..at + len + 2)?;
            assert_eq!(end, b"\r\n", "behind the value of {}", line.escape_ascii());
            at += len + 2;
            answer.values.push(Value { key: words[1], flags: flags as u32, cas: number(4), data });
            continue;
        }
        // What servers send has no such bytes, unless it is garbage.
        let text = str::from_utf8(line).ok().filter(|text| text.is_ascii()).unwrap_or("GARBAGE");
        if text.starts_with("STAT ") {
            answer.stats.push(text);
            continue;
        }
        answer.line = text;
        return Some((answer, at));
    }
}
