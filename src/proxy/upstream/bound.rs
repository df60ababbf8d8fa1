//! Clients whose work for a server with which moxi speaks binary is on a connection on which lines are spoken, and who ask for
//! what no line says there: it waits until that work is done. Elsewhere it would overtake it (03 §7).

use crate::protocol::Protocol::Binary;
use crate::protocol::ascii::meta::is_encodable;
use crate::protocol::binary::packet::Packet;
use crate::protocol::op::{self, Op};
use crate::protocol::translate;

use crate::proxy::Engine;
use crate::proxy::downstream::ConnId;
use crate::proxy::upstream::Caller;

impl Engine {
    /// Whether this command for `key`, which such a server does not understand, or answers otherwise, in ASCII, has to wait until
    /// what its client has sent before in ASCII to that server is answered; or what another client has, whose place it takes.
    pub(in crate::proxy) fn waits_for_packets(&mut self, caller: &Caller, op: &Op, key: &[u8]) -> bool {
        self.bound_to_lines(caller, op, key).is_some() && self.wait_for_lines(caller)
    }

    /// The same for a packet, if no line says to its server what it says.
    pub(in crate::proxy) fn packet_waits(&mut self, caller: &Caller, packet: &Packet<'_>) -> bool {
        if translate::is_plain(packet) {
            return false;
        }
        let op = op::of(packet.header.opcode);
        let Some(conn) = self.bound_to_lines(caller, op, packet.key) else { return false };
        let is_meta = self.knows_meta(conn).unwrap_or(is_encodable(packet.key));
        !translate::is_known(packet, is_meta) && self.wait_for_lines(caller)
    }

    /// The connection on which lines are spoken with the server of `key`, with which moxi speaks binary otherwise, if what the client
    /// sends next has to go there.
    fn bound_to_lines(&mut self, caller: &Caller, op: &Op, key: &[u8]) -> Option<ConnId> {
        let host = self.route_for(caller, key).0.filter(|host| self.downstream.protocol(*host) == Binary)?;
        if op.changes() {
            self.take_over(caller.client, host, Some(key));
        }
        self.stuck(caller.client, host).filter(|conn| self.speak(*conn) != Binary)
    }

    fn wait_for_lines(&mut self, caller: &Caller) -> bool {
        if let Some(client) = self.upstream.clients.must_mut(caller.client) {
            client.stop();
        }
        true
    }
}
