//! Load with a memory: clients that know what every reply must be, byte for byte.
//!
//! Each client owns its keys, so what it must get is exact whatever the others do. A value carries its key and
//! a version, so that one that is foreign or stale is seen. Some clients send one request at a time, others many.

mod client;
mod model;
pub mod random;

use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use client::Client;

/// So long without any progress is a hang.
const STALL: Duration = Duration::from_secs(30);

/// How much load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Clients; every second one sends many requests at once.
    pub clients: usize,
    /// Requests of each client.
    pub requests: usize,
    /// Threads that drive them.
    pub threads: usize,
    /// Requests are a function of this and of the client's number.
    pub seed: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Requests, those without reply included.
    pub requests: u64,
    /// Replies, each of them checked.
    pub replies: u64,
    /// Values among them.
    pub values: u64,
    /// Bytes of values.
    pub bytes: u64,
}

impl Report {
    /// Adds what somebody else did.
    pub fn add(&mut self, other: Report) {
        self.requests += other.requests;
        self.replies += other.replies;
        self.values += other.values;
        self.bytes += other.bytes;
    }
}

/// Runs `plan` against a port of this machine. The error says which client got what instead of what.
pub fn run(port: u16, plan: Plan) -> Result<Report, String> {
    let threads = plan.threads.clamp(1, plan.clients.max(1));
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|number| scope.spawn(move || drive(port, plan, number, threads))).collect();
        let mut total = Report::default();
        let mut errors = Vec::new();
        for worker in workers {
            match worker.join().expect("a load thread") {
                Ok(report) => total.add(report),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(total) } else { Err(errors.join("\n")) }
    })
}

/// Drives every `step`-th client from `first` on until all are done.
fn drive(port: u16, plan: Plan, first: usize, step: usize) -> Result<Report, String> {
    let failed = |error: std::io::Error| format!("load: {error}");
    let mut poll = Poll::new().map_err(failed)?;
    let mut events = Events::with_capacity(256);
    let mut clients = Vec::new();
    for number in (first..plan.clients).step_by(step) {
        let mut client = Client::connect(port, number, plan).map_err(failed)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(client.stream(), Token(clients.len()), interest).map_err(failed)?;
        clients.push(client);
    }
    let mut left = clients.len();
    let mut progress = Instant::now();
    while left > 0 {
        poll.poll(&mut events, Some(Duration::from_secs(1))).or_else(interrupted).map_err(failed)?;
        for event in &events {
            let Some(client) = clients.get_mut(event.token().0) else { continue };
            if !client.done() {
                client.ready()?;
                left -= usize::from(client.done());
                progress = Instant::now();
            }
        }
        if progress.elapsed() > STALL {
            let waiting: Vec<_> = clients.iter().filter(|client| !client.done()).map(Client::describe).collect();
            return Err(format!("no progress for {STALL:?}:\n{}", waiting.join("\n")));
        }
    }
    let mut total = Report::default();
    clients.iter().for_each(|client| total.add(client.report()));
    Ok(total)
}

fn interrupted(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}
