//! The sockets of clients, and of server connections.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::RawFd;

use super::{Moving, Worker};
use crate::log;
use crate::metrics::process::Counted;
use crate::net::driver::{ClientStream, Driver, ServerStream};
use crate::net::places::Place;
use crate::net::stream::Stream;
use crate::proxy::upstream::ClientId;

/// A client's socket, and where it is counted.
pub(super) struct ClientSocket {
    stream: Stream,
    _counted: Counted,
    // Behind the stream: the descriptor is closed when the place is free.
    _place: Place,
}

impl Driver<Worker> {
    /// Gives clients that nothing is owed to to whoever takes them over.
    pub(super) fn hand_on(&mut self) {
        let Some(heir) = self.network.heir.take() else { return };
        for (service, protocol, socket) in self.take_resting() {
            let mut stream = socket.stream;
            // The connection lives on, and its events are not for us any more.
            if let Err(error) = self.network.poll.registry().deregister(&mut stream) {
                log!(0, "a client that is to be handed over: {error}");
            }
            // Who listens outlives the workers.
            let _ = heir.clients.send(Moving { service, protocol, connection: stream.into() });
            let _ = heir.waker.wake();
        }
        self.network.heir = Some(heir);
    }
}

impl Worker {
    /// The socket of a new client, whose events are announced from now on.
    pub(super) fn client_socket(&self, mut stream: Stream, id: ClientId, place: Place) -> io::Result<ClientSocket> {
        self.register(&mut stream, id.to_bits())?;
        Ok(ClientSocket { stream, _counted: Counted::new(&self.shared.process), _place: place })
    }
}

impl Read for ClientSocket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for ClientSocket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    #[inline]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl ClientStream for ClientSocket {
    fn descriptor(&self) -> RawFd {
        self.stream.descriptor()
    }

    fn set_quickack(&self) {
        self.stream.set_quickack();
    }

    fn peer(&self) -> Option<String> {
        self.stream.peer()
    }
}

impl ServerStream for Stream {
    fn finish_connect(&self) -> io::Result<bool> {
        Stream::finish_connect(self)
    }

    fn finish(&self) -> io::Result<()> {
        Stream::finish(self)
    }
}
