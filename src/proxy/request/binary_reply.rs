//! A binary server's answer, and whose it is (04 §6.2).

use crate::buffer::Output;
use crate::protocol::ascii::answer;
use crate::protocol::ascii::meta::asked::Item;
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::packet::Packet;
use crate::protocol::op::{self, is_quiet};
use crate::protocol::status::{CommandClass, line, no_value, unl_line};

use crate::proxy::Engine;
use crate::proxy::downstream::connection::Unfit;
use crate::proxy::downstream::{Conn, ConnId, Entry, Expect, PacketName};
use crate::proxy::request::multiget::Named;
use crate::proxy::request::{RequestId, Work};
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
                if let Some(request) = self.unlink(id, 0) {
                    self.answer(request, packet);
                }
                self.pop_head(id);
                Ok(())
            }
            Expect::Value { opcode, .. } if code == opcode => self.binary_value(id, packet),
            Expect::Broadcast { opcode, server, .. } if code == opcode => {
                self.binary_broadcast(id, head.request, server, packet)
            }
            Expect::Packet { opcode } if code == opcode && packet.header.opaque == head.opaque => {
                if let Some(request) = self.unlink(id, 0) {
                    if let Some(sink) = self.packet_sink(request, PacketName::of(&packet.header, 0)) {
                        sink.push(packet.raw);
                    }
                    self.packet_done(request);
                }
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
            Expect::Quiet { .. } if is_quiet(code) => self.quiet_reply(id, packet),
            Expect::Quiet { .. } => {
                // What closes the group: the quiet ones have had their say.
                self.drop_quiet(id);
                self.binary_reply(id, packet)
            }
            _ => Err(Unfit),
        }
    }

    /// The answer to a get of one key, or to one of several that were joined.
    fn binary_get(&mut self, id: ConnId, packet: &Packet<'_>) -> Result<(), Unfit> {
        let lone = self.downstream.conns.must(id).is_some_and(|conn| conn.head_len() == 1);
        match packet.header.opcode {
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
                let code = packet.header.vbucket_or_status;
                if code != status::SUCCESS {
                    if let Some(request) = self.unlink(id, index) {
                        self.pass_bytes(request, no_value(CommandClass::Get, code, self.tells_failures(request)));
                    }
                    return Ok(());
                }
                if let Some(request) = self.unlink(id, index) {
                    self.keep_value(request, packet.key, flags(packet), &packet.value);
                    self.reply(request, Some(packet.value.len()), |out, work| {
                        write_value(out, work, packet.key, packet, false);
                    });
                }
                Ok(())
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
        self.find_get(id, |output, entry, key| {
            entry.opaque == packet.header.opaque && (packet.key.is_empty() || output.slice(key) == Some(packet.key))
        })
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
        let key: Vec<u8>;
        let mut name = packet.key;
        if name.is_empty() {
            // Some servers leave it out (04 §6.2); the client asked for it by name.
            key = asked.unwrap_or_default().to_vec();
            name = &key;
        }
        if let Some(request) = self.unlink(id, 0) {
            let (class, cas) = self.class(request);
            let has_value = packet.header.vbucket_or_status == status::SUCCESS && packet.extras.len() >= 4;
            if has_value {
                self.keep_value(request, name, flags(packet), &packet.value);
                self.reply(request, Some(packet.value.len()), |out, work| write_value(out, work, name, packet, cas));
            } else {
                let tells = self.tells_failures(request);
                self.pass_bytes(request, no_value(class, packet.header.vbucket_or_status, tells));
            }
        }
        self.pop_head(id);
        Ok(())
    }

    fn binary_multiget(&mut self, id: ConnId, request: RequestId, part: u32, packet: &Packet<'_>) -> Result<(), Unfit> {
        let code = packet.header.opcode;
        match code {
            opcode::GETKQ | opcode::GATKQ | opcode::GETK | opcode::GATK => {
                let is_value = packet.header.vbucket_or_status == status::SUCCESS && packet.extras.len() >= 4;
                let write = |out: &mut Output, cas: bool, key: &[u8]| {
                    let key = if packet.key.is_empty() { key } else { packet.key };
                    value_block(out, key, packet, cas);
                };
                if self.is_refusal(id, 0, packet) {
                    self.multiget_refused(id, request, packet);
                }
                let named = Named::Opaque(packet.header.opaque, packet.key);
                if is_value && !self.multiget_value(request, part, named, &item(packet), write) {
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

    /// The answer to a request with one key that has no value.
    fn answer(&mut self, id: RequestId, packet: &Packet<'_>) {
        let (class, _) = self.class(id);
        let code = packet.header.vbucket_or_status;
        let number = <[u8; 8]>::try_from(packet.value.bytes).map(u64::from_be_bytes);
        self.reply(id, None, |out, work| match (work, class, code, number) {
            (Work::Meta(asked), CommandClass::Arith, status::SUCCESS, Ok(number)) => {
                asked.number(out, number, packet.header.cas);
            }
            (Work::Meta(asked), _, status::SUCCESS, _) => {
                asked.item(out, &Item { cas: packet.header.cas, ..Item::default() });
            }
            (Work::Meta(asked), ..) => asked.line(out, line(class, code)),
            (_, CommandClass::Arith, status::SUCCESS, Ok(number)) => answer::number(out.tail(), number),
            (_, CommandClass::Version, status::SUCCESS, _) if !packet.value.is_empty() => {
                answer::version(out.tail(), &packet.value);
            }
            (_, CommandClass::Unl, ..) => unl_line(out.tail(), &packet.value),
            _ => out.tail().extend_from_slice(line(class, code)),
        });
    }
}

/// What the reply to a get says of the item.
fn item<'a>(packet: &Packet<'a>) -> Item<'a> {
    Item { flags: flags(packet), cas: packet.header.cas, value: Some(packet.value) }
}

/// The flags in the reply to a get.
fn flags(packet: &Packet<'_>) -> u32 {
    packet.extras.first_chunk::<4>().map_or(0, |flags| u32::from_be_bytes(*flags))
}

/// Writes the answer to the get of one key from a binary reply.
fn write_value(out: &mut Output, work: &Work, key: &[u8], packet: &Packet<'_>, cas: bool) {
    if let Work::Meta(asked) = work {
        return asked.item(out, &item(packet));
    }
    value_block(out, key, packet, cas);
    out.tail().extend_from_slice(answer::END);
}

/// Writes a `VALUE` block from a binary reply.
fn value_block(out: &mut Output, key: &[u8], packet: &Packet<'_>, cas: bool) {
    answer::value(out, key, flags(packet), cas.then_some(packet.header.cas), packet.value);
}
