//! What ASCII commands a server understands, for those who speak binary to it or in meta commands.
//!
//! Nearly every server with which moxi speaks binary understands ASCII, too, on a connection that begins with it. Since no
//! packet says what meta commands say, it is asked on such a connection (a side one), and gets them there if it knows them.
//! One that does not answer is asked again a minute later: perhaps it was not well.
//!
//! A server is asked when such a client first needs it, and again when a connection to it has been lost: another
//! version may have taken its place. A meta command is never sent to a server that may not know it, since such a server
//! would take the value behind it for commands.

use crate::protocol::Reply;
use crate::protocol::ascii::command;
use crate::protocol::ascii::meta;
use crate::protocol::keyless::Keyless;

use crate::proxy::Engine;
use crate::proxy::downstream::connection::Unfit;
use crate::proxy::downstream::host::{Dialect, Host, HostId};
use crate::proxy::downstream::loss::Loss;
use crate::proxy::downstream::{ConnId, Entry, Expect, Question, State, Translated};
use crate::proxy::request::RequestId;
use crate::proxy::timers::Micros;
use crate::proxy::upstream::ClientId;

/// After how long a server is asked again that has not answered.
const ASK_AGAIN: Micros = 60_000_000;

impl Engine {
    /// What is known of the connection's server.
    fn dialect(&self, id: ConnId) -> Dialect {
        self.downstream
            .conns
            .must(id)
            .and_then(|conn| self.downstream.hosts.must(conn.host))
            .map_or(Dialect::Unknown, |host| host.dialect)
    }

    /// Whether the connection's server knows meta commands; `None`: nobody knows.
    pub(in crate::proxy) fn knows_meta(&self, id: ConnId) -> Option<bool> {
        self.dialect(id).knows_meta()
    }

    /// Whether what is to be written on this connection for `key` is to be a meta command.
    pub(in crate::proxy) fn writes_meta(&mut self, id: ConnId, key: &[u8]) -> bool {
        let is_needed = meta::is_encodable(key);
        let writes_meta = self.knows_meta(id).unwrap_or(is_needed);
        if writes_meta {
            // It could not be asked before, but nothing else will do.
            self.ask_unless_known(id);
        }
        writes_meta
    }

    /// A meta command is about to be written on this connection. If it is not known whether the server knows any, it is asked
    /// before, and its answer awaited.
    pub(in crate::proxy) fn ask_unless_known(&mut self, id: ConnId) {
        if self.dialect(id) != Dialect::Meta {
            self.ask_first(id);
        }
    }

    /// Whether it is known what the server understands. If not, it is asked, and the client waits.
    pub(in crate::proxy) fn knows_dialect(&mut self, client_id: ClientId, host_id: HostId) -> bool {
        let Some(host) = self.downstream.hosts.must(host_id) else { return true };
        if host.dialect.is_settled() && host.ask_again.is_none_or(|at| self.now < at) {
            return true;
        }
        if host.dialect != Dialect::Asked {
            let Ok(conn_id) = self.pick_line(client_id, host_id) else { return true };
            self.ask(conn_id, Question::Meta);
        }
        if let Some(host) = self.downstream.hosts.must_mut(host_id) {
            host.dialect = Dialect::Asked;
            host.ask_again = None;
            host.curious.push(client_id);
        }
        if let Some(client) = self.upstream.clients.must_mut(client_id) {
            client.wait_for_dialect(self.now);
        }
        self.arm_client(client_id);
        false
    }

    /// The client has waited too long for what servers know: its next request goes on as if they could not be asked; `all` of
    /// them, or those where the question stands behind the requests of others.
    pub(in crate::proxy) fn go_on_unasked(&mut self, client_id: ClientId, all: bool) {
        let is_it = |host: &Host| host.curious.contains(&client_id) && (all || self.asks_behind_others(host));
        let hosts: Vec<HostId> =
            self.downstream.hosts.iter().filter(|(_, host)| is_it(host)).map(|(id, _)| id).collect();
        if hosts.is_empty() {
            return;
        }
        for id in hosts {
            if let Some(host) = self.downstream.hosts.must_mut(id) {
                host.curious.retain(|other| *other != client_id);
            }
            if let Some(client) = self.upstream.clients.must_mut(client_id) {
                client.note_asked(id);
            }
        }
        self.make_ready(client_id);
    }

    fn asks_behind_others(&self, host: &Host) -> bool {
        let is_question = |entry: &Entry| matches!(entry.expect, Expect::Probe(_));
        host.conns
            .iter()
            .filter_map(|id| self.downstream.conns.must(*id))
            .any(|conn| !conn.fifo.front().is_some_and(is_question) && conn.fifo.iter().any(is_question))
    }

    fn ask(&mut self, id: ConnId, question: Question) {
        let Some(conn) = self.begin(id) else { return };
        match question {
            Question::Meta if conn.is_side => conn.output.tail().extend_from_slice(meta::WHOLE_QUESTION),
            Question::Meta => conn.output.tail().extend_from_slice(meta::QUESTION),
            Question::Version | Question::Moot => command::keyless(conn.output.tail(), &Keyless::Version),
        }
        let end = conn.output.end();
        let (request, expect) = (RequestId::NONE, Expect::Probe(question));
        self.enqueue(id, Entry { request, expect, opaque: 0, end, retries: 0, may_repeat: true, is_queued: false });
    }

    /// The answer to a question which commands the server understands.
    pub(in crate::proxy) fn probe_reply(
        &mut self,
        id: ConnId,
        question: Question,
        reply: &Reply<'_>,
    ) -> Result<(), Unfit> {
        let Reply::Line { line } = reply else { return Err(Unfit) };
        let dialect = match question {
            Question::Meta if line.starts_with(b"MN") => None,
            Question::Version if !meta::is_early(line) => Some(Dialect::Meta),
            Question::Meta | Question::Version | Question::Moot => Some(Dialect::Classic),
        };
        let Some(conn) = self.downstream.conns.must_mut(id) else { return Ok(()) };
        let host = conn.host;
        let next = conn.fifo.get_mut(1).filter(|next| next.expect == Expect::Probe(Question::Version));
        match (next, dialect) {
            (None, None) => self.ask(id, Question::Version),
            // Both were asked at once. What is known of the server may be forgotten before the second answer comes.
            (Some(next), Some(_)) if question == Question::Meta => next.expect = Expect::Probe(Question::Moot),
            _ => {}
        }
        // Before the connection is idle, and closed if its server is in no bucket any more.
        if let Some(dialect) = dialect {
            self.dialect_known(host, dialect);
        }
        self.pop_head(id);
        if dialect.is_some() && self.is_outdated(id) {
            self.close_conn(id, Loss::Outdated);
        }
        Ok(())
    }

    /// Whether it is the question on a side connection that has led to this loss.
    pub(in crate::proxy) fn asks_in_vain(&self, id: ConnId, loss: Loss) -> bool {
        matches!(loss, Loss::Closed | Loss::Malformed | Loss::Overdue | Loss::Unknown)
            // (It may be closed already.)
            && self.downstream.conns.get(id).is_some_and(|conn| {
                let is_asked = conn.fifo.front().is_some_and(|entry| matches!(entry.expect, Expect::Probe(_)));
                conn.is_side && conn.state == State::Ready && is_asked
            })
    }

    /// The connection on which the server was asked is lost.
    pub(in crate::proxy) fn not_asked(&mut self, id: HostId, loss: Loss) {
        if loss != Loss::Unanswered {
            return self.dialect_known(id, Dialect::Unreachable);
        }
        self.dialect_known(id, Dialect::Classic);
        if let Some(host) = self.downstream.hosts.must_mut(id) {
            host.ask_again = Some(self.now.saturating_add(ASK_AGAIN));
        }
    }

    /// Those who have waited for the answer can go on.
    pub(in crate::proxy) fn dialect_known(&mut self, id: HostId, dialect: Dialect) {
        let Some(host) = self.downstream.hosts.must_mut(id) else { return };
        host.dialect = dialect;
        for client_id in std::mem::take(&mut host.curious) {
            // It may have gone while it waited.
            if let Some(client) = self.upstream.clients.get_mut(client_id) {
                client.note_asked(id);
            }
            self.make_ready(client_id);
        }
    }

    /// Whether meta commands stand in the output that the connection's server is not to get: it knows none, or that is
    /// not known and no question goes before them.
    pub(in crate::proxy) fn is_outdated(&self, id: ConnId) -> bool {
        // Behind the last answer it may have been closed, if its server is in no bucket any more.
        let Some(conn) = self.downstream.conns.get(id) else { return false };
        match self.dialect(id) {
            Dialect::Meta => false,
            Dialect::Classic => conn.fifo.iter().any(is_meta),
            Dialect::Unknown | Dialect::Asked | Dialect::Unreachable => {
                let is_question = |entry: &Entry| entry.expect == Expect::Probe(Question::Version);
                conn.fifo.iter().find(|entry| is_meta(entry) || is_question(entry)).is_some_and(is_meta)
            }
        }
    }

    /// Whether what was on a lost connection is in commands that the server, which is another one now, does not know.
    pub(in crate::proxy) fn is_unknown_now(&self, host: HostId, entry: &Entry) -> bool {
        // What is sent again may be for a server that is in no bucket any more.
        is_meta(entry) && self.downstream.hosts.get(host).is_some_and(|host| host.dialect == Dialect::Classic)
    }

    /// What was on a lost connection is about to be sent on this one in the same words. If it is not known whether the
    /// server understands them, it is asked before, and its answer awaited.
    pub(in crate::proxy) fn ask_before(&mut self, id: ConnId, entry: &Entry) {
        if is_meta(entry) {
            self.ask_unless_known(id);
        }
    }

    /// Asks the server of a connection before anything else is sent on it.
    fn ask_first(&mut self, id: ConnId) {
        let Some(conn) = self.begin(id) else { return };
        if !conn.alone.is_empty() {
            return; // it is asked already
        }
        let (start, is_side) = (conn.output.end(), conn.is_side);
        self.ask(id, Question::Meta);
        self.ask(id, Question::Version);
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        if !is_side {
            conn.alone.push_back(start..conn.output.end());
        }
        if let Some(host) = self.downstream.hosts.must_mut(conn.host) {
            host.dialect = Dialect::Asked;
        }
    }
}

/// Whether it is a meta command.
fn is_meta(entry: &Entry) -> bool {
    matches!(entry.expect, Expect::Translated(Translated { is_meta: true, .. }) | Expect::Meta { .. })
}

#[cfg(test)]
mod tests;
