//! Sockets that were open before this process was.
//!
//! Listening sockets that the service manager has opened (sd_listen_fds(3)): clients can connect before we run, and while
//! we are started again. A TCP socket stands for the proxy port that it is bound to, a unix socket for the one of `-s`.
//! One whose name (`FileDescriptorName=`) is a number stands for that proxy port, whatever it is bound to.
//!
//! And all sockets of a process whose place this one takes ([`upgrade`](crate::upgrade)), those of its service manager
//! included. They are taken in place of binding the same address again.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mio::net::{TcpListener, UnixListener};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use socket2::{Domain, Socket, Type};

use super::listener::{Listener, SocketFile};
use crate::failure::{Failure, GENERAL, reason};
use crate::upgrade::{Estate, Role};

/// The sockets.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The service manager's. They stay open: a port that is closed and opened again is the same socket.
    sockets: Vec<Given>,
    /// Those of the process whose place this one takes, as long as nobody has asked for them.
    left: Mutex<Left>,
}

/// What another process has left.
#[derive(Debug, Default)]
struct Left {
    sockets: Vec<(Role, Socket)>,
    path: Option<(PathBuf, (u64, u64), OwnedFd)>,
}

#[derive(Debug)]
struct Given {
    socket: Socket,
    /// As the service manager has it.
    name: Option<String>,
    use_: Use,
    /// For messages.
    label: String,
}

/// What a socket is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Use {
    /// The clients of this proxy port.
    Port(u16),
    /// Those of `-s`.
    Path(PathBuf),
}

impl Inherited {
    /// Takes the sockets that the environment announces. To be called once, at the start.
    ///
    /// # Errors
    /// When one of them is not a listening socket for connections.
    pub fn take() -> Result<Inherited, Failure> {
        let given =
            sd_listen_fds::get().map_err(|error| Failure::new(GENERAL, format!("ERROR: LISTEN_FDS: {error}")))?;
        Inherited::given(given.into_iter().map(|(name, descriptor)| (name, descriptor.into_std())))
    }

    /// What another process has left.
    ///
    /// # Errors
    /// When a socket of the service manager is none for connections.
    pub fn from_estate(estate: Estate) -> Result<Inherited, Failure> {
        let mut all = Inherited::given(estate.inherited.into_iter())?;
        let sockets = estate.sockets.into_iter().map(|(role, descriptor)| (role, Socket::from(descriptor)));
        all.left = Mutex::new(Left { sockets: sockets.collect(), path: estate.path });
        Ok(all)
    }

    fn given(sockets: impl Iterator<Item = (Option<String>, OwnedFd)>) -> Result<Inherited, Failure> {
        let given = sockets.zip(3u32..).map(|((name, descriptor), number)| {
            let label = format!("descriptor {number} ({})", name.as_deref().unwrap_or("without a name"));
            Given::new(name.as_deref(), Socket::from(descriptor), label)
        });
        Ok(Inherited { sockets: given.collect::<Result<_, _>>()?, left: Mutex::default() })
    }

    /// Those of the service manager, and their names: for a process that takes our place.
    pub fn all_given(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.sockets.iter().map(|given| (given.name.as_deref().unwrap_or_default(), given.socket.as_fd()))
    }

    /// The socket that another process has left for this address; port 0 is any.
    pub(super) fn left_at(&self, role: Role, address: SocketAddr) -> Option<Socket> {
        let is_it = |(own, socket): &(Role, Socket)| {
            let bound = socket.local_addr().ok().and_then(|bound| bound.as_socket());
            *own == role
                && bound.is_some_and(|bound| {
                    bound.ip() == address.ip() && (bound.port() == address.port() || address.port() == 0)
                })
        };
        let left = &mut self.left.lock().unwrap_or_else(PoisonError::into_inner).sockets;
        let at = left.iter().position(is_it)?;
        Some(left.swap_remove(at).1)
    }

    /// The listener that another process has left for this path, with its file, which is ours from now on.
    ///
    /// # Errors
    /// When it does not take the settings of our own.
    pub(super) fn left_for(&self, path: &Path) -> io::Result<Option<(Listener, SocketFile)>> {
        let wanted = std::path::absolute(path)?;
        let left = &mut self.left.lock().unwrap_or_else(PoisonError::into_inner).path;
        let Some((path, identity, descriptor)) = left.take_if(|(path, ..)| *path == wanted) else { return Ok(None) };
        let socket = Socket::from(descriptor);
        socket.set_nonblocking(true)?;
        Ok(Some((Listener::Unix(UnixListener::from_std(socket.into())), SocketFile::of(path, identity))))
    }

    /// Closes what another process has left and nobody has asked for.
    pub fn forget_left(&self) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Left::default();
    }

    /// The listeners for the clients of a proxy port; none if it is to be bound as usual.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn for_port(&self, port: u16) -> io::Result<Vec<Listener>> {
        self.sockets.iter().filter(|given| given.use_ == Use::Port(port)).map(Given::listener).collect()
    }

    /// The listener for `-s`.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn for_path(&self, path: &Path) -> io::Result<Option<Listener>> {
        let wanted = std::path::absolute(path)?;
        let given = self.sockets.iter().find(|given| matches!(&given.use_, Use::Path(path) if *path == wanted));
        given.map(Given::listener).transpose()
    }

    /// Whether all of them are of use to a configuration with these ports, or to `-s`.
    ///
    /// # Errors
    /// When one is not: its clients would wait for ever.
    pub fn check(&self, ports: &[u16], socket: Option<&Path>) -> Result<(), Failure> {
        let socket = socket.and_then(|path| std::path::absolute(path).ok());
        let stray = self.sockets.iter().find(|given| match &given.use_ {
            Use::Port(port) => !ports.contains(port),
            Use::Path(path) => socket.as_ref() != Some(path),
        });
        stray.map_or(Ok(()), |given| {
            let what = match &given.use_ {
                Use::Port(port) => format!("port {port}, which the configuration does not have"),
                Use::Path(path) => format!("{}, which is not that of -s, and its name is no port", path.display()),
            };
            Err(Failure::new(GENERAL, format!("ERROR: LISTEN_FDS: {} is for {what}", given.label)))
        })
    }
}

impl Given {
    fn new(name: Option<&str>, socket: Socket, label: String) -> Result<Given, Failure> {
        let failed = |what: &str| Failure::new(GENERAL, format!("ERROR: LISTEN_FDS: {label} {what}"));
        // A process that we might start has no use for it. This also tells whether there is one at all.
        fcntl(socket.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|errno| failed(errno.desc()))?;
        let is_listener = socket.is_listener().unwrap_or(false) && socket.r#type().is_ok_and(|it| it == Type::STREAM);
        let address = socket.local_addr().ok().filter(|_| is_listener);
        let address = address.ok_or_else(|| failed("is no socket that listens for connections"))?;
        let named = name.and_then(|name| name.parse().ok()).filter(|port| *port != 0).map(Use::Port);
        let bound = match (address.domain(), address.as_socket(), address.as_pathname()) {
            (Domain::IPV4 | Domain::IPV6, Some(address), _) => Some(Use::Port(address.port())),
            (Domain::UNIX, _, path) => path.and_then(|path| std::path::absolute(path).ok()).map(Use::Path),
            _ => return Err(failed("is neither a TCP nor a unix socket")),
        };
        let use_ = named.or(bound).ok_or_else(|| failed("is a unix socket without a path, and its name is no port"))?;
        settle(&socket, !address.is_unix()).map_err(|error| failed(&error))?;
        Ok(Given { socket, name: name.map(str::to_owned), use_, label })
    }

    fn listener(&self) -> io::Result<Listener> {
        let socket = self.socket.try_clone()?;
        Ok(match self.socket.local_addr()?.is_unix() {
            true => Listener::Unix(UnixListener::from_std(socket.into())),
            false => Listener::Tcp(TcpListener::from_std(socket.into())),
        })
    }
}

/// Sets what the sockets of our own have. Accepted connections inherit it on Linux.
fn settle(socket: &Socket, is_tcp: bool) -> Result<(), String> {
    let set = || -> io::Result<()> {
        socket.set_nonblocking(true)?;
        if is_tcp {
            socket.set_keepalive(true)?;
            socket.set_tcp_nodelay(true)?;
        }
        Ok(())
    };
    set().map_err(|error| reason(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: Option<&str>, socket: Socket) -> Result<Given, Failure> {
        Given::new(name, socket, "descriptor 3".to_owned())
    }

    fn tcp() -> (Socket, u16) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener.into(), port)
    }

    #[test]
    fn what_sockets_are_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let unix = || {
            let _ = std::fs::remove_file(&path);
            Socket::from(std::os::unix::net::UnixListener::bind(&path).unwrap())
        };
        let (socket, port) = tcp();
        assert_eq!(given(Some("moxi.socket"), socket).unwrap().use_, Use::Port(port));
        assert_eq!(given(Some("11311"), tcp().0).unwrap().use_, Use::Port(11311));
        assert_eq!(given(Some("11311"), unix()).unwrap().use_, Use::Port(11311));
        assert_eq!(given(Some("0"), unix()).unwrap().use_, Use::Path(path.clone()));
        let all = Inherited { sockets: vec![given(None, unix()).unwrap()], ..Inherited::default() };
        assert!(all.for_path(&path).unwrap().is_some() && all.for_path(Path::new("/x")).unwrap().is_none());
        assert!(all.check(&[], Some(&path)).is_ok() && all.check(&[11311], None).is_err());
    }

    #[test]
    fn what_is_no_listener() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
        for socket in [Socket::from(one), Socket::from(udp), Socket::from(datagrams)] {
            let failure = given(Some("11211"), socket).unwrap_err();
            let message = "ERROR: LISTEN_FDS: descriptor 3 is no socket that listens for connections";
            assert_eq!(failure, Failure::new(GENERAL, message));
        }
    }

    #[test]
    fn a_port_is_the_same_socket_again() {
        let (socket, port) = tcp();
        let all = Inherited { sockets: vec![given(None, socket).unwrap()], ..Inherited::default() };
        drop(all.for_port(port).unwrap());
        let listeners = all.for_port(port).unwrap();
        let _client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(listeners.first().is_some_and(|listener| listener.accept().is_ok()));
        assert_eq!(all.for_port(port.wrapping_add(1)).unwrap().len(), 0);
    }

    #[test]
    fn what_another_process_has_left_is_found_once() {
        let (socket, port) = tcp();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let datagrams = udp.local_addr().unwrap();
        let sockets = vec![(Role::Proxy, OwnedFd::from(socket)), (Role::Datagrams, OwnedFd::from(udp))];
        let all = Inherited::from_estate(Estate { sockets, ..Estate::default() }).unwrap();
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        for (role, other) in [
            (Role::Memcached, address(port)),
            (Role::Proxy, address(port.wrapping_add(1))),
            (Role::Proxy, SocketAddr::from(([127, 0, 0, 2], port))),
            (Role::Proxy, datagrams),
        ] {
            assert!(all.left_at(role, other).is_none(), "{role:?} {other}");
        }
        assert!(all.left_at(Role::Proxy, address(port)).is_some());
        assert!(all.left_at(Role::Proxy, address(port)).is_none());
        assert!(all.left_at(Role::Datagrams, address(0)).is_some());
    }

    #[test]
    fn a_path_is_left_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (listener, _file) = super::super::listener::unix(&path, 0o700, 1, &Inherited::default()).unwrap();
        let Listener::Unix(listener) = listener else { panic!("a unix socket") };
        let found = std::fs::symlink_metadata(&path).unwrap();
        let identity = (std::os::unix::fs::MetadataExt::dev(&found), std::os::unix::fs::MetadataExt::ino(&found));
        let estate = Estate { path: Some((path.clone(), identity, listener.into())), ..Estate::default() };
        let all = Inherited::from_estate(estate).unwrap();
        assert!(all.left_for(&directory.path().join("t")).unwrap().is_none());
        let (_listener, file) = all.left_for(&path).unwrap().unwrap();
        assert!(all.left_for(&path).unwrap().is_none());
        file.remove();
        assert!(!path.exists());
    }
}
