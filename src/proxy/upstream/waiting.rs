//! Since when a client's next request waits: its whole time counts from there.

use crate::proxy::Engine;
use crate::proxy::upstream::{Admission, ClientId};

impl Engine {
    /// The client's next request has to wait, from now on if it did not before. Nothing more can be done for it now.
    pub(in crate::proxy) fn note_waiting(&mut self, id: ClientId) -> bool {
        self.drop_note();
        if let Some(client) = self.upstream.clients.must_mut(id) {
            client.waits_since.get_or_insert(self.now);
        }
        false
    }

    /// If a request was taken (`is_taken`, which is returned), the one behind it has not waited yet: no place
    /// was asked for it, and no server what it knows.
    pub(in crate::proxy) fn note_taken(&mut self, id: ClientId, is_taken: bool) -> bool {
        if is_taken && let Some(client) = self.upstream.clients.must_mut(id) {
            client.waits_since = None;
            client.asked.clear();
            (client.asks_since, client.asks_long) = (None, false);
            if client.admission != Admission::Unasked {
                self.withdraw(id);
            }
        }
        is_taken
    }
}
