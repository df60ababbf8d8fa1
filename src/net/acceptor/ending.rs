//! The end: what has begun is finished, in this process or in the one that has taken over (01 §12).

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mio::Events;

use super::{Acceptor, Stop};
use crate::config::snapshot::Config;
use crate::net::worker::{self, Handle, Heir, Message, Service};
use crate::signals::Signal;
use crate::upgrade::{self, Seat, Successor};
use crate::{log, slow_log};

/// How long clients are accepted that had connected before SIGTERM came.
const LAST: Duration = Duration::from_secs(1);
/// How often the workers are asked whether they are done.
const POLL: Duration = Duration::from_millis(5);

/// How far the end has come.
struct Ending {
    /// Whether clients are closed as soon as nothing is owed to them; else they leave when they like.
    is_draining: bool,
    /// Until when that may take; `None`: any time.
    until: Option<Instant>,
    /// Clients on their way to the process that has taken over.
    moving: Option<Moving>,
    /// What is said to those who ask whether clients can be served.
    obstacle: String,
}

/// Clients that another process takes over.
struct Moving {
    successor: Successor,
    clients: mpsc::Receiver<worker::Moving>,
    /// Those that did not go through the channel yet.
    held: VecDeque<worker::Moving>,
}

/// What became of clients that were to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    All,
    /// Some have to wait.
    Some,
    /// There is nobody to take them.
    None,
}

impl Moving {
    fn proceed(&mut self, config: &Config) -> Moved {
        if !self.successor.flush() {
            return Moved::None;
        }
        self.held.extend(self.clients.try_iter());
        while let Some(client) = self.held.front() {
            let Some(seat) = seat(client.service, config) else {
                // There is no such bucket.
                self.held.pop_front();
                continue;
            };
            match self.successor.offer(&upgrade::Message::Client(seat, client.protocol), &client.connection) {
                Ok(true) => drop(self.held.pop_front()),
                Ok(false) => return Moved::Some,
                Err(_) => return Moved::None,
            }
        }
        Moved::All
    }
}

/// Who serves a client, in words that another process understands.
fn seat(service: Service, config: &Config) -> Option<Seat> {
    match service {
        Service::Memcached => Some(Seat::Memcached),
        Service::Bucket(index) => {
            let bucket = config.buckets.get(index)?;
            Some(Seat::Bucket { port: bucket.port, agent: bucket.agent, name: bucket.name.clone() })
        }
    }
}

impl Acceptor {
    /// SIGTERM: accepts no more, and lets the workers finish what they have begun.
    pub(super) fn drain(mut self) -> io::Result<Stop> {
        let begun = Instant::now();
        // Who has connected before is served, too.
        self.listeners.iter_mut().for_each(|(_, entry)| entry.ready = true);
        let has_more = |acceptor: &Acceptor| {
            let mut ready = acceptor.listeners.iter().filter(|(_, entry)| entry.ready);
            ready.any(|(_, entry)| acceptor.gate.has_room(entry.target.is_proxied()))
        };
        self.take_clients_over();
        self.predecessor = None;
        while has_more(&self) && begun.elapsed() < LAST && self.accept_all() {}
        self.listeners.clear();
        let obstacle = "draining: SIGTERM has come".to_owned();
        let mut ending = Ending { is_draining: false, until: None, moving: None, obstacle };
        self.close_clients(&mut ending);
        match self.finish(ending)? {
            true => Ok(Stop::Terminated),
            false => Ok(Stop::Interrupted),
        }
    }

    /// Process `id` has taken over: accepts no more, serves those who are here until they are there, or leave.
    pub(super) fn retire(mut self, id: u32) -> io::Result<Stop> {
        if self.listeners.iter().any(|(_, entry)| !entry.target.is_proxied()) || !self.datagrams.is_empty() {
            log!(0, "WARNING: the items of the built-in server end with this process");
        }
        for (_, mut entry) in std::mem::take(&mut self.listeners) {
            // The socket lives on in another process: closing it is not enough.
            self.poll.registry().deregister(&mut entry.listener)?;
        }
        if let Some(scrapers) = &mut self.scrapers {
            scrapers.retire(self.poll.registry());
        }
        self.datagrams.clear();
        let (sender, clients) = mpsc::channel();
        let moving = self.successor.take().filter(Successor::takes_clients);
        let moving = moving.map(|successor| Moving { successor, clients, held: VecDeque::new() });
        for worker in &self.workers {
            let heir = moving.as_ref().map(|_| Heir { clients: sender.clone(), waker: Arc::clone(&self.waker) });
            worker.send(Message::Retire(heir));
        }
        drop(sender);
        let until = self.will.drain_timeout.and_then(|time| Instant::now().checked_add(time));
        let obstacle = format!("draining: process {id} has taken over");
        self.finish(Ending { is_draining: false, until, moving, obstacle })?;
        Ok(Stop::Replaced(id))
    }

    /// Whether all has been finished, or has had its time; else SIGINT has come.
    fn finish(&mut self, mut ending: Ending) -> io::Result<bool> {
        let mut events = Events::with_capacity(256);
        loop {
            // In this order: workers that have ended do not give anybody away.
            let is_over = self.workers.iter().all(Handle::is_finished);
            let moved = ending.moving.as_mut().map_or(Moved::All, |moving| moving.proceed(&self.config));
            if moved == Moved::None {
                self.keep_clients(&mut ending);
            } else if is_over && moved == Moved::All {
                return Ok(true);
            }
            if ending.until.is_some_and(|until| until <= Instant::now()) {
                if ending.is_draining {
                    return Ok(true);
                }
                self.close_clients(&mut ending);
            }
            self.wait(&mut events, Some(POLL))?;
            self.tell_scrapers(Some(&ending.obstacle));
            match self.heed_last_signals() {
                Some(Signal::Interrupt) => return Ok(false),
                Some(_) if !ending.is_draining => self.close_clients(&mut ending),
                _ => {}
            }
        }
    }

    /// Has the workers close clients as soon as nothing is owed to them.
    fn close_clients(&self, ending: &mut Ending) {
        ending.is_draining = true;
        ending.until = self.will.drain_timeout.and_then(|time| Instant::now().checked_add(time));
        for worker in &self.workers {
            worker.send(Message::Drain(self.will.drain_timeout));
        }
    }

    /// The process that has taken over has gone: those who are still here stay until they leave.
    fn keep_clients(&mut self, ending: &mut Ending) {
        let Some(moving) = ending.moving.take() else { return };
        log!(0, "process {} has gone; clients that are still here are served on", moving.successor.id());
        for worker in self.workers.iter().filter(|_| !ending.is_draining) {
            worker.send(Message::Retire(None));
        }
        for client in moving.held.into_iter().chain(moving.clients.try_iter()) {
            self.seat_client(client);
        }
    }

    /// Acts on the signals that have come; the result is one that hastens the end.
    fn heed_last_signals(&mut self) -> Option<Signal> {
        for signal in self.signals.take().collect::<Vec<_>>() {
            match signal {
                Signal::Interrupt | Signal::Terminate => return Some(signal),
                Signal::Hangup => {
                    slow_log::reopen();
                    log::reopen();
                }
                Signal::Upgrade => log!(0, "SIGUSR2 ignored: this process is about to end"),
            }
        }
        None
    }
}
