//! The sockets of those who ask for metrics (06 §14). The main thread's loop owns them, reads and writes without waiting,
//! and does a bounded part of their work in each turn, so that accepting clients never waits for a scraper.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{io, sync::Arc};

use mio::{Interest, Registry, Token};
use slab::Slab;

use super::inherited::Inherited;
use super::listener::{self, Door, Listener, Origin};
use super::stream::Stream;
use crate::config::address::Address;
use crate::config::snapshot::Config;
use crate::exporter::Scene;
use crate::exporter::conversation::Conversation;
use crate::failure::{Failure, GENERAL};
use crate::log;
use crate::net::worker::Shared;
use crate::proxy::downstream::host::HealthTable;
use crate::proxy::report::Sources;
use crate::upgrade::Role;

/// Connections at one time. One more takes the place of the one that would lose the least.
pub const MOST: usize = 16;
/// Scrapers that may wait to be accepted.
const BACKLOG: i32 = 64;
/// Accepted in one turn, and answered in one turn.
const ACCEPTS_PER_TURN: usize = 16;
const ANSWERS_PER_TURN: usize = 4;
/// How long nothing is accepted after the system has run out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Tokens from here on are those of listeners.
const FIRST: usize = usize::MAX / 2;
/// And from here on those of connections.
const CONNECTIONS: usize = FIRST + 1024;

/// Listens on what `-Z metrics` says.
///
/// # Errors
/// The failure says why it cannot, and what to do about it.
pub fn bind(address: &Address, inherited: &Inherited) -> Result<Vec<Listener>, Failure> {
    let door = Door { role: Role::Metrics, backlog: BACKLOG, inherited };
    listener::tcp(Some(&address.host), address.port, door).map_err(|why| {
        let hint = Origin::Metrics.hint();
        Failure::new(GENERAL, format!("{why}\nERROR: could not listen on {address}. {hint}"))
    })
}

struct Scraper {
    stream: Stream,
    conversation: Conversation,
    /// Whether there may be bytes to read, and room to write. Events are edge-triggered: they are not repeated.
    may_read: bool,
    may_write: bool,
}

/// What becomes of a scraper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing more can be done now.
    Wait,
    /// An answer is to be made.
    Answer,
    /// It has gone, or is to go.
    Close,
}

/// The listeners, and who has come to them.
pub struct Scrapers {
    /// Each with whether somebody may be waiting.
    listeners: Vec<(Listener, bool)>,
    scrapers: Slab<Scraper>,
    /// Until when nobody is accepted.
    rests: Option<Instant>,
    /// Who is looked at first in a turn: with many questions everybody comes first sometimes.
    first: usize,
    /// Whether others answer from now on.
    is_parting: bool,
    sources: Arc<Sources>,
    health: Arc<HealthTable>,
    start: Instant,
    /// The same in seconds since 1970.
    start_time: u64,
}

impl Scrapers {
    /// Nobody has come yet.
    pub fn new(listeners: Vec<Listener>, shared: &Shared) -> Scrapers {
        let start_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Scrapers {
            listeners: listeners.into_iter().map(|listener| (listener, true)).collect(),
            scrapers: Slab::new(),
            rests: None,
            first: 0,
            is_parting: false,
            sources: Arc::clone(&shared.sources),
            health: Arc::clone(&shared.health),
            start: shared.start,
            start_time: start_time.saturating_sub(shared.start.elapsed()).as_secs(),
        }
    }

    /// Has the loop told of whoever comes.
    ///
    /// # Errors
    /// When the system refuses to watch a listener.
    pub fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (number, (listener, _)) in self.listeners.iter_mut().enumerate() {
            registry.register(listener, Token(FIRST.saturating_add(number)), Interest::READABLE)?;
        }
        Ok(())
    }

    /// The listeners.
    pub fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().map(|(listener, _)| listener)
    }

    /// Leaves those who come to another process. Who is here and has asked is answered, nobody is kept.
    pub fn retire(&mut self, registry: &Registry) {
        for (mut listener, _) in self.listeners.drain(..) {
            if let Err(error) = registry.deregister(&mut listener) {
                log!(1, "a listener for metrics: {error}");
            }
        }
        self.is_parting = true;
        let idle = self.scrapers.iter().filter(|(_, scraper)| scraper.conversation.is_idle()).map(|(key, _)| key);
        for key in idle.collect::<Vec<_>>() {
            self.close(registry, key);
        }
    }

    /// Notes an event, if it is one of these sockets'.
    pub fn note(&mut self, token: Token) {
        if let Some(key) = token.0.checked_sub(CONNECTIONS) {
            if let Some(scraper) = self.scrapers.get_mut(key) {
                (scraper.may_read, scraper.may_write) = (true, true);
            }
        } else if let Some((_, is_ready)) = token.0.checked_sub(FIRST).and_then(|number| self.listeners.get_mut(number))
        {
            *is_ready = true;
        }
    }

    /// How long the loop may sleep.
    pub fn patience(&self) -> Option<Duration> {
        let now = Instant::now();
        let is_waiting = self.listeners.iter().any(|(_, is_ready)| *is_ready);
        let accepting = is_waiting.then(|| self.rests.unwrap_or(now));
        let talking = self.scrapers.iter().map(|(_, scraper)| match scraper.has_more() {
            true => now,
            false => scraper.conversation.deadline(),
        });
        let until = talking.chain(accepting).min()?;
        Some(until.saturating_duration_since(now))
    }

    /// Does what can be done now. `obstacle`: why clients cannot be served.
    pub fn turn(&mut self, registry: &Registry, config: &Config, obstacle: Option<&str>) {
        let now = Instant::now();
        if self.rests.is_some_and(|until| until <= now) {
            self.rests = None;
        }
        // Who has gone makes room for those who come.
        self.sweep(registry, now);
        self.accept(registry, now);
        let (sources, health) = (Arc::clone(&self.sources), Arc::clone(&self.health));
        let uptime = self.start.elapsed().as_secs_f64();
        let (start, is_parting) = (self.start_time, self.is_parting);
        let scene = Scene { sources: &sources, health: &health, config, obstacle, is_parting, start, uptime };
        self.answer(&scene, now);
        self.sweep(registry, now);
    }

    /// Reads from all and writes to all, and closes those that have gone or had their time.
    fn sweep(&mut self, registry: &Registry, now: Instant) {
        let is_over =
            |scraper: &mut Scraper| scraper.proceed(now) == Verdict::Close || scraper.conversation.deadline() <= now;
        let over = self.scrapers.iter_mut().filter_map(|(key, scraper)| is_over(scraper).then_some(key));
        for key in over.collect::<Vec<_>>() {
            self.close(registry, key);
        }
    }

    /// Answers some that have asked.
    fn answer(&mut self, scene: &Scene<'_>, now: Instant) {
        let mut keys: Vec<usize> = self.scrapers.iter().map(|(key, _)| key).collect();
        keys.sort_by_key(|key| (*key < self.first, *key));
        let mut answers = 0usize;
        for key in keys {
            let Some(scraper) = self.scrapers.get_mut(key) else { continue };
            if answers < ANSWERS_PER_TURN && scraper.proceed(now) == Verdict::Answer {
                answers = answers.saturating_add(1);
                self.first = key.saturating_add(1);
                scraper.conversation.answer(scene, now);
            }
        }
    }

    /// Accepts who is waiting.
    fn accept(&mut self, registry: &Registry, now: Instant) {
        for number in 0..self.listeners.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                let Some((listener, is_ready)) = self.listeners.get_mut(number) else { break };
                if !*is_ready || self.rests.is_some() {
                    break;
                }
                match listener.accept() {
                    Ok(stream) => self.enter(registry, stream, now),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => *is_ready = false,
                    Err(_) => self.rests = now.checked_add(PAUSE),
                }
            }
        }
    }

    /// Takes a new one in.
    fn enter(&mut self, registry: &Registry, mut stream: Stream, now: Instant) {
        while self.scrapers.len() >= MOST {
            let least = self.scrapers.iter().min_by_key(|(_, scraper)| scraper.conversation.value());
            let Some((key, _)) = least else { break };
            self.close(registry, key);
        }
        stream.set_nodelay();
        let place = self.scrapers.vacant_entry();
        let token = Token(CONNECTIONS.saturating_add(place.key()));
        if let Err(error) = registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE) {
            log!(1, "a request for metrics cannot be watched: {error}");
            return;
        }
        let conversation = Conversation::new(now);
        place.insert(Scraper { stream, conversation, may_read: true, may_write: true });
    }

    fn close(&mut self, registry: &Registry, key: usize) {
        if let Some(mut scraper) = self.scrapers.try_remove(key) {
            // Closing it does the same.
            let _ = registry.deregister(&mut scraper.stream);
        }
    }
}

impl Scraper {
    /// Whether the next turn has something to do for it, event or not.
    fn has_more(&self) -> bool {
        self.conversation.has_question() || self.may_read && self.conversation.room() > 0
    }

    /// Reads and writes as far as that goes without waiting.
    fn proceed(&mut self, now: Instant) -> Verdict {
        if self.write(now) == Verdict::Close || self.read(now) == Verdict::Close {
            return Verdict::Close;
        }
        if self.conversation.has_question() { Verdict::Answer } else { Verdict::Wait }
    }

    fn write(&mut self, now: Instant) -> Verdict {
        while self.may_write && !self.conversation.output().is_empty() {
            match self.stream.write(self.conversation.output()) {
                Ok(0) => return Verdict::Close,
                // If it has gone, reading tells.
                Ok(count) => {
                    if self.conversation.sent(count, now) {
                        let _ = self.stream.finish();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.may_write = false,
                Err(_) => return Verdict::Close,
            }
        }
        Verdict::Wait
    }

    /// Reads until there is a question, or nothing more. As much as has room is read once in a turn.
    fn read(&mut self, now: Instant) -> Verdict {
        let mut space = [0; 4096];
        for _ in 0..4 {
            let room = self.conversation.room().min(space.len());
            if !self.may_read || room == 0 || self.conversation.has_question() {
                break;
            }
            match self.stream.read(space.get_mut(..room).unwrap_or_default()) {
                // One that has closed its half only is answered before.
                Ok(0) => return Verdict::Close,
                Ok(count) => self.conversation.filled(space.get(..count).unwrap_or_default(), now),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.may_read = false,
                Err(_) => return Verdict::Close,
            }
        }
        Verdict::Wait
    }
}
