//! What must hold between two calls of the engine. Checked in debug builds.

use crate::proxy::Engine;
use crate::proxy::slow::NoteId;

impl Engine {
    /// Panics if the engine's records contradict each other. Called at the end of each turn; the simulation calls it
    /// after each call.
    pub fn check_invariants(&self) {
        self.downstream.check_invariants(&self.upstream.clients, &self.flight.requests);
        for (id, client) in self.upstream.clients.iter() {
            let unanswered = client.order.iter().chain(&client.quiet);
            let unanswered =
                unanswered.filter(|id| self.flight.requests.get(**id).is_some_and(|request| !request.is_done));
            assert_eq!(client.unanswered as usize, unanswered.count(), "unanswered requests of client {id:?}");
            let front = client.order.front().and_then(|front| self.flight.requests.get(*front));
            assert!(front.is_none_or(|front| !front.is_done), "a finished reply at the head of client {id:?}");
            assert!(client.committed <= client.output.end(), "client {id:?}");
            let partings = self.downstream.partings_of(id);
            assert_eq!(client.parting as usize, partings, "closed connections that client {id:?} waits for");
        }
        let noted = self.flight.requests.iter().filter(|(_, request)| !request.is_done && request.note != NoteId::NONE);
        assert_eq!(noted.count(), self.flight.notes.len(), "notes about requests");
        for (index, bucket) in self.buckets.iter().enumerate() {
            let held = self
                .flight
                .requests
                .iter()
                .filter(|(_, request)| request.bucket == index && request.has_place && !request.is_done);
            let granted = self.upstream.clients.iter().filter(|(_, client)| {
                client.bucket() == Some(index) && client.admission == crate::proxy::upstream::Admission::Granted
            });
            assert_eq!(bucket.active as usize, held.count() + granted.count(), "places of bucket {index}");
        }
    }
}
