//! One end of a connection: what is sent, and exactly what must arrive.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::LIMIT;
use crate::packet::{HEADER, Packet};
use crate::text::{difference, show};

/// A connected socket with expectations. Every method that waits fails the test after [`LIMIT`].
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    name: String,
    /// Bytes received and not yet asked for.
    pending: Vec<u8>,
}

impl Wire {
    /// Connects to a port of this machine.
    pub fn connect(name: impl Into<String>, port: u16) -> Wire {
        let name = name.into();
        Wire::try_connect(&name, port).unwrap_or_else(|error| panic!("{name}: connecting to {port}: {error}"))
    }

    /// Connects to a port of this machine, or says why not.
    pub fn try_connect(name: impl Into<String>, port: u16) -> std::io::Result<Wire> {
        let address: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.connect_timeout(&SockAddr::from(address), LIMIT)?;
        Ok(Wire::new(name, socket))
    }

    /// Connects to a unix socket.
    pub fn connect_unix(name: impl Into<String>, path: &Path) -> Wire {
        let name = name.into();
        let stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("{name}: {}: {error}", path.display()));
        Wire::new(name, stream.into())
    }

    /// Wraps a connected socket.
    pub fn new(name: impl Into<String>, socket: Socket) -> Wire {
        // Unix sockets have no such option.
        let _ = socket.set_tcp_nodelay(true);
        socket.set_write_timeout(Some(LIMIT)).expect("write timeout");
        Wire { socket, name: name.into(), pending: Vec::new() }
    }

    /// Names it anew, for messages.
    pub fn rename(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    /// Sends `bytes` in one write (several only if the kernel's buffer is full).
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.socket.write_all(bytes).unwrap_or_else(|error| panic!("{}: sending {}: {error}", self.name, show(bytes)));
    }

    /// Sends `request`, and requires `reply` next.
    pub fn ask(&mut self, request: impl AsRef<[u8]>, reply: impl AsRef<[u8]>) {
        self.send(request);
        self.expect(reply);
    }

    /// Sends `bytes` to a peer that may have closed already.
    pub fn send_into_the_dark(&mut self, bytes: impl AsRef<[u8]>) {
        // Whether they arrive is not the question.
        let _ = self.socket.write_all(bytes.as_ref());
    }

    /// Requires that exactly `bytes` come next, in however many pieces.
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let limit = Instant::now() + LIMIT;
        while self.pending.len() < bytes.len() {
            if !bytes.starts_with(&self.pending) {
                panic!("{}: {}", self.name, difference(bytes, &self.pending));
            }
            match self.fill(limit) {
                Fill::Bytes => {}
                Fill::Closed => panic!("{}: closed; {}", self.name, difference(bytes, &self.pending)),
                Fill::TimedOut => panic!("{}: time limit; {}", self.name, difference(bytes, &self.pending)),
            }
        }
        if !self.pending.starts_with(bytes) {
            panic!("{}: {}", self.name, difference(bytes, &self.pending));
        }
        self.pending.drain(..bytes.len());
    }

    /// Requires that `bytes` come next in one piece: what one `recv` returns (04 §17.1).
    pub fn expect_piece(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if !self.pending.is_empty() {
            panic!("{}: left over: {}", self.name, show(&self.pending));
        }
        match self.fill(Instant::now() + LIMIT) {
            Fill::Bytes => {}
            Fill::Closed => panic!("{}: closed; expected {}", self.name, show(bytes)),
            Fill::TimedOut => panic!("{}: time limit; expected {}", self.name, show(bytes)),
        }
        if self.pending != bytes {
            panic!("{}: in one piece: {}", self.name, difference(bytes, &self.pending));
        }
        self.pending.clear();
    }

    /// Requires `bytes` within `time` of `start`, and not before `earliest` of it.
    pub fn expect_between(&mut self, start: Instant, earliest: Duration, time: Duration, bytes: impl AsRef<[u8]>) {
        self.expect(bytes.as_ref());
        let taken = start.elapsed();
        assert!(
            taken >= earliest && taken <= time,
            "{}: {} after {taken:?}, expected between {earliest:?} and {time:?}",
            self.name,
            show(bytes.as_ref())
        );
    }

    /// Reads one line, its line end included.
    pub fn line(&mut self) -> Vec<u8> {
        let limit = Instant::now() + LIMIT;
        let mut searched = 0;
        loop {
            if let Some(at) = self.pending[searched..].iter().position(|&byte| byte == b'\n') {
                return self.pending.drain(..=searched + at).collect();
            }
            searched = self.pending.len();
            match self.fill(limit) {
                Fill::Bytes => {}
                other => panic!("{}: {other:?} inside a line: {}", self.name, show(&self.pending)),
            }
        }
    }

    /// Reads exactly `count` bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let limit = Instant::now() + LIMIT;
        while self.pending.len() < count {
            match self.fill(limit) {
                Fill::Bytes => {}
                other => panic!("{}: {other:?}, wanted {count} bytes: {}", self.name, show(&self.pending)),
            }
        }
        self.pending.drain(..count).collect()
    }

    /// Reads one binary packet.
    pub fn packet(&mut self) -> Packet {
        let head = self.take(HEADER);
        let body = self.take(Packet::body_length(&head));
        Packet::parse(&head, &body)
    }

    /// Requires that the peer closes, without another byte.
    pub fn expect_closed(&mut self) {
        if self.pending.is_empty() {
            match self.fill(Instant::now() + LIMIT) {
                Fill::Closed => return,
                Fill::TimedOut => panic!("{}: still open", self.name),
                Fill::Bytes => {}
            }
        }
        panic!("{}: expected the end, got {}", self.name, show(&self.pending));
    }

    /// Requires that the peer closes; bytes before that are returned.
    pub fn rest(&mut self) -> Vec<u8> {
        let limit = Instant::now() + LIMIT;
        loop {
            match self.fill(limit) {
                Fill::Bytes => {}
                Fill::Closed => return std::mem::take(&mut self.pending),
                Fill::TimedOut => panic!("{}: still open after {}", self.name, show(&self.pending)),
            }
        }
    }

    /// Requires that nothing arrives for `time`. For absence there is no condition to wait for; keep it short.
    pub fn expect_nothing(&mut self, time: Duration) {
        if self.pending.is_empty() {
            match self.fill(Instant::now() + time) {
                Fill::TimedOut => return,
                Fill::Closed => panic!("{}: closed, expected silence", self.name),
                Fill::Bytes => {}
            }
        }
        panic!("{}: expected silence, got {}", self.name, show(&self.pending));
    }

    /// Whether something has arrived, or the end, within `time`.
    pub fn readable(&mut self, time: Duration) -> bool {
        !self.pending.is_empty() || !matches!(self.fill(Instant::now() + time), Fill::TimedOut)
    }

    /// Whether the peer has closed, as far as is known here and now, and nothing came before that.
    pub fn is_closed(&mut self) -> bool {
        self.pending.is_empty() && matches!(self.fill(Instant::now()), Fill::Closed)
    }

    /// Sends the end of this direction; the other stays open.
    pub fn finish(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap_or_else(|error| panic!("{}: shutdown: {error}", self.name));
    }

    /// Closes the connection.
    pub fn close(self) {}

    /// Closes the connection with a reset.
    pub fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).expect("linger");
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    fn fill(&mut self, limit: Instant) -> Fill {
        let mut chunk = [0; 65_536];
        loop {
            let left = limit.saturating_duration_since(Instant::now());
            // A zero time limit would mean none.
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("read timeout");
            match self.socket.read(&mut chunk) {
                Ok(0) => return Fill::Closed,
                Ok(count) => {
                    self.pending.extend_from_slice(&chunk[..count]);
                    return Fill::Bytes;
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Fill::TimedOut,
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Fill::Closed,
                    _ => panic!("{}: reading: {error}", self.name),
                },
            }
        }
    }
}

/// What an attempt to read brought.
#[derive(Debug)]
enum Fill {
    Bytes,
    Closed,
    TimedOut,
}
