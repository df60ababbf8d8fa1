//! Clients of the built-in server, in memory.

use std::sync::Arc;

use moxi::buffer::{Input, Output, Pool};
use moxi::memcached::clock::Clock;
use moxi::memcached::counters::Counters;
use moxi::memcached::{Memcached, Session, Settings, Step};
use moxi::protocol::Protocol;

/// The beginning of a second, some time in 2001.
const START: Clock = Clock { now: 0, unix: 1_000_000_000_000_000 };

/// A server and the time.
pub(super) struct Server {
    pub memcached: Memcached,
    pub counters: Arc<Counters>,
    pub clock: Clock,
}

impl Server {
    /// An empty one with memory for a few pages.
    pub(super) fn new() -> Server {
        let memcached = Memcached::new(Settings { memory: 8 << 20, ..Settings::default() }, START, Arc::default());
        let counters = memcached.register();
        Server { memcached, counters, clock: START }
    }
}

/// A client.
pub(super) struct Client {
    session: Session,
    input: Input,
    pool: Pool,
    output: Output,
    pub is_closed: bool,
}

impl Client {
    pub(super) fn new(protocol: Option<Protocol>) -> Client {
        Client {
            session: Session::new(protocol),
            input: Input::default(),
            pool: Pool::new(1024),
            output: Output::default(),
            is_closed: false,
        }
    }

    /// Sends bytes, and appends what is answered.
    pub(super) fn send(&mut self, server: &Server, mut bytes: &[u8], answer: &mut Vec<u8>) {
        while !bytes.is_empty() && !self.is_closed {
            let space = self.input.space(&mut self.pool);
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.input.filled(count);
            bytes = &bytes[count..];
            self.serve(server, answer);
            answer.extend(written(&mut self.output));
        }
    }

    fn serve(&mut self, server: &Server, answer: &mut Vec<u8>) {
        while !self.is_closed {
            let access = server.memcached.access(&server.counters, server.clock);
            let before = (self.input.len(), self.output.end());
            match self.session.step(&access, &mut self.input, &mut self.pool, &mut self.output) {
                Step::Done | Step::Verbosity(_) => assert!(self.input.len() < before.0, "nothing is consumed"),
                Step::Wait => {
                    assert!(!self.input.is_worth_parsing(), "it waits, and does not say for what");
                    self.input.rest(&mut self.pool);
                    return;
                }
                Step::Full => answer.extend(written(&mut self.output)),
                Step::Quit | Step::Breach(_) => self.is_closed = true,
            }
            self.input.rest(&mut self.pool);
        }
    }
}

/// Takes everything that is in `out`.
pub(super) fn written(out: &mut Output) -> Vec<u8> {
    let mut bytes = Vec::new();
    for slice in out.slices(u64::MAX, usize::MAX) {
        bytes.extend_from_slice(&slice);
    }
    out.advance(bytes.len());
    out.release_sent();
    bytes
}
