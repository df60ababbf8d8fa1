//! Packets of binary servers.

use moxi::protocol::binary::packet::{Parsed, REPLY_MAGIC, parse_reply};
use moxi::protocol::binary::reply::Reply;

use super::binary_requests::check_header;
use crate::choices::Choices;
use crate::session::{Told, check};

/// Packets mean the same however they arrive, and are the same when they are written from their parts.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let at = choices.short();
    check(choices.rest(), at, &mut |buf, _| match parse_reply(buf) {
        Parsed::Incomplete { need } => Told::Incomplete(need),
        Parsed::Malformed(breach) => Told::Closed(format!("{breach:?}")),
        Parsed::Packet { packet, len } => {
            let (header, raw) = (packet.header, packet.raw.bytes);
            check_header(&header, REPLY_MAGIC, raw);
            if header.datatype == 0 {
                let mut out = Vec::new();
                let reply = Reply {
                    opcode: header.opcode,
                    opaque: header.opaque,
                    status: header.vbucket_or_status,
                    cas: header.cas,
                    extras: packet.extras,
                    key: packet.key,
                    value: packet.value.bytes,
                };
                reply.write(&mut out);
                assert_eq!(out, raw);
            }
            Told::Piece { meaning: format!("{packet:?}"), len, swallow: 0 }
        }
    });
}
