//! The keys that are asked for, and their values, so that every answer can be checked.

/// The length of every key in bytes.
pub const KEY_LENGTH: usize = 12;
const DIGITS: usize = 8;

/// A set of keys such as `key_00000000`, `key_00000001`, …, each with a value of its own, all of one size.
#[derive(Debug)]
pub struct Keys {
    prefix: [u8; 4],
    count: u32,
    value_size: usize,
    names: Vec<u8>,
    /// Key number `n` has the `value_size` bytes from `n` on. They look random, so no two are alike.
    noise: Vec<u8>,
}

impl Keys {
    /// `count` keys that begin with `word` and have values of `value_size` bytes.
    pub fn new(word: &str, count: u32, value_size: usize) -> Keys {
        let prefix: [u8; 4] = format!("{word:_<4.4}").into_bytes().try_into().unwrap_or(*b"key_");
        let names =
            (0..count).flat_map(|number| [&prefix[..], format!("{number:0DIGITS$}").as_bytes()].concat()).collect();
        let mut random = Random::new(value_size as u64 + 1);
        let noise = (0..count as usize + value_size).map(|_| b'0' + random.below(64) as u8).collect();
        Keys { prefix, count, value_size, names, noise }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The size of every value in bytes.
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// The name of key `number`.
    pub fn name(&self, number: u32) -> &[u8] {
        &self.names[number as usize * KEY_LENGTH..][..KEY_LENGTH]
    }

    /// The value of key `number`.
    pub fn value(&self, number: u32) -> &[u8] {
        &self.noise[number as usize..][..self.value_size]
    }

    /// The number of the key that `name` is.
    pub fn number(&self, name: &[u8]) -> Option<u32> {
        let digits = name.strip_prefix(&self.prefix).filter(|digits| digits.len() == DIGITS)?;
        let number: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (number < self.count).then_some(number)
    }
}

/// Random numbers that are the same in every run.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u64::from((self.0 >> 32) as u32) * u64::from(limit)) >> 32) as u32
    }
}
