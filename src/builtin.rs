//! The built-in server ([`memcached`](crate::memcached)) as the command line wants it: its settings and its sockets
//! (01 §5).

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

use crate::cli::{Options, ServerPort};
use crate::failure::{Failure, SYSTEM, reason};
use crate::log;
use crate::memcached::Settings;
use crate::net::inherited::Inherited;
use crate::net::listener::{self, Door, Listener, SocketFile};
use crate::net::port_file;
use crate::protocol::Protocol;
use crate::upgrade::Role;

/// Names the file that the server's ports are written to.
pub const PORT_FILE: &str = "MEMCACHED_PORT_FILENAME";
/// Bytes that count as used from the beginning, a test aid of memcached's.
pub const INITIAL_MALLOC: &str = "T_MEMD_INITIAL_MALLOC";

/// What `stats settings` shows for a port that was not given.
const UNSET: i32 = -2;

/// The sockets of the built-in server.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Where its clients connect.
    pub listeners: Vec<Listener>,
    /// Where its datagrams arrive.
    pub udp: Vec<UdpSocket>,
    /// The file of its unix socket.
    pub file: Option<SocketFile>,
}

/// Whether the options ask for the built-in server. `has_cluster`: there is a cluster configuration, too; a unix
/// socket is the proxy's then. In mcmux mode so is the TCP port.
pub fn is_wanted(options: &Options, has_cluster: bool) -> bool {
    let ports = [options.tcp_port.filter(|_| !options.mcmux), options.udp_port];
    if options.socket.is_some() {
        return !has_cluster && !options.mcmux && ports.iter().any(Option::is_some);
    }
    ports.iter().flatten().any(|port| port.is_on())
}

/// Binds everything that clients of the built-in server connect to: TCP, UDP, or the unix socket in their place.
///
/// # Errors
/// When a port or the unix socket cannot be had.
pub fn bind(options: &Options, inherited: &Inherited) -> Result<Sockets, Failure> {
    if let Some(path) = &options.socket {
        let (listener, file) = unix(options, path, inherited)?;
        return Ok(Sockets { listeners: vec![listener], udp: Vec::new(), file: Some(file) });
    }
    let host = options.listen.as_deref();
    let failed = |kind: &str, port: u16, why: String| {
        Failure::new(SYSTEM, format!("failed to listen on {kind} port {port}: {why}"))
    };
    let mut sockets = Sockets::default();
    if let Some(port) = number(options.tcp_port).filter(|_| !options.mcmux) {
        let door = Door { role: Role::Memcached, backlog: options.backlog, inherited };
        sockets.listeners = listener::tcp(host, port, door).map_err(|why| failed("TCP", port, why))?;
    }
    if let Some(port) = number(options.udp_port) {
        sockets.udp = listener::udp(host, port, inherited).map_err(|why| failed("UDP", port, why))?;
    }
    Ok(sockets)
}

/// Listens on the unix socket.
///
/// # Errors
/// When it cannot be had.
pub fn unix(options: &Options, path: &Path, inherited: &Inherited) -> Result<(Listener, SocketFile), Failure> {
    listener::unix(path, options.socket_mode, options.backlog, inherited).map_err(|error| {
        let why = reason(&error);
        Failure::new(SYSTEM, format!("failed to listen on UNIX socket: {}: {why}", path.display()))
    })
}

/// The port of mcmux mode's clients; 0 for any, and if there is a unix socket instead.
pub fn mcmux_port(options: &Options) -> u16 {
    number(options.tcp_port).filter(|_| options.socket.is_none()).unwrap_or(0)
}

/// The port to bind, 0 for any.
fn number(port: Option<ServerPort>) -> Option<u16> {
    match port? {
        ServerPort::Off => None,
        ServerPort::Ephemeral => Some(0),
        ServerPort::Fixed(port) => Some(port),
    }
}

/// Writes the ports of the server to the file that the environment names. Failure is only logged.
pub fn write_ports(sockets: &Sockets, path: &Path) {
    let tcp: Vec<SocketAddr> = sockets.listeners.iter().filter_map(Listener::address).collect();
    let udp: Vec<SocketAddr> = sockets.udp.iter().filter_map(|socket| socket.local_addr().ok()).collect();
    if let Err(error) = port_file::write(path, &tcp, &udp) {
        log!(0, "Failed to open \"{}\": {}", port_file::draft(path).display(), reason(&error));
    }
}

/// The server's settings. `initial_malloced` is the value of [`INITIAL_MALLOC`].
pub fn settings(options: &Options, initial_malloced: Option<&str>) -> Settings {
    Settings {
        memory: options.memory,
        initial_malloced: initial_malloced.and_then(|text| text.trim().parse().ok()).unwrap_or(0),
        evict: options.evict,
        cas: options.cas,
        growth_factor: options.growth_factor,
        chunk_size: options.chunk_size,
        prefix_delimiter: options.prefix_delimiter.unwrap_or(b':'),
        detail: options.prefix_delimiter.is_some(),
        connections: options.connections,
        tcp_port: shown(options.tcp_port),
        udp_port: shown(options.udp_port),
        listen: options.listen.clone(),
        socket: options.socket.as_ref().map(|path| path.display().to_string()),
        socket_mode: options.socket_mode,
        threads: options.threads.saturating_add(1),
        requests_per_turn: options.requests_per_turn,
        backlog: options.backlog,
        binding: match options.binding {
            None => "auto-negotiate",
            Some(Protocol::Ascii) => "ascii",
            Some(Protocol::Binary) => "binary",
        },
    }
}

fn shown(port: Option<ServerPort>) -> i32 {
    match port {
        None => UNSET,
        Some(ServerPort::Off) => 0,
        Some(ServerPort::Ephemeral) => -1,
        Some(ServerPort::Fixed(port)) => i32::from(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_the_server() {
        let wanted = |tcp, udp, socket: Option<&str>, has_cluster| {
            let options =
                Options { tcp_port: tcp, udp_port: udp, socket: socket.map(Into::into), ..Options::default() };
            is_wanted(&options, has_cluster)
        };
        let port = Some(ServerPort::Fixed(11311));
        assert!(wanted(port, None, None, false));
        assert!(wanted(port, None, None, true));
        assert!(wanted(None, port, None, false));
        assert!(wanted(Some(ServerPort::Ephemeral), Some(ServerPort::Off), None, false));
        assert!(!wanted(None, None, None, false));
        assert!(!wanted(Some(ServerPort::Off), Some(ServerPort::Off), None, true));
        assert!(wanted(port, None, Some("s"), false));
        assert!(!wanted(port, None, Some("s"), true));
        assert!(!wanted(None, None, Some("s"), false));
    }

    #[test]
    fn settings_show_what_was_asked_for() {
        let options = Options { tcp_port: Some(ServerPort::Ephemeral), ..Options::default() };
        let settings = settings(&options, Some("4294967328"));
        assert_eq!((settings.tcp_port, settings.udp_port, settings.threads), (-1, -2, 5));
        assert_eq!((settings.initial_malloced, settings.detail), (4_294_967_328, false));
    }
}
