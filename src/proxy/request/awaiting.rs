//! What a request waits for, and what other rooms tell it of that.

use crate::buffer::Output;
use crate::protocol::Answered;

use crate::proxy::downstream::ConnId;
use crate::proxy::downstream::host::HostId;
use crate::proxy::timers::Micros;
use crate::sums::Count as _;

use super::caching::Caching;
use super::error::Failure;
use super::{Links, Request, Work};

impl Request {
    /// It holds one of the bucket's places from now on, and may be asked again or not.
    pub(in crate::proxy) fn take_place(&mut self, may_repeat: bool) {
        (self.has_place, self.may_repeat) = (true, may_repeat);
    }

    /// Whether it holds one of the bucket's places.
    #[inline]
    pub(in crate::proxy) fn has_place(&self) -> bool {
        self.has_place
    }

    /// Whether a server may be asked again although it may have done it already.
    pub(in crate::proxy) fn may_repeat(&self) -> bool {
        self.may_repeat
    }

    /// Whether it changes something at its servers.
    pub(in crate::proxy) fn changes(&self) -> bool {
        self.changes
    }

    /// One more answer is to come, from this server on this connection, to a part that changes something or not.
    #[inline]
    pub(in crate::proxy) fn await_from(&mut self, host: HostId, conn: ConnId, changes: bool) {
        self.pending.up();
        self.target = host;
        self.changes |= changes;
        self.links.add(conn);
    }

    /// An answer of this connection, to a part that was sent at this time, is there, or will not come. Tells whether others
    /// were refused.
    #[inline]
    pub(in crate::proxy) fn answered_on(&mut self, conn: ConnId, sent: Option<Micros>, was_queued: bool) -> bool {
        self.links.remove(conn);
        self.delays.note_sent(self.since, sent);
        self.queued = self.queued.saturating_sub(u32::from(was_queued));
        self.let_go()
    }

    /// It waits for no more answers of this connection. Tells how many of its parts were behind others.
    pub(in crate::proxy) fn forget_conn(&mut self, conn: ConnId) -> u32 {
        self.links.remove(conn);
        std::mem::take(&mut self.queued)
    }

    /// It is not finished before a part of it is sent again, or has failed.
    pub(in crate::proxy) fn hold(&mut self) {
        self.pending.up();
    }

    /// One of its parts need not be waited for any more. Tells whether what was refused of it may have waited for that.
    #[inline]
    pub(in crate::proxy) fn let_go(&mut self) -> bool {
        self.pending = self.pending.saturating_sub(1);
        self.refused > 0
    }

    /// No answers are waited for any more.
    pub(in crate::proxy) fn let_all_go(&mut self) {
        self.pending = 0;
    }

    /// Whether answers are missing.
    pub(in crate::proxy) fn is_awaiting(&self) -> bool {
        self.pending > 0
    }

    /// The connections on which answers are expected: one for each missing one.
    pub(in crate::proxy) fn links(&self) -> &Links {
        &self.links
    }

    /// Notes whether what was just sent is behind others; tells whether something of the request is.
    #[inline]
    pub(in crate::proxy) fn note_queued(&mut self, is_queued: bool, now: Micros) -> bool {
        if is_queued {
            self.queued.up();
            if self.queued == 1 {
                self.queued_since = now;
            }
        }
        self.queued > 0
    }

    /// A part of it has come to be behind others, now that its connection is ready.
    pub(in crate::proxy) fn begin_queued(&mut self, now: Micros) {
        self.queued.up();
        self.queued_since = now;
    }

    /// A part of it is not behind others any more.
    #[inline]
    pub(in crate::proxy) fn end_queued(&mut self) {
        self.queued = self.queued.saturating_sub(1);
    }

    /// Since when something of it is behind others, if it is.
    #[inline]
    pub(in crate::proxy) fn queued_since(&self) -> Option<Micros> {
        (self.queued > 0).then_some(self.queued_since)
    }

    /// Its reply is complete.
    #[inline]
    pub(in crate::proxy) fn finish(&mut self) {
        self.is_done = true;
    }

    /// Whether it is a get of one key that waits for one answer, and nothing else is to be done with that than to count it and
    /// to pass it on.
    #[inline]
    pub(in crate::proxy) fn is_plain_get(&self) -> bool {
        matches!(self.work, Work::Get { .. } | Work::Meta(_))
            && self.answered == Answered::Always
            && matches!(self.caching, Caching::None)
            && self.parked.is_none()
            && self.has_place
            && !self.is_done
            && self.pending == 1
            && self.refused == 0
            && self.refusals == 0
    }

    /// Whether nothing of it is of use when it is done: no reply that has waited for its turn, no memory for others.
    #[inline]
    pub(in crate::proxy) fn leaves_nothing(&self) -> bool {
        self.parked.is_none() && !matches!(self.work, Work::MultiGet(_) | Work::Meta(_))
    }

    /// A part of it has failed.
    pub(in crate::proxy) fn note_failure(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// It has failed as a whole.
    pub(in crate::proxy) fn fail(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    /// The first failure of a part of it.
    pub(in crate::proxy) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// How often a server has refused a part of it.
    pub(in crate::proxy) fn refusals(&self) -> u16 {
        self.refusals
    }

    /// How many values have come, of a get.
    pub(in crate::proxy) fn hits(&self) -> u32 {
        self.hits
    }

    /// How many bytes these had, line ends included.
    pub(in crate::proxy) fn value_bytes(&self) -> u64 {
        self.value_bytes
    }

    /// What of its reply is complete, if it was not its turn before.
    #[inline]
    pub(in crate::proxy) fn take_parked(&mut self) -> Option<Box<Output>> {
        self.parked.take()
    }

    /// What it is, and where its reply is parked.
    #[inline]
    pub(in crate::proxy) fn reply_parts(&mut self) -> (&Work, &mut Option<Box<Output>>) {
        (&self.work, &mut self.parked)
    }

    /// Where its reply is written while it is not its turn.
    #[inline]
    pub(in crate::proxy) fn parked(&mut self) -> &mut Output {
        self.parked.get_or_insert_default()
    }
}
