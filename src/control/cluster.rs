//! The main thread's side of a cluster manager: it takes the agents' documents, makes each the configuration in force,
//! and says when there is something to serve, so that the port of all buckets is to be opened (05 §6.7, §7).

use std::sync::Arc;
use std::sync::mpsc;

use mio::Waker;

use super::rest::Event;
use crate::config::behavior::Behavior;
use crate::config::changes::Changes;
use crate::config::dynamic::{self, Source};
use crate::config::snapshot::Config;
use crate::failure::{Failure, GENERAL};
use crate::log;

/// How an agent's thread tells something to the main thread.
#[derive(Clone, Debug)]
pub struct Reporter {
    events: mpsc::Sender<Event>,
    waker: Arc<Waker>,
}

impl Reporter {
    /// `false` when nobody listens any more.
    pub fn report(&self, event: Event) -> bool {
        self.events.send(event).is_ok() && self.waker.wake().is_ok()
    }
}

/// The configuration in force, and what changes it.
#[derive(Debug)]
pub struct Cluster {
    config: Arc<Config>,
    /// What `-Z` says.
    behavior: Arc<Behavior>,
    /// Whether clients have something to connect to. Listeners are never closed again.
    is_listening: bool,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    /// What the log was last told of each agent's documents.
    told: Vec<Vec<String>>,
}

/// What is to be done after documents have come.
#[derive(Debug)]
pub struct Change {
    /// What all workers are to be told.
    pub config: Arc<Config>,
    /// The port to be opened, if it is time.
    pub port: Option<u16>,
}

impl Cluster {
    /// Begins with `config`, that of before the first document.
    pub fn new(config: Arc<Config>, behavior: Arc<Behavior>, is_listening: bool) -> Cluster {
        let (sender, events) = mpsc::channel();
        Cluster { config, behavior, is_listening, events, sender, told: Vec::new() }
    }

    /// For an agent's thread. `waker` is that of the main thread's loop.
    pub fn reporter(&self, waker: Arc<Waker>) -> Reporter {
        Reporter { events: self.sender.clone(), waker }
    }

    /// The bucket that a new client starts in; `None`: it is turned away.
    pub fn start_bucket(&self) -> Option<usize> {
        self.config.start_bucket()
    }

    /// Takes over what the agents have sent. `None`: nothing.
    ///
    /// # Errors
    /// The one that ends the program: a wrong password for the cluster manager at the start.
    pub fn take(&mut self) -> Result<Option<Change>, Failure> {
        let mut has_come = false;
        while let Ok(event) = self.events.try_recv() {
            if let Some(config) = self.after(event)? {
                (self.config, has_come) = (Arc::new(config), true);
            }
        }
        if !has_come {
            return Ok(None);
        }
        let port = self.config.dynamic.as_ref().map(|dynamic| dynamic.port);
        let port = port.filter(|_| !self.is_listening && !self.config.buckets.is_empty());
        self.is_listening |= port.is_some();
        Ok(Some(Change { config: Arc::clone(&self.config), port }))
    }

    /// The configuration after one event; `None`: that of before.
    fn after(&mut self, event: Event) -> Result<Option<Config>, Failure> {
        match event {
            Event::Unauthorized { agent, urls } => {
                if !self.config.buckets.iter().any(|bucket| bucket.is_live()) {
                    return Err(Failure::new(GENERAL, "ERROR: Authentication failure"));
                }
                // Clients of other agents' buckets are served.
                self.tell(agent, vec![format!("ERROR: Authentication failure, from REST server(s): {urls}")]);
                Ok(None)
            }
            Event::Empty { .. } => Ok(Some(dynamic::apply_empty(&self.config))),
            Event::Document { agent, origin, text } => {
                let source = Source { agent, url: &origin.url, host: &origin.host };
                let applied = dynamic::apply(&self.config, &text, source, &self.behavior);
                let (config, lines) = match applied {
                    Ok(applied) => (applied.config, applied.log),
                    // The agent has looked: it does not happen.
                    Err(error) => (
                        dynamic::apply_empty(&self.config),
                        vec![format!("ERROR: bad JSON configuration from {}: {error}", origin.url)],
                    ),
                };
                self.tell(agent, lines);
                let changes = Changes::between(&self.config, &config);
                if !changes.is_empty() {
                    log!(changes.level(), "configuration from {}: {changes}", origin.url);
                }
                Ok(Some(config))
            }
        }
    }

    /// Logs what is to be said of an agent's last document, unless the one before was as bad: some are asked for once a
    /// second.
    fn tell(&mut self, agent: usize, lines: Vec<String>) {
        if self.told.len() <= agent {
            self.told.resize(agent.saturating_add(1), Vec::new());
        }
        let Some(told) = self.told.get_mut(agent).filter(|told| **told != lines) else { return };
        for line in &lines {
            log::report(line);
        }
        *told = lines;
    }
}
