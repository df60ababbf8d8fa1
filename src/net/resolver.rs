//! Host name look-ups, away from the workers: they may take seconds.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::trouble;

/// How many look-ups run at once: one name server that does not answer must not hold up all names.
const THREADS: usize = 4;

/// A look-up, and what is done with its result.
struct Job {
    host: String,
    port: u16,
    done: Box<dyn FnOnce(io::Result<Vec<SocketAddr>>) + Send>,
}

/// The threads that look names up, shared by all workers.
#[derive(Clone)]
pub struct Resolver {
    jobs: Sender<Job>,
}

impl Resolver {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start() -> io::Result<Resolver> {
        let (jobs, inbox) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        for index in 0..THREADS {
            let inbox = Arc::clone(&inbox);
            thread::Builder::new().name(format!("resolver-{index}")).spawn(move || run(&inbox))?;
        }
        Ok(Resolver { jobs })
    }

    /// Looks `host` up and gives the addresses, in the system's order, to `done` on another thread.
    pub fn resolve(&self, host: &str, port: u16, done: impl FnOnce(io::Result<Vec<SocketAddr>>) + Send + 'static) {
        let job = Job { host: host.to_owned(), port, done: Box::new(done) };
        if let Err(unsent) = self.jobs.send(job) {
            (unsent.0.done)(Err(io::Error::other("resolver has stopped")));
        }
    }
}

fn run(inbox: &Mutex<Receiver<Job>>) {
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { host, port, done }) = job else { return };
        done((host.as_str(), port).to_socket_addrs().map(Iterator::collect).map_err(trouble::of_lookup));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_addresses() {
        let resolver = Resolver::start().unwrap();
        let (send, receive) = channel();
        resolver.resolve("localhost", 7, move |result| send.send(result).unwrap());
        let addresses = receive.recv().unwrap().unwrap();
        assert!(addresses.iter().all(|address| address.port() == 7 && address.ip().is_loopback()));
        assert!(!addresses.is_empty());
    }
}
