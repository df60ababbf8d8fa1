//! A request, in three protocols.

use std::io::Write as _;

use moxi_test_support::packet::{Packet, op};

use super::plan::KEYS;

/// The language of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    Classic,
    Meta,
    Binary,
}

/// What is asked for; keys by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Get(usize),
    /// All keys of the client.
    All,
    /// The key, and the version of its value.
    Set(usize, u64),
    /// The same: that it is gone is a version, too.
    Delete(usize, u64),
}

impl Ask {
    /// The keys that it is about.
    pub fn keys(self) -> std::ops::Range<usize> {
        match self {
            Ask::All => 0..KEYS,
            Ask::Get(key) | Ask::Set(key, _) | Ask::Delete(key, _) => key..key + 1,
        }
    }

    /// Whether it asks for values.
    pub fn is_read(self) -> bool {
        matches!(self, Ask::Get(_) | Ask::All)
    }

    /// How many answers of a binary server have a number of their own: it is counted up by so many.
    pub fn numbers(self) -> u32 {
        self.keys().len() as u32 + 1
    }

    /// Appends the request of client number `client`. Its first packet, or meta command, has the number `number`.
    pub fn write(self, words: Words, client: usize, number: u32, out: &mut Vec<u8>) {
        match words {
            Words::Classic => self.classic(client, out),
            Words::Meta => self.meta(client, number, out),
            Words::Binary => self.binary(client, number, out),
        }
    }

    fn classic(self, client: usize, out: &mut Vec<u8>) {
        let name = |key| name(client, key);
        let text = match self {
            Ask::Get(key) => format!("get {}\r\n", name(key)),
            Ask::All => format!("get {}\r\n", self.keys().map(name).collect::<Vec<_>>().join(" ")),
            Ask::Set(key, version) => {
                let value = value(client, key, version);
                format!("set {} 0 0 {}\r\n{value}\r\n", name(key), value.len())
            }
            Ask::Delete(key, _) => format!("delete {}\r\n", name(key)),
        };
        out.extend_from_slice(text.as_bytes());
    }

    fn meta(self, client: usize, number: u32, out: &mut Vec<u8>) {
        let name = |key| name(client, key);
        let written = match self {
            Ask::Get(key) => write!(out, "mg {} k v O{number}\r\n", name(key)),
            Ask::All => {
                let lines: String =
                    self.keys().map(|key| format!("mg {} q k v O{}\r\n", name(key), number + key as u32)).collect();
                write!(out, "{lines}mn\r\n")
            }
            Ask::Set(key, version) => {
                let value = value(client, key, version);
                write!(out, "ms {} {} O{number} T0\r\n{value}\r\n", name(key), value.len())
            }
            Ask::Delete(key, _) => write!(out, "md {} O{number}\r\n", name(key)),
        };
        written.expect("memory");
    }

    fn binary(self, client: usize, number: u32, out: &mut Vec<u8>) {
        let name = |key| name(client, key);
        let packet = match self {
            Ask::Get(key) => Packet::request(op::GETK).key(name(key)),
            Ask::All => {
                for key in self.keys() {
                    let get = Packet::request(op::GETKQ).key(name(key)).opaque(number + key as u32);
                    out.extend_from_slice(&get.bytes());
                }
                out.extend_from_slice(&Packet::noop(number + KEYS as u32).bytes());
                return;
            }
            Ask::Set(key, version) => Packet::storing(op::SET, name(key), value(client, key, version)),
            Ask::Delete(key, _) => Packet::request(op::DELETE).key(name(key)),
        };
        out.extend_from_slice(&packet.opaque(number).bytes());
    }
}

/// The name of a client's key.
pub fn name(client: usize, key: usize) -> String {
    format!("c{client}k{key}")
}

/// What is stored there.
pub fn value(client: usize, key: usize, version: u64) -> String {
    // Now and then one that needs several packets.
    let length = if version.is_multiple_of(100) { 60_000 } else { 10 + version as usize % 200 };
    format!("{client}/{key}/{version}/{}", "x".repeat(length))
}

/// The version of a value, which must be one of this key's.
pub fn version(client: usize, key: usize, bytes: &[u8]) -> Result<u64, String> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let found = text.split('/').nth(2).and_then(|version| version.parse().ok()).unwrap_or(0);
    if text == value(client, key, found) {
        return Ok(found);
    }
    let shown: String = bytes.escape_ascii().take(80).map(char::from).collect();
    Err(format!("a value that was never {}'s: {shown}", name(client, key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_version() {
        for key in 0..KEYS {
            assert_eq!(version(7, key, value(7, key, 1234).as_bytes()), Ok(1234));
        }
        for bytes in ["", "7/1/1234/", "7/1/12/x", &value(7, 2, 3), &value(6, 1, 3), &(value(7, 1, 3) + "x")] {
            assert!(version(7, 1, bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
