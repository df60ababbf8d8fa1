//! Which servers have not confirmed what all of them must confirm, and what the client is told then.

use std::sync::Arc;

use crate::config::snapshot::Server;

use crate::proxy::downstream::host::HostId;
use crate::proxy::request::error::Failure;
use crate::sums::{Count as _, sum};

const SERVER_ERROR: &[u8] = b"SERVER_ERROR";

/// The roll of the servers that a request goes to.
#[derive(Debug)]
pub struct Roll {
    /// Those that have not confirmed, once for each time they were asked.
    open: Vec<(HostId, Arc<Server>)>,
    /// How often somebody has confirmed.
    confirmed: u32,
    /// The first refusal: its line without the end, and its status.
    refusal: Option<(Vec<u8>, u16)>,
    /// How often somebody has refused in the same words.
    alike: usize,
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// All have confirmed.
    All,
    /// The only server there is has refused, or all have refused alike what the client should not have asked for; with
    /// this line and status.
    Refused(&'a [u8], u16),
    /// Some have not: the line that says why and names them, without its end.
    Missing(Vec<u8>),
}

impl Roll {
    /// Of `servers`, none of which has said anything yet.
    pub fn new(servers: Vec<(HostId, Arc<Server>)>) -> Roll {
        Roll { open: servers, confirmed: 0, refusal: None, alike: 0 }
    }

    /// Server `host` has confirmed.
    pub fn confirm(&mut self, host: HostId) {
        self.confirmed.up();
        if let Some(at) = self.open.iter().rposition(|(open, _)| *open == host) {
            self.open.remove(at);
        }
    }

    /// A server has refused.
    pub fn refuse(&mut self, line: &[u8], code: u16) {
        let (first, _) = self.refusal.get_or_insert_with(|| (line.to_vec(), code));
        self.alike = sum([self.alike, usize::from(first == line)]);
    }

    /// How it went. `failure` is the first one among the servers; `words` stand before the names of those missing.
    pub fn verdict(&self, failure: Option<Failure>, words: &str) -> Verdict<'_> {
        let mut names: Vec<String> = Vec::new();
        for (_, server) in &self.open {
            let name = server.to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        match (&names[..], &self.refusal, failure) {
            ([], ..) => Verdict::All,
            (names, Some((line, code)), None)
                if self.confirmed == 0
                    && (names.len() == 1 || self.alike == self.open.len() && !line.starts_with(SERVER_ERROR)) =>
            {
                Verdict::Refused(line, *code)
            }
            (names, refusal, failure) => {
                let mut line = Vec::new();
                match (failure, refusal) {
                    (None, Some((said, _))) => push_refusal(&mut line, said),
                    (failure, _) => failure.unwrap_or(Failure::Closed).write_text(&mut line),
                }
                line.extend_from_slice(format!(": {words} {}", names.join(", ")).as_bytes());
                Verdict::Missing(line)
            }
        }
    }
}

/// Appends a server's refusal as a `SERVER_ERROR`: the client did nothing wrong, as other servers may have done it.
fn push_refusal(out: &mut Vec<u8>, said: &[u8]) {
    if !said.starts_with(SERVER_ERROR) {
        out.extend_from_slice(SERVER_ERROR);
        out.push(b' ');
    }
    out.extend_from_slice(said.strip_prefix(b"CLIENT_ERROR ").unwrap_or(said));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::config::behavior::Behavior;
    use crate::config::mcmux::named_server;
    use crate::protocol::Protocol;

    /// Servers with these ports.
    fn servers(ports: &[u16]) -> Vec<(HostId, Arc<Server>)> {
        let mut names: Arena<u16> = Arena::default();
        let ids: Vec<_> = (0..=ports.len() as u16).map(|number| names.insert(number)).collect();
        let server = |port| named_server(Protocol::Ascii, "10.0.0.1", port, &Arc::new(Behavior::default()));
        let id = |port| HostId::from_bits(ids[ports.iter().position(|other| *other == port).unwrap()].to_bits());
        ports.iter().map(|&port| (id(port), server(port))).collect()
    }

    fn told(roll: &Roll, failure: Option<Failure>) -> String {
        match roll.verdict(failure, "not confirmed by") {
            Verdict::All => "all".to_owned(),
            Verdict::Refused(line, code) => format!("{code:#x} {}", str::from_utf8(line).unwrap()),
            Verdict::Missing(line) => String::from_utf8(line).unwrap(),
        }
    }

    #[test]
    fn only_all_are_enough() {
        let servers = servers(&[1, 2, 1]);
        let mut roll = Roll::new(servers.clone());
        let none = "SERVER_ERROR proxy downstream timeout: not confirmed by 10.0.0.1:1, 10.0.0.1:2";
        assert_eq!(told(&roll, Some(Failure::Timeout)), none);
        roll.confirm(servers[0].0);
        assert_eq!(told(&roll, Some(Failure::Timeout)), none, "once of two times");
        roll.confirm(servers[1].0);
        let closed = "SERVER_ERROR proxy downstream closed: not confirmed by 10.0.0.1:1";
        assert_eq!(told(&roll, Some(Failure::Closed)), closed);
        assert_eq!(told(&roll, None), closed, "whatever has happened");
        roll.confirm(servers[2].0);
        assert_eq!(told(&roll, None), "all");
    }

    #[test]
    fn a_refusal_is_the_answer_of_one_server_and_a_reason_of_several() {
        let refused = |ports: &[u16], line: &[u8]| {
            let mut roll = Roll::new(servers(ports));
            roll.refuse(line, 0x84);
            roll.refuse(b"SERVER_ERROR later", 0x85);
            told(&roll, None)
        };
        assert_eq!(refused(&[1], b"CLIENT_ERROR not allowed"), "0x84 CLIENT_ERROR not allowed");
        assert_eq!(refused(&[1, 1], b"ERROR"), "0x84 ERROR");
        let names = "not confirmed by 10.0.0.1:1, 10.0.0.1:2";
        assert_eq!(refused(&[1, 2], b"CLIENT_ERROR not allowed"), format!("SERVER_ERROR not allowed: {names}"));
        assert_eq!(refused(&[1, 2], b"SERVER_ERROR nope"), format!("SERVER_ERROR nope: {names}"));
        assert_eq!(refused(&[1, 2], b"BUSY now"), format!("SERVER_ERROR BUSY now: {names}"));
        let alike = |line: &[u8]| {
            let mut roll = Roll::new(servers(&[1, 2]));
            roll.refuse(line, 0x84);
            roll.refuse(line, 0x84);
            told(&roll, None)
        };
        assert_eq!(alike(b"CLIENT_ERROR not allowed"), "0x84 CLIENT_ERROR not allowed");
        assert_eq!(alike(b"SERVER_ERROR nope"), format!("SERVER_ERROR nope: {names}"));
    }
}
