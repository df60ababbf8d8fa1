//! The order in which URLs are asked, and what comes of each kind of response: the rows of 05 §6.4 and §6.5.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::*;
use crate::config::snapshot::Secret;

/// What a server does with one connection.
#[derive(Clone)]
enum Act {
    /// Sends this in pieces, a moment apart, and closes.
    Send(Vec<String>),
    /// Sends it, and closes the connection with a reset.
    Reset(String),
    /// Sends it, and says nothing more.
    Hang(String),
}

/// A server that does one act after the other, the last one for ever.
struct Server {
    address: SocketAddr,
    requests: Receiver<String>,
}

impl Server {
    fn start(acts: Vec<Act>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, requests) = channel();
        thread::spawn(move || {
            let mut held = Vec::new();
            for turn in 0.. {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let mut request = Vec::new();
                let mut piece = [0; 1024];
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut piece) {
                        Ok(count) if count > 0 => request.extend_from_slice(&piece[..count]),
                        _ => break,
                    }
                }
                if send.send(String::from_utf8(request).unwrap()).is_err() {
                    return;
                }
                match acts.get(turn).or(acts.last()).cloned() {
                    None => return,
                    Some(Act::Send(pieces)) => {
                        for piece in pieces {
                            let _ = stream.write_all(piece.as_bytes());
                            thread::sleep(Duration::from_millis(3));
                        }
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                    Some(Act::Reset(text)) => {
                        let _ = stream.write_all(text.as_bytes());
                        // A reset takes away what has not been read.
                        thread::sleep(Duration::from_millis(300));
                        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                    }
                    Some(Act::Hang(text)) => {
                        let _ = stream.write_all(text.as_bytes());
                        held.push(stream);
                    }
                }
            }
        });
        Server { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

const TIMING: Timing = Timing {
    connect: Duration::from_secs(5),
    response: Duration::from_secs(1),
    shortest_pause: Duration::from_millis(5),
    longest_pause: Duration::from_millis(80),
};

/// Runs a client for one pass after the other until `count` events have come, and gives them as text.
fn events(urls: &[String], count: usize) -> Vec<String> {
    let mut left = count;
    events_while(urls, move |_| {
        left -= 1;
        left > 0
    })
}

/// The same up to the event for which `go_on` is false.
fn events_while(urls: &[String], mut go_on: impl FnMut(&Event) -> bool) -> Vec<String> {
    let agent = Agent { urls: urls.to_vec(), user: "fred".into(), password: Secret::new("sesame") };
    let (send, receive) = channel();
    let deliver = move |event| {
        let go_on = go_on(&event);
        send.send(event).is_ok() && go_on
    };
    let own = Credentials { user: agent.user.clone(), password: agent.password.reveal().to_owned() };
    let means =
        Means { own, proxies: Proxies::default(), timing: TIMING, refresh: Arc::default(), roots: Roots::default() };
    Client::new(0, &agent, means, 1, deliver).run();
    let text = |event| match event {
        Event::Document { text, origin, .. } => format!("{} {text}", origin.url.rsplit('/').next().unwrap()),
        Event::Empty { .. } => "empty".to_owned(),
        Event::Unauthorized { .. } => "unauthorized".to_owned(),
    };
    receive.try_iter().map(text).collect()
}

fn chunked(pieces: &[&str], end: bool) -> Vec<String> {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let chunk = |piece: &&str| format!("{:x}\r\n{piece}\r\n", piece.len());
    let end = end.then(|| "0\r\n\r\n".to_owned());
    std::iter::once(head).chain(pieces.iter().map(chunk)).chain(end).collect()
}

fn plain(status: &str, body: &str) -> Act {
    Act::Send(vec![format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())])
}

fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/dead", listener.local_addr().unwrap())
}

#[test]
fn a_stream_gives_every_document_as_it_comes() {
    let pieces = ["{\"a\":1}", "\n\n\n\n", "{\"a\":", "2}\n\n", "\n\n", "{\"a\":3}\n\n\n\n{\"a\":4}\n\n\n\n"];
    let server = Server::start(vec![Act::Send(chunked(&pieces, true))]);
    let mut got = events_while(&[server.url("s")], |event| !matches!(event, Event::Empty { .. }));
    // Which of the older ones are seen depends on how the pieces meet. Of the last two, which come together, only
    // the newer one is.
    got.retain(|document| !document.contains("1}") && !document.contains("2}"));
    assert_eq!(got, ["s {\"a\":4}", "empty"]);
    let request = server.requests.recv().unwrap();
    let want = format!(
        "GET /s HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic ZnJlZDpzZXNhbWU=\r\nAccept: */*\r\n\r\n",
        server.address
    );
    assert_eq!(request, want);
}

/// A stream that breaks: the next URL at once. What it had begun to say is forgotten.
#[test]
fn a_broken_stream_leads_to_the_next_url() {
    for breaking in [
        Act::Send(chunked(&["{\"a\":1}\n\n\n\n", "{\"half"], false)),
        Act::Reset(chunked(&["{\"a\":1}\n\n\n\n", "{\"half"], false).concat()),
    ] {
        let first = Server::start(vec![breaking, plain("200 OK", "{\"a\":3}")]);
        let second = Server::start(vec![Act::Send(chunked(&["{\"a\":2}\n\n\n\n"], true))]);
        let got = events(&[first.url("1"), second.url("2")], 4);
        assert_eq!(got, ["1 {\"a\":1}", "2 {\"a\":2}", "empty", "1 {\"a\":3}"]);
    }
}

/// Single documents: asked again after each pause, at the first URL.
#[test]
fn documents_that_are_not_streamed_are_polled() {
    let first =
        Server::start(vec![plain("200 OK", "{\"a\":1}"), Act::Send(vec!["HTTP/1.0 200 OK\r\n\r\n{\"a\":2}".into()])]);
    let second = Server::start(vec![plain("200 OK", "{}")]);
    let got = events(&[first.url("1"), second.url("2")], 3);
    assert_eq!(got, ["1 {\"a\":1}", "1 {\"a\":2}", "1 {\"a\":2}"]);
    assert!(second.requests.try_recv().is_err());
}

#[test]
fn every_other_kind_of_failure_leads_to_the_next_url() {
    let good = Server::start(vec![plain("200 OK", "{\"good\":1}")]);
    for failing in [
        plain("404 Not Found", "404 not found"),
        plain("404 Not Found", ""),
        plain("302 Found", ""),
        plain("503 Unavailable", "{\"json\":1}"),
        plain("200 OK", "This is just a bad response that is not JSON.\n"),
        Act::Send(vec!["no http at all\r\n\r\n".into()]),
        Act::Send(vec![]),
        Act::Reset(String::new()),
        Act::Hang(String::new()),
        Act::Hang("HTTP/1.1 200 OK\r\n".into()),
        Act::Hang("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".into()),
    ] {
        let server = Server::start(vec![failing]);
        let begun = Instant::now();
        let urls = [server.url("bad"), dead(), "https://127.0.0.1/x".into(), "ftp://a/".into(), good.url("good")];
        assert_eq!(events(&urls, 1), ["good {\"good\":1}"]);
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

/// An empty response counts as a failed document, and does not hide the other URLs.
#[test]
fn empty_responses() {
    let empty = Server::start(vec![plain("200 OK", " \n")]);
    let good = Server::start(vec![plain("200 OK", "{\"good\":1}")]);
    assert_eq!(events(&[empty.url("1"), good.url("2")], 2), ["empty", "2 {\"good\":1}"]);
}

#[test]
fn a_response_that_is_not_json_inside_a_stream_does_not_end_it() {
    let server = Server::start(vec![Act::Send(chunked(&["oops\n\n\n\n", "{\"a\":1}\n\n\n\n"], true))]);
    let other = Server::start(vec![plain("200 OK", "{}")]);
    assert_eq!(events(&[server.url("1"), other.url("2")], 2), ["1 {\"a\":1}", "empty"]);
    assert!(other.requests.try_recv().is_err());
}

/// What a server says that does not know us.
fn unknown() -> Act {
    plain("401 Unauthorized", "{\"a\":1}\n\n\n\n")
}

/// Only at the beginning, and only if no other URL has anything better to say: whether it has failed otherwise, too.
#[test]
fn a_wrong_password_at_the_beginning() {
    let server = || Server::start(vec![unknown()]);
    for urls in [vec![server().url("1")], vec![server().url("1"), server().url("2")], vec![server().url("1"), dead()]] {
        assert_eq!(events(&urls, 1), ["unauthorized"]);
    }
    let (bad, good) = (server(), Server::start(vec![plain("200 OK", "{}")]));
    assert_eq!(events(&[bad.url("1"), good.url("2")], 3), ["2 {}"; 3]);
    // The manager was down at first.
    let server = Server::start(vec![plain("503 Unavailable", ""), unknown()]);
    assert_eq!(events(&[server.url("1")], 2), ["unauthorized"; 2]);
}

/// Once a document has come it is a failure like others, and is asked again.
#[test]
fn a_wrong_password_later() {
    let server = Server::start(vec![plain("200 OK", "{\"a\":1}"), unknown(), unknown(), plain("200 OK", "{\"a\":2}")]);
    assert_eq!(events(&[server.url("1")], 2), ["1 {\"a\":1}", "1 {\"a\":2}"]);
}

/// When somebody asks who is not answered.
#[test]
fn pauses_grow_while_nobody_has_a_document() {
    let acts = [vec![plain("200 OK", "{}"); 3], vec![plain("404 Not Found", ""); 7], vec![plain("200 OK", "{}"); 3]];
    let server = Server::start(acts.concat());
    let other = Server::start(vec![plain("503 Unavailable", "")]);
    let mut times = Vec::new();
    let (mut left, note) = (6, &mut times);
    events_while(&[server.url("1"), other.url("2")], |_| {
        note.push(Instant::now());
        left -= 1;
        left > 0
    });
    assert_eq!((server.requests.try_iter().count(), other.requests.try_iter().count()), (13, 7));
    let between = |first: usize| times[first + 1].duration_since(times[first]);
    // 5 after the last document, then 5, 10, 20 and four times 40 at least.
    let least = Duration::from_millis(5 + 5 + 10 + 20 + 4 * 40);
    assert!(between(2) >= least, "{:?}", between(2));
}

/// Who has seen that the last document is out of date does not wait for the end of a long pause.
#[test]
fn a_pause_ends_when_somebody_asks() {
    let server = Server::start(vec![plain("404 Not Found", ""), plain("200 OK", "{}")]);
    let hours = Duration::from_secs(36_000);
    let timing = Timing { shortest_pause: hours, longest_pause: 2 * hours, ..TIMING };
    let agent = Agent { urls: vec![server.url("1")], user: String::new(), password: Secret::default() };
    let own = Credentials { user: String::new(), password: String::new() };
    let means = Means { own, proxies: Proxies::default(), timing, refresh: Arc::default(), roots: Roots::default() };
    let (refresh, (send, events)) = (Arc::clone(&means.refresh), channel());
    thread::spawn(move || {
        Client::new(0, &agent, means, 1, move |event| {
            let _ = send.send(event);
            false
        })
        .run()
    });
    let end = Instant::now() + Duration::from_secs(60);
    while events.try_recv().is_err() {
        assert!(Instant::now() < end, "nobody is asked");
        refresh.ask();
        thread::sleep(Duration::from_millis(1));
    }
}

/// A stream may be silent for longer than any other response.
#[test]
fn a_silent_stream_is_left_alone() {
    let mut pieces = chunked(&["{\"a\":1}\n\n\n\n"], false);
    pieces.extend(std::iter::repeat_n(String::new(), 400));
    pieces.extend(chunked(&["{\"a\":2}\n\n\n\n"], true).into_iter().skip(1));
    let server = Server::start(vec![Act::Send(pieces)]);
    assert_eq!(events(&[server.url("s")], 2), ["s {\"a\":1}", "s {\"a\":2}"]);
}

#[test]
fn through_a_proxy_and_with_the_urls_own_credentials() {
    let proxy = Server::start(vec![plain("200 OK", "{}")]);
    let variable = proxy.address.to_string();
    let proxies = Proxies::from_env(&|name| (name == "http_proxy").then(|| variable.clone()));
    let url = Url::parse("http://joe:open@cm.example:8091/p").unwrap();
    let own = Credentials { user: "fred".into(), password: "sesame".into() };
    let means = Means { own, proxies, timing: TIMING, refresh: Arc::default(), roots: Roots::default() };
    assert_eq!(fetch(&url, &means, &mut None, &mut |_| true).unwrap(), b"{}");
    let request = proxy.requests.recv().unwrap();
    assert!(request.starts_with("GET http://cm.example:8091/p HTTP/1.1\r\nHost: cm.example:8091\r\n"), "{request}");
    assert!(request.contains("Authorization: Basic am9lOm9wZW4=\r\n"), "{request}");
}
