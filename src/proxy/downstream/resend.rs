//! How requests are sent again, and those of lost connections (03 §8.1): in the same order, on one connection.
//!
//! A get of one key is asked for as any other, and may be joined; a multi-key get for what it has no value of yet; all else
//! is sent in the words that were written before. What servers refuse is sent again in the same way (`request/refused`).

use std::ops::Range;

use crate::buffer::Output;
use crate::protocol::Protocol;
use crate::protocol::binary::opcode::status;

use crate::proxy::Engine;
use crate::proxy::downstream::dispatch::Get;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::loss::Lost;
use crate::proxy::downstream::{ConnId, Entry, Expect, Translated};
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::sums::{behind, sum};

/// A request as it was written for a connection, for another one.
#[derive(Debug)]
pub(in crate::proxy) struct Written<'a> {
    /// Where it stands.
    pub(in crate::proxy) bytes: &'a Output,
    /// And where in there.
    pub(in crate::proxy) range: Range<u64>,
    /// The reply to expect, as of there.
    pub(in crate::proxy) entry: Entry,
    /// Which protocol that is.
    pub(in crate::proxy) speak: Protocol,
}

impl Engine {
    /// Sends again what was on the connections lost in this turn, in the same order.
    pub(in crate::proxy) fn resend_lost(&mut self) {
        for mut lost in std::mem::take(&mut self.downstream.lost) {
            for (place, (id, index)) in lost.again.iter().enumerate() {
                // It may have failed meanwhile, for another reason.
                let Some(request) = self.flight.requests.get_mut(*id) else { continue };
                self.flight.is_refused_due |= request.let_go();
                if request.is_done {
                    continue;
                }
                if let Some(note) = self.flight.notes.get_mut(request.note) {
                    note.retry();
                }
                let sent_on = self.resend_beside(*id, &lost, *index);
                // A group whose closing packet is not repeated gets another one.
                if let Some(sent_on) = sent_on
                    && lost.again.get(sum([place, 1])).is_none_or(|(next, _)| next != id)
                {
                    self.reclose(*id, sent_on);
                }
            }
            let host = lost.conn.host;
            lost.again = std::mem::take(&mut lost.later);
            if !lost.again.is_empty() {
                self.send_later(lost);
            }
            self.forget_retired(host);
        }
    }

    /// Sends one of them again, on a side connection if it was on one: what of the same client comes behind it may have
    /// to be there. Gives the connection if it was copied as it was.
    fn resend_beside(&mut self, id: RequestId, lost: &Lost, index: usize) -> Option<ConnId> {
        let old = &lost.conn;
        if !old.is_side {
            return self.resend(id, lost, index);
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
        let sent_on = self.resend(id, lost, index);
        self.give_back(conn_id);
        // It may be forgotten with the request, if that has failed.
        if let Some(client) = self.upstream.clients.get_mut(client_id) {
            client.unstick(conn_id);
        }
        sent_on
    }

    /// Sends one of them again; gives the connection if it was copied as it was.
    fn resend(&mut self, id: RequestId, lost: &Lost, index: usize) -> Option<ConnId> {
        let (old, retries) = (&lost.conn, lost.tries(index));
        let entry = old.fifo.get(index)?;
        match entry.expect {
            Expect::Get { key_at, key_len, .. } => {
                match old.output.slice(key_at..behind(key_at, key_len.into())) {
                    Some(key) => self.get_again(id, Some(old.host), key, retries),
                    None => self.fail(id, Failure::Closed),
                }
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
            | Expect::Broadcast { .. } => {
                let entry = Entry { retries, ..*entry };
                let written = Written { bytes: &old.output, range: old.range(index), entry, speak: old.speak };
                self.write_again(id, old.host, &written)
            }
        }
    }

    /// Asks again for one key of a get: `to`, or whoever has the key now.
    pub(in crate::proxy) fn get_again(&mut self, id: RequestId, to: Option<HostId>, key: &[u8], retries: u32) {
        let Some(request) = self.flight.requests.must(id) else { return };
        let (client, bucket) = (request.client, request.bucket);
        let cas = self.wants_cas(id);
        let (host, vbucket) = self.route(bucket, key);
        match to.or(host) {
            Some(host) => self.send_get(host, &Get { request: id, client, bucket, key, vbucket, cas, retries }),
            None => self.fail(id, Failure::NoServer),
        }
    }

    /// Sends a request again in the same words; gives the connection.
    pub(in crate::proxy) fn write_again(
        &mut self,
        id: RequestId,
        host: HostId,
        written: &Written<'_>,
    ) -> Option<ConnId> {
        let Written { bytes, ref range, ref entry, speak } = *written;
        if self.is_unknown_now(host, entry) {
            self.not_understood(id, host, written);
            return None;
        }
        let client = self.flight.requests.must(id).map(|request| request.client)?;
        let picked = match (entry.expect, entry.expect.opcode()) {
            (Expect::Dump { .. }, _) => self.pick_dump(host),
            (_, Some(code)) => self.pick_for(client, host, code),
            _ => self.pick(client, host, false),
        };
        let conn_id = match picked.and_then(|conn| self.speaking(conn, speak)) {
            Ok(conn) => conn,
            Err(failure) => {
                self.entry_failed(id, entry, Some(host), failure);
                return None;
            }
        };
        self.ask_before(conn_id, entry);
        if entry.travels_alone(speak) {
            // It cannot bring the answers to the quiet ones before it.
            self.reclose(id, conn_id);
        }
        let conn = self.begin(conn_id)?;
        let start = conn.output.end();
        conn.output.copy_from(bytes, range.clone());
        let end = conn.output.end();
        let expect = entry.expect.moved(range.start, start);
        self.enqueue(conn_id, Entry { expect, end, request: id, ..*entry });
        Some(conn_id)
    }

    /// The server knows no meta command, as is known now. What it cannot be told at all, and has not been sent, is answered
    /// as if that had been known before; all else was for another server, in whose place it is now.
    fn not_understood(&mut self, id: RequestId, host: HostId, written: &Written<'_>) {
        let entry = &written.entry;
        if entry.retries > 0 {
            self.entry_failed(id, entry, Some(host), Failure::Closed);
        } else if let Expect::Translated(Translated { is_encoded: true, .. }) = entry.expect
            && let Some(name) = entry.packet()
        {
            self.mix_replies(id);
            self.refuse_named(id, name, status::INVALID);
        } else if let Expect::Meta { .. } = entry.expect
            && let Some(misfit) = self.misfit_of(host, written)
        {
            self.reply(id, None, |out, _| misfit.refuse(out.tail()));
        } else {
            self.entry_failed(id, entry, Some(host), Failure::Closed);
        }
    }
}
