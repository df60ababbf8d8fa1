//! The engine and its event loop, driven by a string of bytes.
//!
//! | file | what |
//! |---|---|
//! | `world` | what each byte does: clients, servers, time and configurations |
//! | `network` | what the event loop is driven with |
//! | `user` | a client, and which answers it must get |
//!
//! The simulation (`tests/simulation`) knows what each answer must say; here it is enough that there is one, of the right
//! kind, in order. In return anything may come from any side, and whoever fuzzes with coverage finds the ways there.

mod network;
mod user;
mod world;

use world::World;

/// Clients that keep to the protocol get an answer of the right kind to each request, in order, and are never closed;
/// everybody comes to rest; nothing to read is forgotten; nobody is left when all have gone. In debug builds the engine's
/// records are looked at after each call.
pub fn target(data: &[u8]) {
    World::new(data).run();
}
