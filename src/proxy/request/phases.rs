//! Where the time of a request has gone.

use crate::proxy::request::Request;
use crate::proxy::timers::Micros;

/// The time of a request, in two parts that follow each other: `queue` and `server` add up to `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// From when the client's request was first looked at until its answer was complete.
    pub total: Micros,
    /// Until it was sent to the server whose answer came last: waiting for a place, for a connection, behind others, and
    /// for servers that were asked in vain before.
    pub queue: Micros,
    /// From there on. `None`: it was not sent to any server.
    pub server: Option<Micros>,
}

impl Request {
    /// Where its time has gone, if it ends `now`.
    #[inline]
    pub fn phases(&self, now: Micros) -> Phases {
        let total = now.saturating_sub(self.read_at);
        match self.sent_at {
            None => Phases { total, queue: total, server: None },
            Some(sent_at) => {
                let queue = sent_at.saturating_sub(self.read_at).min(total);
                Phases { total, queue, server: Some(total - queue) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Id;
    use crate::proxy::request::Work;

    #[test]
    fn the_parts_add_up() {
        let mut request = Request::new(Id::NONE, 0, 0, Work::Local, false);
        request.read_at = 100;
        assert_eq!(request.phases(350), Phases { total: 250, queue: 250, server: None });
        request.sent_at = Some(120);
        assert_eq!(request.phases(350), Phases { total: 250, queue: 20, server: Some(230) });
        request.sent_at = Some(100);
        assert_eq!(request.phases(100), Phases { total: 0, queue: 0, server: Some(0) });
    }
}
