//! Servers, as far as the world moves them: connections that are made, served and lost.

use std::sync::Arc;

use moxi::config::snapshot::Server;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::timers::Micros;

use super::eras::index_of;
use super::network::Dial;
use super::session::{Session, Verdict};
use super::truth::Mood;
use super::world::World;
use moxi_fuzzing::memory::{Bytes, Pipe};

/// A server's end of a connection.
pub struct Peer {
    pub id: ConnId,
    pub server: usize,
    /// The server, as the proxy knows it.
    pub known: Arc<Server>,
    pub pipe: Pipe,
    /// When the connection is made or refused; `None`: never.
    pub connects: Option<(Micros, bool)>,
    /// The server has it.
    pub session: Option<Session>,
    /// It has not looked at it yet.
    pub is_fresh: bool,
}

impl World {
    /// A server does something with one of its connections.
    pub fn serve(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        if let Some((when, is_made)) = peer.connects {
            if when <= self.truth.now {
                peer.connects = None;
                peer.session = is_made.then(|| Session::new(&peer.known, peer.id));
                peer.pipe.decide(is_made);
            }
            return;
        }
        if peer.is_fresh && self.truth.moods[peer.server] != Mood::Stalled {
            // A server looks at what it has before it takes another connection.
            peer.is_fresh = false;
            let server = peer.server;
            self.lay_ghosts(server);
            return self.catch_up(server);
        }
        let Some(session) = &mut peer.session else { return };
        let mut from = std::mem::take(&mut peer.pipe.ends().outbound);
        let mut to = Bytes::default();
        let verdict = session.act(&mut self.truth, &mut from, &mut to);
        // It has read all that comes, and closes the connection as the proxy has done.
        let verdict = match verdict {
            Verdict::Go if peer.pipe.ends().is_finished && from.is_empty() && session.is_through() => Verdict::Close,
            other => other,
        };
        peer.pipe.ends().outbound = from;
        peer.pipe.has_taken();
        let count = to.len();
        if count > 0 {
            peer.pipe.send(&mut to, count);
        }
        if verdict != Verdict::Go {
            peer.session = None;
            if verdict == Verdict::Reset {
                peer.pipe.ends().inbound.clear();
            }
            peer.pipe.leave(verdict == Verdict::Reset);
        }
    }

    /// A server reads to their ends the connections that the proxy has finished.
    fn catch_up(&mut self, server: usize) {
        for peer in self.peers.iter_mut().filter(|peer| peer.server == server && peer.pipe.ends().is_finished) {
            let Some(session) = &mut peer.session else { continue };
            let mut from = std::mem::take(&mut peer.pipe.ends().outbound);
            session.catch_up(&mut self.truth, &mut from);
            peer.pipe.has_taken();
        }
    }

    /// A server carries out what it holds of closed connections.
    pub fn lay_ghosts(&mut self, server: usize) {
        for (mut session, mut bytes) in self.ghosts.extract_if(.., |(session, _)| session.server == server) {
            session.finish(&mut self.truth, &mut bytes);
        }
    }

    pub fn change_mood(&mut self) {
        let faults = self.truth.scenario.faults;
        let at = self.truth.random.index(self.truth.moods.len());
        let stalls = if self.truth.scenario.stubborn { 3 } else { 1 };
        let mood = match self.truth.random.below(8) {
            at if at < stalls && faults.stall => Mood::Stalled,
            1 if faults.refuse => Mood::Refusing,
            2 if faults.refuse => Mood::Hole,
            3 | 4 if faults.slow => Mood::Slow(self.truth.random.pick(&[5_000, 50_000, 800_000])),
            _ => Mood::Well,
        };
        self.truth.moods[at] = mood;
        self.truth.note(|| format!("server {at} is {mood:?}"));
    }

    /// A server is called.
    pub fn answer(&mut self, dial: Dial) {
        let Dial { id, known, pipe, is_dead } = dial;
        let server = index_of(&known);
        let random = &mut self.truth.random;
        let connects = match self.truth.moods[server] {
            _ if is_dead => Some((self.truth.now + random.below(1_000), false)),
            Mood::Hole => None,
            Mood::Refusing => Some((self.truth.now + random.below(1_000), false)),
            Mood::Slow(most) => Some((self.truth.now + random.below(most), true)),
            Mood::Well | Mood::Stalled => Some((self.truth.now + random.below(1_000), true)),
        };
        self.truth.note(|| format!("connection {id:?} to server {server}: {connects:?}"));
        let is_open = |peer: &Peer| peer.id == id && !peer.pipe.is_closed();
        assert!(!self.peers.iter().any(is_open), "{id:?} connected twice");
        self.peers.push(Peer { id, server, known, pipe, connects, session: None, is_fresh: true });
    }

    /// Server connections that the proxy has closed. What it had sent may be carried out yet.
    pub fn bury_conns(&mut self) {
        while let Some(at) = self.peers.iter().position(|peer| peer.pipe.is_closed()) {
            let peer = self.peers.swap_remove(at);
            let (id, server) = (peer.id, peer.server);
            self.truth.note(|| format!("connection {id:?} is closed"));
            if let Some(session) = peer.session
                && self.truth.random.once_in(2)
            {
                let sent = std::mem::take(&mut peer.pipe.ends().outbound);
                self.ghosts.push((session, sent));
                if self.truth.moods[server] != Mood::Stalled {
                    self.lay_ghosts(server);
                }
            }
        }
    }
}
