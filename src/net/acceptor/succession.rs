//! Another process takes the place of this one, or this one that of another (01 §12.2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};

use super::{Acceptor, Signal, Stop, Target};
use crate::config::snapshot::Config;
use crate::log;
use crate::net::inherited::Inherited;
use crate::net::listener::Listener;
use crate::net::stream::Stream;
use crate::net::worker::{self, Service};
use crate::upgrade::{Message, Predecessor, Program, Progress, Role, Seat, Successor};

/// The channel to the other process.
const CHANNEL: Token = Token(usize::MAX - 2);

/// What becomes of this process when it ends, and of what it has if another one takes over.
#[derive(Debug)]
pub struct Will {
    /// What is started on SIGUSR2; else why nothing is.
    pub program: Result<Program, String>,
    /// Sockets of the service manager.
    pub inherited: Arc<Inherited>,
    /// The file of the unix socket, with device and number.
    pub path: Option<(PathBuf, (u64, u64))>,
    /// The pid file.
    pub pid_file: Option<(PathBuf, OwnedFd)>,
    /// How long the other process has time until it is ready.
    pub upgrade_timeout: Duration,
    /// How long clients may take to leave, or what is owed to them to be done; `None`: any time.
    pub drain_timeout: Option<Duration>,
}

impl Acceptor {
    /// SIGUSR2: starts the program on disk, which is to take over.
    pub(super) fn upgrade(&mut self) {
        if let Some(successor) = &self.successor {
            return log!(0, "SIGUSR2 ignored: process {} is being started", successor.id());
        }
        if let Some(predecessor) = &self.predecessor {
            self.is_upgrade_due = true;
            return log!(0, "SIGUSR2 waits for process {}, which still has clients", predecessor.id());
        }
        let program = match &self.will.program {
            Ok(program) => program.clone(),
            Err(why) => return log!(0, "SIGUSR2 ignored: {why}"),
        };
        let started = self.legacy().and_then(|legacy| Successor::start(&program, legacy, self.will.upgrade_timeout));
        match started.and_then(|successor| self.watch_channel(successor.descriptor()).map(|()| successor)) {
            Ok(successor) => {
                log!(
                    0,
                    "SIGUSR2: process {} is started from {}, to take over",
                    successor.id(),
                    program.path().display()
                );
                self.successor = Some(successor);
                self.report(|manager, _| manager.reloading());
            }
            Err(error) => {
                log!(0, "ERROR: SIGUSR2: {}; this process goes on", Successor::refusal(&program, &error));
            }
        }
    }

    fn watch_channel(&self, descriptor: i32) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&descriptor), CHANNEL, both)
    }

    /// What the other process gets.
    fn legacy(&self) -> io::Result<Vec<(Message, OwnedFd)>> {
        let mut legacy = Vec::new();
        let mut leave = |message: Message, it: BorrowedFd<'_>| -> io::Result<()> {
            legacy.push((message, it.try_clone_to_owned()?));
            Ok(())
        };
        for (name, socket) in self.will.inherited.all_given() {
            leave(Message::Inherited(name.to_owned()), socket)?;
        }
        for (_, entry) in &self.listeners {
            match (&entry.listener, &self.will.path) {
                (Listener::Tcp(listener), _) => {
                    let role = match entry.target {
                        Target::Known(Service::Memcached) => Role::Memcached,
                        Target::Known(Service::Bucket(_)) | Target::Cluster => Role::Proxy,
                    };
                    leave(Message::Socket(role), listener.as_fd())?;
                }
                (Listener::Unix(listener), Some((path, identity))) => {
                    leave(Message::Path { identity: *identity, path: path.clone() }, listener.as_fd())?;
                }
                // The service manager's.
                (Listener::Unix(_), None) => {}
            }
        }
        for listener in self.scrapers.iter().flat_map(|scrapers| scrapers.listeners()) {
            if let Listener::Tcp(listener) = listener {
                leave(Message::Socket(Role::Metrics), listener.as_fd())?;
            }
        }
        for socket in &self.datagrams {
            leave(Message::Socket(Role::Datagrams), socket.as_fd())?;
        }
        if let Some((path, file)) = &self.will.pid_file {
            leave(Message::PidFile(path.clone()), file.as_fd())?;
        }
        Ok(legacy)
    }

    /// Looks how far the other process has come. When it is ready it is told to go on, and this one is to end: the result
    /// is its id.
    pub(super) fn pass_on_to_successor(&mut self) -> Option<u32> {
        let successor = self.successor.as_mut()?;
        let id = successor.id();
        let why = match successor.progress() {
            Progress::Waiting => return None,
            Progress::Failed(why) => why,
            Progress::Ready => {
                let reread = self.is_reread_due.then_some(Message::Reread);
                // In this order: the service manager listens to the other one only when it knows of it.
                self.report(|manager, _| manager.replaced(id));
                let has_heard =
                    |successor: &mut Successor| reread.into_iter().chain([Message::Go]).all(|it| successor.tell(it));
                if self.successor.as_mut().is_some_and(has_heard) {
                    log!(0, "process {id} takes over");
                    return Some(id);
                }
                "it has ended at the last moment".to_owned()
            }
        };
        log!(0, "ERROR: SIGUSR2: process {id} cannot take over: {why}; this process goes on");
        self.successor = None;
        if std::mem::take(&mut self.is_reread_due) {
            self.reread();
        }
        self.report(|manager, _| manager.stays());
        None
    }

    /// Gets ready in place of `predecessor`, and returns when it is this process's turn: until then nobody is accepted,
    /// and nobody has noticed anything. `Err`: it has to end instead.
    ///
    /// # Errors
    /// When events cannot be waited for.
    pub fn take_over(mut self, predecessor: Predecessor) -> io::Result<Result<Acceptor, Stop>> {
        self.watch_channel(predecessor.descriptor())?;
        // It would not be heard yet.
        let manager = self.manager.take();
        let mut events = Events::with_capacity(256);
        let mut is_ready = false;
        let mut is_its_turn = false;
        while !is_its_turn {
            if let Err(failure) = self.take_changes() {
                return Ok(Err(Stop::Failed(failure)));
            }
            if !is_ready && self.obstacle().is_none() {
                is_ready = true;
                self.will.inherited.forget_left();
                predecessor.ready();
            }
            self.wait(&mut events, None)?;
            match self.obey_signals() {
                Some(Signal::Interrupt) => return Ok(Err(Stop::Interrupted)),
                Some(_) => return Ok(Err(Stop::Terminated)),
                None => {}
            }
            if self.stop_requests.try_recv().is_ok() {
                return Ok(Err(Stop::Asked));
            }
            loop {
                match predecessor.hear() {
                    Ok(Some((Message::Reread, _))) => self.reread(),
                    Ok(Some((Message::Go, _))) => is_its_turn = true,
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => {
                        // It has died: nobody else is there to serve its clients.
                        log!(0, "process {}, to be replaced, has gone", predecessor.id());
                        is_its_turn = true;
                        break;
                    }
                }
                if is_its_turn {
                    break;
                }
            }
        }
        (self.manager, self.predecessor) = (manager, Some(predecessor));
        Ok(Ok(self))
    }

    /// Takes over the clients that the other process hands on. `false`: there is no worker to serve them.
    pub(super) fn take_clients_over(&mut self) -> bool {
        while let Some(predecessor) = &self.predecessor {
            match predecessor.hear() {
                Ok(None) => break,
                Ok(Some((Message::Client(seat, protocol), Some(connection)))) => {
                    // Its bucket may have gone with the old process.
                    let service = service(&seat, &self.config);
                    let client = service.map(|service| worker::Moving { service, protocol, connection });
                    if client.is_some_and(|client| !self.seat_client(client)) {
                        return false;
                    }
                }
                Ok(Some(_)) => {}
                Err(_) => {
                    self.predecessor = None;
                    if std::mem::take(&mut self.is_upgrade_due) {
                        self.upgrade();
                    }
                }
            }
        }
        true
    }

    /// Has a worker serve a client that has been served before. `false`: there is none.
    pub(super) fn seat_client(&mut self, client: worker::Moving) -> bool {
        let worker::Moving { service, protocol: known, connection } = client;
        match Stream::accepted(connection) {
            Ok(stream) => {
                let place = self.gate.enter();
                self.hand_over(worker::Message::Client { stream, service, known, place })
            }
            Err(error) => {
                log!(0, "a client that was handed over: {error}");
                true
            }
        }
    }
}

/// Who serves a client here that was served there.
fn service(seat: &Seat, config: &Config) -> Option<Service> {
    match seat {
        Seat::Memcached => Some(Service::Memcached),
        Seat::Bucket { port, agent, name } => {
            let mut buckets = config.buckets.iter();
            let found =
                buckets.position(|bucket| bucket.port == *port && bucket.agent == *agent && bucket.name == *name);
            found.map(Service::Bucket)
        }
    }
}
