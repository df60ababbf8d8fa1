//! All connections of one event loop.

use moxi::net::driver::Event;
use moxi::proxy::Engine;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::upstream::ClientId;

use super::{Pipe, Socket};

/// Whose a connection is.
#[derive(Clone, Copy)]
pub enum Name {
    /// A client's.
    Client(ClientId),
    /// One to a server.
    Conn(ConnId),
}

/// The connections, with their names.
#[derive(Default)]
pub struct Pipes(Vec<(Name, Pipe)>);

impl Pipes {
    /// One more.
    pub fn add(&mut self, name: Name, pipe: &Pipe) {
        self.0.push((name, pipe.clone()));
    }

    /// The connection of `socket` has another name from now on. Whoever watches it anew is told what holds.
    pub fn rename(&mut self, socket: &Socket, name: Name) {
        if let Some((own, pipe)) = self.0.iter_mut().find(|(_, pipe)| pipe.is_of(socket)) {
            *own = name;
            pipe.announce_all();
        }
    }

    /// Whether there are events.
    pub fn has_events(&self) -> bool {
        self.0.iter().any(|(_, pipe)| pipe.has_event())
    }

    /// Appends the events of all to `events`, and forgets those that are closed.
    pub fn take_events(&mut self, events: &mut Vec<Event>) {
        self.0.retain(|(_, pipe)| !pipe.is_closed());
        for (name, pipe) in &self.0 {
            events.extend(pipe.take_event().map(|readiness| match name {
                Name::Client(id) => Event::Client(*id, readiness),
                Name::Conn(id) => Event::Conn(*id, readiness),
            }));
        }
    }

    /// Panics if there is something to read that nobody will read. For when the loop would wait for events.
    pub fn check_edges(&self, engine: &mut Engine) {
        for (name, pipe) in &self.0 {
            match name {
                _ if !pipe.ends().is_forgotten() => {}
                Name::Client(id) => {
                    assert!(engine.client_space(*id).is_none(), "nobody reads from client {id:?}");
                }
                Name::Conn(id) => panic!("nobody reads from connection {id:?}"),
            }
        }
    }
}
