//! The clients' sockets.

use std::io::{self, ErrorKind, Read};
use std::os::fd::RawFd;

use super::sockets::{drop_at, put, would_block, write};
use super::{ClientStream, Driver, End, Network, READS, Readiness, Service, TRACED, Unread};
use crate::failure::reason;
use crate::log;
use crate::protocol::Protocol;
use crate::protocol::binary::packet::is_binary;
use crate::protocol::trace::shown;
use crate::proxy::upstream::{ClientId, Home, Rest};

/// Why a client's connection ends once all that has arrived on it was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// No more requests are taken.
    Drained,
    /// Nothing can be sent on it any more.
    Broken,
}

/// A client's socket.
pub(super) struct ClientSocket<S> {
    pub(super) id: ClientId,
    stream: S,
    /// Its first byte will tell which protocol it speaks.
    is_undecided: bool,
    /// There may be more to read, and no event will say so.
    may_read: bool,
    /// The peer has shut down: a short read does not mean that all was read.
    is_hung_up: bool,
    /// The last write was short: an event will say when to go on.
    is_blocked: bool,
    /// What is written next continues what was written last.
    is_midway: bool,
    ending: Option<Ending>,
}

impl<N: Network> Driver<N> {
    /// Adds a client, whose socket `open` announces the events of. `None`: it is turned away.
    pub fn add_client(
        &mut self,
        service: Service,
        open: impl FnOnce(&mut N, ClientId) -> io::Result<N::Client>,
    ) -> Option<ClientId> {
        self.seat_client(service, None, open)
    }

    /// The same for one that has been served elsewhere before, and has spoken `known` there.
    pub fn seat_client(
        &mut self,
        service: Service,
        known: Option<Protocol>,
        open: impl FnOnce(&mut N, ClientId) -> io::Result<N::Client>,
    ) -> Option<ClientId> {
        self.act(); // sockets of clients that have gone leave their places first
        if matches!(self.ending, Some(End::Draining { .. })) {
            return None;
        }
        let id = self.tell(|engine| match service {
            Service::Bucket(bucket) => engine.add_client(bucket),
            Service::Memcached => engine.add_memcached_client(),
        })?;
        let stream = match open(&mut self.network, id) {
            Ok(stream) => stream,
            Err(error) => {
                log!(1, "new client: {error}");
                self.tell(|engine| engine.client_lost(id));
                return None;
            }
        };
        if let Some(known) = known {
            self.tell(|engine| engine.client_speaks(id, known));
        }
        let protocol = self.binding.or(known);
        let is_undecided = protocol.is_none();
        let kind = match protocol {
            None => "auto-negotiating",
            Some(Protocol::Ascii) => "ascii",
            Some(Protocol::Binary) => "binary",
        };
        log!(TRACED, "<{} new {kind} client connection", stream.descriptor());
        let socket = ClientSocket {
            id,
            stream,
            is_undecided,
            may_read: false,
            is_hung_up: false,
            is_blocked: false,
            is_midway: false,
            ending: None,
        };
        put(&mut self.clients, id.index(), socket);
        Some(id)
    }

    /// The client's socket, while it is open.
    pub fn client_stream(&mut self, id: ClientId) -> Option<&mut N::Client> {
        self.client(id).map(|socket| &mut socket.stream)
    }

    fn client(&mut self, id: ClientId) -> Option<&mut ClientSocket<N::Client>> {
        self.clients.get_mut(id.index())?.as_mut().filter(|socket| socket.id == id)
    }

    /// The number that the log shows for the client's socket.
    pub(super) fn descriptor(&mut self, id: ClientId) -> Option<RawFd> {
        self.client(id).map(|socket| socket.stream.descriptor())
    }

    /// The client's address, as far as it has one and is still there.
    pub(super) fn peer(&mut self, id: ClientId) -> String {
        self.client(id).and_then(|socket| socket.stream.peer()).unwrap_or_else(|| "-".to_owned())
    }

    /// All that are connected.
    pub(super) fn client_ids(&self) -> Vec<ClientId> {
        self.clients.iter().flatten().map(|socket| socket.id).collect()
    }

    /// Takes out the sockets of the clients that could be served elsewhere from now on, with what has to be known of them.
    pub fn take_resting(&mut self) -> Vec<(Service, Option<Protocol>, N::Client)> {
        let mut taken = Vec::new();
        for id in self.client_ids() {
            let Some(Rest { home, protocol }) = self.engine.client_at_rest(id) else { continue };
            let Some(socket) = self.clients.get_mut(id.index()).and_then(Option::take) else { continue };
            // For the engine it has gone, and owes nothing.
            self.tell(|engine| engine.client_lost(id));
            let service = match home {
                Home::Bucket(bucket) => Service::Bucket(bucket),
                Home::Memcached => Service::Memcached,
            };
            taken.push((service, protocol, socket.stream));
        }
        taken
    }

    /// Closes the client if it does not take what it is sent.
    pub(super) fn close_blocked(&mut self, id: ClientId) {
        if self.client(id).is_some_and(|socket| socket.is_blocked) {
            self.end_client(id, Ending::Broken);
        }
    }

    /// Closes the socket of a client that the engine has forgotten.
    pub(super) fn close_client(&mut self, id: ClientId) {
        if let Some(descriptor) = self.descriptor(id) {
            log!(TRACED, "<{descriptor} connection closed.");
            drop_at(&mut self.clients, id.index());
        }
    }

    pub(super) fn client_event(&mut self, id: ClientId, event: Readiness) {
        let Some(socket) = self.client(id) else { return };
        if event.is_readable {
            socket.may_read = true;
        }
        if event.is_hung_up || event.is_broken {
            (socket.may_read, socket.is_hung_up) = (true, true);
        }
        let was_blocked = event.is_writable && std::mem::take(&mut socket.is_blocked);
        self.read_client(id);
        if was_blocked {
            self.flush_client(id);
        }
        if event.is_broken && self.client(id).is_some_and(|socket| socket.may_read) {
            self.end_client(id, Ending::Broken); // it is not read from at present
        }
    }

    /// The client's connection ends when all that has arrived on it is read.
    pub(super) fn end_client(&mut self, id: ClientId, ending: Ending) {
        let Some(socket) = self.client(id) else { return };
        (socket.may_read, socket.ending) = (true, Some(ending));
        if ending == Ending::Broken {
            self.tell(|engine| engine.client_deaf(id));
        }
        self.read_client(id);
    }

    pub(super) fn read_client(&mut self, id: ClientId) {
        for _ in 0..READS {
            let Some(socket) = self.clients.get_mut(id.index()).and_then(Option::as_mut) else { return };
            if socket.id != id || !socket.may_read {
                return;
            }
            let Some(space) = self.engine.client_space(id) else { return };
            let room = space.len();
            match socket.stream.read(space) {
                Ok(0) => {
                    socket.may_read = false;
                    return self.tell(|engine| engine.client_eof(id));
                }
                Ok(count) => {
                    socket.may_read = count == room || socket.is_hung_up || socket.ending.is_some();
                    if std::mem::take(&mut socket.is_undecided) {
                        let protocol = if is_binary(space) { "binary" } else { "ascii" };
                        log!(1, "{}: Client using the {protocol} protocol", socket.stream.descriptor());
                    }
                    if self.tell(|engine| engine.client_filled(id, count))
                        && let Some(socket) = self.client(id)
                        && !socket.may_read
                    {
                        socket.stream.set_quickack();
                    }
                }
                Err(error) if would_block(&error) => {
                    socket.may_read = false;
                    return match socket.ending {
                        // Gives the buffer back that was taken to read into.
                        None => self.tell(|engine| {
                            engine.client_filled(id, 0);
                        }),
                        Some(Ending::Drained) => self.tell(|engine| engine.client_eof(id)),
                        Some(Ending::Broken) => self.tell(|engine| engine.client_lost(id)),
                    };
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.tell(|engine| engine.client_lost(id)),
            }
        }
        self.unread.push(Unread::Client(id));
    }

    pub(super) fn flush_client(&mut self, id: ClientId) {
        loop {
            let Some(socket) = self.clients.get_mut(id.index()).and_then(Option::as_mut) else { return };
            if socket.id != id || socket.is_blocked {
                return;
            }
            let Some((output, limit)) = self.engine.client_output(id) else { return };
            let (result, wanted) = write(&mut socket.stream, output, limit);
            match result {
                _ if wanted == 0 => return,
                Ok(count) => {
                    let is_midway = std::mem::replace(&mut socket.is_midway, count < wanted);
                    socket.is_blocked = count < wanted;
                    if log::enabled(TRACED) {
                        let beginning = output.slices(limit, 1).first().map(|piece| shown(piece)).unwrap_or_default();
                        let shown = if is_midway { "..." } else { &beginning };
                        log!(TRACED, ">{} {shown} ({count} bytes)", socket.stream.descriptor());
                    }
                    if !self.tell(|engine| engine.client_sent(id, count)) {
                        return;
                    }
                }
                Err(error) if would_block(&error) => socket.is_blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let descriptor = socket.stream.descriptor();
                    log!(1, "{descriptor}: Failed to write, and not due to blocking: {}", reason(&error));
                    return self.end_client(id, Ending::Broken);
                }
            }
        }
    }
}
