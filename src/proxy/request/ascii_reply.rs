//! An ASCII server's answer, and whose it is (04 §5.2).

use crate::buffer::{Output, Value};
use crate::protocol::ascii::answer;
use crate::protocol::ascii::meta::asked::Item;
use crate::protocol::ascii::reply::Reply;
use crate::protocol::binary::opcode::status;
use crate::protocol::status::CommandClass;
use std::ops::Range;

use crate::proxy::Engine;
use crate::proxy::downstream::connection::Unfit;
use crate::proxy::downstream::{Conn, ConnId, Entry, Expect, PacketName};
use crate::proxy::request::multiget::Named;
use crate::proxy::request::{RequestId, Work};

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
                Reply::Value { key, flags, data, raw, .. } => {
                    let write = |out: &mut Output, _: bool, _: &[u8]| out.push(*raw);
                    let item = Item { flags: *flags, cas: 0, value: Some(*data) };
                    match self.multiget_value(head.request, part, Named::Key(key), &item, write) {
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
                Reply::Stat { .. } | Reply::Meta { .. } => Err(Unfit),
            },
            Expect::One { .. } => {
                let Reply::Line { line } = reply else { return Err(Unfit) };
                if line.is_empty() || line.starts_with(b"OK") {
                    return Err(Unfit);
                }
                if let Some(request) = self.unlink(id, 0) {
                    self.pass_line(request, line);
                }
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
            Reply::Value { key, flags, cas, data, raw } => {
                let index = self.find_get(id, |output, _, asked| output.slice(asked) == Some(key))?;
                if let Some(request) = self.unlink(id, index) {
                    self.keep_value(request, key, *flags, data);
                    let item = Item { flags: *flags, cas: cas.unwrap_or(0), value: Some(*data) };
                    self.pass_value(request, &item, *raw);
                }
                Ok(())
            }
            Reply::End => {
                self.finish_gets(id, None);
                Ok(())
            }
            Reply::Line { line } => {
                self.finish_gets(id, Some(line));
                Ok(())
            }
            Reply::Stat { .. } | Reply::Meta { .. } => Err(Unfit),
        }
    }

    /// The entry of the joined get at the head that a value belongs to; it is noted as answered.
    pub(in crate::proxy) fn find_get(
        &mut self,
        id: ConnId,
        is_it: impl Fn(&Output, &Entry, Range<u64>) -> bool,
    ) -> Result<usize, Unfit> {
        self.downstream.conns.must_mut(id).and_then(|conn| conn.find_get(is_it)).ok_or(Unfit)
    }

    /// The joined get at the head is over, with this line if not with the usual one. Those of its keys that were not
    /// answered are misses, unless the line says otherwise.
    pub(in crate::proxy) fn finish_gets(&mut self, id: ConnId, line: Option<&[u8]>) {
        let count = self.downstream.conns.must(id).map_or(0, Conn::head_len);
        for index in 0..count {
            // Those that were answered have been unlinked.
            let Some(request) = self.unlink(id, index) else { continue };
            match line {
                Some(line) if line.starts_with(b"NOT_FOUND") && count == 1 => self.pass_line(request, line),
                Some(line) if self.is_failed_get(request, line) => self.pass_line(request, line),
                _ => self.pass_bytes(request, answer::END),
            }
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
            Reply::Value { key, flags, cas, data, raw } => {
                let Some(conn) = self.downstream.conns.must_mut(id) else { return Ok(()) };
                if !conn.note_value(key) {
                    return Err(Unfit);
                }
                if let Some(request) = self.unlink(id, 0) {
                    let item = Item { flags: *flags, cas: cas.unwrap_or(0), value: Some(*data) };
                    self.pass_value(request, &item, *raw);
                }
                Ok(())
            }
            Reply::End | Reply::Line { .. } => {
                if let Some(request) = self.unlink(id, 0) {
                    match reply {
                        Reply::Line { line }
                            if line.starts_with(b"LOCK_ERROR")
                                || line.starts_with(b"NOT_FOUND")
                                || self.is_failed_get(request, line) =>
                        {
                            self.pass_line(request, line);
                        }
                        _ => self.pass_bytes(request, answer::END),
                    }
                }
                self.pop_head(id);
                Ok(())
            }
            Reply::Stat { .. } | Reply::Meta { .. } => Err(Unfit),
        }
    }

    fn ascii_broadcast(&mut self, id: ConnId, request: RequestId, server: u16, reply: &Reply<'_>) -> Result<(), Unfit> {
        let is_list = self.broadcast_of(request).is_none_or(|broadcast| broadcast.is_list());
        let Some(host) = self.downstream.conns.must(id).map(Conn::host) else { return Ok(()) };
        match reply {
            Reply::Value { .. } | Reply::Meta { .. } => return Err(Unfit),
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
            Reply::Line { line } if line.starts_with(b"OK") || *line == b"RESET" || line.starts_with(b"VERSION ") => {
                self.with_broadcast(request, |broadcast| broadcast.confirm(host));
            }
            Reply::Line { line } => self.with_broadcast(request, |broadcast| broadcast.refuse(line, status::INTERNAL)),
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

    /// Answers the get of one key with a server's value, of which `raw` is the whole block.
    #[inline]
    fn pass_value(&mut self, id: RequestId, item: &Item<'_>, raw: Value<'_>) {
        self.reply(id, item.value.map(|value| value.len()), |out, work| match work {
            Work::Meta(asked) => asked.item(out, item),
            _ => {
                out.push(raw);
                out.tail().extend_from_slice(answer::END);
            }
        });
    }

    /// Answers a request with a server's line. Two of them are cut to the bare word.
    fn pass_line(&mut self, id: RequestId, line: &[u8]) {
        let line = match line {
            [b'L' | b'N', ..] => {
                [&b"LOCK_ERROR"[..], b"NOT_FOUND"].into_iter().find(|word| line.starts_with(word)).unwrap_or(line)
            }
            _ => line,
        };
        self.reply(id, None, |out, work| match work {
            Work::Meta(asked) => asked.line(out, line),
            _ => answer::line(out.tail(), line),
        });
    }

    /// Answers a request with this line, its end included.
    pub(in crate::proxy) fn pass_bytes(&mut self, id: RequestId, reply: &[u8]) {
        self.reply(id, None, |out, work| match work {
            Work::Meta(asked) => asked.line(out, reply),
            _ => out.tail().extend_from_slice(reply),
        });
    }

    /// The class of a request with one key.
    pub(in crate::proxy) fn class(&self, id: RequestId) -> (CommandClass, bool) {
        match self.flight.requests.must(id).map(|request| &request.work) {
            Some(Work::Line(class)) => (*class, *class == CommandClass::Getl),
            Some(Work::Get { cas, .. }) => (CommandClass::Get, *cas),
            Some(Work::Meta(asked)) => (asked.class(), asked.needs_cas()),
            _ => (CommandClass::Get, false),
        }
    }
}
