//! Every way a request can fail without a server's answer, and what the client is told (03 §9.1, 04 §11.1).

use crate::protocol::ascii::answer;
use crate::protocol::binary::opcode::status;
use crate::protocol::status::text;

/// Why moxi itself answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No place among the bucket's concurrent requests within `wait_queue_timeout`.
    WaitQueue,
    /// Behind other requests on a server connection for `downstream_conn_queue_timeout`.
    ConnQueue,
    /// Sent, and not answered within `downstream_timeout`.
    Timeout,
    /// The server could not be connected, or refused the user or the bucket.
    Connect,
    /// No attempt was made: the server is suspended, its name has no address, or the key's vbucket has no master.
    NoServer,
    /// The connection was lost before the answer.
    Closed,
    /// The bucket has no servers.
    NoDownstreams,
    /// The client has not said which bucket it wants.
    NullBucket,
}

/// One row of the failure table.
struct Row {
    text: &'static str,
    /// Whether the server's host follows the text, where the request had a single server.
    host: bool,
    status: u16,
    log: &'static str,
}

impl Failure {
    /// Whether it has taken as long as the client may have to wait.
    pub fn is_overdue(self) -> bool {
        matches!(self, Failure::WaitQueue | Failure::ConnQueue | Failure::Timeout)
    }

    fn row(self) -> Row {
        let row = |text, host, status, log| Row { text, host, status, log };
        match self {
            Failure::WaitQueue => row("SERVER_ERROR proxy wait queue timeout", false, status::BUSY, "wait queue"),
            Failure::ConnQueue => row("SERVER_ERROR proxy downstream timeout", false, status::BUSY, "connection queue"),
            Failure::Timeout => row("SERVER_ERROR proxy downstream timeout", true, status::BUSY, "reply"),
            Failure::Connect => row("SERVER_ERROR proxy write to downstream", true, status::INTERNAL, "connect"),
            Failure::NoServer => row("SERVER_ERROR proxy write to downstream", false, status::INTERNAL, "no server"),
            Failure::Closed => row("SERVER_ERROR proxy downstream closed", true, status::INTERNAL, "connection lost"),
            Failure::NullBucket => {
                row("SERVER_ERROR unauthorized, null bucket", false, status::AUTH_ERROR, "no bucket")
            }
            Failure::NoDownstreams => {
                row("SERVER_ERROR proxy out of downstreams", false, status::INTERNAL, "no servers")
            }
        }
    }

    /// Appends the text of the ASCII line, without a server's name and without the line's end.
    pub fn write_text(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.row().text.as_bytes());
    }

    /// Appends the ASCII line, naming `host` where the table says so.
    pub fn write_ascii(self, out: &mut Vec<u8>, host: Option<&str>) {
        let row = self.row();
        out.extend_from_slice(row.text.as_bytes());
        if let Some(host) = host.filter(|_| row.host) {
            out.push(b' ');
            out.extend_from_slice(host.as_bytes());
        }
        answer::line(out, b""); // all of it is there
    }

    /// The status of the binary reply.
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// Appends the body of the binary reply: the usual text of the status, or the ASCII line where that says more.
    pub fn write_body(self, out: &mut Vec<u8>, host: Option<&str>) {
        match self.status() {
            status::INTERNAL | status::BUSY => self.write_ascii(out, host),
            other => out.extend_from_slice(text(other).as_bytes()),
        }
    }

    /// The phase in which the request failed, for the log.
    pub fn phase(self) -> &'static str {
        self.row().log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_documented_ones() {
        let line = |failure: Failure| {
            let mut out = Vec::new();
            failure.write_ascii(&mut out, Some("db1"));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(Failure::WaitQueue), "SERVER_ERROR proxy wait queue timeout\r\n");
        assert_eq!(line(Failure::ConnQueue), "SERVER_ERROR proxy downstream timeout\r\n");
        assert_eq!(line(Failure::Timeout), "SERVER_ERROR proxy downstream timeout db1\r\n");
        assert_eq!(line(Failure::Connect), "SERVER_ERROR proxy write to downstream db1\r\n");
        assert_eq!(line(Failure::NoServer), "SERVER_ERROR proxy write to downstream\r\n");
        assert_eq!(line(Failure::Closed), "SERVER_ERROR proxy downstream closed db1\r\n");
        assert_eq!(line(Failure::NoDownstreams), "SERVER_ERROR proxy out of downstreams\r\n");
        assert_eq!((Failure::Timeout.status(), Failure::Closed.status()), (0x85, 0x84));
    }
}
