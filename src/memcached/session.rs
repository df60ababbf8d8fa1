//! A client of the built-in server: its protocol, and its requests one by one.

use super::access::Access;
use super::counters::Count;
use super::{ascii, binary, dump};
use crate::buffer::{Input, Output, Pool};
use crate::protocol::Protocol;
use crate::protocol::binary::breach::Breach;
use crate::protocol::binary::packet::is_binary;

/// A client that has this many bytes to read gets no more replies before it has read some.
pub const OUTPUT_MAX: u64 = 256 * 1024;

/// What became of a client's next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is done.
    Done,
    /// There is no complete request.
    Wait,
    /// The client has to read first. Its request has not begun, or goes on later.
    Full,
    /// The client wants to end: send what it is owed and close.
    Quit,
    /// The same for one that cannot be understood.
    Breach(Breach),
    /// It is done, and sets the log level of the process.
    Verbosity(u8),
}

/// A request whose reply was too long to be made at once. Its line stays in the input.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unfinished {
    /// A get with many keys.
    Get(Rest),
    /// A list of all keys, and the length of its line.
    Dump(dump::Cursor, usize),
}

/// What is left of a get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// Where the next key begins in the input.
    pub at: usize,
    /// Where the keys end.
    pub end: usize,
    /// The length of the whole request.
    pub len: usize,
    /// What to do with each key.
    pub mode: ascii::GetMode,
}

/// One client.
#[derive(Debug, Default)]
pub struct Session {
    protocol: Option<Protocol>,
    /// Bytes of a refused value that are still to be dropped.
    pub(super) swallow: u64,
    /// The request that is under way.
    pub(super) unfinished: Option<Unfinished>,
}

impl Session {
    /// A client that has just connected and speaks `protocol`; `None`: its first byte will tell. Where that
    /// is binary, what does not begin like a binary packet closes the connection.
    pub fn new(protocol: Option<Protocol>) -> Session {
        Session { protocol, ..Session::default() }
    }

    /// What it speaks; `None`: its first byte will tell.
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// How many bytes of a refused value are still to be dropped.
    pub fn swallow(&self) -> u64 {
        self.swallow
    }

    /// Serves the client's next request: takes it from `input` and appends the reply to `out`. `pool` is where the
    /// memory of `input` comes from.
    pub fn step(&mut self, access: &Access<'_>, input: &mut Input, pool: &mut Pool, out: &mut Output) -> Step {
        if self.swallow > 0 {
            let count = usize::try_from(self.swallow).unwrap_or(usize::MAX).min(input.len());
            input.consume(count);
            self.swallow = self.swallow.saturating_sub(count as u64);
            access.counters.add(Count::BytesRead, count as u64);
        }
        if !input.is_worth_parsing() {
            return Step::Wait;
        }
        if out.unsent() >= OUTPUT_MAX {
            return Step::Full;
        }
        if self.protocol.is_none() {
            self.protocol = Some(if is_binary(input.data()) { Protocol::Binary } else { Protocol::Ascii });
        }
        let before = out.end();
        let step = match self.protocol {
            Some(Protocol::Binary) => binary::step(self, access, input, pool, out),
            Some(Protocol::Ascii) | None => ascii::step(self, access, input, pool, out),
        };
        access.counters.add(Count::BytesWritten, out.end().saturating_sub(before));
        step
    }
}
