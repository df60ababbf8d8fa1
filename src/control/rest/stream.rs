//! A connection to a cluster manager, or to a proxy before it: a socket, with TLS over it or not.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};

use super::fetch::FetchError;
use super::request::basic;
use super::response::Response;
use crate::config::address::bracketed;
use crate::config::url::Url;

/// A peer that does not answer the system's own probes is given up after some 25 seconds.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);

/// Bytes in both directions, and until when to wait for them.
pub(super) trait Stream: Read + Write {
    /// From `until` on, reading and writing fail with [`ErrorKind::TimedOut`]; `None`: they wait for ever.
    fn set_limit(&mut self, until: Option<Instant>);

    /// The socket at the bottom.
    fn socket(&self) -> &TcpStream;
}

/// A TCP connection.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    until: Option<Instant>,
}

impl Socket {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buf)
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn set_limit(&mut self, until: Option<Instant>) {
        self.until = until;
    }

    fn socket(&self) -> &TcpStream {
        &self.stream
    }
}

/// Whether the error says that time is up.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Connects to the first address that takes it. All of them together have `patience`.
pub(super) fn connect(host: &str, port: u16, patience: Duration) -> Result<Box<dyn Stream>, FetchError> {
    let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(FetchError::Resolve)?.collect();
    let begun = Instant::now();
    let mut failed = io::Error::from(ErrorKind::AddrNotAvailable);
    for (index, address) in addresses.iter().enumerate() {
        let left = patience.saturating_sub(begun.elapsed());
        let shares = u32::try_from(addresses.len().saturating_sub(index)).unwrap_or(u32::MAX);
        let share = left.checked_div(shares).unwrap_or_default().max(Duration::from_millis(1));
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => {
                let (time, interval, retries) = KEEPALIVE;
                let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(retries);
                // Without it a dead peer is only noticed later.
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                return Ok(Box::new(Socket { stream, until: None }));
            }
            Err(error) => failed = error,
        }
    }
    Err(FetchError::Connect(failed))
}

/// Has the HTTP proxy at the other end connect on to the host of `url` (RFC 9110 §9.3.6).
pub(super) fn tunnel(stream: &mut dyn Stream, url: &Url, proxy: &Url) -> Result<(), FetchError> {
    let authority = format!("{}:{}", bracketed(&url.host), url.port.unwrap_or(url.default_port()));
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(credentials) = &proxy.credentials {
        request.push_str(&format!("Proxy-Authorization: {}\r\n", basic(credentials)));
    }
    request.push_str("Proxy-Connection: Keep-Alive\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(FetchError::Send)?;
    let mut response = Response::default();
    let mut nothing = Vec::new();
    loop {
        // No byte further than the head: what follows is not the proxy's.
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Err(FetchError::Empty),
            Ok(_) => response.feed(&byte, &mut nothing).map_err(FetchError::Malformed)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => return Err(FetchError::Timeout),
            Err(error) => return Err(FetchError::Receive(error)),
        }
        match response.status() {
            None => {}
            Some(200..300) => return Ok(()),
            Some(status) => return Err(FetchError::Refused(status)),
        }
    }
}
