//! SASL from clients: PLAIN chooses the bucket (05 §8.4).

use crate::metrics::counter::Counter;
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::packet::Packet;
use crate::protocol::binary::reply::Reply;

use crate::proxy::Engine;
use crate::proxy::upstream::{Caller, Service};

/// Both NULs, user and password together are at least longer than this…
const SHORTEST: usize = 2;
/// …and shorter than this, in bytes.
const LONGEST: usize = 128;

impl Engine {
    /// Answers the SASL packets.
    pub(in crate::proxy) fn sasl(&mut self, caller: &Caller, packet: &Packet<'_>) {
        let bucket = &self.buckets[caller.bucket].config;
        if bucket.agent.is_none() && !bucket.is_null && bucket.behavior.usr.is_empty() {
            // Nobody can authenticate here: as a memcached without SASL, so that clients which always try go on.
            return self.local_packet(caller, packet, status::UNKNOWN_COMMAND);
        }
        let (code, opaque) = (packet.header.opcode, packet.header.opaque);
        let body: &[u8] = match code {
            opcode::SASL_LIST_MECHS if packet.raw.len() == crate::protocol::binary::packet::HEADER => b"PLAIN",
            opcode::SASL_AUTH if packet.key == b"PLAIN" => {
                let Some(bucket) = plain(&packet.value).and_then(|(user, password)| self.bucket_of(user, password))
                else {
                    return self.local_packet(caller, packet, status::AUTH_ERROR);
                };
                if bucket != caller.bucket {
                    self.buckets[caller.bucket].counters.drop_one(Counter::Upstreams);
                    self.count(bucket, Counter::Upstreams);
                    self.count(bucket, Counter::TotUpstream);
                }
                if let Some(client) = self.upstream.clients.must_mut(caller.client) {
                    client.service = Service::Bucket(bucket);
                }
                self.arm_idle(caller.client);
                b"Authenticated"
            }
            opcode::SASL_LIST_MECHS => return self.local_packet(caller, packet, status::INVALID),
            _ => return self.local_packet(caller, packet, status::AUTH_ERROR),
        };
        let reply = Reply { value: body, ..Reply::to(code, opaque) };
        self.local_reply(caller, |out| reply.write(out));
    }

    /// The live bucket that this user and password open. All are compared, whichever matches.
    fn bucket_of(&self, user: &[u8], password: &[u8]) -> Option<usize> {
        let mut found = None;
        for (index, bucket) in self.buckets.iter().enumerate() {
            let behavior = &bucket.config.behavior;
            let is_user = is_same(behavior.usr.as_bytes(), user);
            let is_password = is_same(behavior.pwd.reveal().as_bytes(), password);
            if is_user & is_password & bucket.config.is_live() {
                found = Some(index);
            }
        }
        found
    }
}

/// User and password of a PLAIN message: an authorisation id that is ignored, NUL, user, NUL, password.
fn plain(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = message.get(memchr::memchr(0, message)?..)?;
    if rest.len() <= SHORTEST || rest.len() >= LONGEST {
        return None;
    }
    let rest = rest.strip_prefix(b"\0")?;
    let (user, password) = rest.split_at_checked(memchr::memchr(0, rest)?)?;
    Some((user, password.strip_prefix(b"\0")?))
}

/// Compares in a time that does not depend on where the difference is.
fn is_same(known: &[u8], given: &[u8]) -> bool {
    let difference = given
        .iter()
        .zip(known.iter().copied().chain(std::iter::repeat(0)))
        .fold(0, |sum, (given, known)| sum | (given ^ known));
    difference == 0 && known.len() == given.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_messages() {
        assert_eq!(plain(b"\0user\0secret"), Some((&b"user"[..], &b"secret"[..])));
        assert_eq!(plain(b"me\0user\0"), Some((&b"user"[..], &b""[..])));
        for bad in [&b"\0abc"[..], b"", b"abc", b"\0\0", &[0; 200]] {
            assert_eq!(plain(bad), None, "{bad:?}");
        }
        assert!(is_same(b"abc", b"abc"));
        assert!(!is_same(b"abc", b"ab") && !is_same(b"ab", b"abc") && !is_same(b"abc", b"abd"));
        assert!(is_same(b"", b"") && !is_same(b"", b"\0"));
    }
}
