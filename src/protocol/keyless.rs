//! A command for no key, which any server can be told and most are for all, whichever client has sent it and in whichever
//! words. Like one [for a key](super::keyed) it is written for a server of either protocol: [`ascii::command`],
//! [`binary::command`].

use super::binary::opcode;
use super::op::{self, Op};
use super::{Protocol, ascii, binary};

/// A command for no key. Borrows the client's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyless<'a> {
    /// All items are dropped.
    Flush {
        /// After how long, as a line has it ([`expiry`](super::expiry)); `None`: that is not said.
        delay: Option<i64>,
    },
    /// Statistics.
    Stats {
        /// Which; empty: those that are told if nothing is said. Single-spaced by the client or not.
        args: &'a [u8],
    },
    /// Another limit of memory. Binary servers have no such command.
    MemLimit {
        /// The limit.
        megabytes: u32,
    },
    /// The server's version.
    Version,
    /// Nothing: is there somebody who answers?
    Noop,
}

impl Keyless<'_> {
    /// What is known of the packet that says it, or that stands for what none says.
    pub fn op(&self) -> &'static Op {
        op::of(match self {
            Keyless::Flush { .. } => opcode::FLUSH,
            Keyless::Stats { .. } => opcode::STAT,
            Keyless::Version => opcode::VERSION,
            Keyless::MemLimit { .. } | Keyless::Noop => opcode::NOOP,
        })
    }

    /// Appends it for a server of this protocol.
    pub fn write(&self, speak: Protocol, out: &mut Vec<u8>) {
        match speak {
            Protocol::Ascii => ascii::command::keyless(out, self),
            Protocol::Binary => binary::command::keyless(out, self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ascii::request;
    use crate::protocol::binary::packet;
    use crate::protocol::binary::request as packets;
    use crate::protocol::{Answered, Request};

    const ALL: [Keyless<'_>; 6] = [
        Keyless::Flush { delay: None },
        Keyless::Flush { delay: Some(10) },
        Keyless::Stats { args: b"" },
        Keyless::Stats { args: b"reset" },
        Keyless::Version,
        Keyless::Noop,
    ];

    fn written(command: &Keyless<'_>, speak: Protocol) -> Vec<u8> {
        let mut out = Vec::new();
        command.write(speak, &mut out);
        out
    }

    #[test]
    fn a_line_says_it() {
        for command in ALL.into_iter().chain([Keyless::MemLimit { megabytes: 64 }]) {
            let line = written(&command, Protocol::Ascii);
            // An ASCII server has no command that does nothing.
            let said = if command == Keyless::Noop { Keyless::Version } else { command };
            let request::Parsed::Request { request, answered: Answered::Always, len } =
                request::parse(&line, &mut 0, 100)
            else {
                panic!("{}", line.escape_ascii())
            };
            assert_eq!((request, len), (Request::Keyless(said), line.len()));
        }
    }

    #[test]
    fn a_packet_says_it() {
        for command in ALL {
            let bytes = written(&command, Protocol::Binary);
            let packet::Parsed::Packet { packet, len } = packet::parse_request(&bytes) else { panic!("{command:?}") };
            assert!(command.op().fits(&packet), "{command:?}");
            assert_eq!((packet.header.opcode, len), (command.op().opcode, bytes.len()));
            assert_eq!(packets::keyless(&packet), Some(command));
        }
    }

    #[test]
    fn words_that_would_end_their_line_are_none_that_a_server_knows() {
        for args in [&b"a\r\nflush_all"[..], b"a\0", b"\n"] {
            assert_eq!(written(&Keyless::Stats { args }, Protocol::Ascii), b"stats ?\r\n");
        }
        assert_eq!(written(&Keyless::Stats { args: b"a b" }, Protocol::Ascii), b"stats a b\r\n");
    }
}
