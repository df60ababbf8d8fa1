//! The load generator: many connections, one thread, every answer checked.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::histogram::Histogram;
use super::keys::{Keys, Random};
use super::reply::Reader;
use super::request::{Kind, Protocol, Request};

/// How much is read at once.
const READ: usize = 256 * 1024;
/// How long nothing may come until the program under test is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that do the same.
#[derive(Clone, Debug)]
pub struct Group {
    /// How many.
    pub connections: usize,
    /// How many requests each keeps unanswered.
    pub depth: usize,
    /// How many of a hundred requests are sets.
    pub sets: u32,
    /// How many keys a get has.
    pub keys_per_get: u32,
    /// How they speak.
    pub protocol: Protocol,
    /// What they ask for.
    pub keys: Rc<Keys>,
}

/// What a run has shown. Requests and times are those of the first group.
#[derive(Debug)]
pub struct Measured<S> {
    /// What the observer said when the measured time began, and when it ended.
    pub observed: [S; 2],
    /// Answers in the measured time.
    pub answers: u64,
    /// Answers in the whole run, before and after the measured time too.
    pub all_answers: u64,
    /// The measured time.
    pub time: Duration,
    /// How long the answers took.
    pub latency: Histogram,
}

struct Client {
    stream: TcpStream,
    group: usize,
    waiting: VecDeque<Request>,
    out: Vec<u8>,
    /// How much of `out` was written.
    written: usize,
    /// The beginning of something that has not come whole.
    held: Vec<u8>,
    reader: Reader,
}

/// Open connections and their load.
pub struct Load {
    poll: Poll,
    groups: Vec<Group>,
    clients: Vec<Client>,
    random: Random,
    buffer: Vec<u8>,
    is_sending: bool,
    answers: u64,
    unanswered: usize,
    latency: Histogram,
    events: Events,
}

impl Load {
    /// Connects all clients.
    ///
    /// # Errors
    /// When a connection cannot be made.
    pub fn connect(to: SocketAddr, groups: &[Group]) -> io::Result<Load> {
        let poll = Poll::new()?;
        let mut clients = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            for _ in 0..group.connections {
                let stream = std::net::TcpStream::connect(to)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let mut stream = TcpStream::from_std(stream);
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut stream, Token(clients.len()), interest)?;
                clients.push(Client {
                    stream,
                    group: index,
                    waiting: VecDeque::new(),
                    out: Vec::new(),
                    written: 0,
                    held: Vec::new(),
                    reader: Reader::default(),
                });
            }
        }
        Ok(Load {
            poll,
            groups: groups.to_vec(),
            clients,
            random: Random::new(1),
            buffer: vec![0; READ],
            is_sending: false,
            answers: 0,
            unanswered: 0,
            latency: Histogram::default(),
            events: Events::with_capacity(1024),
        })
    }

    /// Runs for `warm_up`, then for `time`, and waits for the last answers. `observe` is asked at both ends of `time`.
    ///
    /// # Errors
    /// When an answer is wrong or does not come.
    pub fn run<S>(
        &mut self,
        warm_up: Duration,
        time: Duration,
        mut observe: impl FnMut() -> S,
    ) -> Result<Measured<S>, String> {
        self.answers = 0;
        self.is_sending = true;
        for index in 0..self.clients.len() {
            self.send(index, Instant::now())?;
        }
        self.run_until(Instant::now() + warm_up)?;
        self.latency = Histogram::default();
        let before = observe();
        let (start, count) = (Instant::now(), self.answers);
        self.run_until(start + time)?;
        let after = observe();
        let (time, answers) = (start.elapsed(), self.answers - count);
        let latency = std::mem::take(&mut self.latency);
        self.is_sending = false;
        let limit = Instant::now() + PATIENCE;
        while self.unanswered > 0 {
            self.turn(limit)?;
            if Instant::now() >= limit {
                return Err(format!("{} request(s) are not answered", self.unanswered));
            }
        }
        Ok(Measured { observed: [before, after], answers, all_answers: self.answers, time, latency })
    }

    fn run_until(&mut self, end: Instant) -> Result<(), String> {
        let (mut count, mut since) = (self.answers, Instant::now());
        loop {
            self.turn(end)?;
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if self.answers > count {
                (count, since) = (self.answers, now);
            } else if now - since > PATIENCE {
                return Err("no answers any more".to_owned());
            }
        }
    }

    fn turn(&mut self, end: Instant) -> Result<(), String> {
        let patience = end.saturating_duration_since(Instant::now()).min(PATIENCE);
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(patience)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        for event in &events {
            let index = event.token().0;
            if event.is_readable() || event.is_read_closed() {
                self.receive(index)?;
            }
            self.send(index, Instant::now())?;
        }
        self.events = events;
        Ok(())
    }

    /// Reads what has come.
    fn receive(&mut self, index: usize) -> Result<(), String> {
        loop {
            let client = &mut self.clients[index];
            let count = match client.stream.read(&mut self.buffer) {
                Ok(0) => return Err("the connection was closed".to_owned()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            };
            let now = Instant::now();
            let mut held = std::mem::take(&mut client.held);
            let mut input = &self.buffer[..count];
            if !held.is_empty() {
                held.extend_from_slice(input);
                input = &held;
            }
            let group = &self.groups[client.group];
            while !input.is_empty() {
                let Some(request) = client.waiting.front_mut() else {
                    return Err("an answer to nothing".to_owned());
                };
                let taken = client.reader.take(group.protocol, request, &group.keys, input)?;
                if taken.is_complete {
                    if client.group == 0 {
                        self.answers += 1;
                        self.latency.add((now - request.since).as_nanos() as u64);
                    }
                    self.unanswered -= 1;
                    client.waiting.pop_front();
                }
                if taken.used == 0 {
                    client.held = input.to_vec();
                    break;
                }
                input = &input[taken.used..];
            }
            if count < READ {
                return Ok(());
            }
        }
    }

    /// Writes new requests until enough are unanswered.
    fn send(&mut self, index: usize, now: Instant) -> Result<(), String> {
        let client = &mut self.clients[index];
        let group = &self.groups[client.group];
        while self.is_sending && client.waiting.len() < group.depth {
            let is_set = self.random.below(100) < group.sets;
            let first = self.random.below(group.keys.count());
            let (kind, count) = if is_set { (Kind::Set, 1) } else { (Kind::Get, group.keys_per_get) };
            let request = Request { kind, first, count, since: now, seen: 0 };
            request.write(group.protocol, &group.keys, &mut client.out);
            client.waiting.push_back(request);
            self.unanswered += 1;
        }
        while client.written < client.out.len() {
            match client.stream.write(&client.out[client.written..]) {
                Ok(count) => client.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        client.out.clear();
        client.written = 0;
        Ok(())
    }
}
