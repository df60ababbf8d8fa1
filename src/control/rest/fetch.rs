//! One request and its response, over a socket.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::documents::Documents;
use super::proxies::{self, Proxies};
use super::refresh::Refresh;
use super::request;
use super::response::{Malformed, Response};
use super::roots::Roots;
use super::stream::{self, Stream, connect, tunnel};
#[cfg(feature = "tls")]
use super::tls::secure;
use crate::config::url::{Credentials, FORM, HAS_TLS, Url};
use crate::failure::reason;

/// Longest document, in bytes: what a vbucket map of a large cluster has, a hundred times over.
const LONGEST_DOCUMENT: usize = 100 << 20;

/// How long things may take. (05 §6.4 suggests the values; the C program waited for ever.)
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Connecting; and the same again for TLS.
    pub connect: Duration,
    /// From the request to the end of the response's head; and any silence inside a body whose length is known. An
    /// endless body may be silent for hours: there is no limit.
    pub response: Duration,
    /// The pause after all URLs have been tried, if documents have come.
    pub shortest_pause: Duration,
    /// What it grows to while none come.
    pub longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(30),
            shortest_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// Why a URL is of no use at the moment.
#[derive(Debug)]
pub enum FetchError {
    /// The URL cannot be read.
    BadUrl,
    /// It begins with `https://`, which this build cannot do.
    NoTls,
    /// The proxy that the environment names is not one for HTTP, or cannot be read.
    BadProxy,
    /// The proxy does not connect us to the server.
    Refused(u16),
    /// The system trusts no certificates.
    NoRoots(String),
    /// The server's certificate is not trusted, or is another's.
    Certificate(String),
    /// TLS could not be agreed on.
    Tls(String),
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
    /// Somebody wants the documents anew.
    Refresh,
}

impl FetchError {
    /// The same text for the same trouble, so that it can be told from another.
    pub(super) fn kind(&self) -> String {
        match self {
            // These say more, such as the time of day.
            FetchError::Certificate(_) => "certificate".to_owned(),
            FetchError::Tls(_) => "TLS".to_owned(),
            FetchError::NoRoots(_) => "roots".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::BadUrl => f.write_str(FORM),
            FetchError::NoTls => f.write_str("https:// needs a build of moxi with TLS"),
            FetchError::BadProxy if HAS_TLS => f.write_str("the environment's proxy is not an http:// or https:// URL"),
            FetchError::BadProxy => f.write_str("the environment's proxy is not an http:// URL"),
            FetchError::Refused(status) => write!(f, "the proxy on the way there answers with HTTP status {status}"),
            FetchError::NoRoots(why) => write!(f, "no trusted certificates on this system: {why}"),
            FetchError::Certificate(why) => write!(f, "certificate is not trusted: {why}"),
            FetchError::Tls(why) => write!(f, "TLS: {why}"),
            FetchError::Resolve(error) => write!(f, "no address: {}", reason(error)),
            FetchError::Connect(error) => write!(f, "cannot connect: {}", reason(error)),
            FetchError::Send(error) => write!(f, "cannot send: {}", reason(error)),
            FetchError::Receive(error) => write!(f, "connection lost: {}", reason(error)),
            FetchError::Timeout => f.write_str("no answer in time"),
            FetchError::Empty => f.write_str("closed without an answer"),
            FetchError::Malformed(malformed) => malformed.fmt(f),
            FetchError::Status(status) => write!(f, "HTTP status {status}"),
            FetchError::Unauthorized => f.write_str("HTTP status 401, user or password is not accepted"),
            FetchError::TooLarge => write!(f, "the document is longer than {} MiB", LONGEST_DOCUMENT >> 20),
            FetchError::Stopped | FetchError::Refresh => f.write_str("interrupted"),
        }
    }
}

/// What requests are made with.
#[derive(Clone, Debug)]
pub(super) struct Means {
    /// Who we are, unless the URL says so.
    pub(super) own: Credentials,
    pub(super) proxies: Proxies,
    pub(super) timing: Timing,
    pub(super) refresh: Arc<Refresh>,
    pub(super) roots: Roots,
}

/// A connection that has served a request, and can serve another one (05 §6.2).
pub(super) struct Kept {
    to: Peer,
    stream: Box<dyn Stream>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    host: String,
    port: u16,
    tls: bool,
    proxy: Option<Url>,
}

/// Asks `url` once, and blocks until its response has ended, which may be never. Each complete document of a stream
/// is given to `deliver` (`false`: stop); what follows the last delimiter is the result. The connection in `kept` is
/// used if it leads there; one that can be used again is left there.
pub(super) fn fetch(
    url: &Url,
    means: &Means,
    kept: &mut Option<Kept>,
    deliver: &mut dyn FnMut(Vec<u8>) -> bool,
) -> Result<Vec<u8>, FetchError> {
    if url.tls && !HAS_TLS {
        return Err(FetchError::NoTls);
    }
    let proxy = match means.proxies.of(url) {
        None => None,
        Some(text) => Some(Url::parse(text).filter(|proxy| !proxy.tls || HAS_TLS).ok_or(FetchError::BadProxy)?),
    };
    // Through a tunnel the proxy sees nothing.
    let credentials = url.credentials.as_ref().or(Some(&means.own));
    let request = request::compose(url, credentials, proxy.as_ref().filter(|_| !url.tls));
    let to = Peer { host: url.host.clone(), port: url.port.unwrap_or(url.default_port()), tls: url.tls, proxy };
    let mut response = Response::default();
    let old = kept.take_if(|kept| kept.to == to);
    let mut over = |mut stream: Box<dyn Stream>, response: &mut Response| {
        let result = exchange(&mut *stream, &request, means, response, deliver);
        if result.is_ok() && response.leaves_connection() {
            *kept = Some(Kept { to: to.clone(), stream });
        }
        result
    };
    if let Some(old) = old {
        match over(old.stream, &mut response) {
            // The server has closed it in the meantime.
            Err(FetchError::Send(_) | FetchError::Receive(_) | FetchError::Empty) if response.is_empty() => {}
            result => return result,
        }
    }
    over(open(url, &to, means)?, &mut response)
}

/// A new connection.
fn open(url: &Url, to: &Peer, means: &Means) -> Result<Box<dyn Stream>, FetchError> {
    let timing = means.timing;
    let mut stream = match &to.proxy {
        Some(proxy) => {
            let mut stream = connect(&proxy.host, proxy.port.unwrap_or(proxies::default_port(proxy)), timing.connect)?;
            if proxy.tls {
                stream = secured(stream, &proxy.host, means)?;
            }
            if to.tls {
                stream.set_limit(Instant::now().checked_add(timing.response));
                tunnel(&mut *stream, url, proxy)?;
            }
            stream
        }
        None => connect(&to.host, to.port, timing.connect)?,
    };
    if to.tls {
        stream = secured(stream, &to.host, means)?;
    }
    Ok(stream)
}

/// Sends a request and reads its response.
fn exchange(
    stream: &mut dyn Stream,
    request: &str,
    means: &Means,
    response: &mut Response,
    deliver: &mut dyn FnMut(Vec<u8>) -> bool,
) -> Result<Vec<u8>, FetchError> {
    let patience = means.timing.response;
    stream.set_limit(Instant::now().checked_add(patience));
    means.refresh.begin(stream.socket());
    let sent = stream.write_all(request.as_bytes()).and_then(|()| stream.flush());
    let result = sent.map_err(FetchError::Send).and_then(|()| receive(stream, patience, response, deliver));
    let is_cut = means.refresh.end();
    match result {
        Err(FetchError::Stopped | FetchError::Unauthorized) => result,
        // Whatever it looks like from here.
        _ if is_cut => Err(FetchError::Refresh),
        _ => result,
    }
}

fn secured(mut stream: Box<dyn Stream>, host: &str, means: &Means) -> Result<Box<dyn Stream>, FetchError> {
    stream.set_limit(Instant::now().checked_add(means.timing.connect));
    secure(stream, host, &means.roots)
}

#[cfg(not(feature = "tls"))]
fn secure(_: Box<dyn Stream>, _: &str, _: &Roots) -> Result<Box<dyn Stream>, FetchError> {
    Err(FetchError::NoTls)
}

fn receive(
    stream: &mut dyn Stream,
    patience: Duration,
    response: &mut Response,
    deliver: &mut dyn FnMut(Vec<u8>) -> bool,
) -> Result<Vec<u8>, FetchError> {
    let mut documents = Documents::default();
    let mut piece = vec![0; 64 * 1024];
    let head_until = Instant::now().checked_add(patience);
    loop {
        let limit = match response.status() {
            None => head_until,
            Some(_) if response.has_length() => Instant::now().checked_add(patience),
            Some(_) => None,
        };
        stream.set_limit(limit);
        let count = match stream.read(&mut piece) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if stream::is_timeout(&error) => return Err(FetchError::Timeout),
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
