//! Memory that a burst has needed goes back to the system afterwards.

use super::Engine;
use super::timers::{Micros, Owner};

/// How often it is looked for memory that is not needed any more: what was idle for so long is freed.
const INTERVAL: Micros = 5_000_000;

impl Engine {
    /// Makes sure that spare memory is looked at, if there is any; an idle worker is not woken for nothing.
    pub(super) fn arm_trimming(&mut self) {
        if !self.is_trimming && self.holds_spare() {
            self.is_trimming = true;
            self.timers.add(self.now + INTERVAL, Owner::Memory);
        }
    }

    /// Frees what was not needed lately.
    pub(super) fn trim(&mut self) {
        self.is_trimming = false;
        self.client_buffers.trim();
        self.server_buffers.trim();
        self.spare.trim();
        self.spare_multigets.trim();
    }

    fn holds_spare(&self) -> bool {
        !(self.client_buffers.is_empty()
            && self.server_buffers.is_empty()
            && self.spare.is_empty()
            && self.spare_multigets.is_empty())
    }
}
