//! An ASCII server's answer, and whose it is (04 §5.2).

use crate::buffer::Output;
use crate::protocol::Reply;
use crate::protocol::ascii::reply::is_confirmation;
use crate::protocol::binary::opcode::status;

use crate::proxy::Engine;
use crate::proxy::downstream::connection::Unfit;
use crate::proxy::downstream::{Conn, ConnId, Expect, PacketName};
use crate::proxy::request::RequestId;
use crate::proxy::request::multiget::Named;
use crate::proxy::upstream::answered::Hit;
use crate::sums::sum;

impl Engine {
    /// Takes one line or value that an ASCII server has sent.
    pub(in crate::proxy) fn ascii_reply(&mut self, id: ConnId, reply: &Reply<'_>) -> Result<(), Unfit> {
        let Some(conn) = self.downstream.conns.must(id) else { return Ok(()) };
        let Some(head) = conn.awaited() else { return Err(Unfit) };
        // The most frequent one needs no copy of what is expected.
        if let Expect::Get { .. } = head.expect {
            return self.ascii_get(id, reply);
        }
        let head = *head;
        match head.expect {
            Expect::Get { .. } => self.ascii_get(id, reply),
            Expect::MultiGet { part } => match reply {
                Reply::Value { key, flags, data, raw: Some(raw), .. } => {
                    let write = |out: &mut Output, _: bool, _: &[u8]| out.push(*raw);
                    match self.multiget_value(head.request, part, Named::Key(key), (*flags, *data), write) {
                        true => Ok(()),
                        false => Err(Unfit),
                    }
                }
                // Whatever else a server says: its remaining keys are misses (03 §21.3 item 7).
                Reply::End | Reply::Line { .. } => {
                    if let Some(request) = self.unlink(id, 0) {
                        self.part_done(request);
                    }
                    self.pop_head(id);
                    Ok(())
                }
                _ => Err(Unfit),
            },
            Expect::One { .. } => {
                let Reply::Line { line } = reply else { return Err(Unfit) };
                if line.is_empty() || line.starts_with(b"OK") {
                    return Err(Unfit);
                }
                // The most frequent one by far, of those that are no values.
                self.answer_entry(id, |_| Some(0), None, |out, work| work.answer(out, || Reply::Line { line }))?;
                self.pop_head(id);
                Ok(())
            }
            Expect::Value { .. } => self.ascii_value(id, reply),
            Expect::Broadcast { server, .. } => self.ascii_broadcast(id, head.request, server, reply),
            Expect::Dump { .. } => self.dump_reply(id, head.request, reply),
            Expect::Translated(translated) => self.translated_reply(id, translated, head.opaque, reply),
            Expect::Create { opcode, place, initial } => {
                self.create_reply(id, PacketName { opcode, opaque: head.opaque, place }, initial, reply)
            }
            Expect::Probe(question) => self.probe_reply(id, question, reply),
            Expect::Meta { is_named, .. } => self.meta_reply(id, is_named.then_some(head.opaque), reply),
            // These are sent to binary servers only.
            Expect::Packet { .. } | Expect::Quiet { .. } | Expect::Close => Err(Unfit),
        }
    }

    /// The answer to a get of one key, or to several that were joined.
    fn ascii_get(&mut self, id: ConnId, reply: &Reply<'_>) -> Result<(), Unfit> {
        match reply {
            Reply::Value { key, .. } => {
                self.answer_value(id, reply, |conn| conn.find_get(|output, _, asked| output.slice(asked) == Some(key)))
            }
            Reply::End => {
                self.finish_gets(id, None);
                Ok(())
            }
            Reply::Line { line } => {
                self.finish_gets(id, Some(line));
                Ok(())
            }
            _ => Err(Unfit),
        }
    }

    /// The joined get at the head is over, with this line if not with the usual one. Those of its keys that were not
    /// answered are misses, unless the line says otherwise.
    pub(in crate::proxy) fn finish_gets(&mut self, id: ConnId, line: Option<&[u8]>) {
        let count = self.downstream.conns.must(id).map_or(0, Conn::head_len);
        let mut from = 0;
        // Those that were answered have been unlinked.
        while let Some(index) = self.downstream.conns.must(id).and_then(|conn| conn.next_wanted(from)) {
            from = sum([index, 1]);
            let Some(request) = self.unlink(id, index) else { continue };
            let reply = match line {
                Some(line) if line.starts_with(b"NOT_FOUND") && count == 1 => Reply::Line { line },
                Some(line) if self.is_failed_get(request, line) => Reply::Line { line },
                _ => Reply::End,
            };
            self.answer(request, reply);
        }
        self.pop_head(id);
    }

    /// Whether a failure that a server reports to a get is told to the client, instead of a miss after which it might
    /// replace what is there. A server of a vbucket bucket is the only one that has its keys.
    pub(in crate::proxy) fn tells_failures(&self, id: RequestId) -> bool {
        let Some(request) = self.flight.requests.must(id) else { return false };
        self.buckets[request.bucket].config.router.vbucket_map().is_some()
    }

    fn is_failed_get(&self, id: RequestId, line: &[u8]) -> bool {
        line.starts_with(b"SERVER_ERROR") && self.tells_failures(id)
    }

    /// The answer to a `gat` or `getl` of one key.
    fn ascii_value(&mut self, id: ConnId, reply: &Reply<'_>) -> Result<(), Unfit> {
        match reply {
            Reply::Value { key, .. } => self.answer_value(id, reply, |conn| conn.note_value(key).then_some(0)),
            Reply::End | Reply::Line { .. } => {
                if let Some(request) = self.unlink(id, 0) {
                    let told = match reply {
                        Reply::Line { line }
                            if line.starts_with(b"LOCK_ERROR")
                                || line.starts_with(b"NOT_FOUND")
                                || self.is_failed_get(request, line) =>
                        {
                            *reply
                        }
                        _ => Reply::End,
                    };
                    self.answer(request, told);
                }
                self.pop_head(id);
                Ok(())
            }
            _ => Err(Unfit),
        }
    }

    fn ascii_broadcast(&mut self, id: ConnId, request: RequestId, server: u16, reply: &Reply<'_>) -> Result<(), Unfit> {
        let is_list = self.broadcast_of(request).is_none_or(|broadcast| broadcast.is_list());
        let Some(host) = self.downstream.conns.must(id).map(Conn::host) else { return Ok(()) };
        match reply {
            Reply::Stat { line } => {
                if !is_list {
                    return Err(Unfit);
                }
                if let Some(broadcast) = self.broadcast_of(request) {
                    broadcast.stat_line(server, line);
                }
                self.note_begun(id);
                return Ok(());
            }
            Reply::End if !is_list => return Err(Unfit),
            Reply::End => self.with_broadcast(request, |broadcast| broadcast.confirm(host)),
            Reply::Line { line } if is_confirmation(line) => {
                self.with_broadcast(request, |broadcast| broadcast.confirm(host));
            }
            Reply::Line { line } => self.with_broadcast(request, |broadcast| broadcast.refuse(line, status::INTERNAL)),
            _ => return Err(Unfit),
        }
        self.broadcast_part_done(id);
        Ok(())
    }

    pub(in crate::proxy) fn with_broadcast(
        &mut self,
        request: RequestId,
        change: impl FnOnce(&mut crate::proxy::request::broadcast::Broadcast),
    ) {
        if let Some(broadcast) = self.broadcast_of(request) {
            change(broadcast);
        }
    }

    /// Something of a server's answer to a broadcast, or of its list, has come: it is not to be asked again.
    pub(in crate::proxy) fn note_begun(&mut self, id: ConnId) {
        if let Some(conn) = self.downstream.conns.must_mut(id) {
            conn.note_begun();
        }
    }

    /// The server at the head has answered a broadcast.
    pub(in crate::proxy) fn broadcast_part_done(&mut self, id: ConnId) {
        if let Some(request) = self.unlink(id, 0) {
            self.part_done(request);
        }
        self.pop_head(id);
    }

    /// Answers the request of the entry that `find` finds with a value, as its server has sent it.
    #[inline(always)] // into each of the two that call it
    fn answer_value(
        &mut self,
        id: ConnId,
        reply: &Reply<'_>,
        find: impl FnOnce(&mut Conn) -> Option<usize>,
    ) -> Result<(), Unfit> {
        let Reply::Value { key, flags, data, .. } = reply else { return Err(Unfit) };
        let hit = Hit::fresh(key, *flags, data.bytes);
        self.answer_entry(id, find, Some(hit), |out, work| work.answer(out, || *reply))
    }

    /// Answers a request for one key with what its server has said, which is no value.
    #[inline]
    pub(in crate::proxy) fn answer(&mut self, id: RequestId, reply: Reply<'_>) {
        self.reply(id, None, |out, work| work.answer(out, || reply));
    }

    /// Whether the request, which is for one key, wants the CAS id with its value.
    pub(in crate::proxy) fn wants_cas(&self, id: RequestId) -> bool {
        self.flight.requests.must(id).is_some_and(|request| request.work.class().1)
    }
}
