//! UDP, for the built-in server.

use moxi::net::udp::Datagrams;

use super::builtin::{BINDINGS, tells_of_itself};
use super::served::{Client, Server};
use crate::choices::Choices;

/// Request number, sequence number, number of datagrams, reserved.
const HEADER: usize = 8;
/// Longest datagram that is sent.
const LONGEST: usize = 1400;
/// Most bytes of all datagrams that are compared with a client's: above that an error may take the place of a reply.
const COMPARED: usize = 1 << 20;

/// Datagrams, one after the other: each reply bears the number of its request, its parts are numbered, and together they
/// are what a client of a connection of its own would have been answered.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let binding = choices.pick(&BINDINGS);
    let (server, other, mut datagrams) = (Server::new(), Server::new(), Datagrams::default());
    let is_compared = !tells_of_itself(data);
    while !choices.is_empty() {
        let length = choices.short();
        let datagram = choices.take(usize::from(length));
        let (mut sent, access) = (Vec::new(), server.memcached.access(&server.counters, server.clock));
        datagrams.answer(datagram, binding, &access, &mut |reply| sent.push(reply.to_vec()));
        let Some((head, request)) = datagram.split_first_chunk::<HEADER>() else {
            assert!(sent.is_empty(), "a datagram without a head is answered");
            continue;
        };
        let payload = joined(&sent, [head[0], head[1]]);
        if [head[4], head[5]] != [0, 1] {
            assert!(request.is_empty() || payload.starts_with(b"SERVER_ERROR"), "{}", payload.escape_ascii());
            continue;
        }
        let (mut client, mut answer) = (Client::new(binding), Vec::new());
        client.send(&other, request, &mut answer);
        if is_compared && answer.len() < COMPARED {
            assert_eq!(payload.escape_ascii().to_string(), answer.escape_ascii().to_string());
        }
    }
}

/// What the replies say together.
fn joined(sent: &[Vec<u8>], id: [u8; 2]) -> Vec<u8> {
    let (mut payload, mut next) = (Vec::new(), (0, 0));
    for datagram in sent {
        let (head, part) = datagram.split_first_chunk::<HEADER>().unwrap_or_else(|| panic!("{datagram:?}"));
        let [i, j, n, o, c, d, x, y] = *head;
        let (number, count) = (u16::from_be_bytes([n, o]), u16::from_be_bytes([c, d]));
        assert_eq!(([i, j], [x, y]), (id, [0, 0]));
        assert!(datagram.len() <= LONGEST && !part.is_empty());
        // A part follows the one before it, or is the first of the next reply.
        let expected = if next.0 == next.1 { (0, count) } else { next };
        assert_eq!((number, count), expected);
        next = (number + 1, count);
        payload.extend_from_slice(part);
    }
    assert_eq!(next.0, next.1, "parts are missing");
    payload
}
