//! A server connection as the engine sees it: connect, authenticate, select the bucket, ready; and its queue of
//! expected replies.
//!
//! Its states are in LIFECYCLE.md beside this file.

use std::collections::VecDeque;
use std::ops::Range;

use crate::arena::Id;
use crate::buffer::{Input, Output};
use crate::protocol::binary::packet::Header;
use crate::protocol::{Create, Protocol, op};

use crate::proxy::downstream::abandoned::Abandoned;
use crate::proxy::downstream::fifo::Fifo;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::sent::Writes;
use crate::proxy::request::RequestId;
use crate::proxy::timers::Micros;

/// How many requests, and how many bytes of them, are put together in one write rather than spread over connections.
const BATCH: usize = 32;
const BATCH_BYTES: u64 = 16 * 1024;

/// Names a server connection.
pub type ConnId = Id<Conn>;

/// How far a server connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The name is being resolved, or the TCP handshake is under way.
    Connecting,
    /// The handshake packet of this step was sent; nothing else goes out before it is answered.
    Handshake(Step),
    /// Requests go out.
    Ready,
}

impl State {
    /// Its name in log lines.
    pub fn phase(self) -> &'static str {
        match self {
            State::Connecting => "connect",
            State::Handshake(_) => "authenticate",
            State::Ready => "reply",
        }
    }
}

/// The steps of the handshake (03 §16.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// SASL PLAIN.
    Authenticate,
    /// Bucket selection.
    Select,
}

/// A packet of a binary client, as its answer names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketName {
    /// Its opcode.
    pub opcode: u8,
    /// Its opaque.
    pub opaque: u32,
    /// Its place among the packets of its batch; 0 if it closes them, or is by itself.
    pub place: u32,
}

impl PacketName {
    /// Of the packet with this header, or of the answer to it.
    pub fn of(header: &Header, place: u32) -> PacketName {
        PacketName { opcode: header.opcode, opaque: header.opaque, place }
    }
}

/// What an expected reply looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A single-key get, alone or joined with its neighbours to one get on the wire.
    Get {
        /// Where its key stands in the connection's output.
        key_at: u64,
        /// The length of the key.
        key_len: u8,
        /// It is the last one of the get on the wire.
        last: bool,
        /// Its value has come, or it was answered otherwise; only the end of the get is awaited.
        answered: bool,
    },
    /// One part of a multi-key get.
    MultiGet {
        /// Index of the part.
        part: u32,
    },
    /// One line, or one packet with this opcode.
    One {
        /// The opcode sent to a binary server.
        opcode: u8,
    },
    /// The values of a `gat` or `getl` of one key, or a line.
    Value {
        /// The opcode sent to a binary server.
        opcode: u8,
        /// Where its key stands in the connection's output.
        key_at: u64,
        /// The length of the key.
        key_len: u8,
        /// The value has come; only the end is awaited.
        answered: bool,
    },
    /// A packet of a binary client, answered by a packet with this opcode that is passed on as it is.
    Packet {
        /// The opcode sent.
        opcode: u8,
    },
    /// A quiet packet of a binary client: it is answered only if something unusual happens, and never later than
    /// the packet that closes its group.
    Quiet {
        /// The opcode sent.
        opcode: u8,
        /// It has been answered.
        answered: bool,
        /// Its place among the packets of its batch.
        place: u32,
    },
    /// The NOOP that closes a group of quiet packets, where the client's own closing packet goes elsewhere.
    Close,
    /// A packet of a binary client, put into ASCII.
    Translated(Translated),
    /// The creation of a number for a binary client, on an ASCII server.
    Create {
        /// The client's opcode.
        opcode: u8,
        /// Its place among the packets of its batch.
        place: u32,
        /// The number.
        initial: u64,
    },
    /// A meta command of an ASCII client, sent as it is.
    Meta {
        /// It has the number of the entry's opaque with it, and so has the answer.
        is_named: bool,
        /// It may change something.
        changes: bool,
    },
    /// A question about the commands that an ASCII server understands.
    Probe(Question),
    /// A server's list of keys.
    Dump {
        /// Something of it has come already.
        begun: bool,
    },
    /// The answer of one server to a broadcast.
    Broadcast {
        /// The opcode sent to a binary server.
        opcode: u8,
        /// The server's place in the configuration.
        server: u16,
        /// Something of the answer has come already.
        begun: bool,
    },
}

impl Expect {
    /// Whether it is a list of which nothing has come yet.
    pub fn is_unanswered_dump(&self) -> bool {
        matches!(self, Expect::Dump { begun: false })
    }

    /// If it is the answer to a binary client's packet for one key, or to a quiet one: which.
    fn packet(&self, opaque: u32) -> Option<PacketName> {
        let (opcode, place) = match *self {
            Expect::Quiet { opcode, place, .. } | Expect::Create { opcode, place, .. } => (opcode, place),
            Expect::Translated(Translated { opcode, place, .. }) => (opcode, place),
            Expect::Packet { opcode } => (opcode, 0),
            _ => return None,
        };
        Some(PacketName { opcode, opaque, place })
    }

    /// The opcode of a request for one key that is sent to a binary server by itself.
    pub fn opcode(&self) -> Option<u8> {
        match *self {
            Expect::One { opcode }
            | Expect::Value { opcode, .. }
            | Expect::Packet { opcode }
            | Expect::Quiet { opcode, .. } => Some(opcode),
            _ => None,
        }
    }

    /// Where the key stands in the connection's output, if that is needed to understand the reply.
    pub fn key_at(&mut self) -> Option<&mut u64> {
        match self {
            Expect::Get { key_at, .. }
            | Expect::Value { key_at, .. }
            | Expect::Translated(Translated { key_at, .. }) => Some(key_at),
            _ => None,
        }
    }

    /// Whether the request changes something at the server. Of a multi-key get its request says so.
    pub fn changes(&self) -> bool {
        match *self {
            Expect::Get { .. } | Expect::MultiGet { .. } | Expect::Close | Expect::Probe(_) | Expect::Dump { .. } => {
                false
            }
            Expect::Create { .. } => true,
            Expect::Meta { changes, .. } => changes,
            Expect::One { opcode }
            | Expect::Value { opcode, .. }
            | Expect::Packet { opcode }
            | Expect::Quiet { opcode, .. }
            | Expect::Translated(Translated { opcode, .. })
            | Expect::Broadcast { opcode, .. } => op::of(opcode).changes(),
        }
    }
}

/// What ASCII servers are asked about their commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it knows meta commands.
    Meta,
    /// Which version it has, as it says that it does: old ones have them in another form.
    Version,
}

/// A packet of a binary client on its way to an ASCII server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The client's opcode.
    pub opcode: u8,
    /// Its place among the packets of its batch.
    pub place: u32,
    /// It was sent as a meta command.
    pub is_meta: bool,
    /// Where its key stands in the connection's output.
    pub key_at: u64,
    /// The length of the key there.
    pub key_len: u8,
    /// It stands there in base64.
    pub is_encoded: bool,
    /// The number to begin with and its expiry, if the client wants a missing one created and the server has no
    /// command for it.
    pub create: Option<Create>,
}

/// An expected reply.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Whose reply it is; nobody's if that request has gone.
    pub request: RequestId,
    /// What it looks like.
    pub expect: Expect,
    /// The opaque sent to a binary server, or with a meta command.
    pub opaque: u32,
    /// Where the request ends in the connection's output; it begins where the one before it ends.
    pub end: u64,
    /// How often it was sent before, on connections that were lost.
    pub retries: u32,
    /// The server may be asked again although it may have done it already (03 §8.1).
    pub may_repeat: bool,
    /// It is behind other requests on a ready connection, and counted as such in its request.
    pub is_queued: bool,
}

impl Entry {
    /// If it is the answer to a binary client's packet for one key, or to a quiet one: which.
    pub fn packet(&self) -> Option<PacketName> {
        self.expect.packet(self.opaque)
    }

    /// Whether nothing may be sent behind it before it is answered, nor it before all before it are. A list of keys takes
    /// long, and others may be given up before it is their turn; a command that a binary server does not know makes it
    /// lose its place in the stream, or is never answered (04 §8.6).
    pub fn travels_alone(&self, speak: Protocol) -> bool {
        matches!(self.expect, Expect::Dump { .. })
            || speak == Protocol::Binary && self.expect.opcode().is_some_and(|code| op::of(code).is_foreign)
    }

    /// Whether it is the last reply to what one request on the wire asked for.
    pub fn is_last(&self) -> bool {
        !matches!(self.expect, Expect::Get { last: false, .. } | Expect::Quiet { .. })
    }
}

/// A get at the end of the output that further keys may join.
#[derive(Clone, Copy, Debug)]
pub struct OpenGet {
    /// Where it begins in the output.
    pub start: u64,
    /// How many keys it has.
    pub keys: u32,
    /// The number of its first entry, counted over the connection's life.
    pub first: u64,
}

/// A server connection.
#[derive(Debug)]
pub struct Conn {
    /// The server.
    pub host: HostId,
    /// The server's protocol.
    pub speak: Protocol,
    /// How far it has come.
    pub state: State,
    /// When that state began.
    pub state_since: Micros,
    /// Where the handshake packets end in the output.
    pub handshake: [Option<(Step, u64)>; 2],
    /// Received and not yet understood.
    pub input: Input,
    /// Everything that is not yet answered, sent or not.
    pub output: Output,
    /// The expected replies, oldest first.
    pub fifo: Fifo,
    /// Where the answered requests end in the output.
    pub answered_to: u64,
    /// When what of the output was sent.
    pub writes: Writes,
    /// When the oldest expected reply became the oldest.
    pub head_since: Micros,
    /// How many of the expected replies somebody still waits for.
    pub wanted: u32,
    /// The get that further keys may join in this turn.
    pub open: Option<OpenGet>,
    /// The batch whose quiet packets end the output: more of this turn may join them, nothing has closed them yet.
    pub group: Option<RequestId>,
    /// Within the request at the head, if it has several entries: where to look for the one that is answered next.
    pub cursor: usize,
    /// The oldest reply is overdue; the connection gets no new work until a reply comes.
    pub is_stalled: bool,
    /// Requests on it that were given up, and what they change, oldest first.
    pub abandoned: VecDeque<Abandoned>,
    /// One that was sent has waited too long: up to here it may be sent, until the next reply comes.
    pub held_at: Option<u64>,
    /// Where in the output the requests are that travel alone: all before them must be answered before they are
    /// sent, and they before anything behind them is.
    pub alone: VecDeque<Range<u64>>,
    /// It could not be begun for want of something on this machine.
    pub is_short: bool,
    /// When that is tried again.
    pub retry_at: Option<Micros>,
    /// It is the one that lists of keys come on, and takes nothing else.
    pub is_for_dumps: bool,
    /// It is not to be read from: the client has not read enough of the list that comes on it.
    pub is_paused: bool,
    /// It is on its host's list of idle connections.
    pub is_idle: bool,
    /// It is on the worker's list of connections to flush.
    pub is_dirty: bool,
    /// The deadline it has an entry for.
    pub timer: Option<Micros>,
}

impl Conn {
    /// A connection that is about to be made.
    pub fn new(host: HostId, speak: Protocol, now: Micros) -> Conn {
        Conn {
            host,
            speak,
            state: State::Connecting,
            state_since: now,
            handshake: [None; 2],
            input: Input::default(),
            output: Output::default(),
            fifo: Fifo::default(),
            answered_to: 0,
            writes: Writes::default(),
            head_since: now,
            wanted: 0,
            open: None,
            group: None,
            cursor: 0,
            is_stalled: false,
            abandoned: VecDeque::new(),
            held_at: None,
            alone: VecDeque::new(),
            is_short: false,
            retry_at: None,
            is_for_dumps: false,
            is_paused: false,
            is_idle: false,
            is_dirty: false,
            timer: None,
        }
    }

    /// Up to which position the output may be sent.
    pub fn send_limit(&self) -> u64 {
        match self.state {
            State::Connecting => 0,
            State::Handshake(step) => {
                self.handshake.iter().flatten().find(|(other, _)| *other == step).map_or(0, |(_, end)| *end)
            }
            State::Ready => {
                let alone = match self.alone.front() {
                    None => u64::MAX,
                    Some(range) if self.answered_to >= range.start => range.end,
                    Some(range) => range.start,
                };
                alone.min(self.held_at.unwrap_or(u64::MAX))
            }
        }
    }

    /// Sends nothing more before the next reply comes, except the rest of what was begun.
    pub fn hold(&mut self) {
        if self.held_at.is_some() {
            return;
        }
        let sent = self.output.sent();
        let begun = self.fifo.iter().skip_while(|entry| entry.end < sent).find(|entry| entry.is_last());
        self.held_at = Some(begun.map_or(sent, |entry| entry.end));
    }

    /// Whether it is about to be written to, with room for more in the same write: that saves system calls here and at
    /// the server, and costs no time, as one write of this size is answered at once.
    pub fn takes_more(&self) -> bool {
        self.is_dirty
            && self.state == State::Ready
            && !self.is_stalled
            && self.held_at.is_none()
            && self.alone.is_empty()
            && self.fifo.len() < BATCH
            && self.output.unsent() < BATCH_BYTES
    }

    /// Where the request of entry `index` lies in the output.
    pub fn range(&self, index: usize) -> Range<u64> {
        let start = match index.checked_sub(1).and_then(|before| self.fifo.get(before)) {
            Some(before) => before.end,
            None => self.answered_to,
        };
        start..self.fifo.get(index).map_or(start, |entry| entry.end)
    }

    /// Whether something of entry `index` was sent.
    pub fn is_begun(&self, index: usize) -> bool {
        self.range(index).start < self.output.sent()
    }

    /// Adds an expected reply, and notes in it whether it is behind those of other requests; tells that. What travels
    /// alone is kept apart.
    #[inline]
    pub fn expect(&mut self, mut entry: Entry) -> bool {
        let is_behind = self.fifo.front().is_some_and(|first| first.request != entry.request)
            && self.open.is_none_or(|open| open.first != self.fifo.first_number());
        entry.is_queued = is_behind && self.state == State::Ready;
        if entry.travels_alone(self.speak) {
            let start = self.fifo.back().map_or(self.answered_to, |before| before.end);
            self.alone.push_back(start..entry.end);
        }
        self.fifo.push(entry);
        entry.is_queued
    }
}
