//! When what was handed to a connection's socket: one mark for each write, not for each request, so that a batch costs
//! as much as a single one.

use std::collections::VecDeque;

use crate::proxy::timers::Micros;

/// How many marks are kept behind the oldest one. A connection that has more writes unanswered says of the last ones that they were made
/// sooner than they were.
const MARKS_BEHIND: usize = 255;

/// A write: up to where the output was sent then, and when that was.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// 0: there was no write.
    end: u64,
    at: Micros,
}

/// The writes of a connection that are not answered yet, oldest first.
#[derive(Debug, Default)]
pub struct Writes {
    /// The oldest one. It is by itself because nearly all that is asked for is in it.
    first: Mark,
    more: VecDeque<Mark>,
}

impl Writes {
    /// The output has been sent up to `end`.
    pub fn note(&mut self, end: u64, now: Micros) {
        let mark = Mark { end, at: now };
        let is_full = self.more.len() == MARKS_BEHIND;
        let last = self.more.back_mut().unwrap_or(&mut self.first);
        if last.end == 0 {
            *last = mark;
        } else if last.at == now || is_full {
            last.end = end;
        } else {
            self.more.push_back(mark);
        }
    }

    /// When the last byte before `end` in the output was sent; `None`: it was not.
    #[inline]
    pub fn at(&self, end: u64) -> Option<Micros> {
        if end <= self.first.end { Some(self.first.at) } else { self.later(end) }
    }

    #[cold]
    fn later(&self, end: u64) -> Option<Micros> {
        let place = self.more.partition_point(|mark| mark.end < end);
        self.more.get(place).map(|mark| mark.at)
    }

    /// All before `answered_to` is answered.
    #[inline]
    pub fn forget(&mut self, answered_to: u64) {
        while (1..=answered_to).contains(&self.first.end) {
            self.first = self.more.pop_front().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_has_its_time() {
        let mut writes = Writes::default();
        assert_eq!(writes.at(1), None);
        writes.note(10, 5);
        writes.note(20, 5);
        writes.note(30, 7);
        writes.note(40, 8);
        let at = |writes: &Writes| [10, 20, 21, 30, 31, 40, 41].map(|end| writes.at(end));
        let (five, seven, eight) = (Some(5), Some(7), Some(8));
        assert_eq!(at(&writes), [five, five, seven, seven, eight, eight, None]);
        writes.forget(20);
        assert_eq!(writes.at(30), seven);
        writes.forget(29);
        assert_eq!(writes.at(30), seven);
        writes.forget(30);
        assert_eq!(writes.at(40), eight);
        writes.forget(40);
        writes.note(50, 9);
        assert_eq!((writes.first.end, writes.more.len()), (50, 0));
    }

    #[test]
    fn marks_are_limited() {
        let mut writes = Writes::default();
        (1..=1000).for_each(|number| writes.note(number, number));
        assert_eq!((writes.more.len(), writes.at(255), writes.at(1000)), (MARKS_BEHIND, Some(255), Some(256)));
    }
}
