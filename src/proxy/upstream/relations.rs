//! What other rooms ask of a client, and tell it.

use crate::proxy::Engine;
use crate::proxy::downstream::ConnId;
use crate::proxy::downstream::host::HostId;
use crate::proxy::request::RequestId;
use crate::proxy::request::batch::Packets;
use crate::proxy::request::phases::Delays;
use crate::proxy::request::refused::Refusals;
use crate::proxy::timers::Micros;
use crate::sums::Count as _;

use super::{Client, ClientId, Phase};

impl Client {
    /// The number of its next request among its requests.
    #[inline]
    pub(in crate::proxy) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// How long its next request has waited until now.
    #[inline]
    pub(in crate::proxy) fn waited(&self, now: Micros) -> Delays {
        Delays::waited(self.waits_since, now)
    }

    /// Whether it is there, and may send more.
    pub(in crate::proxy) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether something of it is unanswered.
    pub(in crate::proxy) fn has_unanswered(&self) -> bool {
        self.unanswered > 0
    }

    /// Its requests: those with a reply, oldest first, then those without.
    pub(in crate::proxy) fn requests(&self) -> impl Iterator<Item = RequestId> {
        self.order.iter().chain(self.quiet.iter())
    }

    /// The request whose reply is the next one that it gets.
    pub(in crate::proxy) fn next_owed(&self) -> Option<RequestId> {
        self.order.front()
    }

    /// How much it has still to take of what was written for it.
    pub(in crate::proxy) fn unsent(&self) -> u64 {
        self.output.unsent()
    }

    /// Whether no connection holds work of it, so that its next request may take any.
    #[inline]
    pub(in crate::proxy) fn is_free(&self) -> bool {
        self.sticky.is_empty()
    }

    /// The connections that hold work of it.
    pub(in crate::proxy) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.sticky.iter().map(|sticky| sticky.conn)
    }

    /// Its input is left alone until the reason goes away for which it has to wait; who ends that reason wakes it
    /// ([`Engine::wake_client`]).
    pub(in crate::proxy) fn stop(&mut self) {
        self.stopped = true;
    }

    /// It waits until a server has said what it understands.
    pub(in crate::proxy) fn wait_for_dialect(&mut self, now: Micros) {
        self.asks_since.get_or_insert(now);
        self.stop();
    }

    /// The server has said what it understands, which the client has waited for, or has not said so in time.
    pub(in crate::proxy) fn note_asked(&mut self, host: HostId) {
        self.asked.push(host);
    }

    /// One more connection was closed that may still bring a server something of it.
    pub(in crate::proxy) fn begin_parting(&mut self) {
        self.parting.up();
    }

    /// The server is through with one of these connections.
    pub(in crate::proxy) fn end_parting(&mut self) {
        self.parting = self.parting.saturating_sub(1);
    }

    /// Its unanswered quiet packets.
    pub(in crate::proxy) fn packets(&mut self) -> &mut Packets {
        &mut self.packets
    }

    /// The batch that its quiet packets of this turn are part of.
    pub(in crate::proxy) fn batch(&self) -> Option<RequestId> {
        self.packets.batch()
    }

    /// What servers have refused and is to be sent again.
    pub(in crate::proxy) fn refused(&self) -> &Refusals {
        &self.refused
    }

    /// The same, to be changed.
    pub(in crate::proxy) fn refused_mut(&mut self) -> &mut Refusals {
        &mut self.refused
    }
}

impl Engine {
    /// A reason has gone for which the client's input may have been left alone.
    pub(in crate::proxy) fn wake_client(&mut self, id: ClientId) {
        // It may have gone while it waited.
        if self.upstream.clients.get(id).is_some_and(|client| client.stopped) {
            self.make_ready(id);
        }
    }
}
