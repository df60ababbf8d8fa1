//! The replies to the quiet packets of a batch, in the order of the packets.
//!
//! A server answers in order, so that the replies of one connection are passed on as they come. Those of several, and
//! those that moxi gives itself, are kept until all are there.

use crate::buffer::Output;
use crate::proxy::downstream::ConnId;

/// Replies that are to be put into order.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Replies {
    /// The connection that the first packet was sent on.
    conn: Option<ConnId>,
    /// They do not come in order.
    is_mixed: bool,
    bytes: Output,
    /// The place of the packet of each, and where it begins in `bytes`.
    starts: Vec<(u32, u64)>,
}

impl Replies {
    /// A packet is sent on `conn`.
    pub(in crate::proxy) fn expect_from(&mut self, conn: ConnId) {
        self.is_mixed |= *self.conn.get_or_insert(conn) != conn;
    }

    /// From now on they do not come in order.
    pub(in crate::proxy) fn mix(&mut self) {
        self.is_mixed = true;
    }

    /// Whether they are kept, to be put into order.
    pub(in crate::proxy) fn is_mixed(&self) -> bool {
        self.is_mixed
    }

    /// Where the reply to the packet at `place` is written; `None`: it may be passed on.
    pub(in crate::proxy) fn sink(&mut self, place: u32) -> Option<&mut Output> {
        if !self.is_mixed {
            return None;
        }
        self.starts.push((place, self.bytes.end()));
        Some(&mut self.bytes)
    }

    /// Passes on what was kept.
    pub(in crate::proxy) fn move_to(&mut self, out: &mut Output) {
        if self.starts.is_sorted_by_key(|(place, _)| place) {
            return out.append(&mut self.bytes);
        }
        let ends = self.starts.iter().skip(1).map(|(_, start)| *start).chain([self.bytes.end()]);
        let mut parts: Vec<_> =
            self.starts.iter().zip(ends).map(|((place, start), end)| (*place, *start..end)).collect();
        parts.sort_by_key(|(place, _)| *place);
        for (_, part) in parts {
            out.copy_from(&self.bytes, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(replies: &mut Replies, place: u32, text: &str) -> bool {
        replies.sink(place).map(|sink| sink.tail().extend_from_slice(text.as_bytes())).is_some()
    }

    fn moved(replies: &mut Replies) -> String {
        let mut out = Output::default();
        replies.move_to(&mut out);
        String::from_utf8(out.contiguous(u64::MAX).unwrap_or_default().to_vec()).expect("text")
    }

    #[test]
    fn one_connection_answers_in_order() {
        let mut replies = Replies::default();
        replies.expect_from(ConnId::NONE);
        replies.expect_from(ConnId::NONE);
        assert!(!put(&mut replies, 0, "a"));
        assert_eq!(moved(&mut replies), "");
    }

    #[test]
    fn several_are_put_into_order() {
        for (order, wanted) in [([0, 1, 2, 3], "0123"), ([3, 1, 0, 2], "0123"), ([2, 1, 2, 0], "0122")] {
            let mut replies = Replies::default();
            replies.expect_from(ConnId::NONE);
            replies.expect_from(ConnId::from_bits(1));
            for place in order {
                assert!(put(&mut replies, place, &place.to_string()));
            }
            assert_eq!(moved(&mut replies), wanted);
        }
        let mut own = Replies::default();
        assert!(!put(&mut own, 0, "x"));
        own.mix();
        assert!(put(&mut own, 2, "b") && put(&mut own, 1, "a"));
        assert_eq!(moved(&mut own), "ab");
    }
}
