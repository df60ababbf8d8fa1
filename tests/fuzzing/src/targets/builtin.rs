//! A client of the built-in server.

use moxi::protocol::Protocol;
use moxi::protocol::ascii::reply;
use moxi::protocol::binary::packet::{self, is_binary};

use super::served::{Client, Server};
use crate::choices::{Choices, cuttings};

/// What clients must speak.
pub(super) const BINDINGS: [Option<Protocol>; 3] = [None, Some(Protocol::Ascii), Some(Protocol::Binary)];

/// Commands do the same however they arrive: two servers give the same answers, to the first client and, some time
/// later, to one that says the same again. Answers are whole replies of the protocol that the client speaks.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (binding, later, at) = (choices.pick(&BINDINGS), choices.byte(), choices.short());
    let text = choices.rest();
    let whole = answers(binding, later, &[text]);
    let is_packets = binding.map_or(is_binary(text), |binding| binding == Protocol::Binary);
    for answer in &whole {
        check_answer(answer, is_packets);
    }
    if tells_of_itself(text) {
        return;
    }
    for pieces in cuttings(text, at) {
        assert_eq!(answers(binding, later, &pieces), whole, "in {} pieces", pieces.len());
    }
}

/// Whether something may be asked for that is different in every server: counters, times, the order of items.
pub(super) fn tells_of_itself(text: &[u8]) -> bool {
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    has(b"stats") || has(b"crawler") || has(b"\x80\x10")
}

/// What a client is answered who sends `pieces`, and another one so many seconds later.
fn answers(binding: Option<Protocol>, later: u8, pieces: &[&[u8]]) -> [Vec<u8>; 2] {
    let mut server = Server::new();
    [0, u64::from(later)].map(|seconds| {
        server.clock.now += seconds * 1_000_000;
        server.clock.unix += seconds * 1_000_000;
        let (mut client, mut answer) = (Client::new(binding), Vec::new());
        pieces.iter().for_each(|piece| client.send(&server, piece, &mut answer));
        answer
    })
}

fn check_answer(answer: &[u8], is_packets: bool) {
    let mut rest = answer;
    while !rest.is_empty() {
        let len = match (is_packets, reply::parse(rest, &mut 0)) {
            (true, _) => match packet::parse_reply(rest) {
                packet::Parsed::Packet { len, .. } => len,
                other => panic!("{other:?}: {}", rest.escape_ascii()),
            },
            (false, reply::Parsed::Reply { len, .. }) => len,
            (false, other) => panic!("{other:?}: {}", rest.escape_ascii()),
        };
        rest = &rest[len..];
    }
}
