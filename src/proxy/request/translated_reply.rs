//! An ASCII server's answer to a packet of a binary client.

use crate::protocol::Create;
use crate::protocol::Reply;
use crate::protocol::ascii::meta;
use crate::protocol::op;
use crate::protocol::translate::{self, Asked, Outcome};

use crate::proxy::Engine;
use crate::proxy::downstream::connection::Unfit;
use crate::proxy::downstream::{Conn, ConnId, Entry, Expect, PacketName, Translated};
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
            Reply::Meta { .. } | Reply::End | Reply::Line { .. } => true,
            _ => return Err(Unfit),
        };
        let mut key = std::mem::take(&mut self.flight.scratch);
        key.clear();
        if let Some(conn) = self.downstream.conns.must(id) {
            conn.read_asked(asked.key_at..behind(asked.key_at, asked.key_len.into()), &mut key);
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
        let creates = request.is_some() && outcome == Outcome::Missing && asked.create.is_some();
        if ends && outcome != Outcome::Unfit && !creates {
            self.pop_head(id);
        }
        match (request, outcome, asked.create) {
            (Some(request), Outcome::Missing, Some(create)) => {
                self.pass_head(id);
                self.create(id, request, name, &key, create);
            }
            (Some(request), Outcome::Answered | Outcome::Missing, _) => self.packet_done(request),
            // Only this packet: its batch may have answers from other servers.
            (Some(request), Outcome::Unfit, _) => {
                let host = self.downstream.conns.must(id).map(Conn::host);
                self.packet_failed(request, name, Failure::Closed, host);
            }
            (None, ..) => {}
        }
        self.flight.scratch = key;
        if outcome == Outcome::Unfit { Err(Unfit) } else { Ok(()) }
    }

    /// Creates a missing number, on the connection that said so.
    fn create(&mut self, conn_id: ConnId, request: RequestId, name: PacketName, key: &[u8], create: Create) {
        self.mix_replies(request);
        let Some(out) = self.begin_request(conn_id) else { return };
        translate::write_create(out.tail(), key, create);
        let end = out.end();
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
                let asked = Asked { opcode, opaque, key: &[], may_create: false };
                translate::created(sink, &asked, initial, line);
            }
            self.packet_done(request);
        }
        self.pop_head(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::proxy::downstream::ConnId;
    use crate::proxy::downstream::host::HealthTable;
    use crate::proxy::{Action, Engine, Settings};

    /// An engine for a server of this name, which speaks ASCII.
    fn config(server: &str) -> config::snapshot::Config {
        let text = format!("11311={server}:1");
        let loaded = config::load(&text, Some("downstream_protocol=ascii"), &|_| None).expect("a good configuration");
        (*loaded.config).clone()
    }

    /// The server is sent this, and answers that.
    fn says(engine: &mut Engine, id: ConnId, asked: &[u8], reply: &[u8]) {
        let (output, limit) = engine.conn_output(id).expect("something to be sent");
        assert_eq!(output.contiguous(limit), Some(asked));
        engine.conn_sent(id, asked.len());
        engine.conn_space(id).expect("room")[..reply.len()].copy_from_slice(reply);
        engine.conn_filled(id, reply.len());
    }

    #[test]
    fn a_number_is_created_although_its_server_leaves_the_configuration() {
        let health = HealthTable::default();
        let settings = Settings { requests_per_turn: 20, binding: None };
        let mut engine = Engine::new(&config("before"), &health, settings);
        let client = engine.add_client(0).expect("a client");
        let mut incr = b"\x80\x05\0\x01\x14\0\0\0\0\0\0\x15\0\0\0\x07\0\0\0\0\0\0\0\0".to_vec();
        incr.extend_from_slice(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x05\0\0\0\0k");
        engine.client_space(client).expect("room")[..incr.len()].copy_from_slice(&incr);
        engine.client_filled(client, incr.len());
        let mut actions = Vec::new();
        engine.take_actions(&mut actions);
        let [Action::Connect(id, _)] = actions[..] else { panic!("{actions:?}") };
        engine.connected(id);
        says(&mut engine, id, b"mn\r\n", b"ERROR\r\n");
        engine.turn(&mut Vec::new());
        says(&mut engine, id, b"incr k 1\r\n", b"");
        engine.reconfigure(&config("after"), &health);
        says(&mut engine, id, b"", b"NOT_FOUND\r\n");
        says(&mut engine, id, b"add k 0 0 1\r\n5\r\n", b"STORED\r\n");
        let (output, limit) = engine.client_output(client).expect("a reply");
        let reply = output.contiguous(limit).expect("one piece");
        assert_eq!((reply.get(..2), reply.get(6..8)), (Some(&b"\x81\x05"[..]), Some(&b"\0\0"[..])));
        assert!(reply.ends_with(b"\0\0\0\0\0\0\0\x05"), "{reply:?}");
    }
}
