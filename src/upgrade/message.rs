//! What the two processes say to each other: a word, and what belongs to it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::protocol::Protocol;

/// What a socket is for. Where it is bound it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Clients of the proxy connect to it.
    Proxy,
    /// Clients of the built-in server connect to it.
    Memcached,
    /// The built-in server receives datagrams from it.
    Datagrams,
    /// Scrapers connect to it (`-Z metrics`).
    Metrics,
}

const ROLES: [(Role, &str); 4] = [
    (Role::Proxy, "proxy"),
    (Role::Memcached, "memcached"),
    (Role::Datagrams, "datagrams"),
    (Role::Metrics, "metrics"),
];

const SPEECH: [(Option<Protocol>, &str); 3] =
    [(None, "undecided"), (Some(Protocol::Ascii), "ascii"), (Some(Protocol::Binary), "binary")];

/// Who serves a client, in words that mean the same in another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seat {
    /// The built-in server.
    Memcached,
    /// A bucket.
    Bucket {
        /// The port of the bucket.
        port: u16,
        /// The agent that it comes from, if one does.
        agent: Option<usize>,
        /// The name of the bucket.
        name: String,
    },
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// With a listening socket that the service manager has opened, under this name; empty: without one.
    Inherited(String),
    /// With a socket.
    Socket(Role),
    /// With the listener of `-s`, and its file.
    Path {
        /// Device and number of the file.
        identity: (u64, u64),
        /// Where it is.
        path: PathBuf,
    },
    /// With the open pid file.
    PidFile(PathBuf),
    /// No more of these will come.
    End,
    /// The new process can serve.
    Ready {
        /// It can take over clients, too.
        takes_clients: bool,
    },
    /// The file of `-z` may have changed since the new process has read it.
    Reread,
    /// The new process is to serve from now on.
    Go,
    /// With the connection of a client that nothing is owed to, and what it speaks, if it has said anything.
    Client(Seat, Option<Protocol>),
}

impl Message {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let with_path = |head: String, path: &Path| [head.as_bytes(), path.as_os_str().as_bytes()].concat();
        match self {
            Message::Inherited(name) => format!("inherited {name}").into_bytes(),
            Message::Socket(role) => {
                let word = ROLES.iter().find(|(own, _)| own == role).map_or("", |(_, word)| word);
                format!("socket {word}").into_bytes()
            }
            Message::Path { identity: (device, number), path } => with_path(format!("path {device} {number} "), path),
            Message::PidFile(path) => with_path("pid-file ".to_owned(), path),
            Message::End => b"end".to_vec(),
            Message::Ready { takes_clients: true } => b"ready clients".to_vec(),
            Message::Ready { takes_clients: false } => b"ready".to_vec(),
            Message::Reread => b"reread".to_vec(),
            Message::Go => b"go".to_vec(),
            Message::Client(seat, protocol) => {
                let word = SPEECH.iter().find(|(own, _)| own == protocol).map_or("", |(_, word)| word);
                match seat {
                    Seat::Memcached => format!("client {word} memcached").into_bytes(),
                    Seat::Bucket { port, agent, name } => {
                        let agent = agent.map_or_else(|| "-".to_owned(), |agent| agent.to_string());
                        format!("client {word} bucket {port} {agent} {name}").into_bytes()
                    }
                }
            }
        }
    }

    /// `None`: another version's, which is ignored.
    pub(super) fn parse(bytes: &[u8]) -> Option<Message> {
        let (word, rest) = split(bytes);
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        Some(match word {
            b"inherited" => Message::Inherited(text(rest)?.to_owned()),
            b"socket" => {
                let word = text(rest)?;
                Message::Socket(ROLES.iter().find(|(_, own)| *own == word)?.0)
            }
            b"path" => {
                let (device, rest) = split(rest);
                let (number, rest) = split(rest);
                Message::Path { identity: (number_of(device)?, number_of(number)?), path: path(rest) }
            }
            b"pid-file" => Message::PidFile(path(rest)),
            b"end" => Message::End,
            b"ready" => Message::Ready { takes_clients: rest.split(|byte| *byte == b' ').any(|it| it == b"clients") },
            b"reread" => Message::Reread,
            b"go" => Message::Go,
            b"client" => {
                let (speech, rest) = split(rest);
                let speech = text(speech)?;
                let protocol = SPEECH.iter().find(|(_, word)| *word == speech)?.0;
                Message::Client(seat(rest)?, protocol)
            }
            _ => return None,
        })
    }
}

fn seat(bytes: &[u8]) -> Option<Seat> {
    let (kind, rest) = split(bytes);
    match kind {
        b"memcached" => Some(Seat::Memcached),
        b"bucket" => {
            let (port, rest) = split(rest);
            let (agent, name) = split(rest);
            let agent = if agent == b"-" { None } else { Some(usize::try_from(number_of(agent)?).ok()?) };
            let port = u16::try_from(number_of(port)?).ok()?;
            Some(Seat::Bucket { port, agent, name: text(name)?.to_owned() })
        }
        _ => None,
    }
}

/// Up to the first blank, and behind it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b' ');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn number_of(bytes: &[u8]) -> Option<u64> {
    text(bytes)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_what_they_were() {
        let bucket = |port, agent, name: &str| Seat::Bucket { port, agent, name: name.to_owned() };
        for message in [
            Message::Inherited(String::new()),
            Message::Inherited("moxi.socket".to_owned()),
            Message::Socket(Role::Proxy),
            Message::Socket(Role::Memcached),
            Message::Socket(Role::Datagrams),
            Message::Socket(Role::Metrics),
            Message::Path { identity: (u64::MAX, 7), path: "/run/a b/moxi.sock".into() },
            Message::PidFile(OsStr::from_bytes(b"/run/\xff moxi.pid").into()),
            Message::End,
            Message::Ready { takes_clients: true },
            Message::Ready { takes_clients: false },
            Message::Reread,
            Message::Go,
            Message::Client(Seat::Memcached, None),
            Message::Client(bucket(11_211, None, "default"), Some(Protocol::Ascii)),
            Message::Client(bucket(1, Some(3), "a name with blanks"), Some(Protocol::Binary)),
            Message::Client(bucket(1, Some(0), ""), None),
        ] {
            assert_eq!(Message::parse(&message.to_bytes()), Some(message));
        }
    }

    #[test]
    fn what_other_versions_say() {
        assert_eq!(Message::parse(b"ready more clients"), Some(Message::Ready { takes_clients: true }));
        for bytes in [
            &b""[..],
            b"stay",
            b"socket of another kind",
            b"client ascii bucket 70000 - a",
            b"client latin memcached",
            b"client",
            b"path x y",
        ] {
            assert_eq!(Message::parse(bytes), None);
        }
    }
}
