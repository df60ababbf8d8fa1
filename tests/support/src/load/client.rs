//! One client of the load: its socket, and what it still waits for.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use memchr::memchr;
use mio::net::TcpStream;

use super::model::{Expect, Model};
use super::{Plan, Report};
use crate::text::{difference, show};

/// Unanswered requests of a client that sends many.
const WINDOW: usize = 32;
/// Bytes to be sent above which no further request is made.
const OUTPUT: usize = 64 * 1024;
/// Bytes read at once.
const CHUNK: usize = 128 * 1024;

/// A client.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    model: Model,
    number: usize,
    window: usize,
    left: usize,
    state: State,
    waiting: VecDeque<Expect>,
    output: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    used: usize,
    scratch: Vec<u8>,
    chunk: Box<[u8]>,
    report: Report,
}

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Talking,
    /// `quit` was sent; nothing but the end may come.
    Leaving,
    Done,
}

impl Client {
    /// Connects; the first events start it.
    pub fn connect(port: u16, number: usize, plan: Plan) -> io::Result<Client> {
        let stream = TcpStream::connect(([127, 0, 0, 1], port).into())?;
        stream.set_nodelay(true)?;
        Ok(Client {
            stream,
            model: Model::new(number, plan.seed),
            number,
            window: if number.is_multiple_of(2) { 1 } else { WINDOW },
            left: plan.requests,
            state: State::Talking,
            waiting: VecDeque::new(),
            output: Vec::new(),
            sent: 0,
            input: Vec::new(),
            used: 0,
            scratch: Vec::new(),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            report: Report::default(),
        })
    }

    /// For registering.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Whether everything was answered and the connection has ended.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// What it did.
    pub fn report(&self) -> Report {
        self.report
    }

    /// What it waits for.
    pub fn describe(&self) -> String {
        format!(
            "client {}: {:?}, {} requests left, waits for {:?} and {} more, {} bytes unsent, input {}",
            self.number,
            self.state,
            self.left,
            self.waiting.front(),
            self.waiting.len().saturating_sub(1),
            self.output.len() - self.sent,
            show(&self.input[self.used..])
        )
    }

    /// Does whatever can be done now.
    pub fn ready(&mut self) -> Result<(), String> {
        loop {
            self.ask();
            let wrote = self.flush()?;
            let read = self.fill()?;
            self.check().map_err(|error| format!("{error}\n  {}", self.describe()))?;
            if self.state == State::Done || !(wrote || read) {
                return Ok(());
            }
        }
    }

    /// Makes requests as far as the window allows.
    fn ask(&mut self) {
        if self.state != State::Talking || self.waiting.len() > self.window / 2 {
            return;
        }
        while self.left > 0 && self.waiting.len() < self.window && self.output.len() - self.sent < OUTPUT {
            self.left -= 1;
            self.report.requests += 1;
            let expect = if self.left == 0 {
                Some(self.model.last(&mut self.output))
            } else {
                self.model.request(&mut self.output)
            };
            self.waiting.extend(expect);
        }
        if self.left == 0 && self.waiting.is_empty() {
            self.output.extend_from_slice(b"quit\r\n");
            self.state = State::Leaving;
        }
    }

    fn flush(&mut self) -> Result<bool, String> {
        let mut progress = false;
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    progress = true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(format!("client {}: sending: {error}", self.number)),
            }
        }
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
        Ok(progress)
    }

    fn fill(&mut self) -> Result<bool, String> {
        if self.used > CHUNK || self.used == self.input.len() {
            self.input.drain(..self.used);
            self.used = 0;
        }
        let result = loop {
            match self.stream.read(&mut self.chunk) {
                Ok(0) if self.state == State::Leaving => {
                    self.state = State::Done;
                    break Ok(true);
                }
                Ok(0) => break Err("closed by the other side".to_owned()),
                Ok(count) => {
                    self.input.extend_from_slice(&self.chunk[..count]);
                    break Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break Ok(false);
                }
                Err(error) => break Err(format!("reading: {error}")),
            }
        };
        result.map_err(|error| format!("{error}\n  {}", self.describe()))
    }

    /// Compares what has come with what must come.
    fn check(&mut self) -> Result<(), String> {
        while let Some(expect) = self.waiting.front_mut() {
            let input = &self.input[self.used..];
            let Some(end) = memchr(b'\n', input) else { return Ok(()) };
            let line = input[..end].strip_suffix(b"\r").ok_or("a line that ends with LF alone")?;
            let mut next = end + 1;
            let complete = match expect {
                Expect::Line(text) => {
                    same(text.as_bytes(), line)?;
                    true
                }
                Expect::Prefix(text) => {
                    same(text.as_bytes(), &line[..text.len().min(line.len())])?;
                    true
                }
                Expect::Number(number) => {
                    same(number.to_string().as_bytes(), line)?;
                    true
                }
                Expect::Values { items, seen, cas } => match items.get(*seen) {
                    None => {
                        same(b"END", line)?;
                        true
                    }
                    Some(&item) => {
                        let length = self.model.length(item);
                        self.scratch.clear();
                        self.scratch.extend_from_slice(b"VALUE ");
                        self.model.name(&mut self.scratch, item.key);
                        write!(self.scratch, " {} {length}", self.model.flags(item.key)).expect("writing to memory");
                        if *cas {
                            self.scratch.push(b' ');
                            same(&self.scratch, &line[..self.scratch.len().min(line.len())])?;
                            let id = &line[self.scratch.len()..];
                            if id.is_empty() || !id.iter().all(u8::is_ascii_digit) {
                                return Err(format!("no CAS id: {}", show(line)));
                            }
                        } else {
                            same(&self.scratch, line)?;
                        }
                        let Some(value) = input.get(next..next + length + 2) else { return Ok(()) };
                        self.scratch.clear();
                        self.model.value(&mut self.scratch, item);
                        self.scratch.extend_from_slice(b"\r\n");
                        same(&self.scratch, value)?;
                        next += length + 2;
                        *seen += 1;
                        self.report.values += 1;
                        self.report.bytes += length as u64;
                        false
                    }
                },
            };
            self.used += next;
            if complete {
                self.waiting.pop_front();
                self.report.replies += 1;
            }
        }
        if self.used < self.input.len() {
            return Err(format!("a superfluous reply: {}", show(&self.input[self.used..])));
        }
        Ok(())
    }
}

fn same(expected: &[u8], got: &[u8]) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(difference(expected, got)) }
}
