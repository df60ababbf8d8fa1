//! A key that its owner replaces while others read it, without a lock.
//!
//! The owner makes the version odd, writes, and makes it even again. Who reads takes what was read only if the version
//! was even and is still the same.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

/// Longest key in bytes; what is longer is cut (memcached's protocol document).
pub const KEY_MAX: usize = 250;

const WORD: usize = size_of::<u64>();
const WORDS: usize = KEY_MAX.div_ceil(WORD);

/// How often a reader tries again before it does without this key: its owner may have been interrupted.
const TRIES: u32 = 100;

/// A key, and since which reset it is there.
#[derive(Debug)]
pub struct Label {
    version: AtomicU64,
    /// Which reset was the last one before the key came; 0: there is no key yet.
    epoch: AtomicU64,
    length: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Default for Label {
    fn default() -> Label {
        let words = std::array::from_fn(|_| AtomicU64::new(0));
        Label { version: AtomicU64::new(0), epoch: AtomicU64::new(0), length: AtomicU64::new(0), words }
    }
}

impl Label {
    /// Puts `key` here. `also` writes what belongs to it. The owner alone calls this.
    pub fn replace(&self, key: &[u8], epoch: u64, also: impl FnOnce()) {
        let version = self.version.load(Relaxed);
        self.version.store(version.wrapping_add(1), Relaxed);
        fence(Release);
        let key = key.get(..KEY_MAX).unwrap_or(key);
        self.epoch.store(epoch, Relaxed);
        self.length.store(key.len() as u64, Relaxed);
        for (word, bytes) in self.words.iter().zip(key.chunks(WORD)) {
            let mut padded = [0; WORD];
            if let Some(beginning) = padded.get_mut(..bytes.len()) {
                beginning.copy_from_slice(bytes);
            }
            word.store(u64::from_ne_bytes(padded), Relaxed);
        }
        also();
        self.version.store(version.wrapping_add(2), Release);
    }

    /// The key that was put here since reset `epoch`, with what `also` has read that belongs to it.
    pub fn read<R>(&self, epoch: u64, also: impl Fn() -> R) -> Option<(Vec<u8>, R)> {
        for _ in 0..TRIES {
            let before = self.version.load(Acquire);
            if before.is_multiple_of(2) {
                let is_current = self.epoch.load(Relaxed) == epoch;
                let key = self.bytes();
                let rest = also();
                fence(Acquire);
                if self.version.load(Relaxed) == before {
                    return is_current.then_some((key, rest));
                }
            }
            std::hint::spin_loop();
        }
        None
    }

    fn bytes(&self) -> Vec<u8> {
        let length = usize::try_from(self.length.load(Relaxed)).unwrap_or(KEY_MAX).min(KEY_MAX);
        let words = self.words.iter().take(length.div_ceil(WORD));
        let mut key: Vec<u8> = words.flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        key.truncate(length);
        key
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn what_was_put_is_read() {
        let label = Label::default();
        assert_eq!(label.read(1, || ()), None);
        for length in [1, 7, 8, 9, 249, 250, 251, 300, 3] {
            let key: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            label.replace(&key, 1, || ());
            let want = key.get(..KEY_MAX).unwrap_or(&key);
            assert_eq!(label.read(1, || 5), Some((want.to_vec(), 5)));
            assert_eq!(label.read(2, || 5), None, "from before the reset");
        }
    }

    /// A reader never sees parts of two keys, nor what belongs to another.
    #[test]
    fn nothing_is_torn() {
        let (label, number, is_over) = (Label::default(), AtomicU64::new(0), AtomicBool::new(false));
        let set = |value: u64| label.replace(&[value as u8; KEY_MAX], 1, || number.store(value, Relaxed));
        set(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..20_000).for_each(|value| set(value % 256));
                is_over.store(true, Relaxed);
            });
            while !is_over.load(Relaxed) {
                let Some((key, value)) = label.read(1, || number.load(Relaxed)) else { continue };
                assert!(key.iter().all(|byte| u64::from(*byte) == value), "{value}: {key:?}");
            }
        });
    }
}
