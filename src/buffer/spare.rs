//! Things that were used and will be used again.

/// A stack of spare things. It keeps no more of them for long than were in use together lately.
#[derive(Debug)]
pub struct Spare<T> {
    items: Vec<T>,
    most: usize,
    /// The fewest there were since the last trimming: so many were not needed.
    fewest: usize,
}

impl<T> Spare<T> {
    /// Keeps `most` things at most.
    pub fn new(most: usize) -> Spare<T> {
        Spare { items: Vec::new(), most, fewest: 0 }
    }

    /// The thing that was given back last.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        let item = self.items.pop();
        self.fewest = self.fewest.min(self.items.len());
        item
    }

    /// Takes a thing back, to be used again; one too many is dropped.
    #[inline]
    pub fn give(&mut self, item: T) {
        if self.items.len() < self.most {
            self.items.push(item);
        }
    }

    /// Drops what was not needed since this was last called.
    pub fn trim(&mut self) {
        self.items.truncate(self.items.len().saturating_sub(self.fewest));
        self.fewest = self.items.len();
        if self.items.is_empty() {
            self.items = Vec::new();
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_goes() {
        let mut spare = Spare::new(5);
        assert_eq!(spare.take(), None);
        (0..7).for_each(|number| spare.give(number));
        assert_eq!(spare.items.len(), 5);
        spare.trim();
        assert_eq!(spare.items.len(), 5, "just given");
        for _ in 0..3 {
            let two = [spare.take(), spare.take()];
            two.into_iter().flatten().for_each(|number| spare.give(number));
        }
        spare.trim();
        assert_eq!(spare.items.len(), 2);
        spare.trim();
        assert!(spare.is_empty());
    }
}
