//! The sockets that the built-in server receives datagrams from.

use std::net::UdpSocket;

use mio::{Interest, Token};

use super::{UDP, Worker};
use crate::log;
use crate::metrics::process::Counted;
use crate::net::driver::Driver;
use crate::net::udp::{Served, UdpServer};

impl Worker {
    /// Leaves the datagrams to others who have the sockets open.
    pub(super) fn close_udp(&mut self) {
        for (mut server, _) in self.udp.drain(..) {
            if let Err(error) = self.poll.registry().deregister(server.socket()) {
                log!(0, "UDP socket: {error}");
            }
        }
    }
}

impl Driver<Worker> {
    pub(super) fn add_udp(&mut self, socket: UdpSocket) {
        let worker = &mut self.network;
        let token = worker.udp.len() as u64 | UDP;
        let mut socket = mio::net::UdpSocket::from_std(socket);
        if let Err(error) = worker.poll.registry().register(&mut socket, Token(token as usize), Interest::READABLE) {
            return log!(0, "UDP socket: {error}");
        }
        worker.udp.push((UdpServer::new(socket, worker.binding), Counted::new(&worker.shared.process)));
        self.call_again(token);
    }

    pub(super) fn read_udp(&mut self, token: u64) {
        let worker = &mut self.network;
        let (Some(memcached), Some(counters)) = (&worker.shared.memcached, &worker.counters) else { return };
        let Some((server, _)) = worker.udp.get_mut((token & !UDP) as usize) else { return };
        let mut verbosity = None;
        let served = server.serve(&memcached.access(counters, worker.clock), &mut verbosity);
        if let Some(level) = verbosity {
            log::set_verbosity(level);
        }
        if served == Served::Some {
            self.call_again(token);
        }
    }
}
