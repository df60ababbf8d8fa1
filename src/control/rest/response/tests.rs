//! Responses of every framing, at every split, and bad ones.

use proptest::prelude::*;

use super::*;

/// Status, body, whether it was complete without the end of the connection, and then with it.
type Read = (Option<u16>, String, bool, Result<(), Malformed>);

fn read(pieces: &[&[u8]]) -> Result<Read, Malformed> {
    let mut response = Response::default();
    let mut body = Vec::new();
    for piece in pieces {
        response.feed(piece, &mut body)?;
    }
    let done = response.is_done();
    let end = response.end();
    Ok((response.status(), String::from_utf8_lossy(&body).into_owned(), done, end))
}

const GOOD: [(&str, u16, &str, bool); 12] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true),
    ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nContent-Length: 5\r\n\r\nhello and more", 200, "hello", true),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true),
    ("HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello", false),
    ("HTTP/1.0 404 Not Found\nServer: x\n\nhello\n", 404, "hello\n", false),
    ("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", 200, "hello", true),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding:Chunked\r\nContent-Length: 3\r\n\r\n00A \r\n0123456789\r\n0\r\nT: x\r\n\r\n",
        200,
        "0123456789",
        true,
    ),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n5\nhello\n0\n\n", 200, "hello", true),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", 200, "hello", false),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        200,
        "x",
        true,
    ),
    ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
    ("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n", 401, "", true),
];

#[test]
fn good_responses_at_every_split() {
    for (text, status, body, done) in GOOD {
        let want = Ok((Some(status), body.to_owned(), done, Ok(())));
        for cut in 0..=text.len() {
            let (first, second) = text.as_bytes().split_at(cut);
            assert_eq!(read(&[first, second]), want, "{text} cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), want, "{text} byte by byte");
    }
}

#[test]
fn what_ends_too_early() {
    for (text, body) in [
        ("", ""),
        ("HTTP/1.1 200 OK\r\n", ""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "hell"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", "hel"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n", "hel"),
    ] {
        let (_, got, done, end) = read(&[text.as_bytes()]).unwrap();
        assert_eq!((got.as_str(), done, end), (body, false, Err(Malformed::Partial)), "{text}");
    }
}

/// A server that has said that a response is coming has not closed the connection before it heard of the request.
#[test]
fn word_that_a_response_is_coming_is_something() {
    let mut response = Response::default();
    assert!(response.is_empty());
    response.feed(b"HTTP/1.1 100 Continue\r\n\r\n", &mut Vec::new()).unwrap();
    assert!(!response.is_empty());
    assert_eq!(response.end(), Err(Malformed::Partial));
}

#[test]
fn what_is_no_response() {
    let long_head = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(70_000));
    let long_line = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", "1".repeat(5_000));
    let trailers = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}", "a: b\r\n".repeat(5_000));
    for (text, error) in [
        ("This is just a bad response that is not JSON.\n", Malformed::Head),
        ("HTTP/2 200\r\n\r\n", Malformed::Head),
        ("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", Malformed::Head),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Malformed::Head),
        (&long_head, Malformed::Head),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\n", Malformed::Body),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", Malformed::Body),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", Malformed::Body),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", Malformed::Body),
        (&long_line, Malformed::Body),
        (&trailers, Malformed::Body),
    ] {
        assert_eq!(read(&[text.as_bytes()]), Err(error), "{text:.80}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), which in 0..GOOD.len(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let _ = read(&[&bytes]);
        let mut damaged = GOOD[which].0.as_bytes().to_vec();
        let place = at.index(damaged.len());
        damaged[place] = with;
        let _ = read(&[&damaged]);
    }
}

#[test]
fn what_leaves_the_connection_for_another_request() {
    for (text, want) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", true),
        ("HTTP/1.0 200 OK\r\nConnection: x, keep-alive\r\nContent-Length: 1\r\n\r\nx", true),
        // Not complete.
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", false),
        // More than was asked for.
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\ny", false),
        // It is to be closed.
        ("HTTP/1.1 200 OK\r\n\r\nx", false),
        ("HTTP/1.1 200 OK\r\nconnection: CLOSE\r\nContent-Length: 1\r\n\r\nx", false),
        ("HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: y , close\r\nContent-Length: 1\r\n\r\nx", false),
        ("HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 1\r\n\r\nx", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false),
    ] {
        let mut response = Response::default();
        response.feed(text.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(response.leaves_connection(), want, "{text}");
    }
}
