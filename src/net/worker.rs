//! A worker: one thread, one event loop, one engine. It moves bytes between sockets and the engine.
//!
//! Sockets are registered once, for both directions, edge-triggered. So whoever could not read all must remember
//! that there is more (`may_read`), and whoever could not write all must wait for the event (`is_blocked`).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::resolver::Resolver;
use super::stream::Stream;
use super::udp::{Served, UdpServer};
use crate::arena::Id;
use crate::config::snapshot::{Config, Server};
use crate::log;
use crate::proxy::downstream::ConnId;
use crate::proxy::host::HealthTable;
use crate::proxy::timers::Micros;
use crate::proxy::upstream::{Binding, ClientId};
use crate::proxy::{Action, Engine, Settings};
use crate::stats::board::Board;
use crate::store::clock::Clock;
use crate::store::counters::Counters;
use crate::store::process::{Counted, ProcessStats};
use crate::store::session::Protocol;
use crate::store::{Store, StoreOptions};

/// The token of the inbox.
const INBOX: Token = Token(usize::MAX);
/// Set in the token of a server connection; the id below it has 62 bits.
const CONN: u64 = 1 << 62;
/// Set in the token of a UDP socket; its index is below it.
const UDP: u64 = 1 << 63;
/// How many events are taken at once.
const EVENTS: usize = 1024;
/// How many reads in a row one connection gets before the others have their turn.
const READS: u32 = 16;
/// How many pieces go into one system call.
const PIECES: usize = 64;
/// How long clients that are owed something keep a draining worker alive.
const DRAIN: Duration = Duration::from_secs(1);

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    /// When the program's clock started.
    pub start: Instant,
    /// What is known of the servers.
    pub health: Arc<HealthTable>,
    /// Looks host names up.
    pub resolver: Resolver,
    /// How many connections there are.
    pub process: Arc<ProcessStats>,
    /// The built-in server, if there is one.
    pub store: Option<Arc<Store>>,
    /// Where the workers count.
    pub board: Arc<Board>,
}

impl Shared {
    /// For a new set of workers.
    ///
    /// # Errors
    /// When the resolver cannot be started.
    pub fn new() -> io::Result<Shared> {
        Ok(Shared {
            start: Instant::now(),
            health: Arc::default(),
            resolver: Resolver::start()?,
            process: Arc::default(),
            store: None,
            board: Arc::default(),
        })
    }

    /// Adds a built-in server.
    pub fn add_store(&mut self, options: StoreOptions) {
        let clock = self.clock(self.now());
        self.store = Some(Arc::new(Store::new(options, clock, Arc::clone(&self.process))));
    }

    /// Has the workers count, and answer `stats proxy` with these settings. Called after [`Shared::add_store`].
    pub fn add_board(&mut self, options: StoreOptions, hostname: String) {
        let (process, store) = (Arc::clone(&self.process), self.store.clone());
        self.board = Arc::new(Board::new(options, process, store, hostname));
    }

    fn now(&self) -> Micros {
        self.start.elapsed().as_micros() as Micros
    }

    /// The time as the built-in server is told it.
    fn clock(&self, now: Micros) -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { now, unix: unix.as_micros() as Micros }
    }
}

/// Who serves a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The bucket with this index.
    Bucket(usize),
    /// The built-in server.
    Store,
}

/// What a worker is told.
pub enum Message {
    /// A new client.
    Client {
        /// Its connection.
        stream: Stream,
        /// Who serves it.
        service: Service,
    },
    /// A socket for the built-in server to receive datagrams from, too.
    Datagrams(UdpSocket),
    /// Another configuration.
    Config(Arc<Config>),
    /// The addresses of a server that is to be connected.
    Resolved(ConnId, io::Result<Vec<SocketAddr>>),
    /// Finish what has begun, then stop.
    Drain,
}

/// A running worker.
pub struct Handle {
    inbox: Inbox,
    thread: JoinHandle<()>,
}

/// How to tell a worker something.
#[derive(Clone)]
struct Inbox {
    messages: Sender<Message>,
    waker: Arc<Waker>,
}

impl Inbox {
    fn send(&self, message: Message) {
        // A worker that has stopped hears nothing, and needs nothing.
        let _ = self.messages.send(message);
        let _ = self.waker.wake();
    }
}

impl Handle {
    /// Tells the worker something.
    pub fn send(&self, message: Message) {
        self.inbox.send(message);
    }

    /// Whether the worker has stopped.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the worker to stop.
    pub fn join(self) {
        let _ = self.thread.join();
    }
}

/// Starts worker number `index`.
///
/// # Errors
/// When the system refuses a thread or an event queue.
pub fn spawn(index: usize, config: Arc<Config>, settings: Settings, shared: Shared) -> io::Result<Handle> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), INBOX)?);
    let (messages, received) = channel();
    let inbox = Inbox { messages, waker };
    let own_inbox = inbox.clone();
    let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let mut engine = Engine::new(&config, &shared.health, settings);
        drop(config);
        engine.report_to(Arc::clone(&shared.board));
        let counters = shared.store.as_ref().map(|store| store.register());
        if let (Some(store), Some(counters)) = (&shared.store, &counters) {
            engine.serve_store(Arc::clone(store), Arc::clone(counters));
        }
        Worker {
            poll,
            engine,
            received,
            inbox: own_inbox,
            shared,
            clients: Vec::new(),
            conns: Vec::new(),
            udp: Vec::new(),
            counters,
            binding: settings.binding,
            clock: Clock::default(),
            unread: Vec::new(),
            actions: Vec::new(),
            drain_until: None,
        }
        .run();
    })?;
    Ok(Handle { inbox, thread })
}

/// A client's socket.
struct ClientSocket {
    id: ClientId,
    stream: Stream,
    /// There may be more to read, and no event will say so.
    may_read: bool,
    /// The peer has shut down: a short read does not mean that all was read.
    is_hung_up: bool,
    /// The last write was short: an event will say when to go on.
    is_blocked: bool,
    _counted: Counted,
}

/// A server connection's socket.
struct ConnSocket {
    id: ConnId,
    /// `None` while the addresses are being looked up.
    stream: Option<TcpStream>,
    is_connecting: bool,
    /// The addresses that were not tried yet.
    addresses: std::vec::IntoIter<SocketAddr>,
    may_read: bool,
    is_hung_up: bool,
    is_blocked: bool,
    _counted: Counted,
}

/// Something that is to be read from again without an event.
#[derive(Clone, Copy)]
enum Unread {
    Client(ClientId),
    Conn(ConnId),
    Udp(usize),
}

struct Worker {
    poll: Poll,
    engine: Engine,
    received: Receiver<Message>,
    inbox: Inbox,
    shared: Shared,
    /// By the index of the client's id.
    clients: Vec<Option<ClientSocket>>,
    /// By the index of the connection's id.
    conns: Vec<Option<ConnSocket>>,
    udp: Vec<(UdpServer, Counted)>,
    /// What the clients of the built-in server are counted with.
    counters: Option<Arc<Counters>>,
    binding: Binding,
    /// The time in this turn, if there is a built-in server.
    clock: Clock,
    unread: Vec<Unread>,
    actions: Vec<Action>,
    drain_until: Option<Instant>,
}

/// What became of an attempt to read or write.
fn would_block(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

impl Worker {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut looked_at = Vec::new();
        loop {
            if let Err(error) = self.poll.poll(&mut events, self.patience())
                && error.kind() != ErrorKind::Interrupted
            {
                log!(0, "event queue: {error}");
                return;
            }
            let now = self.shared.now();
            self.engine.set_time(now);
            if self.shared.store.is_some() {
                self.clock = self.shared.clock(now);
                self.engine.set_unix_time(self.clock.unix);
            }
            for event in &events {
                self.handle(event);
            }
            for unread in std::mem::take(&mut self.unread) {
                match unread {
                    Unread::Client(id) => self.read_client(id),
                    Unread::Conn(id) => self.read_conn(id),
                    Unread::Udp(index) => self.read_udp(index),
                }
            }
            self.engine.turn(&mut looked_at);
            for id in looked_at.drain(..) {
                self.read_client(id);
            }
            self.act();
            self.flush();
            if let Some(until) = self.drain_until
                && (self.engine.client_count() == 0 || Instant::now() >= until)
            {
                return;
            }
        }
    }

    /// How long to wait for events.
    fn patience(&self) -> Option<Duration> {
        if self.engine.has_ready() || !self.unread.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadline =
            self.engine.next_deadline().map(|at| Duration::from_micros(at.saturating_sub(self.shared.now())));
        let drain = self.drain_until.map(|until| until.saturating_duration_since(Instant::now()));
        deadline.into_iter().chain(drain).min()
    }

    fn handle(&mut self, event: &Event) {
        if event.token() == INBOX {
            return self.read_inbox();
        }
        let bits = event.token().0 as u64;
        if bits & UDP != 0 {
            self.read_udp((bits & !UDP) as usize);
        } else if bits & CONN == 0 {
            self.client_event(Id::from_bits(bits), event);
        } else {
            self.conn_event(Id::from_bits(bits & !CONN), event);
        }
    }

    fn read_inbox(&mut self) {
        while let Ok(message) = self.received.try_recv() {
            match message {
                Message::Client { stream, service } => self.add_client(stream, service),
                Message::Datagrams(socket) => self.add_udp(socket),
                Message::Config(config) => self.engine.reconfigure(&config, &self.shared.health),
                Message::Resolved(id, addresses) => self.resolved(id, addresses),
                Message::Drain => {
                    self.drain_until = Some(Instant::now() + DRAIN);
                    self.engine.drain();
                }
            }
        }
    }

    fn add_client(&mut self, mut stream: Stream, service: Service) {
        self.act(); // sockets of clients that have gone leave their places first
        if self.drain_until.is_some() {
            return;
        }
        let id = match service {
            Service::Bucket(bucket) => self.engine.add_client(bucket),
            Service::Store => self.engine.add_local_client(),
        };
        let Some(id) = id else { return };
        let token = Token(id.to_bits() as usize);
        if let Err(error) = self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE) {
            log!(1, "new client: {error}");
            return self.engine.client_lost(id);
        }
        let _counted = Counted::new(&self.shared.process);
        let socket = ClientSocket { id, stream, may_read: false, is_hung_up: false, is_blocked: false, _counted };
        put(&mut self.clients, id.index(), socket);
    }

    fn add_udp(&mut self, socket: UdpSocket) {
        let index = self.udp.len();
        let mut socket = mio::net::UdpSocket::from_std(socket);
        let token = Token((index as u64 | UDP) as usize);
        if let Err(error) = self.poll.registry().register(&mut socket, token, Interest::READABLE) {
            return log!(0, "UDP socket: {error}");
        }
        let protocol = match self.binding {
            Binding::Auto => Protocol::Undecided,
            Binding::Ascii => Protocol::Ascii,
            Binding::Binary => Protocol::Binary,
        };
        self.udp.push((UdpServer::new(socket, protocol), Counted::new(&self.shared.process)));
        self.unread.push(Unread::Udp(index));
    }

    fn read_udp(&mut self, index: usize) {
        let (Some(store), Some(counters)) = (&self.shared.store, &self.counters) else { return };
        let Some((server, _)) = self.udp.get_mut(index) else { return };
        let mut verbosity = None;
        let served = server.serve(&store.access(counters, self.clock), &mut verbosity);
        if let Some(level) = verbosity {
            log::set_verbosity(level);
        }
        if served == Served::Some {
            self.unread.push(Unread::Udp(index));
        }
    }

    fn client(&mut self, id: ClientId) -> Option<&mut ClientSocket> {
        self.clients.get_mut(id.index())?.as_mut().filter(|socket| socket.id == id)
    }

    fn conn(&mut self, id: ConnId) -> Option<&mut ConnSocket> {
        self.conns.get_mut(id.index())?.as_mut().filter(|socket| socket.id == id)
    }

    fn client_event(&mut self, id: ClientId, event: &Event) {
        let Some(socket) = self.client(id) else { return };
        if event.is_readable() {
            socket.may_read = true;
        }
        if event.is_read_closed() || event.is_error() {
            (socket.may_read, socket.is_hung_up) = (true, true);
        }
        let was_blocked = event.is_writable() && std::mem::take(&mut socket.is_blocked);
        self.read_client(id);
        if was_blocked {
            self.flush_client(id);
        }
        if event.is_error() && self.client(id).is_some_and(|socket| socket.may_read) {
            self.engine.client_lost(id); // it is not read from at present, and nothing can be sent to it
        }
    }

    fn read_client(&mut self, id: ClientId) {
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
                    return self.engine.client_eof(id);
                }
                Ok(count) => {
                    socket.may_read = count == room || socket.is_hung_up;
                    self.engine.client_filled(id, count);
                    if self.engine.is_mid_request(id)
                        && let Some(socket) = self.client(id)
                        && !socket.may_read
                    {
                        socket.stream.set_quickack();
                    }
                }
                Err(error) if would_block(&error) => {
                    socket.may_read = false;
                    // Gives the buffer back that was taken to read into.
                    return self.engine.client_filled(id, 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.engine.client_lost(id),
            }
        }
        self.unread.push(Unread::Client(id));
    }

    fn conn_event(&mut self, id: ConnId, event: &Event) {
        let Some(socket) = self.conn(id) else { return };
        if socket.is_connecting {
            if event.is_writable() || event.is_error() {
                self.finish_connect(id);
            }
            let Some(socket) = self.conn(id) else { return };
            if socket.is_connecting {
                return;
            }
        }
        let Some(socket) = self.conn(id) else { return };
        if event.is_readable() {
            socket.may_read = true;
        }
        if event.is_read_closed() || event.is_error() {
            (socket.may_read, socket.is_hung_up) = (true, true);
        }
        let was_blocked = event.is_writable() && std::mem::take(&mut socket.is_blocked);
        self.read_conn(id);
        if was_blocked {
            self.flush_conn(id);
        }
    }

    fn read_conn(&mut self, id: ConnId) {
        for _ in 0..READS {
            let Some(socket) = self.conns.get_mut(id.index()).and_then(Option::as_mut) else { return };
            if socket.id != id || !socket.may_read {
                return;
            }
            let Some(stream) = &mut socket.stream else { return };
            let Some(space) = self.engine.conn_space(id) else { return };
            let room = space.len();
            match stream.read(space) {
                Ok(0) => return self.engine.conn_closed(id),
                Ok(count) => {
                    socket.may_read = count == room || socket.is_hung_up;
                    self.engine.conn_filled(id, count);
                }
                Err(error) if would_block(&error) => {
                    socket.may_read = false;
                    return self.engine.conn_filled(id, 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.engine.conn_closed(id),
            }
        }
        self.unread.push(Unread::Conn(id));
    }

    /// Does what the engine has asked for.
    fn act(&mut self) {
        loop {
            let mut actions = std::mem::take(&mut self.actions);
            self.engine.take_actions(&mut actions);
            if actions.is_empty() {
                self.actions = actions;
                return;
            }
            for action in actions.drain(..) {
                match action {
                    Action::Connect(id, server) => self.connect(id, &server),
                    Action::CloseConn(id) => {
                        if self.conn(id).is_some() {
                            self.conns[id.index()] = None;
                        }
                    }
                    Action::CloseClient(id) => {
                        if self.client(id).is_some() {
                            self.clients[id.index()] = None;
                        }
                    }
                    Action::SetVerbosity(level) => log::set_verbosity(level),
                    Action::Log(level, text) => log!(level, "{text}"),
                }
            }
            self.actions = actions;
        }
    }

    fn connect(&mut self, id: ConnId, server: &Server) {
        let socket = ConnSocket {
            id,
            stream: None,
            is_connecting: true,
            addresses: Vec::new().into_iter(),
            may_read: false,
            is_hung_up: false,
            is_blocked: false,
            _counted: Counted::new(&self.shared.process),
        };
        put(&mut self.conns, id.index(), socket);
        if let Ok(address) = server.host.parse::<IpAddr>() {
            return self.resolved(id, Ok(vec![SocketAddr::new(address, server.port)]));
        }
        let inbox = self.inbox.clone();
        self.shared.resolver.resolve(&server.host, server.port, move |addresses| {
            inbox.send(Message::Resolved(id, addresses));
        });
    }

    fn resolved(&mut self, id: ConnId, addresses: io::Result<Vec<SocketAddr>>) {
        let Some(socket) = self.conn(id) else { return };
        match addresses {
            Ok(addresses) => {
                socket.addresses = addresses.into_iter();
                self.try_next_address(id, io::Error::from(ErrorKind::AddrNotAvailable));
            }
            Err(error) => self.engine.resolve_failed(id, &error.to_string()),
        }
    }

    /// Connects to the next of the server's addresses; `error` says why the one before was of no use.
    fn try_next_address(&mut self, id: ConnId, mut error: io::Error) {
        let token = Token((id.to_bits() | CONN) as usize);
        while let Some(socket) = self.conns.get_mut(id.index()).and_then(Option::as_mut) {
            let Some(address) = socket.addresses.next() else { break };
            match TcpStream::connect(address) {
                Ok(mut stream) => {
                    let _ = stream.set_nodelay(true);
                    match self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE) {
                        Ok(()) => {
                            socket.stream = Some(stream);
                            return;
                        }
                        Err(failed) => error = failed,
                    }
                }
                Err(failed) => error = failed,
            }
        }
        self.engine.connect_failed(id, &error.to_string());
    }

    fn finish_connect(&mut self, id: ConnId) {
        let Some(socket) = self.conn(id) else { return };
        let Some(stream) = &socket.stream else { return };
        let failed = match stream.take_error() {
            Ok(None) => match stream.peer_addr() {
                Ok(_) => None,
                Err(error) if error.kind() == ErrorKind::NotConnected => return, // not yet
                Err(error) => Some(error),
            },
            Ok(Some(error)) | Err(error) => Some(error),
        };
        match failed {
            None => {
                socket.is_connecting = false;
                self.engine.connected(id);
            }
            Some(error) => {
                socket.stream = None;
                self.try_next_address(id, error);
            }
        }
    }

    /// Writes whatever there is to write, until nothing more follows from it.
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
                    self.engine.conn_sent(id, count);
                }
                Err(error) if would_block(&error) => socket.is_blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    // What the server said before it closed still counts.
                    (socket.may_read, socket.is_hung_up) = (true, true);
                    self.read_conn(id);
                    return self.engine.conn_closed(id);
                }
            }
        }
    }

    fn flush_client(&mut self, id: ClientId) {
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
                    socket.is_blocked = count < wanted;
                    self.engine.client_sent(id, count);
                }
                Err(error) if would_block(&error) => socket.is_blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.engine.client_lost(id),
            }
        }
    }
}

/// Writes as much as one system call takes. The second value is how much it was offered; nothing is written, and it
/// is 0, if there is nothing.
fn write(stream: &mut impl Write, output: &crate::buffer::Output, limit: u64) -> (io::Result<usize>, usize) {
    if let Some(bytes) = output.contiguous(limit) {
        if bytes.is_empty() {
            return (Ok(0), 0);
        }
        return (stream.write(bytes), bytes.len());
    }
    let slices = output.slices(limit, PIECES);
    let wanted = slices.iter().map(|slice| slice.len()).sum();
    if wanted == 0 {
        return (Ok(0), 0);
    }
    (stream.write_vectored(&slices), wanted)
}

/// Puts `value` into place `index`, making room for it.
fn put<T>(table: &mut Vec<Option<T>>, index: usize, value: T) {
    if table.len() <= index {
        table.resize_with(index + 1, || None);
    }
    table[index] = Some(value);
}
