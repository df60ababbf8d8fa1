//! Whether clients are accepted: not while there are as many as the descriptors allow, and not for a moment after the
//! system has refused one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::descriptors::{Budget, Need, count_open, limit, raise};
use super::places::{Place, Places};
use crate::failure::reason;
use crate::log;
use crate::metrics::process::Process;

/// How long nothing is accepted after the system has run out of descriptors or memory. Long enough not to
/// burn the CPU, short enough not to be noticed once a client has gone.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a closed gate is looked at without a reason, and how long it counts as closed for the log at least:
/// clients may come and go by the thousand while it is full. Also how soon a raised limit is noticed.
const LOOK: Duration = Duration::from_secs(1);
/// It is open again for the log when this part of all places is free.
const MARGIN: u64 = 16;

/// The gate.
#[derive(Debug)]
pub struct Gate {
    places: Arc<Places>,
    process: Arc<Process>,
    budget: Budget,
    need: Need,
    workers: usize,
    /// How many clients the operator wants to be possible (`-c`).
    wanted: u64,
    /// How many descriptors are open besides listeners, clients and connections to servers.
    fixed: u64,
    listeners: u64,
    /// Until when nothing is accepted after an error.
    rests: Option<Instant>,
    /// Since when the log says that no clients are accepted.
    told: Option<Instant>,
}

impl Gate {
    /// Open for everybody, until [`Gate::measure`] is called.
    pub fn new(places: Places, process: Arc<Process>, workers: usize) -> Gate {
        let need = Need { connections: Some(0), has_memcached: false };
        Gate {
            places: Arc::new(places),
            process,
            budget: Budget::new(u64::MAX, 0, need),
            need,
            workers,
            wanted: 0,
            fixed: 0,
            listeners: 0,
            rests: None,
            told: None,
        }
    }

    /// Looks what the process has open before the first client comes. `wanted`: so many clients are to be possible.
    /// `kept`: so many descriptors are for others that may come.
    pub fn measure(&mut self, wanted: u64, listeners: usize, kept: usize) {
        self.wanted = wanted;
        self.fixed = count_open(self.workers).saturating_sub(listeners as u64).saturating_add(kept as u64);
    }

    /// Shares the descriptors out anew, for a configuration and so many listeners.
    pub fn resize(&mut self, need: Need, listeners: usize) {
        (self.need, self.listeners) = (need, listeners as u64);
        let before = self.budget;
        raise(self.wanted, self.fixed.saturating_add(self.listeners), need);
        self.look_at_limit();
        if let Some(warning) = self.budget.warning().filter(|_| self.budget != before) {
            log!(0, "{warning}");
        }
    }

    /// The limit may have been changed from outside.
    fn look_at_limit(&mut self) {
        let used = self.fixed.saturating_add(self.listeners);
        if let Some(limit) = limit() {
            self.budget = Budget::new(limit, used, self.need);
        }
    }

    /// Begins a turn of the main thread's loop.
    pub fn begin_turn(&mut self) {
        if self.rests.is_none() && self.told.is_none() {
            return;
        }
        let now = Instant::now();
        if self.rests.is_some_and(|until| until <= now) {
            self.rests = None;
        }
        if self.places.taken() >= self.budget.proxied {
            self.look_at_limit();
        }
        if self.rests.is_none() && self.places.taken() < self.budget.proxied {
            self.process.accepting.store(true, Relaxed);
        }
    }

    /// Whether another client may come; `is_proxied`: to the proxy, not to the built-in server.
    pub fn has_room(&self, is_proxied: bool) -> bool {
        self.rests.is_none() && self.places.taken() < self.most(is_proxied)
    }

    fn most(&self, is_proxied: bool) -> u64 {
        if is_proxied { self.budget.proxied } else { self.budget.clients }
    }

    /// A client has been accepted.
    pub fn enter(&self) -> Place {
        self.places.take()
    }

    /// There may be a client that has no room.
    pub fn close(&mut self) {
        if self.rests.is_some() {
            return;
        }
        let Budget { limit, reserve, .. } = self.budget;
        let taken = self.places.taken();
        self.tell(|| {
            format!(
                "no more clients are accepted: {taken} are connected, and {reserve} of {limit} descriptors are kept for \
                 servers, log and reload"
            )
        });
    }

    /// The system has refused to accept one.
    pub fn rest(&mut self, error: &io::Error) {
        let why = reason(error);
        self.rests = Instant::now().checked_add(PAUSE);
        // Then the limit is not what it was.
        self.look_at_limit();
        self.tell(|| format!("no clients are accepted for the moment: accept(): {why}"));
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        if self.process.accepting.swap(false, Relaxed) {
            self.process.listen_disabled.fetch_add(1, Relaxed);
        }
        if self.told.is_none() {
            self.told = Some(Instant::now());
            log!(1, "Too many open connections");
            log!(0, "{}", text());
        }
    }

    /// Ends a turn. `is_waiting`: there may be clients that were not accepted.
    pub fn end_turn(&mut self, is_waiting: bool) {
        let most = self.budget.proxied;
        let has_margin = self.places.taken() <= most.saturating_sub((most / MARGIN).max(1));
        let is_over = |since: Instant| since.elapsed() >= LOOK && has_margin && !is_waiting;
        if self.rests.is_none() && self.told.is_some_and(is_over) {
            self.told = None;
            self.process.accepting.store(true, Relaxed);
            log!(0, "clients are accepted again");
        }
    }

    /// How long the loop may sleep. `is_waiting`: there may be clients that have not been accepted, to the proxy or to
    /// the built-in server.
    pub fn patience(&self, is_waiting: impl Fn(bool) -> bool) -> Option<Duration> {
        if let Some(until) = self.rests {
            return Some(until.saturating_duration_since(Instant::now()));
        }
        if [true, false].into_iter().any(|is_proxied| is_waiting(is_proxied) && self.has_room(is_proxied)) {
            return Some(Duration::ZERO);
        }
        if is_waiting(true) || is_waiting(false) {
            self.places.await_one();
            // One may have left just before.
            if [true, false].into_iter().any(|is_proxied| is_waiting(is_proxied) && self.has_room(is_proxied)) {
                return Some(Duration::ZERO);
            }
        }
        self.told.map(|_| LOOK)
    }
}
