//! Records that name what is not there: a fault of the program that it survives, and tells the log of.

use std::panic::Location;

use crate::arena::Missed;
use crate::proxy::Engine;

impl Engine {
    /// Whether something that must be there was not.
    #[inline]
    pub(super) fn has_missed(&self) -> bool {
        self.upstream.clients.has_missed()
            || self.flight.requests.has_missed()
            || self.downstream.conns.has_missed()
            || self.downstream.hosts.has_missed()
    }

    /// Counts it, and tells the log where that was.
    #[cold]
    pub(super) fn tell_missed(&mut self) {
        let all = [
            ("client", self.upstream.clients.take_missed()),
            ("request", self.flight.requests.take_missed()),
            ("connection", self.downstream.conns.take_missed()),
            ("server", self.downstream.hosts.take_missed()),
        ];
        for (kind, missed) in all {
            let Some(Missed { count, at }) = missed else { continue };
            let before = self.missed;
            self.missed = before.saturating_add(count);
            if is_told(before, self.missed) {
                self.log(0, text(kind, at, self.missed));
            }
        }
    }
}

/// Whether the log is told, when there were so many before and are so many now: at each doubling, so that a fault does not
/// fill the disk.
fn is_told(before: u64, now: u64) -> bool {
    before.checked_ilog2() < now.checked_ilog2()
}

fn text(kind: &str, at: &Location<'_>, count: u64) -> String {
    format!("a fault of moxi, please report it: no {kind} at {at} ({count} such faults in this worker)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_doubling_is_told() {
        let told: Vec<u64> = (1..100).filter(|now| is_told(now - 1, *now)).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64]);
        assert!(is_told(0, 100) && is_told(3, 9) && !is_told(9, 15));
    }

    #[test]
    fn the_place_is_told() {
        let at = Location::caller();
        let line = text("client", at, 3);
        assert!(line.contains("no client at src/proxy/missed.rs:") && line.contains("(3 such faults"), "{line}");
    }
}
