//! The main thread's side of a static configuration file: SIGHUP reads it again.

use std::sync::Arc;

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
}

/// What is to be done after the file was read again, with the ports, `L`, that were opened for it.
#[derive(Debug)]
pub struct Change<L> {
    /// What all workers are to be told.
    pub config: Arc<Config>,
    /// What is to be accepted from, too, and whose clients those are.
    pub listeners: Vec<(L, usize)>,
    /// The sections, in the order of the file: the ports of others are to be closed. `None`: the file cannot be used,
    /// nothing has changed but the count of failures.
    pub sections: Option<Vec<Section>>,
    /// What to log.
    pub line: String,
}

impl StaticFile {
    /// Begins with `config`, that of the start.
    pub fn new(file: Source, config: Arc<Config>, behavior: Arc<Behavior>) -> StaticFile {
        StaticFile { file, config, behavior }
    }

    /// Reads the file. `open` opens what a section's port still needs; if it fails for one of them, nothing is changed.
    pub fn read_again<L>(&mut self, open: impl Fn(&Section) -> Result<Vec<L>, String>) -> Change<L> {
        let change = self.attempt(open).unwrap_or_else(|why| Change {
            config: Arc::new(config::failed(&self.config)),
            listeners: Vec::new(),
            sections: None,
            line: format!("SIGHUP: {} cannot be used, the old configuration stays: {why}", self.file),
        });
        self.config = Arc::clone(&change.config);
        change
    }

    /// The change to what the file says now, with all new ports bound; or why that cannot be.
    fn attempt<L>(&self, open: impl Fn(&Section) -> Result<Vec<L>, String>) -> Result<Change<L>, String> {
        let reread = config::reread(&self.config, &self.file, &self.behavior).map_err(|error| error.to_string())?;
        let mut listeners = Vec::new();
        for section in &reread.sections {
            listeners.extend(open(section)?.into_iter().map(|listener| (listener, section.bucket)));
        }
        let changes = Changes::between(&self.config, &reread.config);
        let line = format!("SIGHUP: configuration read again from {}: {changes}", self.file);
        Ok(Change { config: Arc::new(reread.config), listeners, sections: Some(reread.sections), line })
    }
}
