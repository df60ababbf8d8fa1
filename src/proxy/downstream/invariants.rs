//! What must hold of servers and their connections between two calls of the engine.

use crate::arena::Arena;
use crate::proxy::request::Request;
use crate::proxy::upstream::Client;

use super::Downstream;

impl Downstream {
    /// Panics if the room's records contradict each other, or those of the others.
    pub(in crate::proxy) fn check_invariants(&self, clients: &Arena<Client>, requests: &Arena<Request>) {
        for (id, conn) in self.conns.iter() {
            let live = |id| requests.get(id).is_some_and(|request| !request.is_done);
            let wanted = conn.fifo.iter().filter(|entry| live(entry.request)).count();
            assert_eq!(conn.wanted as usize, wanted, "wanted replies of connection {id:?}: {conn:?}");
            let mut head = conn.fifo.iter().take(conn.fifo.head_len());
            assert!(
                !head.any(|entry| entry.is_queued && live(entry.request)),
                "a request at the head of {id:?} counts as queued"
            );
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
            assert!(numbers.is_sorted(), "given-up requests of {id:?}: {conn:?}");
            for abandoned in &conn.abandoned {
                let client = clients.get(abandoned.client);
                assert!(client.is_none_or(|client| client.sticky(conn.host).is_some()), "client of {abandoned:?}");
            }
            assert!(conn.held_at.is_none_or(|at| at >= conn.output.sent()), "connection {id:?} is held");
            let is_waited_for =
                conn.held_at.is_none() || conn.output.sent() > conn.answered_to || !conn.fifo.is_empty();
            assert!(is_waited_for, "nothing ends the hold of connection {id:?}");
        }
        for (id, host) in self.hosts.iter() {
            let conns = host.conns.iter().filter_map(|conn| self.conns.get(*conn));
            let abandoned: usize = conns.map(|conn| conn.abandoned.len()).sum();
            assert_eq!(host.abandoned as usize, abandoned, "given-up requests of {id:?}");
        }
    }
}
