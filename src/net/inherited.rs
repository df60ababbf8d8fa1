//! Listening sockets that the service manager has opened (sd_listen_fds(3)): clients can connect before we run, and
//! while we are started again.
//!
//! A TCP socket stands for the proxy port that it is bound to, a unix socket for the one of `-s`. One whose name
//! (`FileDescriptorName=`) is a number stands for that proxy port, whatever it is bound to.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use mio::net::{TcpListener, UnixListener};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use socket2::{Domain, Socket, Type};

use super::listener::Listener;
use crate::failure::{Failure, GENERAL, reason};

/// The sockets. They stay open: a port that is closed and opened again is the same socket.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    socket: Socket,
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
        let given = given.into_iter().enumerate().map(|(index, (name, descriptor))| {
            let label = format!("descriptor {} ({})", index + 3, name.as_deref().unwrap_or("without a name"));
            Given::new(name.as_deref(), Socket::from(descriptor.into_std()), label)
        });
        Ok(Inherited { sockets: given.collect::<Result<_, _>>()? })
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
        Ok(Given { socket, use_, label })
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
        let all = Inherited { sockets: vec![given(None, unix()).unwrap()] };
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
        let all = Inherited { sockets: vec![given(None, socket).unwrap()] };
        drop(all.for_port(port).unwrap());
        let listeners = all.for_port(port).unwrap();
        let _client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(listeners.first().is_some_and(|listener| listener.accept().is_ok()));
        assert_eq!(all.for_port(port.wrapping_add(1)).unwrap().len(), 0);
    }
}
