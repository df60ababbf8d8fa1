//! Which expected reply something is that a server has sent.

use std::ops::Range;

use crate::buffer::Output;
use crate::proxy::request::RequestId;
use crate::sums::{behind, sum};

use super::{Conn, Entry, Expect};

impl Conn {
    /// The entry of the joined get at the head that a value belongs to; it is noted as answered.
    #[inline]
    pub(in crate::proxy) fn find_get(&mut self, is_it: impl Fn(&Output, &Entry, Range<u64>) -> bool) -> Option<usize> {
        let Conn { fifo, output, cursor, .. } = self;
        let count = fifo.head_len();
        let mut is_found = |index| {
            let Some(entry) = fifo.get_mut(index) else { return false };
            let Expect::Get { key_at, key_len, answered: false, .. } = entry.expect else { return false };
            let is_found = is_it(output, entry, key_at..behind(key_at, key_len.into()));
            if is_found && let Expect::Get { answered, .. } = &mut entry.expect {
                *answered = true;
            }
            is_found
        };
        // Servers answer in the order of the keys; others are looked for, too.
        let from = (*cursor).min(count);
        let index = (from..count).chain(0..from).find(|index| is_found(*index))?;
        *cursor = sum([index, 1]);
        Some(index)
    }

    /// The entry of the quiet packet at the head with this opcode and opaque; it is noted as answered.
    pub(in crate::proxy) fn find_quiet(&mut self, code: u8, opaque: u32) -> Option<usize> {
        // The server answers in order, so it is usually the next one.
        let from = self.cursor;
        let is_it = |entry: &mut Entry| match &mut entry.expect {
            Expect::Quiet { opcode, answered: answered @ false, .. } if *opcode == code && entry.opaque == opaque => {
                *answered = true;
                true
            }
            _ => false,
        };
        let group = self.fifo.iter_mut().take_while(|entry| !entry.is_last()).enumerate();
        let found = group.skip(from).find_map(|(index, entry)| is_it(entry).then_some(index));
        let index = found.or_else(|| self.fifo.iter_mut().take(from).position(is_it))?;
        self.cursor = sum([index, 1]);
        Some(index)
    }

    /// The value of this key has come for the request at the head; only its end is awaited. `false`: that was not asked for,
    /// or has come before.
    pub(in crate::proxy) fn note_value(&mut self, key: &[u8]) -> bool {
        let head = self.fifo.get_mut(0).map(|entry| &mut entry.expect);
        let Some(Expect::Value { key_at, key_len, answered: answered @ false, .. }) = head else { return false };
        let is_it = self.output.slice(*key_at..behind(*key_at, (*key_len).into())) == Some(key);
        *answered = is_it;
        is_it
    }

    /// Something of the answer at the head, which is a list, has come.
    pub(in crate::proxy) fn note_begun(&mut self) {
        let head = self.fifo.get_mut(0).map(|entry| &mut entry.expect);
        if let Some(Expect::Broadcast { begun, .. } | Expect::Dump { begun }) = head {
            *begun = true;
        }
    }

    /// The first of the entries at the head, from `index` on, that somebody waits for as far as it says.
    pub(in crate::proxy) fn next_wanted(&self, index: usize) -> Option<usize> {
        let group = self.fifo.iter().take(self.fifo.head_len());
        group.enumerate().skip(index).find(|(_, entry)| entry.request != RequestId::NONE).map(|(index, _)| index)
    }

    /// All replies at the head are there, or will not come.
    pub(in crate::proxy) fn pop_group(&mut self) {
        if let Some(end) = self.fifo.pop_group() {
            self.answered_to = end;
        }
    }

    /// The reply at the head is there, or will not come.
    pub(in crate::proxy) fn pop(&mut self) {
        if let Some(end) = self.fifo.pop() {
            self.answered_to = end;
        }
    }
}
