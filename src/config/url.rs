//! The URLs of agents (05 §2.4), and those of HTTP proxies.

use std::fmt;

use super::address::bracketed;

/// Whether this build can do `https://`.
pub const HAS_TLS: bool = cfg!(feature = "tls");

/// What is said of a text that is none.
pub const FORM: &str = "not a URL of the form http://HOST:PORT/PATH";

/// An `http://` or `https://` URL, split. `Display` gives it as written but without user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it begins with `https://`.
    pub tls: bool,
    /// User and password, if it has them, decoded.
    pub credentials: Option<Credentials>,
    /// Name or address; an IPv6 literal without its brackets.
    pub host: String,
    /// TCP port, if it is written.
    pub port: Option<u16>,
    /// Path and query as they are sent: beginning with `/`, without fragment.
    pub target: String,
    shown: String,
}

/// A user and a password for HTTP Basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Url {
    /// Reads a URL. Without a scheme it is `http://`, as for libcurl.
    ///
    /// `None` if it has another scheme, no host, a bad port, or characters that cannot be in a request line.
    pub fn parse(text: &str) -> Option<Url> {
        let text = text.trim();
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return None;
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let (host, port) = host_and_port(place)?;
        let scheme = text.strip_suffix(rest)?;
        Some(Url {
            tls,
            credentials: user.map(Credentials::parse),
            host,
            port,
            target: request_target(target),
            shown: format!("{scheme}{place}{target}"),
        })
    }

    /// `HOST` or `HOST:PORT` as a `Host` header has it: the port is left out if it is the scheme's.
    pub fn authority(&self) -> String {
        // The zone of a link-local address means something on this machine only (RFC 6874 §4).
        let host = match self.host.split_once('%') {
            Some((address, _)) if address.contains(':') => address,
            _ => &self.host,
        };
        let host = bracketed(host);
        match self.port {
            Some(port) if port != self.default_port() => format!("{host}:{port}"),
            _ => host.into_owned(),
        }
    }

    /// The port of the scheme.
    pub fn default_port(&self) -> u16 {
        if self.tls { 443 } else { 80 }
    }
}

impl Credentials {
    fn parse(text: &str) -> Credentials {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Credentials { user: percent_decoded(user), password: percent_decoded(password) }
    }
}

/// The URL as it may be shown, whether or not it can be read: without what stands before an `@` in its authority.
pub fn shown(text: &str) -> String {
    if let Some(url) = Url::parse(text) {
        return url.shown;
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = rest.get(..end).and_then(|authority| authority.rfind('@'));
    match at.and_then(|at| rest.get(at..)?.strip_prefix('@')) {
        Some(rest) if scheme.is_empty() => rest.to_owned(),
        Some(rest) => format!("{scheme}://{rest}"),
        None => text.to_owned(),
    }
}

fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let zoned;
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            // Before a zone stands an encoded `%` (RFC 6874 §2), or a plain one.
            zoned = host.replacen("%25", "%", 1);
            (zoned.as_str(), if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|&port| port != 0)?)
        }
        Some(_) => return None,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn request_target(text: &str) -> String {
    let text = text.split('#').next().unwrap_or("");
    if text.starts_with('/') { text.to_owned() } else { format!("/{text}") }
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        let decoded = match (first, rest) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        out.push(decoded.unwrap_or(*first));
        bytes = rest.get(if decoded.is_some() { 2 } else { 0 }..).unwrap_or(&[]);
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings() {
        for (text, host, port, target, authority) in [
            ("http://cm.example:8091/pools/default", "cm.example", Some(8091), "/pools/default", "cm.example:8091"),
            ("HTTP://cm.example", "cm.example", None, "/", "cm.example"),
            ("http://cm.example:80/?a=b#c", "cm.example", Some(80), "/?a=b", "cm.example"),
            ("http://cm.example?a=b", "cm.example", None, "/?a=b", "cm.example"),
            ("cm.example:8091/x", "cm.example", Some(8091), "/x", "cm.example:8091"),
            ("http://[::1]:8091/x", "::1", Some(8091), "/x", "[::1]:8091"),
            ("http://[fe80::1%25eth0]:8091/x", "fe80::1%eth0", Some(8091), "/x", "[fe80::1]:8091"),
            ("http://[fe80::1%eth0]/x", "fe80::1%eth0", None, "/x", "[fe80::1]"),
            ("https://cm.example:80/x", "cm.example", Some(80), "/x", "cm.example:80"),
            ("http://cm.example:/x@y", "cm.example", None, "/x@y", "cm.example"),
        ] {
            let url = Url::parse(text).expect(text);
            assert_eq!((url.host.as_str(), url.port, url.target.as_str()), (host, port, target), "{text}");
            assert_eq!(url.authority(), authority, "{text}");
            assert_eq!((url.to_string(), url.credentials, url.tls), (text.to_owned(), None, text.starts_with("https")));
        }
        for text in [
            "",
            "http://",
            "http:///x",
            "ftp://a/",
            "http://a:x/",
            "http://a:70000/",
            "http://a b/",
            "http://a:0/",
            "http://a/\r\nHost: b",
            "http://[::1",
            "http://[::1]x/",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_not_shown() {
        let url = Url::parse("http://fr%65d%zz:se%3Asame@cm.example:8091/x@y").unwrap();
        assert_eq!(url.credentials, Some(Credentials { user: "fred%zz".into(), password: "se:same".into() }));
        assert_eq!(url.to_string(), "http://cm.example:8091/x@y");
        assert!(!format!("{url:?}").contains("same"));
        assert_eq!(shown("http://fred:sesame@a b/x@y"), "http://a b/x@y");
        assert_eq!(shown("fred:sesame@a b"), "a b");
        assert_eq!(shown("ftp://a/b"), "ftp://a/b");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", likely in "(http://|[a:@/?#%0-9\\[\\]é]){0,20}") {
            for text in [text, likely] {
                shown(&text);
                if let Some(url) = Url::parse(&text) {
                    prop_assert!(url.target.starts_with('/'));
                }
            }
        }
    }
}
