//! `HOST:PORT` texts, and paths of unix sockets.

use std::borrow::Cow;
use std::fmt;

/// Longest `HOST:PORT` in a document, in bytes (05 §5.4).
const LONGEST: usize = 248;

/// The longest path of a unix socket in bytes (unix(7)).
pub const SOCKET_PATH_MAX: usize = 107;

/// A host and a TCP port, or a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or address as written; an IPv6 literal without its brackets. Or the absolute path of a unix socket.
    pub host: String,
    /// TCP port, not 0; 0 with a unix socket.
    pub port: u16,
}

/// `HOST:PORT`, an IPv6 literal in brackets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_server(f, &self.host, self.port)
    }
}

/// What is wrong with an address. The words are the C program's (05 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing follows the host.
    MissingPort,
    /// The port is not a number from 1 to 65535.
    BadPort,
    /// The host is empty, has blanks in it, or the text is too long.
    BadHost,
    /// The path of a unix socket is too long, or has control characters in it.
    BadPath,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressError::MissingPort => "missing port",
            AddressError::BadPort => "could not parse port",
            AddressError::BadHost => "unknown server",
            AddressError::BadPath => "path of a socket is too long",
        })
    }
}

impl Address {
    /// Reads `HOST:PORT` as documents have it: both parts are required; or the path of a unix socket.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        if is_path(text.trim()) {
            return Ok(Address { host: checked_path(text.trim())?, port: 0 });
        }
        if text.len() > LONGEST {
            return Err(AddressError::BadHost);
        }
        let (host, rest) = split_host(text.trim());
        let host = checked_host(host)?;
        let port = port(rest.ok_or(AddressError::MissingPort)?).ok_or(AddressError::BadPort)?;
        Ok(Address { host, port })
    }
}

/// Whether a server's text is the path of a unix socket.
pub fn is_path(text: &str) -> bool {
    text.starts_with('/')
}

/// The path of a unix socket as a `String`, if it can be one.
///
/// # Errors
/// The path is longer than [`SOCKET_PATH_MAX`], or has control characters in it.
pub fn checked_path(path: &str) -> Result<String, AddressError> {
    if path.len() > SOCKET_PATH_MAX || path.contains(char::is_control) {
        return Err(AddressError::BadPath);
    }
    Ok(path.to_owned())
}

/// The host as a `String`, if it can be one.
///
/// # Errors
/// When it is empty, or has blanks or control characters in it.
pub fn checked_host(host: &str) -> Result<String, AddressError> {
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(AddressError::BadHost);
    }
    Ok(host.to_owned())
}

/// Writes a server as it is written in a configuration: `HOST:PORT`, or the path of its socket.
///
/// # Errors
/// Those of `f`.
pub fn write_server(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if is_path(host) { f.write_str(host) } else { write!(f, "{}:{port}", bracketed(host)) }
}

/// The host as it is written before a port: an IPv6 literal in brackets.
pub fn bracketed(host: &str) -> Cow<'_, str> {
    if host.contains(':') { format!("[{host}]").into() } else { host.into() }
}

/// The host and what follows its colon. The host ends at the first colon, unless it is in brackets.
pub fn split_host(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        if rest.is_empty() {
            return (host, None);
        }
        if let Some(rest) = rest.strip_prefix(':') {
            return (host, Some(rest));
        }
    }
    match text.split_once(':') {
        Some((host, rest)) => (host, Some(rest)),
        None => (text, None),
    }
}

/// A port from 1 to 65535.
pub fn port(text: &str) -> Option<u16> {
    number(text).and_then(|number| u16::try_from(number).ok()).filter(|&port| port != 0)
}

/// A decimal number: blanks around it and one `+` are accepted, as everywhere in the configuration.
pub fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("cache1.example:11211", "cache1.example", 11211),
            (" localhost:1 ", "localhost", 1),
            ("10.0.0.1: 65535", "10.0.0.1", 65535),
            ("[::1]:11211", "::1", 11211),
            ("/run/memcached.sock", "/run/memcached.sock", 0),
            (" /run/a b:1.sock ", "/run/a b:1.sock", 0),
            ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ] {
            let want = Address { host: host.into(), port };
            assert_eq!(Address::parse(&want.to_string()), Ok(want.clone()), "{text}");
            assert_eq!(Address::parse(text), Ok(want), "{text}");
        }
        for (text, error) in [
            ("", AddressError::BadHost),
            (":1", AddressError::BadHost),
            ("a b:1", AddressError::BadHost),
            ("a", AddressError::MissingPort),
            ("[::1]", AddressError::MissingPort),
            ("a:", AddressError::BadPort),
            ("a:0", AddressError::BadPort),
            ("a:65536", AddressError::BadPort),
            ("a:99999999999", AddressError::BadPort),
            ("a:-1", AddressError::BadPort),
            ("a:++1", AddressError::BadPort),
            ("a:1x", AddressError::BadPort),
            ("a:b:1", AddressError::BadPort),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
        let path = |length: usize| Address::parse(&format!("/{}", "a".repeat(length - 1)));
        assert_eq!(path(SOCKET_PATH_MAX + 1), Err(AddressError::BadPath));
        assert!(path(SOCKET_PATH_MAX).is_ok());
        assert_eq!(Address::parse("/a\u{7}"), Err(AddressError::BadPath));
        assert_eq!(Address::parse(&format!("{}:1", "a".repeat(247))), Err(AddressError::BadHost));
        assert!(Address::parse(&format!("{}:1", "a".repeat(246))).is_ok());
    }
}
