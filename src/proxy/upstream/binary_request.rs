//! What each packet of a binary client does (04 §8).

use crate::buffer::{Input, Output};
use crate::protocol::ascii::command as ascii;
use crate::protocol::binary::breach::Breach;
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::packet::{self, HEADER, Packet, Parsed, parse_request};
use crate::protocol::binary::reply::Reply;
use crate::protocol::op::{self, Target};
use crate::protocol::status::text;
use crate::protocol::translate;
use crate::protocol::{Answered, Protocol};
use crate::routing::Router;

use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::{ConnId, Entry, Expect, PacketName, Translated};
use crate::proxy::request::error::Failure;
use crate::proxy::request::{RequestId, Work};
use crate::proxy::statistics::proxy_word;
use crate::proxy::upstream::Caller;
use crate::proxy::upstream::admission::Admit;
use crate::proxy::upstream::ascii_request::VERBOSITY_MAX;
use crate::proxy::upstream::pump::Verdict;
use crate::proxy::{Action, Engine, VERSION};
use crate::sums::{behind, sum};

impl Engine {
    /// Handles one packet of the client; `false` when nothing more can be done now.
    pub(in crate::proxy) fn step_binary(&mut self, caller: &Caller, input: &mut Input) -> bool {
        let used = match parse_request(input.value()) {
            Parsed::Incomplete { need } => {
                input.expect(need, &mut self.upstream.buffers);
                return false;
            }
            Parsed::Malformed(breach) => {
                self.expel(caller.client, breach);
                input.len()
            }
            Parsed::Packet { packet, len } if self.packet_straight(caller, &packet).is_some() => len,
            Parsed::Packet { packet, len } => {
                self.watch_packet(caller.bucket, &packet);
                if self.binary_request(caller, &packet) == Verdict::Wait {
                    return self.note_waiting(caller.client);
                }
                self.packet_taken(caller.bucket, &packet);
                len
            }
        };
        input.consume(used);
        true
    }

    fn binary_request(&mut self, caller: &Caller, packet: &Packet<'_>) -> Verdict {
        let code = packet.header.opcode;
        if matches!(code, opcode::SASL_LIST_MECHS | opcode::SASL_AUTH | opcode::SASL_STEP) {
            self.sasl(caller, packet);
            return Verdict::Taken;
        }
        let op = op::of(code);
        if !op.fits(packet) {
            // As memcached does; behind a wrong shape the stream cannot be trusted.
            self.local_packet(caller, packet, status::INVALID);
            self.expel(caller.client, Breach::Shape(code));
            return Verdict::Taken;
        }
        match code {
            opcode::VERSION => self.local_body(caller, packet, status::SUCCESS, VERSION.as_bytes()),
            opcode::HELLO => self.local_body(caller, packet, status::SUCCESS, b""),
            opcode::SELECT_BUCKET | opcode::BUCKET => self.select_bucket(caller, packet),
            opcode::VERBOSITY => self.verbosity(caller, packet),
            opcode::TAP_CONNECT | opcode::DCP_OPEN => self.local_packet(caller, packet, status::NOT_SUPPORTED),
            opcode::STAT if proxy_word(packet.key).is_some() => self.stats_proxy_packets(caller, packet),
            opcode::QUIT | opcode::QUITQ => self.binary_quit(caller, packet),
            _ if op.is_needless() && self.is_deaf(caller.client) => {}
            // No key says which server may know it, so nobody does.
            _ if op.is_foreign && packet.key.is_empty() => {
                self.local_packet(caller, packet, status::UNKNOWN_COMMAND);
            }
            _ if op::answered(code).is_quiet() => return self.quiet_packet(caller, packet),
            _ => return self.binary_proxied(caller, packet),
        }
        Verdict::Taken
    }

    fn local_body(&mut self, caller: &Caller, packet: &Packet<'_>, code: u16, body: &[u8]) {
        let (opcode, opaque) = (packet.header.opcode, packet.header.opaque);
        let reply = Reply { status: code, value: body, ..Reply::to(opcode, opaque) };
        self.local_reply(caller, |out| reply.write(out));
    }

    /// Answers a packet with a status and its usual text.
    pub(in crate::proxy) fn local_packet(&mut self, caller: &Caller, packet: &Packet<'_>, code: u16) {
        self.local_body(caller, packet, code, text(code).as_bytes());
    }

    /// Chooses a bucket: only the one the client is in already can be chosen without authentication.
    fn select_bucket(&mut self, caller: &Caller, packet: &Packet<'_>) {
        match self.buckets[caller.bucket].config.name.as_bytes() == packet.key {
            true => self.local_body(caller, packet, status::SUCCESS, b""),
            false => self.local_packet(caller, packet, status::KEY_NOT_FOUND),
        }
    }

    fn verbosity(&mut self, caller: &Caller, packet: &Packet<'_>) {
        let Some(level) = packet.extras.first_chunk::<4>() else {
            return self.local_packet(caller, packet, status::INVALID);
        };
        self.actions.push(Action::SetVerbosity(u32::from_be_bytes(*level).min(VERBOSITY_MAX) as u8));
        self.local_body(caller, packet, status::SUCCESS, b"");
    }

    /// The client takes its leave.
    fn binary_quit(&mut self, caller: &Caller, packet: &Packet<'_>) {
        if packet.header.opcode == opcode::QUIT {
            self.local_body(caller, packet, status::SUCCESS, b"");
        }
        self.quit(caller.client);
    }

    /// A packet that needs servers, and is answered. It closes the quiet ones that the same turn has brought.
    fn binary_proxied(&mut self, caller: &Caller, packet: &Packet<'_>) -> Verdict {
        let (opcode, opaque) = (packet.header.opcode, packet.header.opaque);
        let op = op::of(opcode);
        let is_broadcast = op.target == Target::All;
        if let Some(failure) = self.no_servers(caller) {
            let request = self.new_request(caller, Work::Packet { opcode, opaque }, Answered::Always);
            self.fail(request, failure);
            return Verdict::Taken;
        }
        if !self.knows_dialects(caller, (!is_broadcast).then_some(packet.key), is_broadcast) {
            return Verdict::Wait;
        }
        if self.packet_waits(caller, packet) {
            return Verdict::Wait;
        }
        if let Some(batch) = self.open_batch(caller.client) {
            self.close_batch(batch, caller, packet);
            return Verdict::Taken;
        }
        match self.admit(caller) {
            Admit::Wait => return Verdict::Wait,
            Admit::TooLate => {
                let request = self.new_request(caller, Work::Packet { opcode, opaque }, Answered::Always);
                self.fail(request, Failure::WaitQueue);
            }
            Admit::Go if is_broadcast => {
                let batch = self.new_batch(caller);
                self.close_batch(batch, caller, packet);
            }
            Admit::Go => {
                let request = self.one(
                    caller,
                    Work::Packet { opcode, opaque },
                    Answered::Always,
                    op.may_repeat(packet.header.cas != 0),
                );
                self.send_packet(request, packet);
            }
        }
        Verdict::Taken
    }

    /// Sends a packet to the server of its key.
    pub(in crate::proxy) fn send_packet(&mut self, id: RequestId, packet: &Packet<'_>) {
        let Some(request) = self.flight.requests.must(id) else { return };
        let (client, bucket) = (request.client, request.bucket);
        if packet.key.is_empty() {
            return self.fail(id, Failure::NoServer);
        }
        let (host, vbucket) = self.route(bucket, packet.key);
        let op = op::of(packet.header.opcode);
        if let Some(host) = host
            && op.changes()
        {
            self.take_over(client, host, Some(packet.key));
        }
        let conn = host.ok_or(Failure::NoServer).and_then(|host| self.pick_for(client, host, packet.header.opcode));
        match conn {
            Ok(conn) => self.put_packet(id, conn, packet, vbucket, 0),
            Err(failure) => self.not_sent(id, packet, failure, host),
        }
    }

    /// Writes a packet to a connection, or what says the same to an ASCII server, and notes the reply.
    pub(in crate::proxy) fn put_packet(
        &mut self,
        id: RequestId,
        conn_id: ConnId,
        packet: &Packet<'_>,
        vbucket: u16,
        retries: u32,
    ) {
        let (code, opaque) = (packet.header.opcode, packet.header.opaque);
        let op = op::of(code);
        let Some(bucket) = self.flight.requests.must(id).map(|request| request.bucket) else { return };
        if self.buckets[bucket].front.is_some() && op.changes() {
            self.note_change(id, Some(packet.key).filter(|key| !key.is_empty()));
        }
        let has_map = matches!(self.buckets[bucket].config.router, Router::Vbucket(_));
        let speak = self.speak(conn_id);
        let is_meta = speak == Protocol::Ascii && self.writes_meta(conn_id, packet.key);
        let place = self.note_place(id, conn_id, code);
        if op.is_foreign {
            // It travels alone, and so cannot bring the answers to the quiet ones before it.
            self.seal(conn_id);
        }
        let Some(out) = self.begin_in(id, conn_id) else { return };
        let start = out.end();
        let expect = match speak {
            Protocol::Binary => {
                write_packet(out, packet, has_map.then_some(vbucket));
                match op::answered(code).is_quiet() {
                    true => Expect::Quiet { opcode: code, answered: false, place },
                    false => Expect::Packet { opcode: code },
                }
            }
            Protocol::Ascii => match translate::write(out.tail(), packet, is_meta) {
                Ok(written) => {
                    if written.has_value {
                        out.push(packet.value);
                        ascii::end(out.tail());
                    }
                    Expect::Translated(Translated {
                        opcode: code,
                        place,
                        is_meta,
                        key_at: behind(start, written.key_at),
                        key_len: written.key_len.min(255) as u8,
                        is_encoded: written.is_encoded,
                        create: written.create,
                    })
                }
                Err(code) => return self.refuse_packet(id, conn_id, packet, code),
            },
        };
        let end = out.end();
        let may_repeat = op.may_repeat(packet.header.cas != 0);
        let entry = Entry { request: id, expect, opaque, end, retries, may_repeat, is_queued: false };
        self.enqueue(conn_id, entry);
        self.note_packet(id, conn_id, code);
    }

    /// Answers a packet that the connection's ASCII server cannot be told.
    fn refuse_packet(&mut self, id: RequestId, conn_id: ConnId, packet: &Packet<'_>, code: u16) {
        self.give_back(conn_id);
        let place = self.out_of_line(id);
        self.refuse_named(id, PacketName::of(&packet.header, place), code);
    }

    /// Whether all ASCII servers that a request needs are known to understand meta commands or not. If not, they
    /// are asked, and the client waits.
    pub(in crate::proxy) fn knows_dialects(&mut self, caller: &Caller, key: Option<&[u8]>, all: bool) -> bool {
        let is_open = |host: &HostId| self.downstream.dialect(*host).is_some_and(|dialect| !dialect.is_settled());
        let asked = self.upstream.clients.must(caller.client).map_or(&[][..], |client| &client.asked);
        if asked.is_empty() && !self.servers(caller).iter().any(is_open) {
            return true;
        }
        let mut hosts: Vec<HostId> = Vec::new();
        let mut add = |host: Option<HostId>| {
            if let Some(host) = host
                && is_open(&host)
                && !asked.contains(&host)
                && !hosts.contains(&host)
            {
                hosts.push(host);
            }
        };
        if all {
            self.servers(caller).iter().for_each(|host| add(Some(*host)));
        }
        if let Some(key) = key {
            add(self.route_for(caller, key).0);
        }
        let mut is_known = true;
        for host in hosts {
            is_known &= self.knows_dialect(caller.client, host);
        }
        if is_known && let Some(client) = self.upstream.clients.must_mut(caller.client) {
            client.asked.clear();
        }
        is_known
    }
}

/// Appends a packet as it is, but with this vbucket if there is one.
pub(in crate::proxy) fn write_packet(out: &mut Output, packet: &Packet<'_>, vbucket: Option<u16>) {
    let start = out.end();
    let head = sum([HEADER, packet.extras.len(), packet.key.len()]);
    out.tail().extend_from_slice(packet.raw.get(..head).unwrap_or(packet.raw.bytes));
    if let Some(vbucket) = vbucket
        && let Some(head) = out.tail_from(start)
    {
        packet::set_vbucket(head, vbucket);
    }
    out.push(packet.value);
}
