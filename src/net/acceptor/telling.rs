//! Who is told how we are: the service manager, and scrapers.

use std::io;
use std::sync::Arc;

use super::Acceptor;
use crate::config::snapshot::Config;
use crate::net::scrapers::Scrapers;
use crate::systemd::{self, Manager};

impl Acceptor {
    /// Tells `manager` how we are, from the configuration of the start on.
    pub fn report_to(&mut self, manager: Manager, config: Arc<Config>) {
        (self.manager, self.config) = (Some(manager), config);
    }

    /// Answers `scrapers`, too.
    ///
    /// # Errors
    /// When the system refuses to watch their listeners.
    pub fn answer_to(&mut self, mut scrapers: Scrapers) -> io::Result<()> {
        scrapers.register(self.poll.registry())?;
        self.scrapers = Some(scrapers);
        Ok(())
    }

    /// Has something said to the service manager; it may ask for the line of status.
    pub(super) fn report(&mut self, say: impl FnOnce(&mut Manager, &dyn Fn() -> String)) {
        let Some(manager) = &mut self.manager else { return };
        let places = || {
            let mut places: Vec<String> = Vec::new();
            for (_, entry) in &self.listeners {
                let place = entry.listener.place();
                if !places.contains(&place) {
                    places.push(place);
                }
            }
            places
        };
        say(manager, &|| systemd::manager::status(&places(), &self.config));
    }

    /// Gives scrapers what they have asked for. `end`: why no more clients are served, if that is so.
    pub(super) fn tell_scrapers(&mut self, end: Option<&str>) {
        let obstacle = end.or_else(|| self.obstacle());
        if let Some(scrapers) = &mut self.scrapers {
            scrapers.turn(self.poll.registry(), &self.config, obstacle);
        }
    }

    /// Why clients cannot be served; `None`: they can.
    pub(super) fn obstacle(&self) -> Option<&'static str> {
        let waits = self.config.dynamic.is_some() && !self.config.is_live();
        let has_port = !self.listeners.is_empty();
        match (waits, has_port) {
            (false, true) => None,
            (false, false) => Some("no port is open"),
            (true, _) if self.config.tally.configs == 0 => Some("no cluster manager has answered yet"),
            (true, _) => Some("no bucket has servers"),
        }
    }
}
