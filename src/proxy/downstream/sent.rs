//! When what was handed to a connection's socket: one mark for each write, not for each request, so that a batch costs
//! as much as a single one.

use std::collections::VecDeque;

use crate::proxy::timers::Micros;

/// How many marks are kept. A connection that has more writes unanswered says of the last ones that they were made
/// sooner than they were.
const MARKS: usize = 256;

/// The writes of a connection that are not answered yet, oldest first.
#[derive(Debug, Default)]
pub struct Writes {
    /// Up to where the output was sent, and when.
    marks: VecDeque<(u64, Micros)>,
}

impl Writes {
    /// The output has been sent up to `sent`.
    pub fn note(&mut self, sent: u64, now: Micros) {
        let is_full = self.marks.len() == MARKS;
        match self.marks.back_mut() {
            Some((end, at)) if *at == now || is_full => *end = sent,
            _ => self.marks.push_back((sent, now)),
        }
    }

    /// When the last byte before `end` in the output was sent; `None`: it was not.
    #[inline]
    pub fn at(&self, end: u64) -> Option<Micros> {
        match self.marks.front() {
            Some((sent, at)) if *sent >= end => Some(*at),
            _ => {
                let place = self.marks.partition_point(|(sent, _)| *sent < end);
                self.marks.get(place).map(|(_, at)| *at)
            }
        }
    }

    /// All before `answered_to` is answered.
    #[inline]
    pub fn forget(&mut self, answered_to: u64) {
        while self.marks.front().is_some_and(|(sent, _)| *sent <= answered_to) {
            self.marks.pop_front();
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
        assert_eq!([10, 20, 21, 30, 31].map(|end| writes.at(end)), [Some(5), Some(5), Some(7), Some(7), None]);
        writes.forget(20);
        assert_eq!(writes.at(30), Some(7));
        writes.forget(29);
        assert_eq!(writes.at(30), Some(7));
        writes.forget(30);
        assert!(writes.marks.is_empty());
    }

    #[test]
    fn marks_are_limited() {
        let mut writes = Writes::default();
        (1..=1000).for_each(|number| writes.note(number, number));
        assert_eq!((writes.marks.len(), writes.at(255), writes.at(1000)), (MARKS, Some(255), Some(256)));
    }
}
