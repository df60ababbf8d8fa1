//! Requests of lost connections, sent again (03 §8.1): in the same order, on one connection.

use crate::proxy::Engine;
use crate::proxy::downstream::dispatch::Get;
use crate::proxy::downstream::loss::Lost;
use crate::proxy::downstream::{Conn, ConnId, Entry, Expect};
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::sums::{behind, sum};

impl Engine {
    /// Sends again what was on the connections lost in this turn, in the same order.
    pub(in crate::proxy) fn resend_lost(&mut self) {
        for Lost { id: conn_id, conn, again, later } in std::mem::take(&mut self.downstream.lost) {
            for (place, (id, index)) in again.iter().enumerate() {
                // It may have failed meanwhile, for another reason.
                let Some(request) = self.flight.requests.get_mut(*id) else { continue };
                request.let_go();
                if request.is_done {
                    continue;
                }
                if let Some(note) = self.flight.notes.get_mut(request.note) {
                    note.retry();
                }
                let sent_on = self.resend_beside(*id, &conn, *index);
                // A group whose closing packet is not repeated gets another one.
                if let Some(sent_on) = sent_on
                    && again.get(sum([place, 1])).is_none_or(|(next, _)| next != id)
                {
                    self.reclose_group(*id, sent_on);
                }
            }
            if !later.is_empty() {
                self.send_later(Lost { id: conn_id, conn, again: later, later: Vec::new() });
            }
        }
    }

    /// Sends one of them again, on a side connection if it was on one: what of the same client comes behind it may have
    /// to be there. Gives the connection if it was copied as it was.
    fn resend_beside(&mut self, id: RequestId, old: &Conn, index: usize) -> Option<ConnId> {
        if !old.is_side {
            return self.resend(id, old, index);
        }
        let (entry, client_id) = (old.fifo.get(index)?, self.flight.requests.must(id)?.client);
        let conn_id = match self.pick_line(client_id, old.host) {
            Ok(conn) => conn,
            Err(failure) => {
                self.entry_failed(id, entry, Some(old.host), failure);
                return None;
            }
        };
        self.upstream.clients.must_mut(client_id)?.stick(old.host, conn_id);
        let sent_on = self.resend(id, old, index);
        self.give_back(conn_id);
        // It may be forgotten with the request, if that has failed.
        if let Some(client) = self.upstream.clients.get_mut(client_id) {
            client.unstick(conn_id);
        }
        sent_on
    }

    /// Sends one of them again; gives the connection if it was copied as it was.
    fn resend(&mut self, id: RequestId, old: &Conn, index: usize) -> Option<ConnId> {
        let entry = old.fifo.get(index)?;
        let retries = entry.retries.saturating_add(1);
        match entry.expect {
            Expect::Get { key_at, key_len, .. } => {
                let Some(key) = old.output.slice(key_at..behind(key_at, key_len.into())) else {
                    self.fail(id, Failure::Closed);
                    return None;
                };
                let request = self.flight.requests.must(id)?;
                let (client, bucket) = (request.client, request.bucket);
                let (_, cas) = self.class(id);
                let (_, vbucket) = self.route(bucket, key);
                self.send_get(old.host, &Get { request: id, client, bucket, key, vbucket, cas, retries });
                None
            }
            Expect::MultiGet { part } => {
                self.send_part(id, part, retries);
                self.part_done(id);
                None
            }
            Expect::Probe(_) => None,
            Expect::One { .. }
            | Expect::Value { .. }
            | Expect::Packet { .. }
            | Expect::Quiet { .. }
            | Expect::Close
            | Expect::Translated(_)
            | Expect::Meta { .. }
            | Expect::Create { .. }
            | Expect::Dump { .. }
            | Expect::Broadcast { .. } => self.copy(id, old, index),
        }
    }

    /// Sends one of them again as it was; gives the connection.
    fn copy(&mut self, id: RequestId, old: &Conn, index: usize) -> Option<ConnId> {
        let entry = old.fifo.get(index)?;
        let retries = entry.retries.saturating_add(1);
        if self.is_unknown_now(old.host, entry) {
            self.entry_failed(id, entry, Some(old.host), Failure::Closed);
            return None;
        }
        let client = self.flight.requests.must(id).map(|request| request.client)?;
        let picked = match (entry.expect, entry.expect.opcode()) {
            (Expect::Dump { .. }, _) => self.pick_dump(old.host),
            (_, Some(code)) => self.pick_for(client, old.host, code),
            _ => self.pick(client, old.host, false),
        };
        let conn_id = match picked.and_then(|conn| self.speaking(conn, old.speak)) {
            Ok(conn) => conn,
            Err(failure) => {
                self.entry_failed(id, entry, Some(old.host), failure);
                return None;
            }
        };
        self.ask_before(conn_id, entry);
        let range = old.range(index);
        let conn = self.begin(conn_id)?;
        let start = conn.output.end();
        conn.output.copy_from(&old.output, range.clone());
        let end = conn.output.end();
        let mut expect = entry.expect;
        if let Some(key_at) = expect.key_at() {
            *key_at = key_at.saturating_sub(range.start).saturating_add(start);
        }
        self.enqueue(conn_id, Entry { expect, end, retries, request: id, ..*entry });
        Some(conn_id)
    }
}
