//! What the tests of this room do by hand in the place of the event loop, clients and servers.

use crate::config;
use crate::config::snapshot::Config;
use crate::proxy::downstream::ConnId;
use crate::proxy::upstream::ClientId;
use crate::proxy::{Action, Engine};

/// A configuration with a server of this name, and these settings.
pub fn config(server: &str, settings: &str) -> Config {
    let text = format!("11311={server}:1");
    let loaded = config::load(&text, Some(settings), &|_| None).expect("a good configuration");
    (*loaded.config).clone()
}

/// A new client that sends this.
pub fn asks(engine: &mut Engine, request: &[u8]) -> ClientId {
    let client = engine.add_client(0).expect("a client");
    engine.client_space(client).expect("room")[..request.len()].copy_from_slice(request);
    engine.client_filled(client, request.len());
    client
}

/// The connections that the engine asks for, with the names of the servers.
pub fn connects(engine: &mut Engine) -> Vec<(ConnId, String)> {
    engine.turn(&mut Vec::new());
    let mut actions = Vec::new();
    engine.take_actions(&mut actions);
    let connects = actions.into_iter().filter_map(|action| match action {
        Action::Connect(id, server) => Some((id, server.host.clone())),
        _ => None,
    });
    connects.collect()
}

/// The server takes what is to be sent, which must be this.
pub fn takes(engine: &mut Engine, id: ConnId, wanted: &[u8]) {
    while engine.next_dirty_conn().is_some() {}
    let (output, limit) = engine.conn_output(id).expect("something to be sent");
    assert_eq!(output.contiguous(limit), Some(wanted));
    engine.conn_sent(id, wanted.len());
}

/// The server says this.
pub fn says(engine: &mut Engine, id: ConnId, reply: &[u8]) {
    engine.conn_space(id).expect("room")[..reply.len()].copy_from_slice(reply);
    engine.conn_filled(id, reply.len());
}
