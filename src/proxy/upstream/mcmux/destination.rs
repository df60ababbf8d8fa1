//! `-X`: the server that a client names in front of a command, `A:HOST:PORT ` or `B:HOST:PORT ` (04 §14).

use memchr::memchr2;

use crate::config::address::{checked_host, port, split_host};
use crate::protocol::ascii::answer;
use crate::protocol::ascii::meta::request::{self as meta, Verb};
use crate::protocol::ascii::request::{LINE_MAX, Parsed};
use crate::protocol::keyless::Keyless;
use crate::protocol::{Answered, Protocol, Request};
use crate::sums::sum;

/// Longest host in bytes (03 §15).
const HOST_MAX: usize = 199;
/// Longest port in bytes (03 §15).
const PORT_MAX: usize = 8;

/// What stands in front of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Prefix<'a> {
    /// Nothing can be said before more bytes are there.
    Incomplete,
    /// No server.
    None,
    /// Something that was meant to be a server, and is none; the command begins behind these many bytes.
    Malformed(usize),
    /// A server, not looked at closely yet.
    Named {
        /// `A:HOST:PORT`.
        text: &'a [u8],
        /// Where the command begins.
        len: usize,
    },
}

/// Looks at the beginning of a client's bytes.
pub(in crate::proxy) fn prefix(buf: &[u8]) -> Prefix<'_> {
    match buf {
        [] | [b'A' | b'B'] => return Prefix::Incomplete,
        [b'A' | b'B', b':', ..] => {}
        _ => return Prefix::None,
    }
    let start = buf.get(..=LINE_MAX).unwrap_or(buf);
    match memchr2(b' ', b'\n', start).and_then(|end| start.split_at_checked(end)) {
        Some((text, [b' ', ..])) => Prefix::Named { text, len: sum([text.len(), 1]) },
        Some(_) => Prefix::Malformed(0),
        None if buf.len() > LINE_MAX => Prefix::Malformed(0),
        None => Prefix::Incomplete,
    }
}

/// The server that `text`, an `A:HOST:PORT`, names. An IPv6 address stands in brackets (the C program had no way to
/// write one).
pub(in crate::proxy) fn server(text: &[u8]) -> Option<(Protocol, &str, u16)> {
    let (protocol, rest) = match text {
        [b'A', b':', rest @ ..] => (Protocol::Ascii, rest),
        [b'B', b':', rest @ ..] => (Protocol::Binary, rest),
        _ => return None,
    };
    let (host, number) = split_host(std::str::from_utf8(rest).ok()?);
    let number = number.filter(|number| number.len() <= PORT_MAX)?;
    if host.len() > HOST_MAX || checked_host(host).is_err() {
        return None;
    }
    Some((protocol, host, port(number)?))
}

/// Which commands are obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Allowed {
    /// All.
    All,
    /// Those that need no server: the client has not named one.
    Local,
    /// None: what the client has named is no server.
    None,
}

impl Allowed {
    /// The same as [`Allowed::only`] for meta commands.
    pub(in crate::proxy) fn only_meta<'a>(self, parsed: meta::Parsed<'a>) -> meta::Parsed<'a> {
        match parsed {
            parsed if self == Allowed::All => parsed,
            meta::Parsed::Request { ref meta, .. } if self == Allowed::Local && meta.verb == Verb::Noop => parsed,
            meta::Parsed::Request { len, .. } => meta::Parsed::Refused { reply: answer::ERROR, len, swallow: 0 },
            meta::Parsed::Refused { len, swallow, .. } | meta::Parsed::TooLarge { len, swallow, .. } => {
                meta::Parsed::Refused { reply: answer::ERROR, len, swallow }
            }
            meta::Parsed::Incomplete { .. } => parsed,
        }
    }

    /// Refuses what is not allowed with `ERROR`, even where the client wants no answer (04 §14). A value that was sent
    /// along is dropped with its command, so that it cannot pass for one.
    pub(in crate::proxy) fn only<'a>(self, parsed: Parsed<'a>) -> Parsed<'a> {
        match parsed {
            parsed if self == Allowed::All => parsed,
            Parsed::Request { request: Request::Keyless(Keyless::Version) | Request::Verbosity { .. }, .. }
            | Parsed::Request { request: Request::Quit | Request::StatsProxy { .. }, .. }
                if self == Allowed::Local =>
            {
                parsed
            }
            Parsed::Request { len, .. } | Parsed::Rejected { len, .. } => {
                Parsed::Rejected { reply: answer::ERROR, answered: Answered::Always, len }
            }
            Parsed::ValueRefused { len, swallow, .. } => {
                Parsed::ValueRefused { reply: answer::ERROR, answered: Answered::Always, len, swallow }
            }
            Parsed::Incomplete { .. } | Parsed::LineTooLong | Parsed::Http => parsed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol::{Ascii, Binary};
    use crate::protocol::ascii::request;

    #[test]
    fn what_stands_in_front() {
        for (buf, want) in [
            (&b""[..], Prefix::Incomplete),
            (b"A", Prefix::Incomplete),
            (b"A:", Prefix::Incomplete),
            (b"A:a.example:1", Prefix::Incomplete),
            (b"g", Prefix::None),
            (b"Ax", Prefix::None),
            (b" A:a.example:1 get k\r\n", Prefix::None),
            (b"a:a.example:1 get k\r\n", Prefix::None),
            (b"A:a.example:1\r\n", Prefix::Malformed(0)),
            (b"A:a.example:1 ", Prefix::Named { text: b"A:a.example:1", len: 14 }),
            (b"B:a.example:1 get k\r\n", Prefix::Named { text: b"B:a.example:1", len: 14 }),
        ] {
            assert_eq!(prefix(buf), want, "{}", buf.escape_ascii());
        }
        let mut long = b"A:".to_vec();
        long.resize(LINE_MAX, b'x');
        assert_eq!(prefix(&long), Prefix::Incomplete);
        long.push(b'x');
        assert_eq!(prefix(&long), Prefix::Malformed(0));
    }

    #[test]
    fn servers() {
        assert_eq!(server(b"A:a.example:11211"), Some((Ascii, "a.example", 11211)));
        assert_eq!(server(b"B:10.0.0.1:00000001"), Some((Binary, "10.0.0.1", 1)));
        assert_eq!(server(b"B:[::1]:1"), Some((Binary, "::1", 1)));
        let host = "a".repeat(HOST_MAX);
        assert_eq!(server(format!("A:{host}:1").as_bytes()), Some((Ascii, &host[..], 1)));
        for text in ["A:", "A::1", "A:a", "A:a:", "A:a:0", "A:a:x", "A:a:65536", "A:a:1:2", "C:a:1", "A:a:000000001"] {
            assert_eq!(server(text.as_bytes()), None, "{text}");
        }
        assert_eq!(server(b"A:a\tb:1"), None);
        assert_eq!(server(b"A:\xff:1"), None);
        assert_eq!(server(format!("A:{host}a:1").as_bytes()), None);
    }

    #[test]
    fn a_value_goes_with_its_refused_command() {
        fn refused(text: &[u8], allowed: Allowed) -> Parsed<'_> {
            allowed.only(request::parse(text, &mut 0, 5))
        }
        let error = |len| Parsed::Rejected { reply: b"ERROR\r\n", answered: Answered::Always, len };
        assert_eq!(refused(b"set a 0 0 1 noreply\r\nx\r\n", Allowed::Local), error(24));
        assert_eq!(refused(b"get a\r\n", Allowed::Local), error(7));
        assert_eq!(refused(b"version\r\n", Allowed::None), error(9));
        assert_eq!(
            refused(b"set a 0 0 9\r\n", Allowed::None),
            Parsed::ValueRefused { reply: b"ERROR\r\n", answered: Answered::Always, len: 13, swallow: 11 }
        );
        for local in ["version", "quit", "verbosity 1", "stats proxy", "stats proxy info"] {
            let line = format!("{local}\r\n");
            assert!(matches!(refused(line.as_bytes(), Allowed::Local), Parsed::Request { .. }), "{local}");
        }
    }
}
