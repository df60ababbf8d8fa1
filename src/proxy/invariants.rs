//! What must hold between two calls of the engine. Checked in debug builds.

use crate::proxy::Engine;
use crate::proxy::slow::NoteId;
use crate::sums::sum;

impl Engine {
    /// Panics if the engine's records contradict each other. Called at the end of each turn; the simulation calls it
    /// after each call.
    pub fn check_invariants(&self) {
        for (id, conn) in self.downstream.conns.iter() {
            let live = |id| self.flight.requests.get(id).is_some_and(|request| !request.is_done);
            let wanted = conn.fifo.iter().filter(|entry| live(entry.request)).count();
            assert_eq!(conn.wanted as usize, wanted, "wanted replies of connection {id:?}: {conn:?}");
            assert!(!conn.is_idle || conn.fifo.is_empty(), "idle connection {id:?} with expected replies");
            assert!(conn.answered_to <= conn.output.end(), "connection {id:?}");
            let mut at = conn.answered_to;
            for entry in conn.fifo.iter() {
                assert!(entry.end >= at, "order of requests on connection {id:?}");
                at = entry.end;
            }
            let numbers: Vec<u64> = conn.abandoned.iter().map(|abandoned| abandoned.number).collect();
            let known = conn.fifo.first_number()..conn.fifo.next_number();
            assert!(numbers.iter().all(|number| known.contains(number)), "given-up requests of {id:?}: {conn:?}");
            assert!(numbers.is_sorted_by(|a, b| a < b), "given-up requests of {id:?}: {conn:?}");
            for abandoned in &conn.abandoned {
                let client = self.upstream.clients.get(abandoned.client);
                assert!(client.is_none_or(|client| client.sticky(conn.host).is_some()), "client of {abandoned:?}");
            }
            assert!(conn.held_at.is_none_or(|at| at >= conn.output.sent()), "connection {id:?} is held");
            let is_waited_for =
                conn.held_at.is_none() || conn.output.sent() > conn.answered_to || !conn.fifo.is_empty();
            assert!(is_waited_for, "nothing ends the hold of connection {id:?}");
        }
        for (id, host) in self.downstream.hosts.iter() {
            let conns = host.conns.iter().filter_map(|conn| self.downstream.conns.get(*conn));
            let abandoned: usize = conns.map(|conn| conn.abandoned.len()).sum();
            assert_eq!(host.abandoned as usize, abandoned, "given-up requests of {id:?}");
        }
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
            assert_eq!(bucket.active as usize, sum([held.count(), granted.count()]), "places of bucket {index}");
        }
    }
}
