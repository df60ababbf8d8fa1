//! Server lists: `HOST[:PORT[:WEIGHT]]`, `HOST:PORT WEIGHT`, or `/PATH[:WEIGHT]` for a unix socket, separated by commas
//! (05 §2.2).

use std::fmt;

use super::address::{AddressError, checked_host, checked_path, is_path, number, split_host};

/// Port of a server that is written without one.
pub const DEFAULT_PORT: u16 = 11211;

/// A server of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListServer {
    /// Name or address as written, without blanks around it; or the absolute path of a unix socket.
    pub host: String,
    /// TCP port; 0 with a unix socket.
    pub port: u16,
    /// Weight; 0 if none is written.
    pub weight: u32,
}

/// Which item of a list cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError {
    /// Its number, from 1.
    pub number: usize,
    /// Its text.
    pub item: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No host name, or blanks in it.
    Host,
    /// The path of a unix socket is too long, or has control characters in it.
    Path,
    /// The port is not a number up to 65535.
    Port,
    /// The weight is not a number.
    Weight,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::Host => "bad host name",
            Reason::Path => "the path of a unix socket has more than 107 bytes, or control characters",
            Reason::Port => "port is not a number from 1 to 65535",
            Reason::Weight => "weight is not a number",
        };
        write!(f, "server {} ({:?}): {reason}", self.number, self.item)
    }
}

/// Reads a server list. Blanks around each item do not count; an empty last item is ignored.
///
/// # Errors
/// The first item that is wrong.
pub fn parse(text: &str) -> Result<Vec<ListServer>, ListError> {
    let text = text.trim();
    let text = text.strip_suffix(',').unwrap_or(text);
    text.split(',')
        .enumerate()
        .map(|(index, item)| {
            let item = item.trim();
            server(item).map_err(|reason| ListError { number: index.saturating_add(1), item: item.to_owned(), reason })
        })
        .collect()
}

fn server(item: &str) -> Result<ListServer, Reason> {
    if is_path(item) {
        return socket(item);
    }
    let (host, rest) = split_host(item);
    let host = checked_host(host.trim()).map_err(|_: AddressError| Reason::Host)?;
    let rest = rest.unwrap_or("").trim();
    // A weight is looked for after a blank first, then after a colon.
    let (port, weight) = match rest.split_once(char::is_whitespace).or_else(|| rest.split_once(':')) {
        Some((port, weight)) => (port.trim(), weight.trim()),
        None => (rest, ""),
    };
    if port.is_empty() && !weight.is_empty() {
        return Err(Reason::Port); // an IPv6 literal without brackets, most likely
    }
    let port = match number_or_zero(port).map(u16::try_from) {
        Some(Ok(0)) => DEFAULT_PORT,
        Some(Ok(port)) => port,
        _ => return Err(Reason::Port),
    };
    Ok(ListServer { host, port, weight: number_or_zero(weight).ok_or(Reason::Weight)? })
}

/// A unix socket. What follows the last colon, or the last blank, is its weight if it is a number, else part of its path.
fn socket(item: &str) -> Result<ListServer, Reason> {
    let is_weight = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (path, weight) = match item.rsplit_once([':', ' ']) {
        Some((path, weight)) if is_weight(weight) => (path.trim_end(), number(weight).ok_or(Reason::Weight)?),
        _ => (item, 0),
    };
    let host = checked_path(path).map_err(|_: AddressError| Reason::Path)?;
    Ok(ListServer { host, port: 0, weight })
}

/// A number, or nothing, which is 0.
fn number_or_zero(text: &str) -> Option<u32> {
    if text.is_empty() { Some(0) } else { number(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> Vec<(String, u16, u32)> {
        let servers = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        servers.into_iter().map(|server| (server.host, server.port, server.weight)).collect()
    }

    fn one(text: &str) -> (String, u16, u32) {
        let mut servers = plain(text);
        assert_eq!(servers.len(), 1);
        servers.remove(0)
    }

    #[test]
    fn spellings() {
        for (text, host, port, weight) in [
            ("mc1", "mc1", 11211, 0),
            ("mc1:11222", "mc1", 11222, 0),
            ("mc1:11222:3", "mc1", 11222, 3),
            ("mc1:11222 3", "mc1", 11222, 3),
            ("mc1:11222   3", "mc1", 11222, 3),
            ("mc1:0", "mc1", 11211, 0),
            ("mc1:", "mc1", 11211, 0),
            ("[::1]:11222:3", "::1", 11222, 3),
            ("[::1]", "::1", 11211, 0),
            ("10.1.2.3:11211,", "10.1.2.3", 11211, 0),
            ("Cache.Example", "Cache.Example", 11211, 0),
            ("/run/memcached.sock", "/run/memcached.sock", 0, 0),
            ("/run/memcached.sock:2", "/run/memcached.sock", 0, 2),
            ("/run/memcached.sock 2", "/run/memcached.sock", 0, 2),
            ("/run/a:b.sock", "/run/a:b.sock", 0, 0),
            ("/run/a:", "/run/a:", 0, 0),
            ("/", "/", 0, 0),
        ] {
            assert_eq!(one(text), (host.to_owned(), port, weight), "{text}");
        }
    }

    #[test]
    fn items_are_trimmed() {
        let want = [("a".to_owned(), 1, 0), ("b".to_owned(), 1, 0), ("c".to_owned(), 11211, 0)];
        assert_eq!(plain("a:1,b:1,c"), want);
        assert_eq!(plain(" a:1 ,  b:1\n,\n\tc , "), want);
    }

    #[test]
    fn errors_name_the_item() {
        for (text, number, item, reason) in [
            ("", 1, "", Reason::Host),
            (",", 1, "", Reason::Host),
            ("a,,b", 2, "", Reason::Host),
            (":11211", 1, ":11211", Reason::Host),
            ("a b", 1, "a b", Reason::Host),
            ("a,b:70000", 2, "b:70000", Reason::Port),
            ("b:x", 1, "b:x", Reason::Port),
            ("b:-1", 1, "b:-1", Reason::Port),
            ("a:1:2:3", 1, "a:1:2:3", Reason::Weight),
            ("a:1 x", 1, "a:1 x", Reason::Weight),
            ("a:1:-2", 1, "a:1:-2", Reason::Weight),
            ("a::2", 1, "a::2", Reason::Port),
            ("fe80::1", 1, "fe80::1", Reason::Port),
            ("::1", 1, "::1", Reason::Host),
            ("a,/run/x\u{1}", 2, "/run/x\u{1}", Reason::Path),
            ("/run/x:99999999999", 1, "/run/x:99999999999", Reason::Weight),
        ] {
            let want = ListError { number, item: item.to_owned(), reason };
            assert_eq!(parse(text), Err(want), "{text}");
        }
        let long = format!("/{}", "x".repeat(107));
        assert_eq!(parse(&long).unwrap_err().reason, Reason::Path);
        assert_eq!(parse("a,b:x").unwrap_err().to_string(), "server 2 (\"b:x\"): port is not a number from 1 to 65535");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", likely in "[ab:,;/\\[\\] 0-9+-]{0,30}") {
            let _ = parse(&text);
            let _ = parse(&likely);
        }
    }
}
