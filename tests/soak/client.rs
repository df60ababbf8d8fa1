//! A client that keeps its connection, and judges what comes.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use moxi_test_support::Wire;
use moxi_test_support::load::random::Random;
use moxi_test_support::packet::{Packet, op};

use super::answer::{Answer, Reading, Status, Step};
use super::ask::{Ask, Words, name};
use super::figures::{Fault, Notes};
use super::judge::{Case, Key, Wrong};
use super::map::{Bucket, Servers};
use super::plan::{KEYS, LONGEST};
use super::world::Moment;

/// A request that waits for its answer.
struct Waiting {
    reading: Reading,
    sent: Moment,
}

/// One client and its own keys.
pub struct Client {
    number: usize,
    words: Words,
    bucket: Bucket,
    stream: TcpStream,
    keys: Vec<Key>,
    random: Random,
    waiting: VecDeque<Waiting>,
    /// Counts what has a number of its own.
    next_number: u32,
    input: Vec<u8>,
    used: usize,
    output: Vec<u8>,
    sent: usize,
    last_answer: Instant,
    is_lost: bool,
}

impl Client {
    /// Connects, and goes to its bucket.
    pub fn new(number: usize, has_map: bool, port: u16) -> Client {
        let (words, bucket) = match number % 4 {
            0 => (Words::Classic, Bucket::Ring),
            1 => (Words::Meta, Bucket::Ring),
            2 => (Words::Binary, Bucket::Ring),
            _ => (Words::Binary, if has_map { Bucket::Map } else { Bucket::Ring }),
        };
        let mut wire = Wire::connect(format!("client {number}"), port);
        if bucket == Bucket::Map {
            wire.send(Packet::request(op::SASL_AUTH).key("PLAIN").value("\0map\0sesame").bytes());
            assert_eq!(wire.packet().status, 0);
        }
        let socket = wire.socket().try_clone().expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        Client {
            number,
            words,
            bucket,
            stream: TcpStream::from_std(socket.into()),
            keys: vec![Key::default(); KEYS],
            random: Random::new(number as u64),
            waiting: VecDeque::new(),
            next_number: 0,
            input: Vec::new(),
            used: 0,
            output: Vec::new(),
            sent: 0,
            last_answer: Instant::now(),
            is_lost: false,
        }
    }

    /// Its connection.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// How many answers it waits for.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends a request.
    pub fn ask(&mut self, notes: &mut Notes) {
        if self.is_lost {
            return;
        }
        let key = self.random.below(KEYS);
        let ask = match self.random.below(32) {
            0..9 => Ask::Set(key, self.keys[key].next()),
            9 => Ask::Delete(key, self.keys[key].next()),
            10..13 => Ask::All,
            _ => Ask::Get(key),
        };
        let reading = Reading::new(ask, self.number, self.words, self.next_number);
        ask.write(self.words, self.number, self.next_number, &mut self.output);
        self.next_number = self.next_number.wrapping_add(ask.numbers()) & 0x00ff_ffff;
        notes.tally.asked += 1;
        self.waiting.push_back(Waiting { reading, sent: notes.world.moment() });
        self.write(notes);
    }

    /// Sends what can be sent.
    pub fn write(&mut self, notes: &mut Notes) {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.lose(&format!("sending: {error}"), notes),
            }
        }
        self.output.clear();
        self.sent = 0;
    }

    /// Takes what has come.
    pub fn read(&mut self, notes: &mut Notes) {
        let mut chunk = [0; 65_536];
        while !self.is_lost {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.lose("closed by the other side", notes),
                Ok(count) => {
                    self.input.extend_from_slice(&chunk[..count]);
                    self.take(notes);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.lose(&format!("receiving: {error}"), notes),
            }
        }
    }

    /// The connection is of no use any more.
    fn lose(&mut self, why: &str, notes: &mut Notes) {
        self.is_lost = true;
        let owed = self.waiting.len();
        self.waiting.clear();
        notes.tally.unanswered += owed as u64;
        notes
            .tally
            .fault(Fault::LostConnection, format!("client {} ({:?}): {why}; {owed} owed", self.number, self.words));
    }

    fn take(&mut self, notes: &mut Notes) {
        loop {
            let rest = &self.input[self.used..];
            let Some(first) = self.waiting.front_mut() else {
                if !rest.is_empty() {
                    let text = format!("not asked for: {}", rest[..rest.len().min(80)].escape_ascii());
                    self.garbage(text, notes);
                }
                break;
            };
            match first.reading.step(rest) {
                Ok(Step::More) => break,
                Ok(Step::Used(used)) => self.used += used,
                Ok(Step::Last(used, answer)) => {
                    self.used += used;
                    if let Some(waiting) = self.waiting.pop_front() {
                        self.answered(&waiting, &answer, notes);
                    }
                }
                Err(error) => {
                    self.garbage(error, notes);
                    break;
                }
            }
        }
        self.input.drain(..self.used);
        self.used = 0;
    }

    /// What follows cannot be understood.
    fn garbage(&mut self, text: String, notes: &mut Notes) {
        notes.tally.fault(Fault::Garbage, format!("client {} ({:?}): {text}", self.number, self.words));
        self.lose("given up", notes);
    }

    fn answered(&mut self, waiting: &Waiting, answer: &Answer, notes: &mut Notes) {
        let now = Instant::now();
        let (ask, sent) = (waiting.reading.ask, &waiting.sent);
        notes.tally.answered(now - sent.at());
        let waited = now - sent.at().max(self.last_answer);
        self.last_answer = now;
        if waited > LONGEST && notes.world.was_busy(sent) {
            notes.tally.excused += 1;
        } else if waited > LONGEST {
            notes
                .tally
                .fault(Fault::Late, format!("client {} ({:?}): {ask:?} after {waited:?}", self.number, self.words));
        }
        let generations = notes.world.generations();
        let mut all = 0;
        for key in ask.keys() {
            let servers = notes.world.owners(self.bucket, name(self.number, key).as_bytes(), sent);
            all |= servers;
            let is_explained = notes.world.had_trouble(servers, sent);
            let case = Case { servers, generations, is_explained };
            self.seen(key, (ask, answer), (&case, sent), notes);
            if let Ask::Set(_, version) | Ask::Delete(_, version) = ask {
                let (is_gone, is_confirmed) = (matches!(ask, Ask::Delete(..)), !answer.is_error());
                // What was confirmed by a process that has been killed since then is lost.
                let case = Case { generations: sent.generations, ..case };
                self.keys[key].written(version, is_gone, is_confirmed, &case);
            }
        }
        if let Status::Failed(text) = &answer.status {
            self.failed(all, (ask, text), sent, notes);
        }
    }

    /// What an answer tells of a key.
    fn seen(&self, key: usize, (ask, answer): (Ask, &Answer), (case, sent): (&Case, &Moment), notes: &mut Notes) {
        let seen = answer.found.iter().find(|(found, _)| *found == key).map(|(_, version)| *version);
        let tells = ask.is_read() && (seen.is_some() || !answer.is_error()) || answer.status == Status::Absent;
        if !tells {
            return;
        }
        notes.tally.values += u64::from(seen.is_some());
        notes.tally.misses += u64::from(seen.is_none());
        let Err(wrong) = self.keys[key].read(seen, case) else { return };
        let fault = match wrong {
            // The answer of a server that was overdue may be missing, and nothing else.
            Wrong::Lost if notes.world.was_busy(sent) => return notes.tally.excused += 1,
            Wrong::Lost => Fault::Lost,
            Wrong::Old => Fault::Old,
            Wrong::Unknown | Wrong::Elsewhere => Fault::Wrong,
        };
        let (name, known) = (name(self.number, key), &self.keys[key]);
        let told = format!("{name} ({:?}): {ask:?}: {seen:?} is {wrong:?}; {case:?}, {known:?}", self.words);
        notes.tally.fault(fault, told);
    }

    /// An error is right where a server has trouble.
    fn failed(&self, servers: Servers, (ask, text): (Ask, &str), sent: &Moment, notes: &mut Notes) {
        if notes.world.had_trouble(servers, sent) {
            notes.tally.failures += 1;
        } else if notes.world.was_busy(sent) {
            notes.tally.excused += 1;
        } else {
            let (number, words) = (self.number, self.words);
            let told = format!("client {number} ({words:?}): {ask:?} of servers {servers:#b}: {text}");
            notes.tally.fault(Fault::Error, told);
        }
    }

    /// Gives up when an answer is overdue by so much.
    pub fn give_up(&mut self, limit: Duration, notes: &mut Notes) {
        let Some(first) = self.waiting.front() else { return };
        let (ask, waited) = (first.reading.ask, first.sent.at().max(self.last_answer).elapsed());
        if waited > limit {
            self.lose(&format!("{ask:?} without an answer after {waited:?}"), notes);
        }
    }
}
