//! All clients in one thread: the load, and a line of the table for each period.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::client::Client;
use super::figures::{Notes, Tally, Use};
use super::plan::{CLIENTS, LONGEST, Plan};
use super::world::World;

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    /// As soon as the one before is answered, of each client.
    Closed,
    /// At this rate, whatever the answers do.
    Open(f64),
    /// No more of them.
    Over,
}

/// The clients.
pub struct Load<'a> {
    plan: &'a Plan,
    notes: Notes<'a>,
    poll: Poll,
    clients: Vec<Client>,
    /// Whose turn it is.
    next: usize,
    /// When this period began.
    period: Instant,
    /// The latest that the clients came to their turn in this period.
    late: Duration,
}

impl<'a> Load<'a> {
    /// Connects all clients.
    pub fn new(plan: &'a Plan, world: &'a World) -> Load<'a> {
        let poll = Poll::new().expect("a poll");
        let connect = |number| {
            let mut client = Client::new(number, plan.has_map(), world.port);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(client.stream(), Token(number), interest).expect("registered");
            client
        };
        let clients = (0..CLIENTS).map(connect).collect();
        let notes = Notes { world, tally: Tally::default() };
        Load { plan, notes, poll, clients, next: 0, period: Instant::now(), late: Duration::ZERO }
    }

    /// The load from its beginning to its end.
    pub fn run(mut self) -> Tally {
        // All keys and connections are there before it is measured.
        let warm_up = Instant::now() + self.plan.calibration / 4;
        self.turns(Pace::Closed, |_| Instant::now() >= warm_up);
        let (began, before) = (Instant::now(), self.notes.tally.answers);
        let until = began + self.plan.calibration;
        self.turns(Pace::Closed, |_| Instant::now() >= until);
        let capacity = (self.notes.tally.answers - before) as f64 / began.elapsed().as_secs_f64();
        self.notes.tally.capacity = capacity;
        let rate = (capacity / 2.0).min(self.plan.most).max(50.0);
        self.notes.world.rate.store(rate as u64, Ordering::SeqCst);
        self.turns(Pace::Open(rate), |load| load.notes.world.is_over.load(Ordering::SeqCst));
        let limit = Instant::now() + 2 * LONGEST;
        self.turns(Pace::Over, |load| {
            load.clients.iter().all(|client| client.waiting() == 0) || Instant::now() > limit
        });
        // Whoever is answered twice is answered by now.
        let limit = Instant::now() + Duration::from_millis(100);
        self.turns(Pace::Over, |_| Instant::now() > limit);
        self.notes.tally.unanswered += self.clients.iter().map(|client| client.waiting() as u64).sum::<u64>();
        self.notes.tally
    }

    fn turns(&mut self, pace: Pace, is_over: impl Fn(&Load<'_>) -> bool) {
        let mut events = Events::with_capacity(1024);
        let (began, mut asked) = (Instant::now(), 0_u64);
        let mut before = began;
        if pace == Pace::Closed {
            (0..CLIENTS).for_each(|client| self.ask(client));
        }
        while !is_over(self) {
            self.poll.poll(&mut events, Some(Duration::from_millis(1))).expect("a poll");
            self.look(&mut before);
            for event in &events {
                let Some(client) = self.clients.get_mut(event.token().0) else { continue };
                client.write(&mut self.notes);
                client.read(&mut self.notes);
                if pace == Pace::Closed && client.waiting() == 0 {
                    client.ask(&mut self.notes);
                }
            }
            if let Pace::Open(rate) = pace {
                let due = (began.elapsed().as_secs_f64() * rate) as u64;
                while asked < due {
                    self.ask(self.next);
                    self.next = (self.next + 1) % CLIENTS;
                    asked += 1;
                }
            }
        }
    }

    fn ask(&mut self, client: usize) {
        self.clients[client].ask(&mut self.notes);
    }

    /// Looks at the clock.
    fn look(&mut self, before: &mut Instant) {
        let now = Instant::now();
        let late = now - *before;
        *before = now;
        self.late = self.late.max(late);
        self.notes.world.was_late(late);
        if now - self.period >= self.plan.period {
            let used = Use::of(self.notes.world.process.load(Ordering::SeqCst));
            let sample = self.notes.tally.sample(self.notes.world.time(), now - self.period, used, self.late);
            self.notes.world.sample(sample);
            (self.period, self.late) = (now, Duration::ZERO);
            for client in &mut self.clients {
                client.give_up(2 * LONGEST, &mut self.notes);
            }
        }
    }
}
