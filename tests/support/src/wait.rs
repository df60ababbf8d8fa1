//! Waiting for what comes by itself, and only for that.

use std::thread;
use std::time::{Duration, Instant};

use crate::LIMIT;

/// So often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until `condition` holds. Fails the test after [`LIMIT`], naming `what` was waited for.
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    wait_to_get(what, || condition().then_some(()));
}

/// Waits until `attempt` brings something, and returns that. Fails the test after [`LIMIT`], naming `what` was waited for.
#[track_caller]
pub fn wait_to_get<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, what, attempt)
}

/// The same with a limit that is the subject of the test: so soon it has to be.
#[track_caller]
pub fn within<T>(limit: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        thread::sleep(PAUSE);
    }
}
