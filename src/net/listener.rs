//! Listening sockets (01 §5).

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{Mode, fstat, umask};
use nix::unistd::{Uid, fchownat};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::addresses::bind_all;
use super::inherited::Inherited;
use super::stream::Stream;
use crate::failure::{Failure, GENERAL, reason};
use crate::log;
use crate::upgrade::Role;

/// The send buffer that UDP sockets ask for, in bytes.
const UDP_SEND_BUFFER: usize = 256 << 20;

/// A socket that clients connect to.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// The address of a TCP listener.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        }
    }

    /// Where it listens, for people.
    pub fn place(&self) -> String {
        match self {
            Listener::Tcp(listener) => {
                let port = listener.local_addr().map_or(0, |address| address.port());
                format!("port {port}")
            }
            Listener::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map_or_else(|| "a unix socket".to_owned(), |path| path.display().to_string())
            }
        }
    }

    /// The next client that waits.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, else why it cannot be accepted.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            Listener::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

impl Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.register(registry, token, interest),
            Listener::Unix(listener) => listener.register(registry, token, interest),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.reregister(registry, token, interest),
            Listener::Unix(listener) => listener.reregister(registry, token, interest),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.deregister(registry),
            Listener::Unix(listener) => listener.deregister(registry),
        }
    }
}

/// Where proxy ports are bound.
#[derive(Clone, Debug)]
pub struct Place {
    /// Host name or address (`-l`), or all addresses.
    pub host: Option<String>,
    /// Clients that may wait to be accepted (`-b`).
    pub backlog: i32,
    /// What is bound already.
    pub inherited: Arc<Inherited>,
}

impl Place {
    /// Listens on a proxy port.
    ///
    /// # Errors
    /// A sentence that names what was tried.
    pub fn listen(&self, port: u16) -> Result<Vec<Listener>, String> {
        match self.inherited.for_port(port) {
            Ok(listeners) if listeners.is_empty() => {
                let door = Door { role: Role::Proxy, backlog: self.backlog, inherited: &self.inherited };
                tcp(self.host.as_deref(), port, door)
            }
            Ok(listeners) => Ok(listeners),
            Err(error) => Err(format!("the socket of port {port}: {}", reason(&error))),
        }
    }
}

/// Where a proxy port comes from: what can be changed if it cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A section of the static configuration.
    Section,
    /// The key `port_listen`.
    PortListen,
    /// `-p`, in mcmux mode.
    Flag,
    /// The key `metrics`.
    Metrics,
}

impl Origin {
    /// What to change if the port cannot be had.
    pub fn hint(self) -> &'static str {
        match self {
            Origin::Section => "It is the one before the = of a section in -z.",
            Origin::PortListen => "Please use -Z port_listen=PORT_NUM to specify a different port number.",
            Origin::Flag => "It is the one of -p.",
            Origin::Metrics => "It is the one of -Z metrics.",
        }
    }
}

/// Listens on a proxy port; see [`Place::listen`].
///
/// # Errors
/// The failure says why it cannot, and what to do about it (01 §14).
pub fn proxy(place: &Place, port: u16, origin: Origin) -> Result<Vec<Listener>, Failure> {
    log!(2, "cproxy_listen on port {port}");
    let bound = place.listen(port).map_err(|why| {
        Failure::new(GENERAL, format!("{why}\nERROR: could not listen on port {port}. {}", origin.hint()))
    })?;
    log!(2, "moxi listening on {port} with {} conns", bound.len());
    Ok(bound)
}

/// What a listener is for, besides its address.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    /// Who comes to it.
    pub role: Role,
    /// Clients that may wait to be accepted.
    pub backlog: i32,
    /// What need not be bound.
    pub inherited: &'a Inherited,
}

/// Listens on `port` of every address that `host` has, or of all addresses. Port 0 stands for any free port, the same
/// for all addresses if possible.
///
/// An address whose kind the system does not have is skipped as long as another one is left. One that is in use is an
/// error: clients that connect to it would reach another program.
///
/// # Errors
/// A sentence that names what was tried.
pub fn tcp(host: Option<&str>, port: u16, door: Door<'_>) -> Result<Vec<Listener>, String> {
    let bound = bind_all(host, port, |address| tcp_at(address, door), TcpListener::local_addr)?;
    Ok(bound.into_iter().map(Listener::Tcp).collect())
}

/// Whether [`tcp`] could have `port`. It is bound for a moment; nobody can connect to it.
///
/// # Errors
/// As for [`tcp`].
pub fn is_free(host: Option<&str>, port: u16) -> Result<(), String> {
    let bound_to = |socket: &Socket| socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into());
    bind_all(host, port, bound, bound_to).map(drop)
}

/// Receives datagrams on `port`; everything else as [`tcp`].
///
/// # Errors
/// As for [`tcp`].
pub fn udp(host: Option<&str>, port: u16, inherited: &Inherited) -> Result<Vec<UdpSocket>, String> {
    let at = |address| match inherited.left_at(Role::Datagrams, address) {
        Some(socket) => Ok(socket.into()),
        None => udp_at(address),
    };
    bind_all(host, port, at, UdpSocket::local_addr)
}

fn tcp_at(address: SocketAddr, door: Door<'_>) -> io::Result<TcpListener> {
    let socket = match door.inherited.left_at(door.role, address) {
        Some(socket) => socket,
        None => bound(address)?,
    };
    socket.listen(door.backlog)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // The IPv4 half has a socket of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // On Linux the accepted connections inherit both.
    socket.set_keepalive(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn udp_at(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Unlike the C program, without SO_REUSEADDR: there is no waiting state to pass over, and two programs that both
    // set it share the port without a word, one of them deaf.
    // A reply of many datagrams leaves at once. The system gives as much as it may.
    let _ = socket.set_send_buffer_size(UDP_SEND_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The file of a unix socket, to be removed when the program ends.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and number of the file, to know it again.
    identity: (u64, u64),
}

impl SocketFile {
    /// The file at this path, which is this one.
    pub(super) fn of(path: PathBuf, identity: (u64, u64)) -> SocketFile {
        SocketFile { path, identity }
    }

    /// Where it is, and device and number of the file, to know it again.
    pub fn whereabouts(&self) -> (PathBuf, (u64, u64)) {
        (self.path.clone(), self.identity)
    }

    /// Gives the socket to `user`, whom its permissions are meant for: the C program became that user before it made
    /// the socket. Failure is only logged.
    pub fn give_to(&self, user: Uid) {
        // Through a descriptor: whoever owns the directory could put a link in its place.
        let give = || -> nix::Result<()> {
            let file = open(&self.path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
            let found = fstat(&file)?;
            match (found.st_dev, found.st_ino) == self.identity {
                true => fchownat(&file, "", Some(user), None, AtFlags::AT_EMPTY_PATH),
                false => Ok(()),
            }
        };
        if let Err(errno) = give() {
            log!(0, "WARNING: cannot give the socket {} to its user: {}", self.path.display(), errno.desc());
        }
    }

    /// Removes the file, unless another process has put its own there.
    pub fn remove(self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log!(0, "cannot remove the socket {}: {}", self.path.display(), reason(&error));
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Listens on the unix socket `path`, with the permissions `mask` (0777 at most). A socket that is there
/// already is replaced, unless it was left to us; any other file is not.
///
/// Must be called while the process has one thread: the permissions are set through its umask, so that at
/// no moment the socket is open to more users than it should be.
///
/// # Errors
/// When the path is in use or too long, or the system refuses the socket.
pub fn unix(path: &Path, mask: u32, backlog: i32, inherited: &Inherited) -> io::Result<(Listener, SocketFile)> {
    if let Some(left) = inherited.left_for(path)? {
        return Ok(left);
    }
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    socket.set_nonblocking(true)?;
    let before = umask(Mode::from_bits_truncate(!mask & 0o777));
    let bound = socket.bind(&address);
    umask(before);
    bound?;
    // A daemon leaves the directory that a relative path starts in.
    let file = SocketFile { path: std::path::absolute(path)?, identity: identity(path)? };
    socket.listen(backlog)?;
    Ok((Listener::Unix(UnixListener::from_std(socket.into())), file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::address::SOCKET_PATH_MAX;
    use std::os::unix::fs::PermissionsExt;

    fn door(inherited: &Inherited) -> Door<'_> {
        Door { role: Role::Proxy, backlog: 16, inherited }
    }

    fn port_of(listener: &Listener) -> u16 {
        match listener {
            Listener::Tcp(listener) => listener.local_addr().unwrap().port(),
            Listener::Unix(_) => panic!("not TCP"),
        }
    }

    #[test]
    fn clients_are_accepted() {
        let inherited = Inherited::default();
        let listeners = tcp(Some("127.0.0.1"), 0, door(&inherited)).unwrap();
        let [listener] = listeners.as_slice() else { panic!("one address") };
        let error = listener.accept().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let _client = std::net::TcpStream::connect(("127.0.0.1", port_of(listener))).unwrap();
        assert!(matches!(listener.accept(), Ok(Stream::Tcp(_))));
    }

    #[test]
    fn a_port_in_use_is_named_with_the_real_reason() {
        let inherited = Inherited::default();
        let first = tcp(Some("127.0.0.1"), 0, door(&inherited)).unwrap();
        let port = port_of(&first[0]);
        assert_eq!(
            tcp(Some("127.0.0.1"), port, door(&inherited)).unwrap_err(),
            format!("bind(127.0.0.1:{port}): Address already in use")
        );
    }

    #[test]
    fn a_foreign_address_fails() {
        let error = tcp(Some("192.0.2.1"), 0, door(&Inherited::default())).unwrap_err();
        assert_eq!(error, "bind(192.0.2.1:0): Cannot assign requested address");
    }

    #[test]
    fn unix_sockets_have_the_wanted_permissions_and_are_removed() {
        let inherited = Inherited::default();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (listener, file) = unix(&path, 0o766, 16, &inherited).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o766);
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(matches!(listener.accept(), Ok(Stream::Unix(_))));

        // A socket is replaced; the first owner then leaves the file alone.
        let (_second, second_file) = unix(&path, 0o700, 16, &inherited).unwrap();
        file.remove();
        assert!(path.exists());
        second_file.remove();
        assert!(!path.exists());
    }

    #[test]
    fn other_files_are_not_replaced_and_long_paths_are_an_error() {
        let inherited = Inherited::default();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, "precious").unwrap();
        assert_eq!(unix(&path, 0o700, 16, &inherited).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert!(unix(&directory.path().join("x".repeat(SOCKET_PATH_MAX)), 0o700, 16, &inherited).is_err());
    }
}
