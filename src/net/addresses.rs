//! Binding a port of all addresses that there are.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use nix::errno::Errno;

use crate::failure::reason;
use crate::log;

/// How often a port that is free on all addresses is looked for, before each address has one of its own.
const ANY_PORT_TRIES: u32 = 16;

/// Binds to `port` of every address of `host`, or of all addresses, with `bind`; `bound_to` tells where a socket is.
pub(super) fn bind_all<T>(
    host: Option<&str>,
    port: u16,
    mut bind: impl FnMut(SocketAddr) -> io::Result<T>,
    bound_to: impl Fn(&T) -> io::Result<SocketAddr>,
) -> Result<Vec<T>, String> {
    let addresses = addresses(host, port)?;
    if port != 0 {
        return bind_each(&addresses, &mut bind).finish();
    }
    // A port that the first address has free may be another's on the second.
    for _ in 0..ANY_PORT_TRIES {
        let mut chosen = 0;
        let mut bind_same = |mut address: SocketAddr| {
            address.set_port(chosen);
            let socket = bind(address)?;
            chosen = bound_to(&socket).map_or(0, |address| address.port());
            Ok(socket)
        };
        let bound = bind_each(&addresses, &mut bind_same);
        if bound.in_use.is_empty() {
            return bound.finish();
        }
    }
    bind_each(&addresses, &mut bind).finish()
}

/// What became of an attempt to bind several addresses.
struct Bound<T> {
    sockets: Vec<T>,
    /// Where they are.
    at: Vec<SocketAddr>,
    /// Addresses that somebody else has.
    in_use: Vec<String>,
    /// Those whose kind the system does not have.
    skipped: Vec<String>,
    /// What went wrong otherwise; it ended the attempt.
    failed: Option<String>,
}

fn bind_each<T>(addresses: &[SocketAddr], bind: &mut impl FnMut(SocketAddr) -> io::Result<T>) -> Bound<T> {
    let mut all = Bound { sockets: Vec::new(), at: Vec::new(), in_use: Vec::new(), skipped: Vec::new(), failed: None };
    for address in addresses {
        match bind(*address) {
            Ok(socket) => {
                all.sockets.push(socket);
                all.at.push(*address);
            }
            Err(error) => {
                let what = format!("bind({address}): {}", reason(&error));
                match obstacle(&error, address) {
                    Obstacle::InUse => all.in_use.push(what),
                    Obstacle::NoSuchKind => all.skipped.push(what),
                    Obstacle::Other => {
                        all.failed = Some(what);
                        return all;
                    }
                }
            }
        }
    }
    all
}

impl<T> Bound<T> {
    /// All sockets, or why not.
    fn finish(self) -> Result<Vec<T>, String> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if !self.in_use.is_empty() {
            let mut why = self.in_use.join(", ");
            // Who does not want the other family can say so.
            if let Some(free) = self.at.first() {
                why.push_str(&format!(", by another program; {free} is free: -l {} listens only there", free.ip()));
            }
            return Err(why);
        }
        if self.sockets.is_empty() {
            return Err(self.skipped.join(", "));
        }
        for what in self.skipped {
            log!(1, "{what}");
        }
        Ok(self.sockets)
    }
}

/// The addresses of `host`, each once.
fn addresses(host: Option<&str>, port: u16) -> Result<Vec<SocketAddr>, String> {
    let Some(host) = host else {
        return Ok(vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]);
    };
    let found = (host, port).to_socket_addrs().map_err(|error| {
        let why = reason(&error);
        format!("getaddrinfo({host}), for port {port}: {why}")
    })?;
    let mut unique = Vec::new();
    for address in found {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    if unique.is_empty() {
        return Err(format!("getaddrinfo({host}), for port {port}: no addresses"));
    }
    Ok(unique)
}

/// Why an address cannot be bound.
#[derive(Debug, PartialEq, Eq)]
enum Obstacle {
    /// Another socket has it.
    InUse,
    /// The system does not have this kind of addresses.
    NoSuchKind,
    /// Anything else.
    Other,
}

fn obstacle(error: &io::Error, address: &SocketAddr) -> Obstacle {
    let ip = address.ip();
    // A system with IPv6 switched off has sockets of the kind, but not the addresses that all have.
    let is_common6 = ip.is_ipv6() && (ip.is_unspecified() || ip.is_loopback());
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRINUSE) => Obstacle::InUse,
        Some(Errno::EAFNOSUPPORT) => Obstacle::NoSuchKind,
        Some(Errno::EADDRNOTAVAIL) if is_common6 => Obstacle::NoSuchKind,
        _ => Obstacle::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `bind_all` makes of all addresses if binding the two kinds ends like this; sockets are what they are at.
    fn outcome(port: u16, kinds: [Option<Errno>; 2]) -> Result<Vec<SocketAddr>, String> {
        let bind = |address: SocketAddr| match kinds[usize::from(address.is_ipv6())] {
            Some(errno) => Err(errno.into()),
            None => Ok(address),
        };
        bind_all(None, port, bind, |address| Ok(*address))
    }

    #[test]
    fn both_kinds_of_addresses_or_those_there_are() {
        let (four, six) = (SocketAddr::from(([0; 4], 7)), SocketAddr::from(([0u16; 8], 7)));
        for (kinds, want) in [
            ([None, None], Ok(vec![four, six])),
            ([None, Some(Errno::EAFNOSUPPORT)], Ok(vec![four])),
            ([None, Some(Errno::EADDRNOTAVAIL)], Ok(vec![four])),
            ([Some(Errno::EAFNOSUPPORT), None], Ok(vec![six])),
            (
                [None, Some(Errno::EADDRINUSE)],
                Err("bind([::]:7): Address already in use, by another program; 0.0.0.0:7 is free: -l 0.0.0.0 listens \
                     only there"),
            ),
            (
                [Some(Errno::EADDRINUSE), None],
                Err("bind(0.0.0.0:7): Address already in use, by another program; [::]:7 is free: -l :: listens only \
                     there"),
            ),
            (
                [Some(Errno::EADDRINUSE), Some(Errno::EADDRINUSE)],
                Err("bind(0.0.0.0:7): Address already in use, bind([::]:7): Address already in use"),
            ),
            ([Some(Errno::EADDRINUSE), Some(Errno::EAFNOSUPPORT)], Err("bind(0.0.0.0:7): Address already in use")),
            ([None, Some(Errno::EACCES)], Err("bind([::]:7): Permission denied")),
            ([Some(Errno::EADDRNOTAVAIL), None], Err("bind(0.0.0.0:7): Cannot assign requested address")),
            (
                [Some(Errno::EAFNOSUPPORT), Some(Errno::EADDRNOTAVAIL)],
                Err(
                    "bind(0.0.0.0:7): Address family not supported by protocol, bind([::]:7): Cannot assign requested \
                     address",
                ),
            ),
        ] {
            assert_eq!(outcome(7, kinds), want.map_err(str::to_owned), "{kinds:?}");
        }
    }

    #[test]
    fn any_port_is_one_that_is_free_on_all_addresses() {
        let mut next = 100;
        let mut taken = |address: SocketAddr, busy: u16| match (address.port(), address.is_ipv6()) {
            (0, _) => {
                next += 1;
                Ok(SocketAddr::new(address.ip(), next))
            }
            (port, true) if port <= busy => Err(io::Error::from(Errno::EADDRINUSE)),
            _ => Ok(address),
        };
        let ports = |bound: Vec<SocketAddr>| bound.iter().map(SocketAddr::port).collect::<Vec<_>>();
        let third = bind_all(None, 0, |address| taken(address, 102), |address| Ok(*address));
        assert_eq!(third.map(ports), Ok(vec![103, 103]));
        // If there is none, any will do.
        let own = bind_all(None, 0, |address| taken(address, u16::MAX), |address| Ok(*address));
        assert_eq!(own.map(ports), Ok(vec![120, 121]));
    }
}
