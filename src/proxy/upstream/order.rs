//! Requests of a client, oldest first.

use std::collections::VecDeque;

use crate::proxy::request::RequestId;
use crate::sums::sum;

/// Some of a client's requests, oldest first. The oldest one is by itself, because most clients wait for an answer before
/// they ask again.
#[derive(Debug)]
pub(in crate::proxy) struct Order {
    /// [`RequestId::NONE`]: there is none, nor any more.
    first: RequestId,
    more: VecDeque<RequestId>,
}

impl Default for Order {
    fn default() -> Order {
        Order { first: RequestId::NONE, more: VecDeque::new() }
    }
}

impl Order {
    /// Whether there is none.
    #[inline]
    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.first == RequestId::NONE
    }

    /// How many there are.
    pub(in crate::proxy) fn len(&self) -> usize {
        sum([usize::from(!self.is_empty()), self.more.len()])
    }

    /// Whether there is none but the oldest one.
    #[inline]
    pub(in crate::proxy) fn has_one(&self) -> bool {
        self.more.is_empty()
    }

    /// The oldest one.
    #[inline]
    pub(in crate::proxy) fn front(&self) -> Option<RequestId> {
        (!self.is_empty()).then_some(self.first)
    }

    /// Whether this one is the oldest.
    #[inline]
    pub(in crate::proxy) fn is_front(&self, request: RequestId) -> bool {
        self.first == request
    }

    /// All of them.
    pub(in crate::proxy) fn iter(&self) -> impl Iterator<Item = RequestId> {
        self.front().into_iter().chain(self.more.iter().copied())
    }

    /// Adds the newest one.
    #[inline]
    pub(in crate::proxy) fn push(&mut self, request: RequestId) {
        match self.is_empty() {
            true => self.first = request,
            false => self.more.push_back(request),
        }
    }

    /// Takes the oldest one away.
    #[inline]
    pub(in crate::proxy) fn pop(&mut self) {
        self.first = self.more.pop_front().unwrap_or(RequestId::NONE);
    }

    /// Takes away those that are not wanted any more.
    pub(in crate::proxy) fn retain(&mut self, is_wanted: impl Fn(RequestId) -> bool) {
        self.more.retain(|request| is_wanted(*request));
        if !is_wanted(self.first) {
            self.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_first() {
        let [a, b, c] = [1, 2, 3].map(RequestId::from_bits);
        let mut order = Order::default();
        assert_eq!((order.is_empty(), order.len(), order.front(), order.is_front(a)), (true, 0, None, false));
        [a, b, c].into_iter().for_each(|request| order.push(request));
        assert_eq!((order.is_empty(), order.len(), order.front(), order.is_front(a)), (false, 3, Some(a), true));
        assert_eq!(order.iter().collect::<Vec<_>>(), [a, b, c]);
        order.retain(|request| request != a && request != c);
        assert_eq!(order.iter().collect::<Vec<_>>(), [b]);
        order.push(a);
        order.pop();
        assert_eq!(order.iter().collect::<Vec<_>>(), [a]);
        order.pop();
        order.pop();
        order.retain(|_| false);
        assert!(order.is_empty());
        order.push(c);
        assert_eq!(order.front(), Some(c));
    }
}
