//! What must hold of clients between two calls of the engine.

use crate::arena::Arena;
use crate::proxy::downstream::Downstream;
use crate::proxy::request::Request;

use super::{Admission, Upstream};

impl Upstream {
    /// Panics if the room's records contradict each other, or those of the others.
    pub(in crate::proxy) fn check_invariants(&self, downstream: &Downstream, requests: &Arena<Request>) {
        for (id, client) in self.clients.iter() {
            let unanswered = client.requests();
            let unanswered = unanswered.filter(|id| requests.get(*id).is_some_and(|request| !request.is_done));
            assert_eq!(client.unanswered as usize, unanswered.count(), "unanswered requests of client {id:?}");
            let front = client.order.front().and_then(|front| requests.get(front));
            assert!(front.is_none_or(|front| !front.is_done), "a finished reply at the head of client {id:?}");
            assert!(client.committed <= client.output.end(), "client {id:?}");
            let partings = downstream.partings_of(id);
            assert_eq!(client.parting as usize, partings, "closed connections that client {id:?} waits for");
        }
    }

    /// How many places of bucket `bucket` are kept for clients that have not used them yet.
    pub(in crate::proxy) fn places_kept(&self, bucket: usize) -> usize {
        let is_kept =
            |client: &&super::Client| client.bucket() == Some(bucket) && client.admission == Admission::Granted;
        self.clients.iter().map(|(_, client)| client).filter(is_kept).count()
    }
}
