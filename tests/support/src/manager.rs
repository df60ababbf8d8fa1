//! A scripted cluster manager: the test decides when a request is taken and what is said to it, piece by piece.

use std::time::Duration;

use crate::mock::Mock;
use crate::wire::Wire;

/// A cluster manager on a port of the kernel's choice.
#[derive(Debug, Default)]
pub struct Manager {
    mock: Mock,
}

impl Manager {
    /// Starts to listen.
    pub fn new() -> Manager {
        Manager::default()
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.mock.port())
    }

    /// `HOST:PORT` of it.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.mock.port())
    }

    /// Takes the next request.
    pub fn accept(&self) -> Exchange {
        self.exchange(self.mock.accept())
    }

    /// Takes the next request if somebody connects within `time`.
    pub fn try_accept(&self, time: Duration) -> Option<Exchange> {
        self.mock.try_accept(time).map(|wire| self.exchange(wire))
    }

    fn exchange(&self, mut wire: Wire) -> Exchange {
        wire.rename(format!("manager {}", self.mock.port()));
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            request.push_str(&String::from_utf8_lossy(&wire.line()));
        }
        Exchange { wire, request }
    }

    /// Takes the next request and begins a stream.
    pub fn stream(&self) -> Exchange {
        let mut exchange = self.accept();
        exchange.begin_stream();
        exchange
    }

    /// Takes the next request and answers it with a body of known length.
    pub fn answer(&self, status: &str, body: &str) -> Exchange {
        let mut exchange = self.accept();
        exchange.send(&format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        exchange
    }
}

/// A request, and the connection it came on.
#[derive(Debug)]
pub struct Exchange {
    wire: Wire,
    /// The request's bytes.
    pub request: String,
}

impl Exchange {
    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &str) {
        self.wire.send_into_the_dark(bytes);
    }

    /// Begins a stream.
    pub fn begin_stream(&mut self) {
        self.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    }

    /// Requires that moxi closes the connection.
    pub fn expect_closed(&mut self) {
        self.wire.expect_closed();
    }

    /// Whether moxi has closed the connection, as far as is known here and now.
    pub fn is_closed(&mut self) -> bool {
        self.wire.is_closed()
    }

    /// Sends a chunk of a stream.
    pub fn chunk(&mut self, text: &str) {
        self.send(&format!("{:x}\r\n{text}\r\n", text.len()));
    }

    /// Sends a document as cluster managers do it: one chunk, and its delimiter as another.
    pub fn document(&mut self, text: &str) {
        self.chunk(text);
        self.chunk("\n\n\n\n");
    }

    /// Ends the stream as it should be, and the connection with it.
    pub fn end(mut self) {
        self.send("0\r\n\r\n");
        self.wire.close();
    }

    /// Ends it in the middle.
    pub fn cut(self) {
        self.wire.close();
    }
}
