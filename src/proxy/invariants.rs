//! What must hold between two calls of the engine. Checked in debug builds.

use crate::proxy::Engine;
use crate::proxy::slow::NoteId;
use crate::sums::sum;

impl Engine {
    /// Panics if the engine's records contradict each other. Called at the end of each turn; the simulation calls it
    /// after each call.
    pub fn check_invariants(&self) {
        self.downstream.check_invariants(&self.upstream.clients, &self.flight.requests);
        self.upstream.check_invariants(&self.downstream, &self.flight.requests);
        let noted = self.flight.requests.iter().filter(|(_, request)| !request.is_done && request.note != NoteId::NONE);
        assert_eq!(noted.count(), self.flight.notes.len(), "notes about requests");
        for (index, bucket) in self.buckets.iter().enumerate() {
            let held = self
                .flight
                .requests
                .iter()
                .filter(|(_, request)| request.bucket == index && request.has_place() && !request.is_done);
            let granted = self.upstream.places_kept(index);
            assert_eq!(bucket.active as usize, sum([held.count(), granted]), "places of bucket {index}");
        }
    }
}
