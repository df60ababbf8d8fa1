//! An ASCII server's answer to a packet of a binary client.

use crate::protocol::Create;
use crate::protocol::ascii::meta;
use crate::protocol::ascii::reply::Reply;
use crate::protocol::binary::opcode::status;
use crate::protocol::binary::reply;
use crate::protocol::op;
use crate::protocol::translate::{self, Asked, Outcome};

use crate::proxy::Engine;
use crate::proxy::downstream::connection::Unfit;
use crate::proxy::downstream::{ConnId, Entry, Expect, PacketName, Translated};
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::sums::behind;

impl Engine {
    /// The answer to a packet that was put into ASCII.
    pub(in crate::proxy) fn translated_reply(
        &mut self,
        id: ConnId,
        asked: Translated,
        opaque: u32,
        reply: &Reply<'_>,
    ) -> Result<(), Unfit> {
        let name = PacketName { opcode: asked.opcode, opaque, place: asked.place };
        let ends = match reply {
            Reply::Value { .. } if op::of(asked.opcode).gives_value() && !asked.is_meta => false, // END follows
            Reply::Value { .. } | Reply::Stat { .. } => return Err(Unfit),
            Reply::Meta { .. } | Reply::End | Reply::Line { .. } => true,
        };
        let mut key = std::mem::take(&mut self.flight.scratch);
        key.clear();
        if let Some(conn) = self.downstream.conns.get(id) {
            conn.output.read(asked.key_at..behind(asked.key_at, asked.key_len.into()), &mut key);
        }
        if asked.is_encoded {
            meta::decode_key(&mut key);
        }
        if let Reply::Value { key: other, .. } = reply
            && *other != key
        {
            self.flight.scratch = key;
            return Err(Unfit);
        }
        let mut outcome = Outcome::Answered;
        let request = self.unlink(id, 0);
        if let Some(request) = request {
            let asked = Asked { opcode: asked.opcode, opaque, key: &key, may_create: asked.create.is_some() };
            outcome = translate::answer(self.packet_sink(request, name), &asked, reply);
        }
        if ends && outcome != Outcome::Unfit {
            self.pop_head(id);
        }
        match (request, outcome, asked.create) {
            (Some(request), Outcome::Missing, Some(create)) => self.create(id, request, name, &key, create),
            (Some(request), Outcome::Answered | Outcome::Missing, _) => self.packet_done(request),
            // Only this packet: its batch may have answers from other servers.
            (Some(request), Outcome::Unfit, _) => {
                let host = self.downstream.conns.get(id).map(|conn| conn.host);
                self.packet_failed(request, name, Failure::Closed, host);
            }
            (None, ..) => {}
        }
        self.flight.scratch = key;
        if outcome == Outcome::Unfit { Err(Unfit) } else { Ok(()) }
    }

    /// Creates a missing number, on the connection that said so.
    fn create(&mut self, conn_id: ConnId, request: RequestId, name: PacketName, key: &[u8], create: Create) {
        // What came behind it is answered before.
        self.out_of_line(request);
        let Some(conn) = self.begin(conn_id) else { return };
        translate::write_create(conn.output.tail(), key, create);
        let end = conn.output.end();
        let PacketName { opcode, opaque, place } = name;
        let expect = Expect::Create { opcode, place, initial: create.initial };
        self.enqueue(conn_id, Entry { request, expect, opaque, end, retries: 0, may_repeat: false, is_queued: false });
    }

    /// The answer to the creation of a number.
    pub(in crate::proxy) fn create_reply(
        &mut self,
        id: ConnId,
        name: PacketName,
        initial: u64,
        reply: &Reply<'_>,
    ) -> Result<(), Unfit> {
        let Reply::Line { line } = reply else { return Err(Unfit) };
        let PacketName { opcode, opaque, .. } = name;
        if let Some(request) = self.unlink(id, 0) {
            if let Some(sink) = self.packet_sink(request, name) {
                match *line {
                    b"STORED" => {
                        translate::created(sink, &Asked { opcode, opaque, key: &[], may_create: false }, initial);
                    }
                    // Somebody else was quicker: the client may try again.
                    _ => reply::Reply::refused(opcode, opaque, status::TEMPORARY_FAILURE).write(sink.tail()),
                }
            }
            self.packet_done(request);
        }
        self.pop_head(id);
        Ok(())
    }
}
