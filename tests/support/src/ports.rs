//! Ports for child processes that must be told theirs on the command line.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixDatagram};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

/// Below Linux' range for outgoing connections and for port 0, so that only these tests take them.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that no other test uses while this value lives. It stands for an abstract unix socket of the port's name,
/// which only one process on the machine can have, whoever runs it; which ends with the process whatever happens; and
/// which is nowhere in the file system. t/mock/harness.py and t/lib/Moxi.pm do the same.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: UnixDatagram,
}

impl Port {
    /// Reserves a port on which nobody listens.
    pub fn reserve() -> Port {
        let start = (process::id().wrapping_mul(37) % u32::from(COUNT)) as u16;
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + (start.wrapping_add(step)) % COUNT;
            if let Some(claim) = claim(number)
                && is_free(number)
            {
                return Port { number, _claim: claim };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Makes the port this process's. `None`: it is another's.
fn claim(number: u16) -> Option<UnixDatagram> {
    let name = net::SocketAddr::from_abstract_name(format!("moxi-test-port-{number}")).expect("a short name");
    match UnixDatagram::bind_addr(&name) {
        Ok(claim) => Some(claim),
        Err(error) if error.kind() == ErrorKind::AddrInUse => None,
        Err(error) => panic!("reserving port {number}: {error}"),
    }
}

/// Whether nobody listens on a port, on any kind of addresses. Binds without listening: a child that another thread is just
/// starting has a copy of the socket until it runs its program, and clients of the new owner would end in that one's queue.
pub fn is_free(number: u16) -> bool {
    let bind = |ip: IpAddr| {
        let socket = Socket::new(if ip.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 }, Type::STREAM, None)?;
        if ip.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((ip, number)).into())
    };
    let is_taken = |bound: io::Result<()>| bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
    // There may be no IPv6.
    bind(Ipv4Addr::UNSPECIFIED.into()).is_ok() && !is_taken(bind(Ipv6Addr::UNSPECIFIED.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_process_s_until_it_is_given_back() {
        let port = Port::reserve();
        assert!(claim(port.number()).is_none());
        let number = port.number();
        drop(port);
        assert!(claim(number).is_some());
    }

    #[test]
    fn ports_in_use_are_not_reserved() {
        let port = Port::reserve();
        for address in [Ipv4Addr::LOCALHOST.into(), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            if let Ok(_held) = std::net::TcpListener::bind((address, port.number())) {
                assert!(!is_free(port.number()), "{address}");
            }
        }
        assert!(is_free(port.number()));
    }
}
