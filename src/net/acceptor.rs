//! The main thread's loop: it accepts clients, hands them to the workers in turn, and obeys signals.

mod changes;
mod ending;
mod succession;
mod telling;

pub use succession::Will;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use super::descriptors::Need;
use super::gate::Gate;
use super::listener::{Listener, Place};
use super::places::Places;
use super::scrapers::{self, Scrapers};
use super::trouble;
use super::worker::{Handle, Message, Service, Shared};
use crate::config::snapshot::Config;
use crate::control::cluster::{Cluster, Reporter};
use crate::control::static_file::StaticFile;
use crate::failure::Failure;
use crate::log::Reopened;
use crate::metrics::board::Board;
use crate::metrics::process::{Counted, Process};
use crate::signals::{Signal, Signals};
use crate::systemd::Manager;
use crate::upgrade::{Predecessor, Successor};
use crate::{log, slow_log};

const SIGNALS: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// Clients accepted from one listener before the others, and signals, have their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Why the loop ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGINT.
    Interrupted,
    /// SIGTERM, and the workers have finished or had their time.
    Terminated,
    /// This process has taken over.
    Replaced(u32),
    /// Another thread asked for it through a [`Stopper`].
    Asked,
    /// There is no worker left.
    NoWorkers,
    /// The cluster manager has sent us away, or has led to a port that cannot be bound.
    Failed(Failure),
}

/// Who serves the clients of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Always the same.
    Known(Service),
    /// One of a cluster's buckets: the configuration in force says which.
    Cluster,
}

impl Target {
    fn is_proxied(self) -> bool {
        self != Target::Known(Service::Memcached)
    }
}

/// Lets another thread end the loop.
#[derive(Debug)]
pub struct Stopper {
    request: mpsc::Sender<()>,
    waker: Arc<Waker>,
}

impl Stopper {
    /// Ends the loop at once.
    pub fn stop(&self) {
        // If either fails the loop has ended already.
        let _ = self.request.send(());
        let _ = self.waker.wake();
    }
}

struct Entry {
    listener: Listener,
    /// Who serves the clients that connect here.
    target: Target,
    /// Whether clients may be waiting. Events are edge-triggered: they are not repeated.
    ready: bool,
    _counted: Counted,
}

/// The loop and what it owns.
pub struct Acceptor {
    poll: Poll,
    signals: Signals,
    listeners: Slab<Entry>,
    workers: Vec<Handle>,
    /// Index of the worker that gets the next client.
    next: usize,
    /// Whether clients are accepted.
    gate: Gate,
    stop_requests: mpsc::Receiver<()>,
    stopper: mpsc::Sender<()>,
    /// Where buckets come from that are not in the static configuration, and where their port is bound.
    cluster: Option<(Cluster, Place)>,
    /// Where the static configuration comes from, if that is a file, and where its ports are bound; `None`: there is one
    /// unix socket instead, which leads to the last section.
    file: Option<(StaticFile, Option<Place>)>,
    /// Kept here, too: a wake-up is lost if the last owner of the waker goes before the loop has seen it.
    waker: Arc<Waker>,
    process: Arc<Process>,
    /// Where statistics learn of listeners.
    board: Arc<Board>,
    /// The configuration in force.
    config: Arc<Config>,
    /// Who is told how we are.
    manager: Option<Manager>,
    /// Who asks how we are (`-Z metrics`).
    scrapers: Option<Scrapers>,
    /// What the built-in server's datagrams come from.
    datagrams: Vec<UdpSocket>,
    /// What becomes of all that if another process takes over.
    will: Will,
    /// The process that is to take over.
    successor: Option<Successor>,
    /// The process that this one takes over from.
    predecessor: Option<Predecessor>,
    /// SIGUSR2 has come, which has to wait.
    is_upgrade_due: bool,
    /// The file of `-z` is to be read again when it is known who serves.
    is_reread_due: bool,
}

impl Acceptor {
    /// A loop without listeners, which ends according to `will`.
    ///
    /// # Errors
    /// When the system refuses an event queue.
    pub fn new(mut signals: Signals, workers: Vec<Handle>, shared: &Shared, will: Will) -> io::Result<Acceptor> {
        let (process, board) = (Arc::clone(&shared.process), Arc::clone(&shared.sources.board));
        let poll = Poll::new()?;
        poll.registry().register(&mut signals.source, SIGNALS, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (stopper, stop_requests) = mpsc::channel();
        let gate = Gate::new(Places::new(Arc::clone(&waker)), Arc::clone(&process), workers.len());
        Ok(Acceptor {
            poll,
            signals,
            listeners: Slab::new(),
            workers,
            next: 0,
            gate,
            stop_requests,
            stopper,
            cluster: None,
            file: None,
            waker,
            process,
            board,
            config: Arc::default(),
            manager: None,
            scrapers: None,
            datagrams: Vec::new(),
            will,
            successor: None,
            predecessor: None,
            is_upgrade_due: false,
            is_reread_due: false,
        })
    }

    /// Accepts the clients of `target` from `listener`, too.
    ///
    /// # Errors
    /// When the system refuses to watch it.
    pub fn listen(&mut self, mut listener: Listener, target: Target) -> io::Result<()> {
        let place = self.listeners.vacant_entry();
        self.poll.registry().register(&mut listener, Token(place.key()), Interest::READABLE)?;
        // Clients may have come between bind and now.
        let _counted = Counted::new(&self.process);
        match target {
            Target::Known(Service::Bucket(bucket)) => self.board.count_listener(Some(bucket)),
            Target::Cluster => self.board.count_listener(None),
            Target::Known(Service::Memcached) => {}
        }
        place.insert(Entry { listener, target, ready: true, _counted });
        Ok(())
    }

    /// Has all workers receive datagrams for the built-in server from `socket`, too.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn receive(&mut self, socket: UdpSocket) -> io::Result<()> {
        for worker in &self.workers {
            worker.send(Message::Datagrams(socket.try_clone()?));
        }
        self.datagrams.push(socket);
        Ok(())
    }

    /// Looks how many descriptors there are, when everything is open that is open from the start. `clients`: so many
    /// are to be possible (`-c`), beside what `config` needs.
    pub fn share_out(&mut self, clients: u32, config: &Config) {
        let scrapers = self.scrapers.as_ref().map_or(0, |_| scrapers::MOST);
        self.gate.measure(u64::from(clients), self.listeners.len(), scrapers);
        self.resize(config);
    }

    /// Shares the descriptors out for the configuration in force.
    fn resize(&mut self, config: &Config) {
        let connections = config.connections_most().map(|most| most.saturating_mul(self.workers.len() as u64));
        let has_memcached = self.listeners.iter().any(|(_, entry)| !entry.target.is_proxied());
        self.gate.resize(Need { connections, has_memcached }, self.listeners.len());
    }

    /// A way for another thread to end the loop.
    pub fn stopper(&self) -> Stopper {
        Stopper { request: self.stopper.clone(), waker: Arc::clone(&self.waker) }
    }

    /// Follows the changes of `cluster`, whose port is to be bound at `place`. The result is for the threads that tell of
    /// them.
    pub fn follow(&mut self, cluster: Cluster, place: Place) -> Reporter {
        self.cluster.insert((cluster, place)).0.reporter(Arc::clone(&self.waker))
    }

    /// Reads `file` again on SIGHUP. Its ports are bound at `place`; `None`: there is one unix socket instead.
    pub fn watch(&mut self, file: StaticFile, place: Option<Place>) {
        self.file = Some((file, place));
    }

    /// Runs until something ends it. The listeners are closed by then.
    ///
    /// # Errors
    /// When events cannot be waited for.
    pub fn run(mut self) -> io::Result<Stop> {
        self.report(Manager::started);
        let stop = self.accept_until_told();
        match (&stop, &mut self.successor) {
            (Ok(Stop::Replaced(_)), _) | (_, None) => {}
            // Nobody is to take over any more.
            (_, Some(successor)) => successor.end(),
        }
        if !matches!(stop, Ok(Stop::Replaced(_))) {
            self.report(|manager, _| manager.stopping());
        }
        match stop? {
            Stop::Terminated => self.drain(),
            Stop::Replaced(id) => self.retire(id),
            stop => Ok(stop),
        }
    }

    /// The loop itself.
    fn accept_until_told(&mut self) -> io::Result<Stop> {
        let mut events = Events::with_capacity(256);
        loop {
            let timeout = self.timeout();
            self.wait(&mut events, timeout)?;
            if self.stop_requests.try_recv().is_ok() {
                return Ok(Stop::Asked);
            }
            match self.obey_signals() {
                Some(Signal::Interrupt) => return Ok(Stop::Interrupted),
                Some(_) => return Ok(Stop::Terminated),
                None => {}
            }
            if let Err(failure) = self.take_changes() {
                return Ok(Stop::Failed(failure));
            }
            if !(self.accept_all() && self.take_clients_over()) {
                return Ok(Stop::NoWorkers);
            }
            self.tell_scrapers(None);
            if let Some(id) = self.pass_on_to_successor() {
                return Ok(Stop::Replaced(id));
            }
        }
    }

    /// How long the loop may sleep.
    fn timeout(&self) -> Option<Duration> {
        let accepting = self.gate.patience(|is_proxied| self.is_waiting(is_proxied));
        let telling = self.manager.as_ref().and_then(Manager::patience);
        let scraping = self.scrapers.as_ref().and_then(Scrapers::patience);
        let starting = self.successor.as_ref().and_then(Successor::patience);
        accepting.into_iter().chain(telling).chain(scraping).chain(starting).min()
    }

    /// Whether there may be clients that have not been accepted.
    fn is_waiting(&self, is_proxied: bool) -> bool {
        self.listeners.iter().any(|(_, entry)| entry.ready && entry.target.is_proxied() == is_proxied)
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) => events.clear(),
            Ok(()) => {}
        }
        for event in events.iter() {
            if let Some(entry) = self.listeners.get_mut(event.token().0) {
                entry.ready = true;
            } else if let Some(scrapers) = &mut self.scrapers {
                scrapers.note(event.token());
            }
        }
        self.gate.begin_turn();
        Ok(())
    }

    /// Who serves a new client of `target`; `None`: it is turned away.
    fn service(&self, target: Target) -> Option<Service> {
        match target {
            Target::Known(service) => Some(service),
            Target::Cluster => self.cluster.as_ref()?.0.start_bucket().map(Service::Bucket),
        }
    }

    /// Acts on the signals that have come; the result is one that ends the loop.
    fn obey_signals(&mut self) -> Option<Signal> {
        for signal in self.signals.take().collect::<Vec<_>>() {
            match signal {
                Signal::Interrupt | Signal::Terminate => return Some(signal),
                Signal::Hangup => {
                    let is_reopened = slow_log::reopen();
                    if log::reopen() == Reopened::NotAFile && !is_reopened && self.file.is_none() {
                        log!(0, "SIGHUP ignored: the log is not a file");
                    }
                    self.reload();
                }
                Signal::Upgrade => self.upgrade(),
            }
        }
        None
    }

    /// Accepts what is waiting. `false` if no worker is left to take it.
    fn accept_all(&mut self) -> bool {
        for index in 0..self.listeners.capacity() {
            for _ in 0..ACCEPTS_PER_TURN {
                let Some(entry) = self.listeners.get_mut(index).filter(|entry| entry.ready) else {
                    break;
                };
                let target = entry.target;
                if !self.gate.has_room(target.is_proxied()) {
                    self.gate.close();
                    break;
                }
                match entry.listener.accept() {
                    Ok(stream) => {
                        let Some(service) = self.service(target) else { continue };
                        stream.set_nodelay();
                        let place = self.gate.enter();
                        if !self.hand_over(Message::Client { stream, service, known: None, place }) {
                            return false;
                        }
                    }
                    Err(error) => match trouble::of_accept(&error) {
                        trouble::Accept::Drained => entry.ready = false,
                        trouble::Accept::ThisClient => {}
                        trouble::Accept::Shortage | trouble::Accept::Other => self.gate.rest(&error),
                    },
                }
            }
        }
        self.gate.end_turn(self.is_waiting(true) || self.is_waiting(false));
        true
    }

    /// Gives a client to the next worker that lives.
    fn hand_over(&mut self, client: Message) -> bool {
        for index in (self.next..self.workers.len()).chain(0..self.next) {
            if let Some(worker) = self.workers.get(index).filter(|worker| !worker.is_finished()) {
                worker.send(client);
                self.next = index.saturating_add(1);
                return true;
            }
        }
        false
    }
}
