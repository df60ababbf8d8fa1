//! Lists of keys: `stats cachedump`, `lru_crawler metadump` and `mgdump`, from all servers of a bucket.
//!
//! A list may be as long as a server is large, and a server works on it for as long as it likes. So it is passed on
//! line by line, it travels on a connection that every server has for lists only, and that connection is left unread
//! while the client has enough to read, but not for longer than `downstream_timeout`. Lines of different servers mix;
//! the end is told once.

use crate::protocol::ascii::answer;
use crate::protocol::ascii::command;
use crate::protocol::ascii::reply::{BUSY, GREETING, is_no_class};
use crate::protocol::{Answered, Dump as Command, Reply};

use crate::proxy::downstream::connection::Unfit;
use crate::proxy::downstream::host::{Crawl, Host, HostId};
use crate::proxy::downstream::loss::Loss;
use crate::proxy::downstream::{ConnId, Entry, Expect};
use crate::proxy::request::error::Failure;
use crate::proxy::request::roll::{Roll, Verdict};
use crate::proxy::request::{RequestId, Work};
use crate::proxy::upstream::pump::Verdict as Pumped;
use crate::proxy::upstream::{Caller, ClientId};
use crate::proxy::{Action, Engine};
use crate::sums::Count as _;

/// The servers are left unread while the client has this many bytes to read, and read again at half of it.
const AHEAD: u64 = 256 * 1024;

/// What stands before the names of the servers whose lists are missing or incomplete.
const INCOMPLETE: &str = "no complete list from";

/// A list in the making.
#[derive(Debug)]
pub struct Dump {
    /// What a line begins with, how it ends, and what follows the last one.
    prefix: &'static [u8],
    line_end: &'static [u8],
    end: &'static [u8],
    /// How many lines are still wanted, if not all.
    left: Option<u32>,
    /// Whether servers may greet.
    is_crawl: bool,
    /// Whether the client has got anything of it.
    is_begun: bool,
    roll: Roll,
    /// A server has listed, at least the end.
    is_listed: bool,
    /// What a server has said that has no such slab class.
    no_class: Option<Vec<u8>>,
    /// Whose crawlers are at work for it.
    crawls: Vec<Crawl>,
}

impl Dump {
    fn new(command: &Command<'_>, roll: Roll) -> Dump {
        let left = match command {
            Command::Cachedump { limit, .. } => Some(*limit).filter(|limit| *limit > 0),
            Command::Metadump { .. } | Command::Mgdump { .. } => None,
        };
        Dump {
            prefix: command.prefix(),
            line_end: command.line_end(),
            end: command.end(),
            left,
            is_crawl: command.is_crawl(),
            is_begun: false,
            roll,
            is_listed: false,
            no_class: None,
            crawls: Vec::new(),
        }
    }

    /// Whether a line is to be passed on. If so, it is counted. A greeting is if nothing has been before it: the
    /// client gets one if the first server that answers greets.
    fn wants(&mut self, is_greeting: bool) -> bool {
        match &mut self.left {
            _ if is_greeting => !self.is_begun,
            None => true,
            Some(0) => false,
            Some(left) => {
                left.down();
                true
            }
        }
    }

    /// A server's last line.
    fn ends(&mut self, host: HostId, line: &[u8]) {
        if line == self.end {
            self.is_listed = true;
            self.roll.confirm(host);
        } else if is_no_class(line) {
            self.no_class.get_or_insert_with(|| line.to_vec());
            self.roll.confirm(host);
        } else {
            self.roll.refuse(line, 0);
        }
    }

    /// Writes the last line for the client.
    fn write_end(&self, out: &mut Vec<u8>, failure: Option<Failure>) {
        match (self.roll.verdict(failure, INCOMPLETE), &self.no_class) {
            (Verdict::All, Some(line)) if !self.is_listed => answer::line(out, line),
            (Verdict::All, _) => answer::line(out, self.end),
            (Verdict::Refused(line, _), _) => answer::line(out, line),
            (Verdict::Missing(line), _) => answer::line(out, &line),
        }
    }
}

impl Engine {
    /// Asks all servers for their lists, each once.
    pub(in crate::proxy) fn dump(&mut self, caller: &Caller, command: Command<'_>) -> Pumped {
        if self.has_binary_servers(caller) {
            self.local_reply(caller, |out| out.extend_from_slice(answer::NOT_OVER_BINARY));
            return Pumped::Taken;
        }
        let Some(client) = self.upstream.clients.must_mut(caller.client) else { return Pumped::Taken };
        if client.has_unanswered() {
            // What the client has changed before is to be in it; and then it is its turn at once.
            client.stop();
            return Pumped::Wait;
        }
        let mut hosts: Vec<HostId> = Vec::new();
        for host in self.servers(caller) {
            if !hosts.contains(host) {
                hosts.push(*host);
            }
        }
        let dump = Dump::new(&command, self.roll(&hosts));
        // It takes no place among the bucket's requests: they would wait for it.
        let request = self.new_request(caller, Work::Dump(Box::new(dump)), Answered::Always);
        for host in hosts {
            if command.is_crawl() && !self.may_crawl(request, host) {
                continue;
            }
            match self.pick_dump(host) {
                Ok(conn) => self.put_dump(request, conn, command),
                Err(failure) => {
                    if let Some(request) = self.flight.requests.must_mut(request) {
                        request.failure.get_or_insert(failure);
                    }
                }
            }
        }
        self.part_done(request);
        Pumped::Taken
    }

    /// Whether the server's crawler is free for this request; if not, that is as if the server had said so.
    fn may_crawl(&mut self, request: RequestId, host: HostId) -> bool {
        let crawl = self.downstream.hosts.must(host).map(Host::begin_crawl);
        let Some(dump) = self.dump_of(request) else { return false };
        match crawl {
            Some(None) => {
                dump.roll.refuse(BUSY, 0);
                false
            }
            crawl => {
                dump.crawls.extend(crawl.flatten());
                true
            }
        }
    }

    fn put_dump(&mut self, request: RequestId, conn_id: ConnId, command: Command<'_>) {
        let Some(out) = self.begin_request(conn_id) else { return };
        command::dump(out.tail(), command);
        let end = out.end();
        let expect = Expect::Dump { begun: false };
        let entry = Entry { request, expect, opaque: 0, end, retries: 0, may_repeat: true, is_queued: false };
        self.enqueue(conn_id, entry);
    }

    /// A line of a server's list.
    pub(in crate::proxy) fn dump_reply(
        &mut self,
        id: ConnId,
        request: RequestId,
        reply: &Reply<'_>,
    ) -> Result<(), Unfit> {
        let line = match reply {
            Reply::Stat { line } | Reply::Line { line } => *line,
            Reply::End => b"END",
            _ => return Err(Unfit),
        };
        let Some(conn) = self.downstream.conns.must(id) else { return Ok(()) };
        let (host, is_first) = (conn.host(), matches!(conn.entry(0), Some(head) if head.expect.is_unanswered_dump()));
        let Some(dump) = self.dump_of(request) else {
            // It was given up before its turn came.
            self.close_conn(id, Loss::Abandoned);
            return Ok(());
        };
        let is_greeting = is_first && dump.is_crawl && line == GREETING;
        if !is_greeting && !line.starts_with(dump.prefix) {
            dump.ends(host, line);
            self.unlink(id, 0);
            self.pop_head(id);
            self.part_done(request);
            return Ok(());
        }
        let line_end = if is_greeting { &b"\r\n"[..] } else { dump.line_end };
        let is_wanted = dump.wants(is_greeting);
        dump.is_begun |= is_wanted;
        self.note_begun(id);
        if let Some(conn) = self.downstream.conns.must_mut(id) {
            // The list as a whole has no time limit.
            conn.note_progress(self.now);
        }
        if is_wanted && let Some(sink) = self.sink(request) {
            sink.tail().extend_from_slice(line);
            sink.tail().extend_from_slice(line_end);
            if sink.unsent() >= AHEAD
                && let Some(conn) = self.downstream.conns.must_mut(id)
            {
                conn.pause();
            }
            self.commit_part(request);
        }
        Ok(())
    }

    /// What is known of the list, if somebody waits for it: its request may have been given up.
    fn dump_of(&mut self, id: RequestId) -> Option<&mut Dump> {
        match &mut self.flight.requests.get_mut(id).filter(|request| !request.is_done)?.work {
            Work::Dump(dump) => Some(dump),
            _ => None,
        }
    }

    /// All servers have listed their keys, or failed.
    pub(in crate::proxy) fn finish_dump(&mut self, id: RequestId) {
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        let failure = request.failure;
        if let Work::Dump(dump) = std::mem::replace(&mut request.work, Work::Local)
            && let Some(sink) = self.sink(id)
        {
            dump.write_end(sink.tail(), failure);
        }
        self.complete(id);
    }

    /// The client has taken some of its output: servers whose lists it waits for are read again.
    pub(in crate::proxy) fn resume_dump(&mut self, id: ClientId) {
        let Some(client) = self.upstream.clients.must(id) else { return };
        if client.unsent() > AHEAD / 2 {
            return;
        }
        let Some(request) = client.next_owed().and_then(|next| self.flight.requests.must(next)) else { return };
        if !matches!(request.work, Work::Dump(_)) {
            return;
        }
        let conns: Vec<ConnId> = request.links.iter().collect();
        for id in conns {
            let Some(conn) = self.downstream.conns.must_mut(id) else { continue };
            if conn.resume(self.now) {
                self.arm_conn(id);
                self.parse_replies(id);
                self.actions.push(Action::ReadConn(id));
            }
        }
    }

    /// Nobody waits for the list any more that the server is at: it need not go on with it.
    pub(in crate::proxy) fn drop_dump(&mut self, id: ConnId, request: RequestId) {
        if self.downstream.conns.must_mut(id).is_some_and(|conn| conn.drop_list(request)) {
            self.close_conn(id, Loss::Abandoned);
        }
    }
}
