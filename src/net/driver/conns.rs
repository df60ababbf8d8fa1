//! The server connections' sockets.

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};

use super::sockets::{drop_at, put, would_block, write};
use super::{Driver, Network, READS, Readiness, ServerStream, Unread};
use crate::config::snapshot::Server;
use crate::failure::reason;
use crate::net::stream::Target;
use crate::net::trouble;
use crate::proxy::downstream::ConnId;

/// A server connection's socket.
pub(super) struct ConnSocket<N: Network> {
    pub(super) id: ConnId,
    /// `None` while the addresses are being looked up.
    stream: Option<N::Conn>,
    is_connecting: bool,
    /// The addresses that were not tried yet.
    addresses: std::vec::IntoIter<SocketAddr>,
    may_read: bool,
    is_hung_up: bool,
    is_blocked: bool,
    _counted: N::Counted,
}

impl<N: Network> Driver<N> {
    /// The server connection's socket, while it is open.
    pub fn server_stream(&mut self, id: ConnId) -> Option<&mut N::Conn> {
        self.conn(id)?.stream.as_mut()
    }

    pub(super) fn conn(&mut self, id: ConnId) -> Option<&mut ConnSocket<N>> {
        self.conns.get_mut(id.index())?.as_mut().filter(|socket| socket.id == id)
    }

    pub(super) fn connect(&mut self, id: ConnId, server: &Server) {
        let socket = ConnSocket {
            id,
            stream: None,
            is_connecting: true,
            addresses: Vec::new().into_iter(),
            may_read: false,
            is_hung_up: false,
            is_blocked: false,
            _counted: self.network.count(),
        };
        put(&mut self.conns, id.index(), socket);
        if let Some(path) = server.socket() {
            if let Err(error) = self.open(id, Target::Socket(path)) {
                self.not_connected(id, &error, true);
            }
            return;
        }
        if let Ok(address) = server.host.parse::<IpAddr>() {
            return self.resolved(id, Ok(vec![SocketAddr::new(address, server.port)]));
        }
        self.network.resolve(id, &server.host, server.port);
    }

    /// The addresses of a server that is to be connected, or why there are none.
    pub fn resolved(&mut self, id: ConnId, addresses: io::Result<Vec<SocketAddr>>) {
        let Some(socket) = self.conn(id) else { return };
        match addresses {
            Ok(addresses) => {
                socket.addresses = addresses.into_iter();
                self.try_next_address(id, None);
            }
            Err(error) if trouble::of_connect(&error, false).is_some() => self.not_connected(id, &error, false),
            Err(error) => self.tell(|engine| engine.resolve_failed(id, &error.to_string())),
        }
    }

    /// Connects to the next of the server's addresses; `error` says why those before were of no use.
    pub(super) fn try_next_address(&mut self, id: ConnId, mut error: Option<io::Error>) {
        while let Some(address) = self.conn(id).and_then(|socket| socket.addresses.next()) {
            match self.open(id, Target::Address(address)) {
                Ok(()) => return,
                Err(failed) => error = Some(trouble::telling(error, failed)),
            }
        }
        self.not_connected(id, &error.unwrap_or_else(|| ErrorKind::AddrNotAvailable.into()), false);
    }

    /// The connection is not made. `is_socket`: it was to a unix socket.
    fn not_connected(&mut self, id: ConnId, error: &io::Error, is_socket: bool) {
        match trouble::of_connect(error, is_socket) {
            Some(lack) => self.tell(|engine| engine.connect_short(id, lack, &reason(error))),
            None => self.tell(|engine| engine.connect_failed(id, &error.to_string())),
        }
    }

    /// Begins to connect.
    fn open(&mut self, id: ConnId, target: Target<'_>) -> io::Result<()> {
        let stream = self.network.open(id, target)?;
        if let Some(socket) = self.conn(id) {
            socket.stream = Some(stream);
        }
        Ok(())
    }

    pub(super) fn finish_connect(&mut self, id: ConnId) {
        let Some(socket) = self.conn(id) else { return };
        let Some(stream) = &socket.stream else { return };
        match stream.finish_connect() {
            Ok(false) => {}
            Ok(true) => {
                socket.is_connecting = false;
                self.tell(|engine| engine.connected(id));
            }
            Err(error) => {
                socket.stream = None;
                self.try_next_address(id, Some(error));
            }
        }
    }

    pub(super) fn close_conn(&mut self, id: ConnId) {
        if self.conn(id).is_some() {
            drop_at(&mut self.conns, id.index());
        }
        self.finishing.retain(|socket| socket.id != id);
    }

    /// Tells the server that nothing more comes, and waits until it has closed the connection, too.
    pub(super) fn finish_conn(&mut self, id: ConnId) {
        let Some(socket) = self.conns.get_mut(id.index()).and_then(|place| place.take_if(|socket| socket.id == id))
        else {
            return;
        };
        if let Some(stream) = &socket.stream {
            // If that fails, so does reading.
            let _ = stream.finish();
        }
        self.finishing.push(socket);
        self.read_to_end(id);
    }

    /// Drops what comes on a connection that is only read to its end.
    pub(super) fn read_to_end(&mut self, id: ConnId) {
        let Some(socket) = self.finishing.iter_mut().find(|socket| socket.id == id) else { return };
        let Some(stream) = &mut socket.stream else { return self.tell(|engine| engine.conn_closed(id)) };
        let mut dropped = [0; 4096];
        for _ in 0..READS {
            match stream.read(&mut dropped) {
                Ok(0) => return self.tell(|engine| engine.conn_closed(id)),
                Ok(_) => {}
                Err(error) if would_block(&error) => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.tell(|engine| engine.conn_closed(id)),
            }
        }
        self.unread.push(Unread::Finishing(id));
    }

    pub(super) fn conn_event(&mut self, id: ConnId, event: Readiness) {
        let Some(socket) = self.conn(id) else { return self.read_to_end(id) };
        if socket.is_connecting {
            if event.is_writable || event.is_broken {
                self.finish_connect(id);
            }
            let Some(socket) = self.conn(id) else { return };
            if socket.is_connecting {
                return;
            }
        }
        let Some(socket) = self.conn(id) else { return };
        if event.is_readable {
            socket.may_read = true;
        }
        if event.is_hung_up || event.is_broken {
            (socket.may_read, socket.is_hung_up) = (true, true);
        }
        let was_blocked = event.is_writable && std::mem::take(&mut socket.is_blocked);
        self.read_conn(id);
        if was_blocked {
            self.flush_conn(id);
        }
    }

    pub(super) fn read_conn(&mut self, id: ConnId) {
        for _ in 0..READS {
            let Some(socket) = self.conns.get_mut(id.index()).and_then(Option::as_mut) else { return };
            if socket.id != id || !socket.may_read {
                return;
            }
            let Some(stream) = &mut socket.stream else { return };
            let Some(space) = self.engine.conn_space(id) else { return };
            let room = space.len();
            match stream.read(space) {
                Ok(0) => return self.tell(|engine| engine.conn_closed(id)),
                Ok(count) => {
                    socket.may_read = count == room || socket.is_hung_up;
                    self.tell(|engine| engine.conn_filled(id, count));
                }
                Err(error) if would_block(&error) => {
                    socket.may_read = false;
                    return self.tell(|engine| engine.conn_filled(id, 0));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.tell(|engine| engine.conn_closed(id)),
            }
        }
        self.unread.push(Unread::Conn(id));
    }

    pub(super) fn flush_conn(&mut self, id: ConnId) {
        loop {
            let Some(socket) = self.conns.get_mut(id.index()).and_then(Option::as_mut) else { return };
            if socket.id != id || socket.is_blocked || socket.is_connecting {
                return;
            }
            let Some(stream) = &mut socket.stream else { return };
            let Some((output, limit)) = self.engine.conn_output(id) else { return };
            let (result, wanted) = write(stream, output, limit);
            match result {
                _ if wanted == 0 => return,
                Ok(count) => {
                    socket.is_blocked = count < wanted;
                    if !self.tell(|engine| engine.conn_sent(id, count)) {
                        return;
                    }
                }
                Err(error) if would_block(&error) => socket.is_blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    // What the server said before it closed still counts.
                    (socket.may_read, socket.is_hung_up) = (true, true);
                    self.read_conn(id);
                    return self.tell(|engine| engine.conn_closed(id));
                }
            }
        }
    }
}
