//! Host name look-ups, away from the workers: they may take seconds.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::trouble;
use crate::failure::reason;
use crate::log;

/// How many look-ups run at once: one name server that does not answer must not hold up all names.
const THREADS: usize = 4;
/// How many names without addresses are remembered. Where clients name the servers (`-X`) there can be any number.
const UNKNOWN_MAX: usize = 1024;

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
        let unknown = Arc::new(Mutex::new(Unknown::default()));
        for index in 0..THREADS {
            let (inbox, unknown) = (Arc::clone(&inbox), Arc::clone(&unknown));
            thread::Builder::new().name(format!("resolver-{index}")).spawn(move || run(&inbox, &unknown))?;
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

fn run(inbox: &Mutex<Receiver<Job>>, unknown: &Mutex<Unknown>) {
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { host, port, done }) = job else { return };
        let found = look_up(&host, port).map_err(trouble::of_lookup);
        let line = unknown.lock().unwrap_or_else(PoisonError::into_inner).note(&host, found.as_ref().err());
        if let Some(line) = line {
            log!(0, "{line}");
        }
        done(found);
    }
}

fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    if addresses.is_empty() { Err(io::Error::other("it has no addresses")) } else { Ok(addresses) }
}

/// The names that had no address when they were last looked up, so that the log tells of each change once.
#[derive(Debug, Default)]
struct Unknown {
    names: HashSet<String>,
}

impl Unknown {
    /// Notes how a look-up has ended. The line for the log if that is news.
    fn note(&mut self, host: &str, error: Option<&io::Error>) -> Option<String> {
        match error {
            None => self.names.remove(host).then(|| format!("{host} can be looked up again")),
            Some(_) if self.names.contains(host) => None,
            Some(error) => {
                if self.names.len() >= UNKNOWN_MAX {
                    // Better said twice than not at all.
                    self.names.clear();
                }
                self.names.insert(host.to_owned());
                Some(format!("ERROR: cannot look up {host}: {}", reason(error)))
            }
        }
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

    #[test]
    fn every_change_is_told_once() {
        let mut unknown = Unknown::default();
        let error = io::Error::other("no such name");
        assert_eq!(unknown.note("a.example", None), None);
        let line = "ERROR: cannot look up a.example: no such name";
        assert_eq!(unknown.note("a.example", Some(&error)).as_deref(), Some(line));
        assert_eq!(unknown.note("a.example", Some(&error)), None);
        assert!(unknown.note("b.example", Some(&error)).is_some());
        assert_eq!(unknown.note("a.example", None).as_deref(), Some("a.example can be looked up again"));
        assert_eq!(unknown.note("a.example", None), None);
        assert_eq!(unknown.note("a.example", Some(&error)).as_deref(), Some(line));
        for number in 0..3 * UNKNOWN_MAX {
            assert!(unknown.note(&format!("{number}.example"), Some(&error)).is_some());
            assert!(unknown.names.len() <= UNKNOWN_MAX);
        }
    }
}
