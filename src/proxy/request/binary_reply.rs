//! A binary server's answer, and whose it is (04 §6.2).

use crate::buffer::Output;
use crate::protocol::Reply;
use crate::protocol::ascii::answer;
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::packet::Packet;
use crate::protocol::binary::said;
use crate::protocol::op;
use crate::protocol::status::line;

use crate::proxy::Engine;
use crate::proxy::downstream::connection::Unfit;
use crate::proxy::downstream::{Conn, ConnId, Entry, Expect, PacketName};
use crate::proxy::request::multiget::Named;
use crate::proxy::request::{RequestId, Work};
use crate::proxy::upstream::answered::Hit;
use crate::sums::behind;

impl Engine {
    /// Takes one packet that a binary server has sent.
    pub(in crate::proxy) fn binary_reply(&mut self, id: ConnId, packet: &Packet<'_>) -> Result<(), Unfit> {
        let Some(conn) = self.downstream.conns.must(id) else { return Ok(()) };
        let head = match conn.awaited() {
            None => return Err(Unfit),
            // As there are many of these, what is expected is not copied for each.
            Some(Entry { request, expect: Expect::MultiGet { part }, .. }) => {
                let (request, part) = (*request, *part);
                return self.binary_multiget(id, request, part, packet);
            }
            Some(head) => *head,
        };
        let code = packet.header.opcode;
        let is_of_one =
            matches!(head.expect, Expect::One { .. } | Expect::Value { .. } | Expect::Packet { .. } | Expect::Close);
        if is_of_one && packet.header.opaque != head.opaque {
            return Err(Unfit); // the answer to something else, whatever it says
        }
        match head.expect {
            Expect::Get { .. } => self.binary_get(id, packet),
            Expect::One { opcode } | Expect::Value { opcode, .. } | Expect::Packet { opcode }
                if code == opcode && self.is_refusal(id, 0, packet) =>
            {
                self.try_elsewhere(id, 0, &packet.value);
                self.pop_head(id);
                Ok(())
            }
            Expect::One { opcode } if code == opcode => {
                self.answer_entry(id, |_| Some(0), None, |out, work| work.answer(out, || said::outcome(packet)))?;
                self.pop_head(id);
                Ok(())
            }
            Expect::Value { opcode, .. } if code == opcode => self.binary_value(id, packet),
            Expect::Broadcast { opcode, server, .. } if code == opcode => {
                self.binary_broadcast(id, head.request, server, packet)
            }
            Expect::Packet { opcode } if code == opcode => {
                self.answer_packet(id, head.request, packet)?;
                self.pop_head(id);
                Ok(())
            }
            Expect::Close if code == opcode::NOOP => {
                if let Some(request) = self.unlink(id, 0) {
                    self.packet_done(request);
                }
                self.pop_head(id);
                Ok(())
            }
            Expect::Quiet { .. } if op::answered(code).is_quiet() => self.quiet_reply(id, packet),
            Expect::Quiet { .. } => {
                // What closes the group: the quiet ones have had their say.
                self.drop_quiet(id);
                self.binary_reply(id, packet)
            }
            _ => Err(Unfit),
        }
    }

    /// Passes on the answer to a packet of a binary client: the entry at the head is this request's.
    #[inline]
    fn answer_packet(&mut self, id: ConnId, request: RequestId, packet: &Packet<'_>) -> Result<(), Unfit> {
        // Others have been given up.
        if let Some(Work::Batch(_)) = self.flight.requests.get(request).map(|request| &request.work) {
            if let Some(request) = self.unlink(id, 0) {
                if let Some(sink) = self.packet_sink(request, PacketName::of(&packet.header, 0)) {
                    sink.push(packet.raw);
                }
                self.packet_done(request);
            }
            return Ok(());
        }
        self.answer_entry(id, |_| Some(0), None, |out, _| out.push(packet.raw))
    }

    /// The answer to a get of one key, or to one of several that were joined.
    fn binary_get(&mut self, id: ConnId, packet: &Packet<'_>) -> Result<(), Unfit> {
        let head = self.downstream.conns.must(id).and_then(|conn| Some((conn.head_len() == 1, conn.entry(0)?.opaque)));
        let Some((lone, opaque)) = head else { return Err(Unfit) };
        match packet.header.opcode {
            opcode::GETK if lone && packet.header.opaque != opaque => Err(Unfit),
            opcode::GETK if lone && self.is_refusal(id, 0, packet) => {
                self.try_elsewhere(id, 0, &packet.value);
                self.pop_head(id);
                Ok(())
            }
            opcode::GETK if lone => self.binary_value(id, packet),
            opcode::NOOP if !lone => {
                self.finish_gets(id, None);
                Ok(())
            }
            opcode::GETKQ if !lone => {
                let index = self.find_opaque(id, packet)?;
                if self.is_refusal(id, index, packet) {
                    self.try_elsewhere(id, index, &packet.value);
                    return Ok(());
                }
                self.answer_get(id, index, packet)
            }
            _ => Err(Unfit),
        }
    }

    /// An unusual answer to a quiet packet: it is passed on.
    fn quiet_reply(&mut self, id: ConnId, packet: &Packet<'_>) -> Result<(), Unfit> {
        let Some(conn) = self.downstream.conns.must_mut(id) else { return Err(Unfit) };
        let (code, opaque) = (packet.header.opcode, packet.header.opaque);
        let Some(index) = conn.find_quiet(code, opaque) else { return Err(Unfit) };
        if self.is_refusal(id, index, packet) {
            self.try_elsewhere(id, index, &packet.value);
            return Ok(());
        }
        let place =
            self.downstream.conns.must(id).and_then(|conn| conn.entry(index)?.packet()).map_or(0, |name| name.place);
        if let Some(request) = self.unlink(id, index) {
            if let Some(sink) = self.packet_sink(request, PacketName::of(&packet.header, place)) {
                sink.push(packet.raw);
            }
            self.commit_part(request);
        }
        Ok(())
    }

    /// Takes the quiet packets off the head of the expected replies; what closes them is next.
    fn drop_quiet(&mut self, id: ConnId) {
        while let Some(Expect::Quiet { .. }) = self.head_expect(id) {
            self.unlink(id, 0);
            let Some(conn) = self.downstream.conns.must_mut(id) else { return };
            conn.pop();
        }
        self.settle_abandoned(id);
    }

    fn head_expect(&self, id: ConnId) -> Option<Expect> {
        self.downstream.conns.must(id)?.entry(0).map(|entry| entry.expect)
    }

    /// The entry of the joined get at the head with this opaque, and this key if the server repeats it.
    fn find_opaque(&mut self, id: ConnId, packet: &Packet<'_>) -> Result<usize, Unfit> {
        let is_it = |output: &Output, entry: &Entry, key| {
            entry.opaque == packet.header.opaque && (packet.key.is_empty() || output.slice(key) == Some(packet.key))
        };
        self.downstream.conns.must_mut(id).and_then(|conn| conn.find_get(is_it)).ok_or(Unfit)
    }

    /// The only answer to a request for the value of one key.
    fn binary_value(&mut self, id: ConnId, packet: &Packet<'_>) -> Result<(), Unfit> {
        let Some(Expect::Get { key_at, key_len, .. } | Expect::Value { key_at, key_len, .. }) = self.head_expect(id)
        else {
            return Err(Unfit);
        };
        let asked = self.downstream.conns.must(id).and_then(|conn| conn.asked(key_at..behind(key_at, key_len.into())));
        if !packet.key.is_empty() && asked != Some(packet.key) {
            return Err(Unfit);
        }
        self.answer_get(id, 0, packet)?;
        self.pop_head(id);
        Ok(())
    }

    /// The key of entry `index`, a get, if the server has left it out in its answer (04 §6.2): the client has asked for it by
    /// name.
    #[inline]
    fn left_out(&self, id: ConnId, index: usize, packet: &Packet<'_>) -> Option<Vec<u8>> {
        if !packet.key.is_empty() {
            return None;
        }
        let conn = self.downstream.conns.must(id)?;
        let (Expect::Get { key_at, key_len, .. } | Expect::Value { key_at, key_len, .. }) = conn.entry(index)?.expect
        else {
            return None;
        };
        conn.asked(key_at..behind(key_at, key_len.into())).map(<[u8]>::to_vec)
    }

    /// Answers the get of entry `index` with its value, or with what the server says instead.
    #[inline(always)] // into each of the two that call it
    fn answer_get(&mut self, id: ConnId, index: usize, packet: &Packet<'_>) -> Result<(), Unfit> {
        if said::is_value(packet) {
            let left_out = self.left_out(id, index, packet);
            let name = left_out.as_deref().unwrap_or(packet.key);
            let hit = Hit::fresh(name, said::flags(packet), packet.value.bytes);
            let write = |out: &mut Output, work: &Work| work.answer(out, || said::value(packet, name));
            return self.answer_entry(id, |_| Some(index), Some(hit), write);
        }
        if let Some(request) = self.unlink(id, index) {
            let (code, tells) = (packet.header.vbucket_or_status, self.tells_failures(request));
            self.answer(request, Reply::NoValue { code, tells });
        }
        Ok(())
    }

    fn binary_multiget(&mut self, id: ConnId, request: RequestId, part: u32, packet: &Packet<'_>) -> Result<(), Unfit> {
        let code = packet.header.opcode;
        match code {
            opcode::GETKQ | opcode::GATKQ | opcode::GETK | opcode::GATK => {
                if self.is_refusal(id, 0, packet) {
                    self.multiget_refused(id, request, packet);
                }
                let named = Named::Opaque(packet.header.opaque, packet.key);
                let write = |out: &mut Output, cas: bool, key: &[u8]| {
                    answer::block(out, cas, key, said::value(packet, packet.key));
                };
                let value = (said::flags(packet), packet.value);
                if said::is_value(packet) && !self.multiget_value(request, part, named, value, write) {
                    return Err(Unfit);
                }
                if matches!(code, opcode::GETKQ | opcode::GATKQ) {
                    return Ok(());
                }
                // An answering get ends the exchange, whatever follows (04 §7 item 5).
                self.multiget_head_done(id);
                Err(Unfit)
            }
            opcode::NOOP => {
                self.multiget_head_done(id);
                Ok(())
            }
            _ => Err(Unfit),
        }
    }

    fn multiget_head_done(&mut self, id: ConnId) {
        if let Some(request) = self.unlink(id, 0) {
            self.part_done(request);
        }
        self.pop_head(id);
    }

    fn binary_broadcast(
        &mut self,
        id: ConnId,
        request: RequestId,
        server: u16,
        packet: &Packet<'_>,
    ) -> Result<(), Unfit> {
        let code = packet.header.vbucket_or_status;
        let Some(host) = self.downstream.conns.must(id).map(Conn::host) else { return Ok(()) };
        if code != status::SUCCESS {
            let text = line(op::of(packet.header.opcode).class, code);
            let text = text.strip_suffix(b"\r\n").unwrap_or(text);
            self.with_broadcast(request, |broadcast| broadcast.refuse(text, code));
        } else if packet.header.opcode == opcode::STAT && !packet.key.is_empty() {
            self.with_broadcast(request, |broadcast| broadcast.stat(server, packet.key, &packet.value));
            self.note_begun(id);
            return Ok(());
        } else {
            self.with_broadcast(request, |broadcast| broadcast.confirm(host));
        }
        self.broadcast_part_done(id);
        Ok(())
    }
}
