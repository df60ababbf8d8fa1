//! Quiet packets of binary clients (04 §8.3): what one turn has brought goes out in that turn.
//!
//! Every server gets its packets in their order, and behind them one that is answered: the client's own if it comes
//! in the same turn, else a NOOP. So all quiet replies are there when the last of these answers is.

mod answers;
mod replies;

use crate::arena::Arena;
use crate::buffer::Output;
use crate::config::behavior::Behavior;
use crate::metrics::counter::Counter;
use crate::protocol::binary::packet::Packet;
use crate::protocol::binary::request;
use crate::protocol::{Answered, Protocol};

use crate::proxy::Engine;
use crate::proxy::request::broadcast::Broadcast;
use crate::proxy::request::error::Failure;
use crate::proxy::request::{Request, RequestId, Work};
use crate::proxy::upstream::admission::Admit;
use crate::proxy::upstream::pump::Verdict;
use crate::proxy::upstream::{Caller, Client, ClientId};
use crate::sums::Count as _;
pub(in crate::proxy) use answers::failed;
use replies::Replies;

/// Quiet packets in flight, and the one that closed them.
#[derive(Debug)]
pub struct Batch {
    /// The closing packet's opcode and opaque; `None`: the client did not send one in the same turn.
    closing: Option<(u8, u32)>,
    /// The closing packet went to all servers.
    pub(in crate::proxy) broadcast: Option<Broadcast>,
    /// The reply to the closing packet, while others are awaited.
    last: Output,
    /// The closing packet has failed, with this body: its server may be forgotten when it is told.
    failure: Option<(Failure, Vec<u8>)>,
    /// The replies to its quiet packets, as far as they are kept.
    replies: Replies,
    /// How many quiet packets it has, and how many bytes.
    count: u32,
    bytes: u64,
    /// Further packets of this turn may join it.
    is_open: bool,
    /// A packet is on its way to the servers: not all its parts have been sent yet.
    is_sending: bool,
}

impl Batch {
    /// A batch that packets may join.
    fn new() -> Batch {
        Batch {
            closing: None,
            broadcast: None,
            last: Output::default(),
            failure: None,
            replies: Replies::default(),
            count: 0,
            bytes: 0,
            is_open: true,
            is_sending: false,
        }
    }

    /// Whether it changes nothing, as far as is known.
    pub(in crate::proxy) fn is_read(&self) -> bool {
        self.bytes == 0 && self.broadcast.as_ref().is_some_and(Broadcast::is_read)
    }
}

/// The quiet packets of a client that are not answered, and what its next one joins.
#[derive(Debug, Default)]
pub struct Packets {
    /// The batch that those of this turn are part of.
    batch: Option<RequestId>,
    bytes: u64,
    count: u32,
}

impl Packets {
    /// The batch that those of this turn are part of.
    pub(in crate::proxy) fn batch(&self) -> Option<RequestId> {
        self.batch
    }

    /// Whether one more of so many bytes may be sent before others are answered.
    fn takes(&self, bytes: u64, behavior: &Behavior) -> bool {
        let is_too_long = self.bytes.saturating_add(bytes) > behavior.quiet_max;
        self.count == 0 || !is_too_long && self.count < behavior.upstream_requests_max
    }

    /// One more of so many bytes joins this batch.
    fn join(&mut self, batch: RequestId, bytes: u64) {
        self.batch = Some(batch);
        self.bytes = self.bytes.saturating_add(bytes);
        self.count.up();
    }

    /// What comes next is not part of the batch.
    pub(in crate::proxy) fn leave(&mut self) {
        self.batch = None;
    }

    /// Those of a batch are answered.
    fn settle(&mut self, batch: &Batch) {
        self.bytes = self.bytes.saturating_sub(batch.bytes);
        self.count = self.count.saturating_sub(batch.count);
    }
}

impl Client {
    /// The batch that its next packet joins, if there is one in this turn.
    pub(in crate::proxy) fn open_batch(&self, requests: &Arena<Request>) -> Option<RequestId> {
        let id = self.batch()?;
        // It may be answered, and forgotten.
        let request = requests.get(id).filter(|request| !request.is_done)?;
        matches!(&request.work, Work::Batch(batch) if batch.is_open).then_some(id)
    }
}

impl Engine {
    /// The batch that the client's next packet joins, if there is one in this turn.
    pub(in crate::proxy) fn open_batch(&self, id: ClientId) -> Option<RequestId> {
        self.upstream.clients.must(id)?.open_batch(&self.flight.requests)
    }

    /// Sends a quiet packet. While more than `quiet_max` bytes of them are unanswered, or `upstream_requests_max`, it has to
    /// wait: others wait for the same servers.
    pub(in crate::proxy) fn quiet_packet(&mut self, caller: &Caller, packet: &Packet<'_>) -> Verdict {
        let id = caller.client;
        if let Some(failure) = self.no_servers(caller) {
            self.refuse_quiet(caller, packet, failure);
            return Verdict::Taken;
        }
        let Some(client) = self.upstream.clients.must_mut(id) else { return Verdict::Taken };
        let behavior = &self.buckets[caller.bucket].config.behavior;
        let bytes = packet.raw.len() as u64;
        if !client.packets().takes(bytes, behavior) {
            client.stop();
            return Verdict::Wait;
        }
        let is_flush = packet.key.is_empty();
        if !self.knows_dialects(caller, (!is_flush).then_some(packet.key), is_flush) {
            return Verdict::Wait;
        }
        if self.packet_waits(caller, packet) {
            return Verdict::Wait;
        }
        let batch = match self.open_batch(id) {
            Some(batch) => batch,
            None => match self.admit(caller) {
                Admit::Wait => return Verdict::Wait,
                Admit::Go => self.one(caller, Work::Batch(Box::new(Batch::new())), Answered::Always, true),
                Admit::TooLate => {
                    self.refuse_quiet(caller, packet, Failure::WaitQueue);
                    return Verdict::Taken;
                }
            },
        };
        if let Some(client) = self.upstream.clients.must_mut(id) {
            client.packets().join(batch, bytes);
        }
        self.begin_packet(batch, bytes);
        if is_flush {
            self.send_quiet_flush(batch, caller, packet);
        } else {
            self.send_packet(batch, packet);
        }
        self.end_packet(batch);
        Verdict::Taken
    }

    /// A quiet packet that cannot be sent: a get is a miss, everything else is told.
    fn refuse_quiet(&mut self, caller: &Caller, packet: &Packet<'_>, failure: Failure) {
        if failure == Failure::WaitQueue {
            self.count(caller.bucket, Counter::WaitQueueTimeout);
        }
        let request =
            self.new_request(caller, Work::Batch(Box::new(Batch { is_open: false, ..Batch::new() })), Answered::Always);
        self.not_sent(request, packet, failure, None);
    }

    /// A packet of a batch is about to be sent: the batch is not finished before all of it is.
    fn begin_packet(&mut self, id: RequestId, quiet_bytes: u64) {
        if let Some(Work::Batch(batch)) = self.flight.requests.must_mut(id).map(|request| &mut request.work) {
            batch.is_sending = true;
            batch.count = batch.count.saturating_add(u32::from(quiet_bytes > 0));
            batch.bytes = batch.bytes.saturating_add(quiet_bytes);
        }
    }

    fn end_packet(&mut self, id: RequestId) {
        if let Some(Work::Batch(batch)) = self.flight.requests.must_mut(id).map(|request| &mut request.work) {
            batch.is_sending = false;
        }
        self.packet_done(id);
    }

    /// A quiet flush goes to all servers.
    fn send_quiet_flush(&mut self, id: RequestId, caller: &Caller, packet: &Packet<'_>) {
        let client = caller.client;
        let mut hosts = self.servers(caller).to_vec();
        hosts.sort_unstable();
        hosts.dedup();
        for host in hosts {
            self.take_over(client, host, None);
            match self.pick(client, host, false) {
                Ok(conn_id) => self.put_packet(id, conn_id, packet, 0, 0),
                Err(failure) => self.not_sent(id, packet, failure, Some(host)),
            }
        }
    }

    /// Sends a packet that is answered: it closes the open batch, if there is one.
    pub(in crate::proxy) fn close_batch(&mut self, id: RequestId, caller: &Caller, packet: &Packet<'_>) {
        let name = (packet.header.opcode, packet.header.opaque);
        // Others are for one key, or known to the server of their key only.
        let command = request::keyless(packet);
        let broadcast = command.map(|command| self.answers_to(caller, &command));
        if let Some(client) = self.upstream.clients.must_mut(caller.client) {
            client.packets().leave();
        }
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        if let Work::Batch(batch) = &mut request.work {
            batch.closing = Some(name);
            batch.broadcast = broadcast;
            batch.is_open = false;
        }
        self.begin_packet(id, 0);
        match command {
            Some(command) => self.send_to_all(caller, id, name, |speak, out| match speak {
                Protocol::Ascii => command.write(speak, out.tail()),
                Protocol::Binary => out.tail().extend_from_slice(&packet.raw),
            }),
            None => self.send_packet(id, packet),
        }
        self.end_packet(id);
    }

    /// No further packets join the batch. `false`: it was given up.
    pub(in crate::proxy) fn shut_batch(&mut self, id: RequestId) -> bool {
        let Some(request) = self.flight.requests.get_mut(id).filter(|request| !request.is_done) else { return false };
        if let Work::Batch(batch) = &mut request.work {
            batch.is_open = false;
        }
        true
    }

    /// A batch without quiet packets, for a packet that goes to all servers.
    pub(in crate::proxy) fn new_batch(&mut self, caller: &Caller) -> RequestId {
        self.one(caller, Work::Batch(Box::new(Batch::new())), Answered::Always, true)
    }
}
