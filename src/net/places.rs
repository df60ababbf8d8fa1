//! How many clients are connected, counted from the moment they are accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mio::Waker;

/// Shared by the main thread, which gives places to clients, and the workers, whose clients leave.
#[derive(Debug)]
pub struct Places {
    taken: AtomicU64,
    /// The main thread is to be woken when a client leaves.
    is_awaited: AtomicBool,
    waker: Arc<Waker>,
}

/// The place of a client, which is free when this is dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Places {
    /// All are free. `waker` is the main thread's.
    pub fn new(waker: Arc<Waker>) -> Places {
        Places { taken: AtomicU64::new(0), is_awaited: AtomicBool::new(false), waker }
    }

    /// How many are taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    /// Takes one.
    pub fn take(self: &Arc<Self>) -> Place {
        self.taken.fetch_add(1, Ordering::SeqCst);
        Place(Arc::clone(self))
    }

    /// Has the main thread woken when the next client leaves. Whoever calls this looks at [`Places::taken`] after it:
    /// one may have left just before.
    pub fn await_one(&self) {
        self.is_awaited.store(true, Ordering::SeqCst);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        if self.0.is_awaited.swap(false, Ordering::SeqCst) {
            // If the main thread does not listen any more, nobody waits.
            let _ = self.0.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use std::time::Duration;

    #[test]
    fn who_waits_is_woken_once() {
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let places = Arc::new(Places::new(waker));
        let mut events = Events::with_capacity(4);
        let mut is_woken = || {
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            !events.is_empty()
        };
        let [first, second, third] = [0; 3].map(|_| places.take());
        drop(first);
        assert_eq!((places.taken(), is_woken()), (2, false));
        places.await_one();
        drop(second);
        assert!(is_woken());
        drop(third);
        assert_eq!((places.taken(), is_woken()), (0, false));
    }
}
