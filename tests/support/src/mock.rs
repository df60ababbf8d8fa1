//! Scripted servers: the test decides when a connection is accepted and what is said on it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::LIMIT;
use crate::wire::Wire;

/// A listening socket; connections are taken from it on demand.
#[derive(Debug)]
pub struct Mock {
    socket: Socket,
    port: u16,
}

impl Default for Mock {
    fn default() -> Mock {
        Mock::new()
    }
}

impl Mock {
    /// Listens on a port of the kernel's choice.
    pub fn new() -> Mock {
        Down::new().up()
    }

    /// Several of them.
    pub fn several(count: usize) -> Vec<Mock> {
        (0..count).map(|_| Mock::new()).collect()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Takes the next connection; fails the test if none comes.
    pub fn accept(&self) -> Wire {
        self.try_accept(LIMIT).unwrap_or_else(|| panic!("mock {}: nobody connected", self.port))
    }

    /// Takes the next connection if one comes within `time`.
    pub fn try_accept(&self, time: Duration) -> Option<Wire> {
        self.socket.set_read_timeout(Some(time)).expect("accept timeout");
        loop {
            match self.socket.accept() {
                Ok((socket, _)) => return Some(Wire::new(format!("server {}", self.port), socket)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
                Err(error) => panic!("mock {}: accept: {error}", self.port),
            }
        }
    }

    /// Requires that nobody connects for `time`.
    pub fn expect_no_connection(&self, time: Duration) {
        assert!(self.try_accept(time).is_none(), "mock {}: an unexpected connection", self.port);
    }

    /// Stops listening; the port stays reserved and refuses connections.
    pub fn down(self) -> Down {
        let port = self.port;
        drop(self.socket);
        Down::on(port)
    }
}

/// A server that is down: its port is taken, so nobody else can get it, but connecting is refused.
#[derive(Debug)]
pub struct Down {
    socket: Socket,
    port: u16,
}

impl Default for Down {
    fn default() -> Down {
        Down::new()
    }
}

impl Down {
    /// On a port of the kernel's choice.
    pub fn new() -> Down {
        Down::on(0)
    }

    /// On this port, which must be free.
    pub fn at(port: u16) -> Down {
        Down::on(port)
    }

    fn on(port: u16) -> Down {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        socket.set_reuse_address(true).expect("reuse address");
        let address: SocketAddr = ([127, 0, 0, 1], port).into();
        let limit = Instant::now() + LIMIT;
        while let Err(error) = socket.bind(&SockAddr::from(address)) {
            // A child that another test is just starting has a copy of the listener until it runs its program.
            assert!(error.kind() == ErrorKind::AddrInUse && Instant::now() < limit, "bind {port}: {error}");
            std::thread::yield_now();
        }
        let port = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("address").port();
        Down { socket, port }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts to listen.
    pub fn up(self) -> Mock {
        self.socket.listen(128).expect("listen");
        Mock { socket: self.socket, port: self.port }
    }

    /// Starts to listen without ever accepting, with a full queue: connecting to it neither succeeds nor fails.
    pub fn unreachable(self) -> Unreachable {
        self.socket.listen(0).expect("listen");
        let address = self.socket.local_addr().expect("address");
        // The queue of length 0 holds one connection; a second attempt is left hanging.
        let fillers = (0..2)
            .map(|_| {
                let filler = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
                filler.set_nonblocking(true).expect("non-blocking");
                // It is in progress, or done.
                let _ = filler.connect(&address);
                filler
            })
            .collect();
        Unreachable { port: self.port, _socket: self.socket, _fillers: fillers }
    }
}

/// A server to which a connection stays in progress for ever.
#[derive(Debug)]
pub struct Unreachable {
    port: u16,
    _socket: Socket,
    _fillers: Vec<Socket>,
}

impl Unreachable {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}
