//! Memory that a burst has needed goes back to the system afterwards.

use crate::proxy::Engine;
use crate::proxy::timers::{Micros, Owner};

/// How often it is looked for memory that is not needed any more: what was idle for so long is freed.
const INTERVAL: Micros = 5_000_000;

impl Engine {
    /// Makes sure that spare memory is looked at, if there is any; an idle worker is not woken for nothing.
    pub(in crate::proxy) fn arm_trimming(&mut self) {
        if !self.is_trimming && self.holds_spare() {
            self.is_trimming = true;
            self.timers.add(self.now.saturating_add(INTERVAL), Owner::Memory);
        }
    }

    /// Frees what was not needed lately.
    pub(in crate::proxy) fn trim(&mut self) {
        self.is_trimming = false;
        self.upstream.trim();
        self.flight.trim();
        self.downstream.trim();
        self.spare.trim();
    }

    fn holds_spare(&self) -> bool {
        self.upstream.holds_spare()
            || self.flight.holds_spare()
            || self.downstream.holds_spare()
            || !self.spare.is_empty()
    }
}
