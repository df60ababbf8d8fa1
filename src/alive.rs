//! `--check-alive`: whether something at an address answers as moxi does. For the health checks of containers and
//! scripts, which need an exit code and have no memcached client.
//!
//! It is the version that is asked for: moxi answers that by itself, whatever its servers do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::address::{Address, is_path};
use crate::failure::{Failure, GENERAL, reason};
use crate::protocol::Protocol;
use crate::protocol::binary::packet::{HEADER, Header, REPLY_MAGIC};
use crate::protocol::binary::{command, opcode};
use crate::protocol::keyless::Keyless;

/// How long all of it may take, look-ups of names included.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a port of unknown protocol may be silent to ASCII before it is asked in binary.
const ASCII_PATIENCE: Duration = Duration::from_secs(2);

/// The longest version that is taken for one.
const LONGEST: usize = 255;

/// The longest body of a reply that is waited for.
const LONGEST_BODY: usize = 64 << 10;

/// What messages call the request.
const VERSION: &str = "version";

/// Asks for the version at `address`, in the protocol of `binding`, or in ASCII first and then in binary.
///
/// Returns the line that says so.
///
/// # Errors
/// Why it is not alive.
pub fn check(address: &Address, binding: Option<Protocol>) -> Result<String, Failure> {
    match reach(address, |place, until| ask(place, binding, until)) {
        Ok(version) => Ok(format!("{address} is alive: version {version}\n")),
        Err(why) => Err(Failure::new(GENERAL, format!("{address} is not alive: {why}\n"))),
    }
}

/// Asks at each place that `address` has until one answers. `ask` is told where, and when its time is over; all of it
/// takes 5 seconds at most.
///
/// # Errors
/// Why none has answered; the last one's reason.
pub fn reach<T>(address: &Address, mut ask: impl FnMut(&SockAddr, Instant) -> Result<T, String>) -> Result<T, String> {
    let until = Instant::now() + PATIENCE;
    let places = look_up(address)?;
    let mut why = "it has no address".to_owned();
    for (index, place) in places.iter().enumerate() {
        let shares = u32::try_from(places.len() - index).unwrap_or(1).max(1);
        let share = until.saturating_duration_since(Instant::now()) / shares;
        match ask(place, Instant::now() + share) {
            Ok(answer) => return Ok(answer),
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// Where to connect to. The system's look-up of names has no limit of time, so it has a thread.
fn look_up(address: &Address) -> Result<Vec<SockAddr>, String> {
    if is_path(&address.host) {
        return SockAddr::unix(&address.host).map(|place| vec![place]).map_err(|error| reason(&error));
    }
    let (sender, receiver) = mpsc::channel();
    let (host, port) = (address.host.clone(), address.port);
    let found = thread::Builder::new().name("look-up".to_owned()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>);
        let _ = sender.send(found);
    });
    found.map_err(|error| reason(&error))?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(found) => Ok(found.map_err(|error| reason(&error))?.into_iter().map(SockAddr::from).collect()),
        Err(_) => Err(format!("its name was not found within {} s", PATIENCE.as_secs())),
    }
}

/// The version that is told at `place`, or why none is.
fn ask(place: &SockAddr, binding: Option<Protocol>, until: Instant) -> Result<String, String> {
    match binding {
        Some(Protocol::Ascii) => Conn::open(place, until)?.ascii(),
        Some(Protocol::Binary) => Conn::open(place, until)?.binary(),
        None => {
            // Who does not accept at all need not be asked again.
            let mut conn = Conn::open(place, until)?;
            conn.until = until.min(Instant::now() + ASCII_PATIENCE);
            conn.ascii().or_else(|ascii| {
                Conn::open(place, until)?.binary().map_err(|binary| match ascii == binary {
                    true => ascii,
                    false => format!("{ascii}, and in binary: {binary}"),
                })
            })
        }
    }
}

/// A blocking connection that is given up when its time is over.
#[derive(Debug)]
pub struct Conn {
    socket: Socket,
    /// When its time is over.
    pub(crate) until: Instant,
}

impl Conn {
    /// Connects to `place`. At `until` everything that is done with the connection has failed.
    ///
    /// # Errors
    /// Why it cannot be connected.
    pub fn open(place: &SockAddr, until: Instant) -> Result<Conn, String> {
        let connect = || {
            let socket = Socket::new(Domain::from(i32::from(place.family())), Type::STREAM, None)?;
            let conn = Conn { socket, until };
            let left = conn.left()?;
            if place.is_unix() {
                // Limits the wait for a place in a full queue, too.
                conn.socket.set_write_timeout(Some(left))?;
                conn.socket.connect(place)?;
            } else {
                conn.socket.connect_timeout(place, left)?;
            }
            conn.left()?;
            Ok(conn)
        };
        connect().map_err(|error| words(&error))
    }

    /// The time that is left. None is an error.
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    /// Sends all of it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut send = || {
            let left = self.left()?;
            self.socket.set_write_timeout(Some(left))?;
            self.socket.write_all(bytes)
        };
        send().map_err(|error| words(&error))
    }

    /// Appends to `bytes` until `is_enough`. The end comes before that when the peer ends the connection.
    pub(crate) fn receive(&mut self, bytes: &mut Vec<u8>, is_enough: impl Fn(&[u8]) -> bool) -> Result<(), String> {
        let mut receive = || {
            while !is_enough(bytes) {
                let left = self.left()?;
                self.socket.set_read_timeout(Some(left))?;
                let mut piece = [0; LONGEST];
                match self.socket.read(&mut piece) {
                    Ok(0) => break,
                    Ok(count) => bytes.extend(piece.iter().take(count)),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        receive().map_err(|error| words(&error))
    }

    /// The version that is told in ASCII.
    ///
    /// # Errors
    /// Why none is.
    pub fn ascii(mut self) -> Result<String, String> {
        self.send(b"version\r\n")?;
        let mut reply = Vec::new();
        self.receive(&mut reply, |bytes| bytes.contains(&b'\n') || bytes.len() > LONGEST)?;
        let version = reply.strip_prefix(b"VERSION ").and_then(|rest| rest.strip_suffix(b"\r\n"));
        version.map(|version| version.escape_ascii().to_string()).ok_or_else(|| odd(&reply, VERSION))
    }

    /// The version that is told in binary.
    ///
    /// # Errors
    /// Why none is.
    pub fn binary(mut self) -> Result<String, String> {
        let mut request = Vec::new();
        command::keyless(&mut request, &Keyless::Version);
        let reply = self.exchange(&request, opcode::VERSION, VERSION)?;
        let is_version = reply.header.vbucket_or_status == 0 && reply.body().len() <= LONGEST;
        match is_version {
            true => Ok(reply.body().escape_ascii().to_string()),
            false => Err(odd(&reply.bytes, VERSION)),
        }
    }

    /// Sends a packet, and takes the reply to it. `name` is what messages call the request.
    ///
    /// # Errors
    /// When none comes, or something else.
    pub fn exchange(&mut self, request: &[u8], opcode: u8, name: &str) -> Result<Reply, String> {
        self.send(request)?;
        let mut bytes = Vec::new();
        self.receive(&mut bytes, |bytes| bytes.len() >= HEADER)?;
        let Some(head) = bytes.first_chunk::<HEADER>() else { return Err(odd(&bytes, name)) };
        let header = Header::parse(head);
        let length = usize::try_from(header.body_len).unwrap_or(usize::MAX);
        if (head[0], header.opcode) != (REPLY_MAGIC, opcode) || length > LONGEST_BODY {
            return Err(odd(&bytes, name));
        }
        self.receive(&mut bytes, |bytes| bytes.len() >= HEADER + length)?;
        match bytes.len() < HEADER + length {
            true => Err(odd(&bytes, name)),
            false => Ok(Reply { header, bytes }),
        }
    }
}

/// A packet that was answered.
#[derive(Debug)]
pub struct Reply {
    /// Its header.
    pub header: Header,
    /// All of it.
    bytes: Vec<u8>,
}

impl Reply {
    /// What follows the header.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or(&[])
    }
}

/// What to say of a reply that is none to the request called `name`.
pub(crate) fn odd(reply: &[u8], name: &str) -> String {
    match reply {
        [] => "it closes the connection without an answer".to_owned(),
        _ => {
            let start = reply.get(..60).unwrap_or(reply);
            format!("its answer to \"{name}\" is \"{}\"", start.escape_ascii())
        }
    }
}

/// What to say of an error.
fn words(error: &io::Error) -> String {
    match error.kind() {
        // The limits of time of a socket end in the second one.
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "no answer in time".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => odd(&[], VERSION),
        _ => reason(error),
    }
}
