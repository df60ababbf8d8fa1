//! One request and its response, over a socket.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};

use super::documents::Documents;
use super::proxies::{self, Proxies};
use super::request;
use super::response::{Malformed, Response};
use super::url::{Credentials, Url};
use crate::failure::reason;

/// Longest document, in bytes: what a vbucket map of a large cluster has, a hundred times over.
const LONGEST_DOCUMENT: usize = 100 << 20;
/// A peer that does not answer the system's own probes is given up after some 25 seconds.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);

/// How long things may take. (05 §6.4 suggests the values; the C program waited for ever.)
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Connecting.
    pub connect: Duration,
    /// From the request to the end of the response's head; and any silence inside a body whose length is known. An
    /// endless body may be silent for hours: there is no limit.
    pub response: Duration,
    /// The pause after all URLs have been tried.
    pub pause: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { connect: Duration::from_secs(5), response: Duration::from_secs(30), pause: Duration::from_secs(1) }
    }
}

/// Why a URL is of no use at the moment. The words are libcurl's, because operators look for them.
#[derive(Debug)]
pub enum FetchError {
    /// The URL cannot be read.
    BadUrl,
    /// It begins with `https://`.
    NoTls,
    /// The proxy that the environment names is not one for HTTP, or cannot be read.
    BadProxy,
    /// The host has no address.
    Resolve(io::Error),
    /// None of its addresses can be connected.
    Connect(io::Error),
    /// The request could not be sent.
    Send(io::Error),
    /// The connection was lost.
    Receive(io::Error),
    /// No response in time.
    Timeout,
    /// The server closed the connection without a word.
    Empty,
    /// The response is not what HTTP says it must be, or is not complete.
    Malformed(Malformed),
    /// The status is not 200.
    Status(u16),
    /// The status is 401.
    Unauthorized,
    /// A document is larger than any can be.
    TooLarge,
    /// The rest of the program has ended.
    Stopped,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::BadUrl => f.write_str("URL using bad/illegal format or missing URL"),
            FetchError::NoTls => f.write_str("Unsupported protocol (https:// needs a build of moxi with TLS)"),
            FetchError::BadProxy => f.write_str("Unsupported proxy (only http:// is possible)"),
            FetchError::Resolve(error) => write!(f, "Couldn't resolve host name ({error})"),
            FetchError::Connect(error) => write!(f, "Couldn't connect to server ({})", reason(error)),
            FetchError::Send(error) => write!(f, "Failed sending data to the peer ({})", reason(error)),
            FetchError::Receive(error) => write!(f, "Failure when receiving data from the peer ({})", reason(error)),
            FetchError::Timeout => f.write_str("Timeout was reached"),
            FetchError::Empty => f.write_str("Server returned nothing (no headers, no data)"),
            FetchError::Malformed(malformed) => malformed.fmt(f),
            FetchError::Status(status) => write!(f, "HTTP response code said error ({status})"),
            FetchError::Unauthorized => f.write_str("HTTP response code said error (401)"),
            FetchError::TooLarge => {
                f.write_str("Failed writing received data to disk/application (document too large)")
            }
            FetchError::Stopped => f.write_str("Operation was aborted by an application callback"),
        }
    }
}

/// Asks `url` once, and blocks until its response has ended, which may be never. Each complete document of a stream
/// is given to `deliver` (`false`: stop); what follows the last delimiter is the result.
pub(super) fn fetch(
    url: &Url,
    own: &Credentials,
    proxies: &Proxies,
    timing: Timing,
    deliver: &mut dyn FnMut(Vec<u8>) -> bool,
) -> Result<Vec<u8>, FetchError> {
    if url.tls {
        return Err(FetchError::NoTls);
    }
    let proxy = match proxies.of(url) {
        None => None,
        Some(text) => Some(Url::parse(text).filter(|proxy| !proxy.tls).ok_or(FetchError::BadProxy)?),
    };
    let mut stream = match &proxy {
        Some(proxy) => connect(&proxy.host, proxy.port.unwrap_or(proxies::DEFAULT_PORT), timing.connect)?,
        None => connect(&url.host, url.port.unwrap_or(url.default_port()), timing.connect)?,
    };
    let request = request::compose(url, url.credentials.as_ref().or(Some(own)), proxy.as_ref());
    let _ = stream.set_write_timeout(Some(timing.response));
    stream.write_all(request.as_bytes()).map_err(FetchError::Send)?;
    receive(&mut stream, timing.response, deliver)
}

fn receive(
    stream: &mut TcpStream,
    patience: Duration,
    deliver: &mut dyn FnMut(Vec<u8>) -> bool,
) -> Result<Vec<u8>, FetchError> {
    let mut response = Response::default();
    let mut documents = Documents::default();
    let mut piece = vec![0; 64 * 1024];
    let head_until = Instant::now() + patience;
    loop {
        let limit = match response.status() {
            None => Some(head_until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))),
            Some(_) if response.has_length() => Some(patience),
            Some(_) => None,
        };
        stream.set_read_timeout(limit).map_err(FetchError::Receive)?;
        let count = match stream.read(&mut piece) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(FetchError::Timeout);
            }
            Err(error) => return Err(FetchError::Receive(error)),
        };
        if count == 0 {
            if response.is_empty() {
                return Err(FetchError::Empty);
            }
            response.end().map_err(FetchError::Malformed)?;
            return Ok(documents.rest());
        }
        let bytes = piece.get(..count).unwrap_or(&[]);
        let result = response.feed(bytes, &mut documents.text);
        match response.status() {
            None | Some(200) => {}
            Some(401) => return Err(FetchError::Unauthorized),
            Some(status) => return Err(FetchError::Status(status)),
        }
        if documents.newest().is_some_and(|document| !deliver(document)) {
            return Err(FetchError::Stopped);
        }
        result.map_err(FetchError::Malformed)?;
        if documents.text.len() > LONGEST_DOCUMENT {
            return Err(FetchError::TooLarge);
        }
        if response.is_done() {
            return Ok(documents.rest());
        }
    }
}

/// Connects to the first address that takes it. All of them together have `patience`.
fn connect(host: &str, port: u16, patience: Duration) -> Result<TcpStream, FetchError> {
    let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(FetchError::Resolve)?.collect();
    let until = Instant::now() + patience;
    let mut failed = io::Error::from(ErrorKind::AddrNotAvailable);
    for (index, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let shares = u32::try_from(addresses.len().saturating_sub(index)).unwrap_or(1).max(1);
        let share = (left / shares).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => {
                let (time, interval, retries) = KEEPALIVE;
                let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(retries);
                // Without it a dead peer is only noticed later.
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(FetchError::Connect(failed))
}
