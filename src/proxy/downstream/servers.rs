//! How servers are doing, as all workers see it: where their counters come together (06 §15, §16).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::snapshot::Server;
use crate::metrics::server::{Count, ServerSum, Tally};
use crate::proxy::timers::Micros;

use super::host::Health;

/// One server: who counts for it.
#[derive(Debug, Default)]
struct Place {
    /// The bucket whose clients have named it (`-X`).
    named_in: Option<usize>,
    /// By worker. Those that clients have named are judged by each worker for itself.
    workers: Vec<(Arc<Tally>, Arc<Health>)>,
    /// What workers have counted that do not know it any more.
    past: Option<Box<ServerSum>>,
    /// What the numbers were at the last reset.
    base: Option<Box<ServerSum>>,
}

impl Place {
    fn sum(&self) -> ServerSum {
        let mut sum = self.past.as_deref().cloned().unwrap_or_default();
        self.workers.iter().for_each(|(tally, _)| sum.add(tally));
        sum
    }

    /// Keeps the numbers of workers that have ended with it, and not their memory.
    fn settle(&mut self) {
        let is_over = |tally: &Arc<Tally>| Arc::strong_count(tally) == 1;
        if self.workers.iter().any(|(tally, _)| is_over(tally)) {
            let past = self.past.get_or_insert_default();
            for (tally, _) in self.workers.extract_if(.., |(tally, _)| is_over(tally)) {
                past.add(&tally);
            }
        }
    }
}

/// How a server is doing.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// What was counted since the last reset.
    pub sum: ServerSum,
    /// Since when it is suspended, if it is.
    pub suspended_since: Option<Micros>,
    /// How often in a row it has failed.
    pub failures: u32,
}

impl Standing {
    /// In a word.
    pub fn state(&self) -> &'static str {
        match self.suspended_since {
            None => "up",
            Some(_) if self.sum.count(Count::Connecting) > 0 => "probing",
            Some(_) => "suspended",
        }
    }
}

/// All servers that workers know.
#[derive(Debug, Default)]
pub struct Servers {
    places: Mutex<HashMap<Arc<Server>, Place>>,
}

impl Servers {
    /// Counters for a worker that has come to know of `server`; `named_in`: from a client of this bucket. Never called
    /// on the way of a request, but when clients name a server for the first time.
    pub(in crate::proxy) fn register(
        &self,
        server: &Arc<Server>,
        named_in: Option<usize>,
        health: &Arc<Health>,
    ) -> Arc<Tally> {
        let mut places = self.lock();
        // So that a changing cluster does not pile up servers.
        places.retain(|known, place| {
            place.settle();
            known == server || !place.workers.is_empty()
        });
        let place = places.entry(Arc::clone(server)).or_default();
        place.named_in = named_in;
        let tally = Arc::<Tally>::default();
        place.workers.push((Arc::clone(&tally), Arc::clone(health)));
        tally
    }

    /// How a server is doing; `None`: no worker knows it.
    pub fn standing(&self, server: &Server) -> Option<Standing> {
        let places = self.lock();
        let place = places.get(server)?;
        let base = place.base.as_deref().cloned().unwrap_or_default();
        let healths = || place.workers.iter().map(|(_, health)| health);
        Some(Standing {
            sum: place.sum().since(&base),
            suspended_since: healths().filter_map(|health| health.suspended_since()).min(),
            failures: healths().map(|health| health.errors()).max().unwrap_or(0),
        })
    }

    /// The servers that clients of this bucket have named, by name.
    pub fn named_in(&self, bucket: usize) -> Vec<Arc<Server>> {
        let places = self.lock();
        let of_it = places.iter().filter(|(_, place)| place.named_in == Some(bucket));
        let mut servers: Vec<_> = of_it.map(|(server, _)| Arc::clone(server)).collect();
        servers.sort_by_cached_key(|server| server.to_string());
        servers
    }

    /// Counts from zero again.
    pub fn reset(&self, server: &Server) {
        if let Some(place) = self.lock().get_mut(server) {
            place.workers.iter().for_each(|(tally, _)| tally.forget_most());
            place.base = Some(Box::new(place.sum()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Server>, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::Secret;
    use crate::metrics::server::Cause;
    use crate::protocol::Protocol;

    fn server(port: u16) -> Arc<Server> {
        let (host, user) = ("10.0.0.1".to_owned(), String::new());
        let (password, bucket) = (Secret::new(""), String::new());
        Arc::new(Server { host, port, user, password, bucket, protocol: Protocol::Ascii })
    }

    #[test]
    fn what_a_worker_has_counted_outlives_it() {
        let (servers, health) = (Servers::default(), Arc::default());
        let first = servers.register(&server(1), None, &health);
        let second = servers.register(&server(1), None, &health);
        first.add(Count::Requests, 2);
        second.add(Count::Requests, 3);
        first.fail(Cause::Closed, 5);
        let requests = || servers.standing(&server(1)).map(|standing| standing.sum.count(Count::Requests));
        assert_eq!(requests(), Some(5));
        drop(first);
        let third = servers.register(&server(1), None, &health);
        assert_eq!((requests(), servers.lock().len()), (Some(5), 1));
        servers.reset(&server(1));
        third.add(Count::Requests, 1);
        assert_eq!(requests(), Some(1));
        assert!(servers.standing(&server(2)).is_none());
        drop((second, third));
        let _other = servers.register(&server(2), Some(7), &health);
        assert!(requests().is_none());
        assert_eq!((servers.named_in(7), servers.named_in(0)), (vec![server(2)], vec![]));
    }
}
