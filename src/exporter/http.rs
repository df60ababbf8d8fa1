//! HTTP/1.0 and HTTP/1.1, as much of it as scrapers and probes use: requests without a body, replies with a known length.

use std::fmt::Write as _;

/// Longest head of a request in bytes.
pub const HEAD_MAX: usize = 8 << 10;
/// Most fields in a head.
const FIELDS_MAX: usize = 64;

/// The type of `/metrics`.
pub const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The type of a sentence.
pub const PLAIN: &str = "text/plain; charset=utf-8";
/// The type of `/config`.
pub const JSON: &str = "application/json";

/// A status line's number and words.
pub type Status = (u16, &'static str);

const OK: Status = (200, "OK");
/// The bytes are no request.
pub const BAD_REQUEST: Status = (400, "Bad Request");
/// There is no such path.
pub const NOT_FOUND: Status = (404, "Not Found");
/// Only GET and HEAD are answered.
pub const NOT_ALLOWED: Status = (405, "Method Not Allowed");
/// The head is longer than [`HEAD_MAX`], or has too many fields.
pub const TOO_LARGE: Status = (431, "Request Header Fields Too Large");
/// Clients cannot be served.
pub const UNAVAILABLE: Status = (503, "Service Unavailable");

/// What is asked for, as far as it makes a difference here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The reply with its body.
    Get,
    /// The reply without it.
    Head,
    /// Anything else.
    Other,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// The path, without what follows a `?`.
    pub path: &'a str,
    /// Whether another request may follow on the connection.
    pub keeps: bool,
}

/// What the bytes of a scraper are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The beginning of a request.
    Partial,
    /// A request, and how many bytes it has.
    Whole(Request<'a>, usize),
    /// Nothing that can be answered otherwise.
    Refused(Status),
}

/// The first request of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_MAX => match understood(&request) {
            Some(request) => Parsed::Whole(request, length),
            None => Parsed::Refused(BAD_REQUEST),
        },
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => Parsed::Partial,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Parsed::Refused(TOO_LARGE),
        Err(_) => Parsed::Refused(BAD_REQUEST),
    }
}

/// `None`: it lacks what a request must have.
fn understood<'a>(request: &httparse::Request<'_, 'a>) -> Option<Request<'a>> {
    let (method, target, version) = (request.method?, request.path?, request.version?);
    let values = |name: &'static str| {
        let named = request.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value.trim_ascii())
    };
    let is_new = version == 1;
    if is_new && values("Host").count() != 1 {
        return None;
    }
    let words = || values("Connection").flat_map(|value| value.split(|byte| *byte == b','));
    let says = |word: &str| words().any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()));
    // A body would stand where the next request is looked for.
    let has_body = values("Content-Length").any(|length| length != b"0") || values("Transfer-Encoding").count() > 0;
    Some(Request {
        method: match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        },
        path: path(target),
        keeps: !has_body && !says("close") && (is_new || says("keep-alive")),
    })
}

/// The path of a target, which a proxy writes as a URL.
fn path(target: &str) -> &str {
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/"),
        None => target,
    };
    path.split('?').next().unwrap_or(path)
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    status: Status,
    content_type: &'static str,
    body: String,
}

impl Reply {
    /// What was asked for.
    pub fn good(content_type: &'static str, body: String) -> Reply {
        Reply { status: OK, content_type, body }
    }

    /// It cannot be had, for this reason.
    pub fn error(status: Status, why: &str) -> Reply {
        Reply { status, content_type: PLAIN, body: format!("{why}\n") }
    }

    /// The bytes. `with_body`: not for HEAD. `keeps`: another request may follow.
    pub fn encode(&self, with_body: bool, keeps: bool) -> Vec<u8> {
        let (number, words) = self.status;
        let (kind, length) = (self.content_type, self.body.len());
        let mut text = format!("HTTP/1.1 {number} {words}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
        // A String takes everything.
        let _ = write!(text, "Connection: {}\r\n", if keeps { "keep-alive" } else { "close" });
        if self.status == NOT_ALLOWED {
            text.push_str("Allow: GET, HEAD\r\n");
        }
        text.push_str("\r\n");
        if with_body {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Method, path, whether the connection is kept.
    fn whole(text: &str) -> (Method, &str, bool) {
        match parse(text.as_bytes()) {
            Parsed::Whole(Request { method, path, keeps }, length) => {
                assert_eq!(length, text.len());
                (method, path, keeps)
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn requests() {
        for (text, want) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", (Method::Get, "/metrics", true)),
            ("GET /metrics HTTP/1.1\r\nhost: a\r\nConnection: close\r\n\r\n", (Method::Get, "/metrics", false)),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n", (Method::Get, "/", false)),
            ("HEAD /m?x=1&y HTTP/1.0\r\n\r\n", (Method::Head, "/m", false)),
            ("GET /m HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", (Method::Get, "/m", true)),
            ("GET http://a:1/m?x HTTP/1.1\r\nHost: a\r\n\r\n", (Method::Get, "/m", true)),
            ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", (Method::Get, "/", true)),
            ("POST /m HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", (Method::Other, "/m", false)),
            ("GET /m HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", (Method::Get, "/m", true)),
            ("PUT /m HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", (Method::Other, "/m", false)),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", (Method::Other, "*", true)),
        ] {
            assert_eq!(whole(text), want);
            for end in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..end]), Parsed::Partial, "{text:?} up to {end}");
            }
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "GET /m HTTP/1.1\r\n\r\n",
            "GET /m HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET /m HTTP/3.0\r\n\r\n",
            "get a\tb\r\n",
            "\u{1}\u{2}\u{3}",
            "GET /m HTTP/1.1\r\nno colon\r\n\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Parsed::Refused(BAD_REQUEST), "{text:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(FIELDS_MAX + 1));
        assert_eq!(parse(many.as_bytes()), Parsed::Refused(TOO_LARGE));
        let head = "GET / HTTP/1.1\r\nHost: a\r\nx: ";
        let long = |length: usize| format!("{head}{}\r\n\r\n", "y".repeat(length - head.len() - 4));
        assert!(matches!(parse(long(HEAD_MAX).as_bytes()), Parsed::Whole(_, HEAD_MAX)));
        assert_eq!(parse(long(HEAD_MAX + 1).as_bytes()), Parsed::Refused(TOO_LARGE));
        assert_eq!(parse(&long(2 * HEAD_MAX).as_bytes()[..HEAD_MAX]), Parsed::Refused(TOO_LARGE));
    }

    #[test]
    fn replies() {
        let text = |reply: Reply, with_body, keeps| String::from_utf8(reply.encode(with_body, keeps)).unwrap();
        assert_eq!(
            text(Reply::good(PLAIN, "\u{e9}\n".to_owned()), true, true),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\
             Connection: keep-alive\r\n\r\n\u{e9}\n"
        );
        assert_eq!(
            text(Reply::error(NOT_ALLOWED, "no"), false, false),
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\
             Connection: close\r\nAllow: GET, HEAD\r\n\r\n"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), likely in "(GET|HEAD|/| |HTTP/1.1|\r\n|Host:|a){0,20}") {
            parse(&bytes);
            parse(likely.as_bytes());
        }
    }
}
