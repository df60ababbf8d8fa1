//! The sockets that the built-in server receives datagrams from.

use std::net::UdpSocket;

use mio::{Interest, Token};

use super::{UDP, Unread, Worker};
use crate::log;
use crate::metrics::process::Counted;
use crate::net::udp::{Served, UdpServer};

impl Worker {
    pub(super) fn add_udp(&mut self, socket: UdpSocket) {
        let index = self.udp.len();
        let mut socket = mio::net::UdpSocket::from_std(socket);
        let token = Token((index as u64 | UDP) as usize);
        if let Err(error) = self.poll.registry().register(&mut socket, token, Interest::READABLE) {
            return log!(0, "UDP socket: {error}");
        }
        self.udp.push((UdpServer::new(socket, self.binding), Counted::new(&self.shared.process)));
        self.unread.push(Unread::Udp(index));
    }

    pub(super) fn read_udp(&mut self, index: usize) {
        let (Some(memcached), Some(counters)) = (&self.shared.memcached, &self.counters) else { return };
        let Some((server, _)) = self.udp.get_mut(index) else { return };
        let mut verbosity = None;
        let served = server.serve(&memcached.access(counters, self.clock), &mut verbosity);
        if let Some(level) = verbosity {
            log::set_verbosity(level);
        }
        if served == Served::Some {
            self.unread.push(Unread::Udp(index));
        }
    }
}
