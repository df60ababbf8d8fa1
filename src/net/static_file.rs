//! The main thread's side of a static configuration file: SIGHUP reads it again.

use std::sync::Arc;

use super::cluster::Place;
use super::listener::Listener;
use crate::config::behavior::Behavior;
use crate::config::changes::Changes;
use crate::config::files::Source;
use crate::config::snapshot::Config;
use crate::config::{self, Section};

/// The file, and the configuration in force.
#[derive(Debug)]
pub struct StaticFile {
    file: Source,
    config: Arc<Config>,
    /// What `-Z` says.
    behavior: Arc<Behavior>,
    /// Where the ports of sections are bound; `None`: there is one unix socket instead.
    place: Option<Place>,
}

/// What is to be done after the file was read again.
#[derive(Debug)]
pub struct Change {
    /// What all workers are to be told.
    pub config: Arc<Config>,
    /// What is to be accepted from, too, and whose clients those are.
    pub listeners: Vec<(Listener, usize)>,
    /// The sections, in the order of the file: the ports of others are to be closed. `None`: the file cannot be used,
    /// nothing has changed but the count of failures.
    pub sections: Option<Vec<Section>>,
    /// What to log.
    pub line: String,
}

impl StaticFile {
    /// Begins with `config`, that of the start.
    pub fn new(file: Source, config: Arc<Config>, behavior: Arc<Behavior>, place: Option<Place>) -> StaticFile {
        StaticFile { file, config, behavior, place }
    }

    /// Whether clients reach the buckets over a unix socket, which leads to the last section.
    pub fn is_unix(&self) -> bool {
        self.place.is_none()
    }

    /// Reads the file. `is_listening` tells whether a bucket's port is open.
    pub fn read_again(&mut self, is_listening: impl Fn(usize) -> bool) -> Change {
        let change = self.attempt(is_listening).unwrap_or_else(|why| Change {
            config: Arc::new(config::failed(&self.config)),
            listeners: Vec::new(),
            sections: None,
            line: format!("SIGHUP: {} cannot be used, the old configuration stays: {why}", self.file),
        });
        self.config = Arc::clone(&change.config);
        change
    }

    /// The change to what the file says now, with all new ports bound; or why that cannot be.
    fn attempt(&self, is_listening: impl Fn(usize) -> bool) -> Result<Change, String> {
        let reread = config::reread(&self.config, &self.file, &self.behavior).map_err(|error| error.to_string())?;
        let mut listeners = Vec::new();
        if let Some(place) = &self.place {
            for &Section { port, bucket } in reread.sections.iter().filter(|section| !is_listening(section.bucket)) {
                let bound = place.listen(port)?;
                listeners.extend(bound.into_iter().map(|listener| (listener, bucket)));
            }
        }
        let changes = Changes::between(&self.config, &reread.config);
        let line = format!("SIGHUP: configuration read again from {}: {changes}", self.file);
        Ok(Change { config: Arc::new(reread.config), listeners, sections: Some(reread.sections), line })
    }
}
