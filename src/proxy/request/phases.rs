//! Where the time of a request has gone.

use crate::metrics::latency::Kind;
use crate::proxy::request::Request;
use crate::proxy::timers::Micros;

/// Where the time of a request has gone until it was sent, in microseconds; as small as it can be, because every request
/// has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// From when moxi first looked at it until it got its place, or was made: [`PLACE_MOST`] at most, about 18 minutes. Above
    /// these bits is the kind of that part of it that has ended last, if that was asked for.
    place: u32,
    /// From there until it, or that part of it whose answer came last or was given up last, had been sent to its server:
    /// [`SENDING_MOST`] at most. [`UNSENT`]: it was not, or nothing of it has ended yet.
    sending: u32,
}

const PLACE_MOST: u32 = (1 << PLACE_BITS) - 1;
const PLACE_BITS: u32 = 30;
const UNSENT: u32 = u32::MAX;
const SENDING_MOST: u32 = UNSENT - 1;

impl Default for Delays {
    fn default() -> Delays {
        Delays { place: 0, sending: UNSENT }
    }
}

impl Delays {
    /// Of a request that is made `now`, and has waited `since` then, if it has.
    pub(in crate::proxy) fn waited(since: Option<Micros>, now: Micros) -> Delays {
        Delays { place: since.map_or(0, |since| between(since, now, PLACE_MOST)), sending: UNSENT }
    }

    /// A part of the request, which was made at `since`, has ended: when it had been sent, if it was.
    #[inline]
    pub(in crate::proxy) fn note_sent(&mut self, since: Micros, sent_at: Option<Micros>) {
        self.sending = match sent_at {
            Some(sent_at) if sent_at == since => 0,
            Some(sent_at) => between(since, sent_at, SENDING_MOST),
            None => UNSENT,
        };
    }

    /// Where the time of a request has gone that was made at `since` and ends `now`.
    #[inline]
    pub(in crate::proxy) fn phases(self, since: Micros, now: Micros) -> Phases {
        let time = now.saturating_sub(since);
        let Delays { place, sending } = self;
        if place | sending == 0 {
            return Phases { total: time, queue: 0, server: Some(time) };
        }
        let place = Micros::from(place & PLACE_MOST);
        let total = place.saturating_add(time);
        match sending {
            UNSENT => Phases { total, queue: total, server: None },
            sending => {
                let sending = Micros::from(sending).min(time);
                let (queue, server) = (place.saturating_add(sending), time.saturating_sub(sending));
                Phases { total, queue, server: Some(server) }
            }
        }
    }

    /// The kind that was noted last.
    pub(in crate::proxy) fn kind(self) -> Kind {
        match self.place >> PLACE_BITS {
            0 => Kind::Other,
            1 => Kind::Get,
            _ => Kind::Set,
        }
    }

    /// Notes the kind of the part that has ended last.
    pub(in crate::proxy) fn set_kind(&mut self, kind: Kind) {
        let bits = match kind {
            Kind::Other => 0,
            Kind::Get => 1,
            Kind::Set => 2,
        };
        self.place = self.place & PLACE_MOST | bits << PLACE_BITS;
    }
}

#[inline]
fn between(start: Micros, end: Micros, most: u32) -> u32 {
    end.saturating_sub(start).min(u64::from(most)) as u32
}

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
        self.delays.phases(self.since, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Id;
    use crate::protocol::Answered;
    use crate::proxy::request::Work;
    use crate::proxy::upstream::Caller;

    #[test]
    fn the_parts_add_up() {
        let nobody = Caller { client: Id::NONE, bucket: 0, named: None };
        let mut request = Request::new(&nobody, 0, Work::Local, Answered::Always);
        request.since = 100;
        assert_eq!(request.phases(350), Phases { total: 250, queue: 250, server: None });
        request.delays.note_sent(100, Some(120));
        assert_eq!(request.phases(350), Phases { total: 250, queue: 20, server: Some(230) });
        request.delays = Delays::waited(Some(40), 100);
        request.delays.note_sent(100, Some(100));
        assert_eq!(request.phases(100), Phases { total: 60, queue: 60, server: Some(0) });
        [Kind::Get, Kind::Set, Kind::Other, Kind::Set].into_iter().for_each(|kind| {
            request.delays.set_kind(kind);
            assert_eq!(request.delays.kind(), kind);
        });
        request.delays.note_sent(100, None);
        assert_eq!(request.phases(101), Phases { total: 61, queue: 61, server: None });
    }
}
