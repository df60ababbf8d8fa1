//! Datagrams for the built-in server (02 §10).
//!
//! Every datagram is a client of its own: a header of 8 bytes, then a whole request with its data, ASCII or binary by
//! its first byte. What is left of it when it has been served is dropped.

use std::io::{self, Read as _};
use std::net::SocketAddr;

use mio::net::UdpSocket;

use crate::buffer::{Input, Output, Pool};
use crate::memcached::access::Access;
use crate::memcached::{Session, Step};
use crate::protocol::Protocol;

/// Request number, sequence number, number of datagrams, reserved: two bytes each, big endian.
const HEADER: usize = 8;
/// Longest datagram that is sent, header included: it fits an Ethernet frame.
const DATAGRAM_MAX: usize = 1400;
/// Longest datagram that is received.
const RECEIVE_MAX: usize = 65_536;
/// Longest reply in bytes; the numbers in the header would allow for some 90 MiB.
const REPLY_MAX: usize = 16 << 20;
/// How many datagrams are served before others have their turn.
const DATAGRAMS_PER_TURN: usize = 64;

const MULTI_PACKET: &[u8] = b"SERVER_ERROR multi-packet request not supported\r\n";
const TOO_LONG: &[u8] = b"SERVER_ERROR out of memory preparing response\r\n";

/// A socket that several workers receive from; each has one of these.
#[derive(Debug)]
pub struct UdpServer {
    socket: UdpSocket,
    protocol: Option<Protocol>,
    received: Vec<u8>,
    server: Datagrams,
}

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Nothing, until there is an event.
    All,
    /// There may be more datagrams.
    Some,
}

impl UdpServer {
    /// Serves what arrives at `socket`, which does not block. Clients must speak `protocol`; `None`: the first byte of
    /// each datagram tells.
    pub fn new(socket: UdpSocket, protocol: Option<Protocol>) -> UdpServer {
        UdpServer { socket, protocol, received: vec![0; RECEIVE_MAX], server: Datagrams::default() }
    }

    /// Where they arrive.
    pub fn socket(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    /// Answers the datagrams that have arrived. A request to set the log level is left in `verbosity`.
    pub fn serve(&mut self, access: &Access<'_>, verbosity: &mut Option<u8>) -> Served {
        for _ in 0..DATAGRAMS_PER_TURN {
            let (length, peer) = match self.socket.recv_from(&mut self.received) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Served::All,
                // An earlier reply could not be delivered, or the like: nothing to do with what comes next.
                Err(_) => continue,
            };
            let datagram = self.received.get(..length).unwrap_or_default();
            let socket = &self.socket;
            *verbosity = self
                .server
                .answer(datagram, self.protocol, access, &mut |reply| send(socket, reply, peer))
                .or(*verbosity);
        }
        Served::Some
    }
}

/// A datagram that cannot be sent is lost, as it can be anywhere on its way.
fn send(socket: &UdpSocket, datagram: &[u8], peer: SocketAddr) {
    let _ = socket.send_to(datagram, peer);
}

/// Serves datagrams, one after the other, without a socket.
#[derive(Debug)]
pub struct Datagrams {
    input: Input,
    pool: Pool,
    output: Output,
    reply: Vec<u8>,
}

impl Default for Datagrams {
    fn default() -> Datagrams {
        Datagrams {
            input: Input::default(),
            pool: Pool::new(RECEIVE_MAX),
            output: Output::default(),
            reply: Vec::new(),
        }
    }
}

impl Datagrams {
    /// Answers a datagram through `send`. The result is a log level that it sets.
    pub fn answer(
        &mut self,
        datagram: &[u8],
        protocol: Option<Protocol>,
        access: &Access<'_>,
        send: &mut dyn FnMut(&[u8]),
    ) -> Option<u8> {
        let (header, request) = datagram.split_first_chunk::<HEADER>()?;
        if request.is_empty() {
            return None;
        }
        let [id_high, id_low, _, _, count_high, count_low, _, _] = *header;
        let id = [id_high, id_low];
        if [count_high, count_low] != [0, 1] {
            send_reply(id, MULTI_PACKET, send);
            return None;
        }
        self.input.consume(usize::MAX);
        self.input.rest(&mut self.pool);
        // The buffers have the size of the longest datagram.
        let mut rest = request;
        let length = rest.read(self.input.space(&mut self.pool)).ok()?;
        self.input.filled(length);
        self.serve(id, Session::new(protocol), access, send)
    }

    /// Serves the commands in the input, each with a reply of its own.
    fn serve(
        &mut self,
        id: [u8; 2],
        mut session: Session,
        access: &Access<'_>,
        send: &mut dyn FnMut(&[u8]),
    ) -> Option<u8> {
        let mut verbosity = None;
        loop {
            let step = session.step(access, &mut self.input, &mut self.pool, &mut self.output);
            for piece in self.output.slices(u64::MAX, usize::MAX) {
                self.reply.extend_from_slice(&piece);
            }
            let length = usize::try_from(self.output.unsent()).unwrap_or(usize::MAX);
            self.output.advance(length);
            self.output.release_sent();
            if self.reply.len() > REPLY_MAX {
                self.reply.clear();
                send_reply(id, TOO_LONG, send);
                return verbosity;
            }
            if step == Step::Full {
                continue;
            }
            send_reply(id, &self.reply, send);
            self.reply.clear();
            self.reply.shrink_to(RECEIVE_MAX);
            match step {
                Step::Verbosity(level) => verbosity = Some(level),
                Step::Done | Step::Full => {}
                Step::Wait | Step::Quit | Step::Breach(_) => return verbosity,
            }
        }
    }
}

/// Sends a reply in as many datagrams as it takes.
fn send_reply(id: [u8; 2], reply: &[u8], send: &mut dyn FnMut(&[u8])) {
    let room = DATAGRAM_MAX - HEADER;
    // At most REPLY_MAX bytes, so the numbers have 16 bits.
    let count = (reply.len().div_ceil(room) as u16).to_be_bytes();
    let mut datagram = Vec::with_capacity(reply.len().saturating_add(HEADER).min(DATAGRAM_MAX));
    for (part, number) in reply.chunks(room).zip(0u16..) {
        datagram.clear();
        for field in [id, number.to_be_bytes(), count, [0, 0]] {
            datagram.extend_from_slice(&field);
        }
        datagram.extend_from_slice(part);
        send(&datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memcached::clock::Clock;
    use crate::memcached::{Memcached, Settings};
    use std::sync::Arc;

    /// What is sent for a datagram with request number 0x0102.
    fn replies(server: &mut Datagrams, memcached: &Memcached, count: u16, request: &[u8]) -> Vec<Vec<u8>> {
        let counters = memcached.register();
        let access = memcached.access(&counters, Clock::default());
        let datagram = [&[1, 2, 0, 0], &count.to_be_bytes()[..], &[0, 0], request].concat();
        let mut sent = Vec::new();
        server.answer(&datagram, None, &access, &mut |reply| sent.push(reply.to_vec()));
        sent
    }

    fn memcached() -> Memcached {
        Memcached::new(Settings::default(), Clock::default(), Arc::default())
    }

    #[test]
    fn a_reply_takes_as_many_datagrams_as_it_needs() {
        let (mut server, memcached) = (Datagrams::default(), memcached());
        let set = [b"set foo 0 0 4096\r\n", &[b'x'; 4096][..], b"\r\n"].concat();
        assert_eq!(replies(&mut server, &memcached, 1, &set), [b"\x01\x02\0\0\0\x01\0\0STORED\r\n"]);
        let got = replies(&mut server, &memcached, 1, b"get foo\r\n");
        assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [1400, 1400, 1345]);
        for (number, datagram) in got.iter().enumerate() {
            assert_eq!(datagram[..8], [1, 2, 0, number as u8, 0, 3, 0, 0]);
        }
    }

    #[test]
    fn nothing_is_left_of_a_datagram() {
        let (mut server, memcached) = (Datagrams::default(), memcached());
        assert!(replies(&mut server, &memcached, 1, b"get k").is_empty());
        assert!(replies(&mut server, &memcached, 1, b"set k 0 0 9\r\nab").is_empty());
        assert!(replies(&mut server, &memcached, 1, b"set k 0 0 9999999\r\nab").len() == 1);
        assert!(replies(&mut server, &memcached, 1, b"quit\r\n").is_empty());
        assert!(replies(&mut server, &memcached, 1, b"").is_empty());
        let two = replies(&mut server, &memcached, 1, b"get k\r\nset k 0 0 1 noreply\r\nx\r\nget k\r\n");
        assert_eq!(two, [&b"\x01\x02\0\0\0\x01\0\0END\r\n"[..], b"\x01\x02\0\0\0\x01\0\0VALUE k 0 1\r\nx\r\nEND\r\n"]);
        let noop = replies(&mut server, &memcached, 1, &[&[0x80, 0x0a][..], &[0; 22]].concat());
        assert_eq!(noop[0][8..10], [0x81, 0x0a]);
    }

    #[test]
    fn requests_of_several_datagrams_are_refused() {
        let (mut server, memcached) = (Datagrams::default(), memcached());
        for count in [0, 2] {
            let sent = replies(&mut server, &memcached, count, b"get k\r\n");
            assert_eq!(sent, [[b"\x01\x02\0\0\0\x01\0\0", MULTI_PACKET].concat()]);
        }
    }

    #[test]
    fn a_reply_beyond_all_measure_is_an_error() {
        let (mut server, memcached) = (Datagrams::default(), memcached());
        let set = [b"set k 0 0 60000\r\n", &[b'x'; 60000][..], b"\r\n"].concat();
        replies(&mut server, &memcached, 1, &set);
        let sent = replies(&mut server, &memcached, 1, &[b"get", " k".repeat(30_000).as_bytes(), b"\r\n"].concat());
        assert_eq!(sent, [[b"\x01\x02\0\0\0\x01\0\0", TOO_LONG].concat()]);
        assert!(!replies(&mut server, &memcached, 1, b"get k\r\n").is_empty());
    }
}
