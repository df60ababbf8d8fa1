//! The server as its clients see it, with time and bytes in the hands of the test.

mod ascii;
mod binary;
mod lists;
mod memory;
mod meta;
mod statistics;
mod threads;
mod time;

use std::sync::Arc;

use super::clock::Clock;
use super::counters::Counters;
use super::{Memcached, Session, Settings, Step};
use crate::buffer::{Input, Output, Pool};
use crate::protocol::Protocol;

/// The beginning of a second, some time in 2001.
pub const START: Clock = Clock { now: 0, unix: 1_000_000_000_000_000 };

/// A server and the time.
pub struct Server {
    pub memcached: Arc<Memcached>,
    counters: Arc<Counters>,
    pub clock: Clock,
}

impl Server {
    pub fn new(settings: Settings) -> Server {
        let memcached = Arc::new(Memcached::new(settings, START, Arc::default()));
        let counters = memcached.register();
        Server { memcached, counters, clock: START }
    }

    /// Lets time pass.
    pub fn wait(&mut self, millis: u64) {
        self.clock.now += millis * 1000;
        self.clock.unix += millis * 1000;
    }

    /// The Unix time in seconds.
    pub fn unix(&self) -> u64 {
        self.clock.unix / 1_000_000
    }

    /// What a new client is answered.
    pub fn say(&self, request: impl AsRef<[u8]>) -> String {
        text(&Client::default().send(self, request.as_ref()))
    }

    /// The value of a statistic: the name is preceded by the sub-command, if there is one.
    #[track_caller]
    pub fn stat(&self, of: &str, name: &str) -> String {
        let all = self.say(format!("stats {of}\r\n"));
        let line = all.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {all}")).to_owned()
    }

    /// Stores a value of so many bytes.
    pub fn fill(&self, key: &str, length: usize) -> String {
        self.say(format!("set {key} 0 0 {length}\r\n{}\r\n", "x".repeat(length)))
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.say(format!("get {key}\r\n")) != "END\r\n"
    }
}

impl Default for Server {
    fn default() -> Server {
        Server::new(Settings::default())
    }
}

/// A client.
pub struct Client {
    session: Session,
    input: Input,
    pool: Pool,
    output: Output,
    pub is_closed: bool,
    pub verbosity: Option<u8>,
}

impl Default for Client {
    fn default() -> Client {
        Client::new(None)
    }
}

impl Client {
    pub fn new(protocol: Option<Protocol>) -> Client {
        Client {
            session: Session::new(protocol),
            input: Input::default(),
            pool: Pool::new(1024),
            output: Output::default(),
            is_closed: false,
            verbosity: None,
        }
    }

    /// Sends bytes; the result is the answer. Nothing is read before all is sent, except by a client that could get
    /// no more.
    pub fn send(&mut self, server: &Server, bytes: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        let mut rest = bytes;
        loop {
            let space = self.input.space(&mut self.pool);
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            self.input.filled(count);
            rest = &rest[count..];
            self.serve(server, &mut answer);
            if rest.is_empty() || self.is_closed {
                self.read(&mut answer);
                return answer;
            }
        }
    }

    fn serve(&mut self, server: &Server, answer: &mut Vec<u8>) {
        while !self.is_closed {
            let access = server.memcached.access(&server.counters, server.clock);
            let step = self.session.step(&access, &mut self.input, &mut self.pool, &mut self.output);
            self.input.rest(&mut self.pool);
            match step {
                Step::Done => {}
                Step::Wait => return,
                Step::Full => self.read(answer),
                Step::Quit | Step::Breach(_) => self.is_closed = true,
                Step::Verbosity(level) => self.verbosity = Some(level),
            }
        }
    }

    fn read(&mut self, answer: &mut Vec<u8>) {
        for slice in self.output.slices(u64::MAX, usize::MAX) {
            answer.extend_from_slice(&slice);
        }
        let count = self.output.unsent();
        self.output.advance(usize::try_from(count).unwrap());
        self.output.release_sent();
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
