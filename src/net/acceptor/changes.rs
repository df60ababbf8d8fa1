//! Changes of the configuration: workers are told, and ports are opened and closed.

use std::sync::Arc;

use super::{Acceptor, Target};
use crate::failure::{Failure, GENERAL, reason};
use crate::log;
use crate::net::listener::{self, Origin};
use crate::net::worker::{Message, Service};
use crate::systemd::Manager;

impl Acceptor {
    /// Tells the workers of a new configuration, and opens what it needs.
    pub(super) fn take_changes(&mut self) -> Result<(), Failure> {
        let Some(change) = self.cluster.as_mut().map(|(cluster, _)| cluster.take()).transpose()?.flatten() else {
            self.report(|manager, status| manager.check(false, status));
            return Ok(());
        };
        let listeners = match (change.port, &self.cluster) {
            (Some(port), Some((_, place))) => listener::proxy(place, port, Origin::PortListen)?,
            _ => Vec::new(),
        };
        for worker in &self.workers {
            // Before any client that starts in a bucket it does not know yet.
            worker.send(Message::Config(Arc::clone(&change.config)));
        }
        for listener in listeners {
            let watched = self.listen(listener, Target::Cluster);
            watched
                .map_err(|error| Failure::new(GENERAL, format!("ERROR: the main loop failed: {}", reason(&error))))?;
        }
        self.resize(&change.config);
        self.config = Arc::clone(&change.config);
        self.report(|manager, status| {
            manager.heard();
            manager.check(true, status);
        });
        Ok(())
    }

    /// SIGHUP, with all that is said about it.
    pub(super) fn reload(&mut self) {
        if self.successor.is_some() {
            // A port that was opened now would be in the way of the other process.
            self.is_reread_due = true;
            return;
        }
        self.report(|manager, _| manager.reloading());
        self.reread();
        self.report(Manager::reloaded);
    }

    /// The configuration file may have changed.
    pub(super) fn reread(&mut self) {
        let Some((file, place)) = &mut self.file else { return };
        let is_open = |bucket| {
            let target = Target::Known(Service::Bucket(bucket));
            self.listeners.iter().any(|(_, entry)| entry.target == target)
        };
        let change = file.read_again(|section| match &*place {
            Some(place) if !is_open(section.bucket) => place.listen(section.port),
            _ => Ok(Vec::new()),
        });
        let is_unix = place.is_none();
        for worker in &self.workers {
            worker.send(Message::Config(Arc::clone(&change.config)));
        }
        self.config = Arc::clone(&change.config);
        // Who reads this may rely on the change: what is sent to a worker from now on comes behind it.
        log!(0, "{}", change.line);
        let Some(sections) = change.sections else { return };
        if is_unix {
            if let Some(last) = sections.last() {
                self.lead_to(last.bucket);
            }
            return self.resize(&change.config);
        }
        self.close_listeners(|bucket| !sections.iter().any(|section| section.bucket == bucket));
        for (listener, bucket) in change.listeners {
            let address = listener.address();
            if let Err(error) = self.listen(listener, Target::Known(Service::Bucket(bucket))) {
                // The others go on; the next SIGHUP opens it again.
                let address = address.map(|address| address.to_string()).unwrap_or_default();
                log!(0, "ERROR: clients of {address} cannot be accepted: {}", reason(&error));
            }
        }
        self.resize(&change.config);
    }

    /// Accepts no more clients of some buckets.
    fn close_listeners(&mut self, is_gone: impl Fn(usize) -> bool) {
        let gone = self.listeners.iter().filter_map(|(key, entry)| match entry.target {
            Target::Known(Service::Bucket(bucket)) if is_gone(bucket) => Some((key, bucket)),
            _ => None,
        });
        for (key, bucket) in gone.collect::<Vec<_>>() {
            let mut entry = self.listeners.remove(key);
            // Closing it does the same.
            let _ = self.poll.registry().deregister(&mut entry.listener);
            self.board.forget_listener(bucket);
        }
    }

    /// New clients of the unix socket are those of another bucket.
    fn lead_to(&mut self, bucket: usize) {
        for (_, entry) in &mut self.listeners {
            if let Target::Known(Service::Bucket(old)) = entry.target {
                self.board.forget_listener(old);
                self.board.count_listener(Some(bucket));
                entry.target = Target::Known(Service::Bucket(bucket));
            }
        }
    }
}
