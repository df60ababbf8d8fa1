//! A connection, TCP or unix.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

/// A non-blocking connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

/// Where to connect to.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A TCP port.
    Address(SocketAddr),
    /// A unix socket.
    Socket(&'a Path),
}

impl From<Stream> for OwnedFd {
    fn from(stream: Stream) -> OwnedFd {
        match stream {
            Stream::Tcp(stream) => stream.into(),
            Stream::Unix(stream) => stream.into(),
        }
    }
}

impl Stream {
    /// The connection that another process has accepted.
    ///
    /// # Errors
    /// When the descriptor is no socket.
    pub fn accepted(descriptor: OwnedFd) -> io::Result<Stream> {
        let socket = SockRef::from(&descriptor);
        socket.set_nonblocking(true)?;
        Ok(match socket.local_addr()?.is_unix() {
            true => Stream::Unix(UnixStream::from_std(descriptor.into())),
            false => Stream::Tcp(TcpStream::from_std(descriptor.into())),
        })
    }

    /// Begins to connect; [`Stream::finish_connect`] tells when it is done.
    ///
    /// # Errors
    /// When the system refuses at once.
    pub fn connect(target: Target<'_>) -> io::Result<Stream> {
        let stream = match target {
            Target::Address(address) => Stream::Tcp(TcpStream::connect(address)?),
            Target::Socket(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        stream.set_nodelay();
        Ok(stream)
    }

    /// Whether the connection is made, as far as that has been decided.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn finish_connect(&self) -> io::Result<bool> {
        let (error, peer) = match self {
            Stream::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Stream::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
        };
        match (error, peer) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) if error.kind() == ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
        }
    }

    /// Tells the peer that nothing more comes.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn finish(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// The descriptor's number, for the log.
    pub fn descriptor(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// The address of the other end of a TCP connection; `unix` for others. `None`: it is closed.
    pub fn peer(&self) -> Option<String> {
        match self {
            Stream::Tcp(stream) => stream.peer_addr().ok().map(|address| address.to_string()),
            Stream::Unix(_) => Some("unix".to_owned()),
        }
    }

    /// Sends small writes at once instead of waiting for more (03 §21.1: replies are never delayed).
    /// Errors do not matter: the connection works either way.
    pub fn set_nodelay(&self) {
        if let Stream::Tcp(stream) = self {
            let _ = stream.set_nodelay(true);
        }
    }

    /// Acknowledges what has just been received at once. For a client that sends one request in two parts
    /// and waits for the acknowledgement in between. The system forgets it again (tcp(7)), so it is called
    /// after each such read.
    pub fn set_quickack(&self) {
        if let Stream::Tcp(stream) = self {
            let _ = socket2::SockRef::from(stream).set_tcp_quickack(true);
        }
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    #[inline]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(parts),
            Stream::Unix(stream) => stream.write_vectored(parts),
        }
    }

    /// Nothing is buffered here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.register(registry, token, interest),
            Stream::Unix(stream) => stream.register(registry, token, interest),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.reregister(registry, token, interest),
            Stream::Unix(stream) => stream.reregister(registry, token, interest),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.deregister(registry),
            Stream::Unix(stream) => stream.deregister(registry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_carry_bytes() {
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(b"ab").unwrap();
        let mut far = Stream::Unix(far);
        far.set_nodelay();
        far.set_quickack();
        let mut bytes = [0; 4];
        assert_eq!(far.read(&mut bytes).unwrap(), 2);
        assert_eq!(far.write_vectored(&[IoSlice::new(b"c"), IoSlice::new(b"d")]).unwrap(), 2);

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let mut far = Stream::Tcp(TcpStream::from_std(far));
        far.set_nodelay();
        far.set_quickack();
        near.write_all(b"ab").unwrap();
        assert_eq!(far.read(&mut bytes).unwrap(), 2);
        assert_eq!(far.write_vectored(&[IoSlice::new(b"c"), IoSlice::new(b"d")]).unwrap(), 2);
        far.finish().unwrap();
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"cd");
        near.write_all(b"e").unwrap();
        assert_eq!(far.read(&mut bytes).unwrap(), 1);
    }
}
