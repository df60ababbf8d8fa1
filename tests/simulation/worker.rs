//! The event loop of `net::worker`, with sockets that are only memory. Edge-triggered like the real one: what is not
//! remembered here, or announced by an event, is never read or written.

use std::collections::HashMap;

use moxi::buffer::Output;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::shortage::Lack;
use moxi::proxy::timers::Micros;
use moxi::proxy::upstream::ClientId;
use moxi::proxy::{Action, Engine};

use super::bytes::Bytes;
use super::random::Random;

/// How many reads in a row one connection gets.
const READS: u32 = 16;

/// One end of a connection: the proxy's.
#[derive(Debug, Default)]
pub struct Socket {
    /// Arrived and not read by the proxy.
    pub inbound: Bytes,
    /// Written by the proxy and not read by the peer.
    pub outbound: Bytes,
    /// The peer has finished sending.
    pub fin: bool,
    /// The peer has broken the connection: reading gives an error once `inbound` is empty.
    pub reset: bool,
    /// The peer has gone: writing gives an error.
    pub deaf: bool,
    /// Still connecting: nothing can be read or written.
    pub is_connecting: bool,
    /// The proxy sends nothing more, and drops what it reads.
    pub is_finishing: bool,
    may_read: bool,
    is_hung_up: bool,
    /// The last write was short.
    pub is_blocked: bool,
    /// Nothing can be written any more: it ends when all that has arrived was read.
    is_broken: bool,
}

/// What a read gives.
enum Read {
    Data(usize),
    End,
    Empty,
    Error,
}

impl Socket {
    fn read(&mut self, space: &mut [u8]) -> Read {
        let count = self.inbound.len().min(space.len());
        if count > 0 {
            space[..count].copy_from_slice(&self.inbound.as_slice()[..count]);
            self.inbound.drop_front(count);
            return Read::Data(count);
        }
        match (self.reset, self.fin) {
            (true, _) => Read::Error,
            (_, true) => Read::End,
            _ => Read::Empty,
        }
    }

    /// Takes what fits of `output` up to `limit`: how much of how much. `None` if the peer has gone.
    fn write(&mut self, output: &Output, limit: u64, capacity: usize) -> Option<(usize, usize)> {
        let room = capacity.saturating_sub(self.outbound.len());
        if let Some(bytes) = output.contiguous(limit) {
            let count = bytes.len().min(room);
            if !self.deaf {
                self.outbound.push(&bytes[..count]);
            }
            return (!self.deaf || bytes.is_empty()).then_some((count, bytes.len()));
        }
        let slices = output.slices(limit, 64);
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let mut count = 0;
        for slice in &slices {
            let part = slice.len().min(room - count);
            if !self.deaf {
                self.outbound.push(&slice[..part]);
            }
            count += part;
        }
        (!self.deaf || wanted == 0).then_some((count, wanted))
    }
}

/// What the system reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    pub readable: bool,
    pub writable: bool,
    pub hung_up: bool,
    pub error: bool,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Client(ClientId, Readiness),
    Conn(ConnId, Readiness),
    /// The connection is made, or not.
    Connect(ConnId, bool),
}

#[derive(Clone, Copy)]
enum Unread {
    Client(ClientId),
    Conn(ConnId),
}

/// The proxy and its sockets.
pub struct Worker {
    pub engine: Engine,
    pub clients: HashMap<u64, Socket>,
    pub conns: HashMap<u64, Socket>,
    pub events: Vec<Event>,
    /// How many bytes a socket buffer takes.
    pub capacity: usize,
    unread: Vec<Unread>,
    /// What the engine asked for and the world has not seen yet.
    pub news: Vec<Action>,
}

impl Worker {
    /// A worker around `engine`.
    pub fn new(engine: Engine, capacity: usize) -> Worker {
        Worker {
            engine,
            clients: HashMap::new(),
            conns: HashMap::new(),
            events: Vec::new(),
            capacity,
            unread: Vec::new(),
            news: Vec::new(),
        }
    }

    /// A new client connects.
    pub fn add_client(&mut self, bucket: usize) -> Option<ClientId> {
        self.act();
        let id = self.engine.add_client(bucket)?;
        self.clients.insert(id.to_bits(), Socket::default());
        Some(id)
    }

    /// The client's socket, while it is open.
    pub fn client(&mut self, id: ClientId) -> Option<&mut Socket> {
        self.clients.get_mut(&id.to_bits())
    }

    /// The connection's socket, while it is open.
    pub fn conn(&mut self, id: ConnId) -> Option<&mut Socket> {
        self.conns.get_mut(&id.to_bits())
    }

    /// Whether the loop would not sleep at `now`.
    pub fn is_awake(&self, now: Micros) -> bool {
        !self.events.is_empty() || self.has_more() || self.engine.next_deadline().is_some_and(|at| at <= now)
    }

    /// Whether the loop would not even wait for events.
    pub fn has_more(&self) -> bool {
        self.engine.has_ready() || !self.unread.is_empty()
    }

    /// One turn of the loop.
    pub fn turn(&mut self, now: Micros, random: &mut Random) {
        self.engine.set_time(now);
        while !self.events.is_empty() {
            let event = self.events.swap_remove(random.index(self.events.len()));
            match event {
                Event::Client(id, readiness) => self.client_event(id, readiness),
                Event::Conn(id, readiness) => self.conn_event(id, readiness),
                Event::Connect(id, true) => {
                    if let Some(socket) = self.conn(id) {
                        socket.is_connecting = false;
                        self.engine.connected(id);
                    }
                }
                Event::Connect(id, false) => {
                    if self.conns.contains_key(&id.to_bits()) {
                        match random.index(3) {
                            0 => self.engine.connect_short(id, Lack::Descriptor, "no descriptor"),
                            1 => self.engine.connect_short(id, Lack::Other, "no port"),
                            _ => self.engine.connect_failed(id, "refused"),
                        }
                    }
                }
            }
        }
        for unread in std::mem::take(&mut self.unread) {
            match unread {
                Unread::Client(id) => self.read_client(id),
                Unread::Conn(id) => self.read_conn(id),
            }
        }
        let mut looked_at = Vec::new();
        self.engine.turn(&mut looked_at);
        for id in looked_at {
            self.read_client(id);
        }
        self.act();
        self.flush();
    }

    fn client_event(&mut self, id: ClientId, event: Readiness) {
        let Some(socket) = self.client(id) else { return };
        socket.may_read |= event.readable || event.hung_up || event.error;
        socket.is_hung_up |= event.hung_up || event.error;
        let was_blocked = event.writable && std::mem::take(&mut socket.is_blocked);
        self.read_client(id);
        if was_blocked {
            self.flush_client(id);
        }
        if event.error && self.client(id).is_some_and(|socket| socket.may_read) {
            self.end_client(id);
        }
    }

    fn end_client(&mut self, id: ClientId) {
        let Some(socket) = self.client(id) else { return };
        (socket.may_read, socket.is_broken) = (true, true);
        self.engine.client_deaf(id);
        self.read_client(id);
    }

    fn read_client(&mut self, id: ClientId) {
        for _ in 0..READS {
            let Some(socket) = self.clients.get_mut(&id.to_bits()).filter(|socket| socket.may_read) else { return };
            let Some(space) = self.engine.client_space(id) else { return };
            assert!(!space.is_empty(), "no room to read to");
            let room = space.len();
            match socket.read(space) {
                Read::End => {
                    socket.may_read = false;
                    return self.engine.client_eof(id);
                }
                Read::Data(count) => {
                    socket.may_read = count == room || socket.is_hung_up || socket.is_broken;
                    self.engine.client_filled(id, count);
                }
                Read::Empty => {
                    socket.may_read = false;
                    return match socket.is_broken {
                        true => self.engine.client_lost(id),
                        false => self.engine.client_filled(id, 0),
                    };
                }
                Read::Error => return self.engine.client_lost(id),
            }
        }
        self.unread.push(Unread::Client(id));
    }

    fn conn_event(&mut self, id: ConnId, event: Readiness) {
        let Some(socket) = self.conn(id).filter(|socket| !socket.is_connecting) else { return };
        socket.may_read |= event.readable || event.hung_up || event.error;
        socket.is_hung_up |= event.hung_up || event.error;
        let was_blocked = event.writable && std::mem::take(&mut socket.is_blocked);
        self.read_conn(id);
        if was_blocked {
            self.flush_conn(id);
        }
    }

    fn read_conn(&mut self, id: ConnId) {
        if self.conn(id).is_some_and(|socket| socket.is_finishing) {
            return self.read_to_end(id);
        }
        for _ in 0..READS {
            let Some(socket) = self.conns.get_mut(&id.to_bits()).filter(|socket| socket.may_read) else { return };
            let Some(space) = self.engine.conn_space(id) else { return };
            assert!(!space.is_empty(), "no room to read to");
            let room = space.len();
            match socket.read(space) {
                Read::End | Read::Error => return self.engine.conn_closed(id),
                Read::Data(count) => {
                    socket.may_read = count == room || socket.is_hung_up;
                    self.engine.conn_filled(id, count);
                }
                Read::Empty => {
                    socket.may_read = false;
                    return self.engine.conn_filled(id, 0);
                }
            }
        }
        self.unread.push(Unread::Conn(id));
    }

    fn read_to_end(&mut self, id: ConnId) {
        let Some(socket) = self.conn(id) else { return };
        socket.inbound.clear();
        if socket.fin || socket.reset {
            self.engine.conn_closed(id);
        }
    }

    /// Does what the engine has asked for.
    fn act(&mut self) {
        let from = self.news.len();
        self.engine.take_actions(&mut self.news);
        let mut finishing = Vec::new();
        for action in &self.news[from..] {
            if let Action::Connect(id, _) = action {
                let socket = Socket { is_connecting: true, ..Socket::default() };
                let before = self.conns.insert(id.to_bits(), socket);
                assert!(before.is_none_or(|before| before.is_connecting), "{id:?} connected twice");
            }
            if let Action::FinishConn(id) = action {
                finishing.push(*id);
            }
        }
        for id in finishing {
            if let Some(socket) = self.conn(id) {
                socket.is_finishing = true;
                self.read_to_end(id);
            }
        }
    }

    fn flush(&mut self) {
        loop {
            let mut is_quiet = true;
            while let Some(id) = self.engine.next_dirty_conn() {
                self.flush_conn(id);
                is_quiet = false;
            }
            while let Some(id) = self.engine.next_dirty_client() {
                self.flush_client(id);
                is_quiet = false;
            }
            self.act();
            if is_quiet {
                return;
            }
        }
    }

    fn flush_conn(&mut self, id: ConnId) {
        loop {
            let Some(socket) = self.conns.get_mut(&id.to_bits()) else { return };
            if socket.is_blocked || socket.is_connecting {
                return;
            }
            let Some((output, limit)) = self.engine.conn_output(id) else { return };
            match socket.write(output, limit, self.capacity) {
                Some((_, 0)) => return,
                Some((count, wanted)) => {
                    socket.is_blocked = count < wanted;
                    if count > 0 {
                        self.engine.conn_sent(id, count);
                    }
                }
                None => {
                    (socket.may_read, socket.is_hung_up) = (true, true);
                    self.read_conn(id);
                    return self.engine.conn_closed(id);
                }
            }
        }
    }

    fn flush_client(&mut self, id: ClientId) {
        loop {
            let Some(socket) = self.clients.get_mut(&id.to_bits()) else { return };
            if socket.is_blocked {
                return;
            }
            let Some((output, limit)) = self.engine.client_output(id) else { return };
            match socket.write(output, limit, self.capacity) {
                Some((_, 0)) => return,
                Some((count, wanted)) => {
                    socket.is_blocked = count < wanted;
                    if count > 0 {
                        self.engine.client_sent(id, count);
                    }
                }
                None => return self.end_client(id),
            }
        }
    }
}
