//! What is expected of a server: an entry for each reply.

use crate::protocol::binary::packet::Header;
use crate::protocol::{Create, Protocol, op};

use crate::proxy::request::RequestId;

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

    /// The same for a request that stands elsewhere: it began at `from`, and begins at `to`.
    pub fn moved(mut self, from: u64, to: u64) -> Expect {
        if let Some(key_at) = self.key_at() {
            *key_at = key_at.saturating_sub(from).saturating_add(to);
        }
        self
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
    /// The same, when it has said already that it knows no meta commands: whatever comes says nothing.
    Moot,
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
    /// It is behind other requests on a ready connection, and counted as such in its request. It stays so marked when that
    /// is given up or answered otherwise, for those who are joined with it.
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
