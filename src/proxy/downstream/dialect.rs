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
mod tests {
    use super::*;
    use crate::config::snapshot::Config;
    use crate::proxy::Settings;
    use crate::proxy::downstream::hands::{self, connects, says, takes};
    use crate::proxy::downstream::host::HealthTable;

    /// A configuration with a server of this name, which speaks ASCII.
    fn config(server: &str) -> Config {
        hands::config(server, "downstream_protocol=ascii")
    }

    fn answers(engine: &mut Engine, id: ConnId, asked: &[u8], reply: &[u8]) {
        takes(engine, id, asked);
        says(engine, id, reply);
    }

    /// A client that gets `key` in binary.
    fn asks(engine: &mut Engine, key: &[u8]) {
        let length = key.len() as u8;
        let head = [0x80, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];
        hands::asks(engine, &[&head, key].concat());
    }

    fn engine(server: &str, health: &HealthTable) -> Engine {
        Engine::new(&config(server), health, Settings { requests_per_turn: 20, binding: None })
    }

    #[test]
    fn who_waits_for_a_server_that_leaves_the_configuration_goes_on_with_another() {
        let health = HealthTable::default();
        let mut engine = engine("before", &health);
        asks(&mut engine, b"k");
        let asked = connects(&mut engine);
        let [(id, name)] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!(name, "before");
        engine.connected(*id);
        engine.reconfigure(&config("after"), &health);
        answers(&mut engine, *id, b"mn\r\n", b"MN\r\n");
        answers(&mut engine, *id, b"version\r\n", b"VERSION 1.6.18\r\n");
        let asked = connects(&mut engine);
        assert!(matches!(&asked[..], [(_, name)] if name == "after"), "{asked:?}");
    }

    #[test]
    fn a_server_that_knows_no_meta_commands_is_not_taken_for_another_when_that_is_forgotten() {
        let health = HealthTable::default();
        let mut engine = engine("server", &health);
        let connected = |engine: &mut Engine| connects(engine).first().map(|(id, _)| *id).expect("a connection");
        asks(&mut engine, b"k");
        let id = connected(&mut engine);
        engine.connect_failed(id, "refused");
        let other = connected(&mut engine);
        // That key can only be told in a meta command: both questions go before it.
        asks(&mut engine, b"a b");
        let id = connected(&mut engine);
        engine.connected(id);
        let (output, limit) = engine.conn_output(id).expect("questions");
        assert_eq!(output.contiguous(limit), Some(&b"mn\r\nversion\r\n"[..]));
        engine.conn_sent(id, limit as usize);
        // It is given up, so nothing stands behind the questions any more.
        engine.set_time(250_000);
        assert!(connects(&mut engine).is_empty());
        says(&mut engine, id, b"ERROR\r\n");
        engine.conn_closed(other);
        says(&mut engine, id, b"VERSION 1.6.18\r\n");
        asks(&mut engine, b"k");
        answers(&mut engine, id, b"gets k\r\n", b"END\r\n");
    }

    /// Servers that lose connections all the time would keep a request for all of them for ever.
    #[test]
    fn a_request_waits_once_for_what_a_server_knows() {
        let health = HealthTable::default();
        let mut engine = engine("one:1,two", &health);
        let noop = b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0";
        let client = hands::asks(&mut engine, noop);
        let asked = connects(&mut engine);
        let [(one, _), (two, _)] = &asked[..] else { panic!("{asked:?}") };
        engine.connected(*one);
        engine.connected(*two);
        answers(&mut engine, *one, b"mn\r\n", b"MN\r\n");
        answers(&mut engine, *one, b"version\r\n", b"VERSION 1.6.18\r\n");
        // What was learned is forgotten before the other answer comes.
        engine.conn_closed(*one);
        answers(&mut engine, *two, b"mn\r\n", b"ERROR\r\n");
        let asked = connects(&mut engine);
        let [(one, _)] = &asked[..] else { panic!("{asked:?}") };
        engine.connected(*one);
        answers(&mut engine, *one, b"version\r\n", b"VERSION 1.6.18\r\n");
        answers(&mut engine, *two, b"version\r\n", b"VERSION 1.6.18\r\n");
        assert!(engine.client_output(client).is_some_and(|(output, _)| output.unsent() > 0), "an answer");
    }

    /// The question stands behind a request that is not answered, and need not be.
    #[test]
    fn a_request_waits_no_longer_for_what_a_server_knows_than_in_its_queue() {
        let settings = "downstream_protocol=ascii,downstream_conn_max=1,downstream_timeout=0";
        let config = hands::config("server", settings);
        let settings = Settings { requests_per_turn: 20, binding: None };
        let mut engine = Engine::new(&config, &HealthTable::default(), settings);
        hands::asks(&mut engine, b"get x\r\n");
        let id = connects(&mut engine).first().map(|(id, _)| *id).expect("a connection");
        engine.connected(id);
        takes(&mut engine, id, b"get x\r\n");
        let get = b"\x80\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x05\0\0\0\0\0\0\0\0k";
        let meta = b"mg k v\r\n";
        let clients = [&get[..], meta].map(|request| hands::asks(&mut engine, request));
        // 200 ms for the question, and again for the request itself.
        for (time, is_answered) in [(0, false), (199, false), (200, false), (399, false), (400, true)] {
            engine.set_time(time * 1_000);
            engine.turn(&mut Vec::new());
            for client in clients {
                let (output, _) = engine.client_output(client).expect("a client");
                assert_eq!(output.unsent() > 0, is_answered, "after {time} ms");
            }
        }
    }

    #[test]
    fn who_has_not_answered_is_asked_again_a_minute_later() {
        let settings = Settings { requests_per_turn: 20, binding: None };
        let binary = hands::config("server", "downstream_protocol=binary,downstream_timeout=0");
        let mut engine = Engine::new(&binary, &HealthTable::default(), settings);
        let client = engine.add_client(0).expect("a client");
        // It closes the connection, or says nothing at all on it.
        for (time, is_asked) in [(0, true), (59, false), (61, true), (120, false), (123, true)] {
            engine.set_time(time * 1_000_000);
            let asks = b"mg k t\r\n";
            engine.client_space(client).expect("room")[..asks.len()].copy_from_slice(asks);
            engine.client_filled(client, asks.len());
            let asked = connects(&mut engine);
            assert_eq!(asked.len(), usize::from(is_asked), "after {time} seconds");
            if let [(id, _)] = asked[..] {
                engine.connected(id);
                let (output, limit) = engine.conn_output(id).expect("a question");
                assert_eq!(output.contiguous(limit), Some(&meta::WHOLE_QUESTION[..]));
                engine.conn_sent(id, meta::WHOLE_QUESTION.len());
                if time == 61 {
                    engine.set_time((time + 1) * 1_000_000);
                } else {
                    engine.conn_closed(id);
                }
                engine.turn(&mut Vec::new());
            }
            let (output, limit) = engine.client_output(client).expect("an answer");
            let answer = output.contiguous(limit).expect("one piece").to_vec();
            assert_eq!(answer, b"CLIENT_ERROR unsupported flag t with these servers\r\n", "after {time} seconds");
            engine.client_sent(client, answer.len());
        }
    }
}
