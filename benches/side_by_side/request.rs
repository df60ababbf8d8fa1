//! What a client of the load generator asks for, on the wire.

use std::time::Instant;

use super::keys::{KEY_LENGTH, Keys};

/// How clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// memcached's text protocol.
    Ascii,
    /// memcached's binary protocol.
    Binary,
    /// memcached's meta commands: a get asks for the value, and has the number of its key as opaque.
    Meta,
    /// ASCII requests, each answered with its own bytes.
    Echo,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The values of `count` keys in a row.
    Get,
    /// To store the value of one key.
    Set,
}

/// A request that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What is asked.
    pub kind: Kind,
    /// The number of its first key.
    pub first: u32,
    /// How many keys it has.
    pub count: u32,
    /// When it was written.
    pub since: Instant,
    /// A bit for each of its keys whose value has come, so there are at most 128.
    pub seen: u128,
}

const MAGIC: u8 = 0x80;
pub(super) const HEADER: usize = 24;
pub(super) const GET: u8 = 0x00;
pub(super) const SET: u8 = 0x01;
pub(super) const GETQ: u8 = 0x09;
pub(super) const NOOP: u8 = 0x0a;

impl Request {
    /// Appends the bytes of this request.
    pub fn write(&self, protocol: Protocol, keys: &Keys, out: &mut Vec<u8>) {
        match (protocol, self.kind) {
            (Protocol::Ascii | Protocol::Echo, Kind::Get) => {
                out.extend_from_slice(b"get");
                for number in self.numbers(keys) {
                    out.push(b' ');
                    out.extend_from_slice(keys.name(number));
                }
                out.extend_from_slice(b"\r\n");
            }
            (Protocol::Meta, Kind::Get) => {
                for number in self.numbers(keys) {
                    out.extend_from_slice(b"mg ");
                    out.extend_from_slice(keys.name(number));
                    out.extend_from_slice(format!(" v O{number}\r\n").as_bytes());
                }
            }
            (Protocol::Ascii | Protocol::Meta | Protocol::Echo, Kind::Set) => {
                out.extend_from_slice(b"set ");
                out.extend_from_slice(keys.name(self.first));
                out.extend_from_slice(format!(" 0 0 {}\r\n", keys.value_size()).as_bytes());
                out.extend_from_slice(keys.value(self.first));
                out.extend_from_slice(b"\r\n");
            }
            (Protocol::Binary, Kind::Get) => {
                let opcode = if self.count == 1 { GET } else { GETQ };
                for number in self.numbers(keys) {
                    header(out, opcode, KEY_LENGTH, 0, KEY_LENGTH, number);
                    out.extend_from_slice(keys.name(number));
                }
                if self.count > 1 {
                    header(out, NOOP, 0, 0, 0, 0);
                }
            }
            (Protocol::Binary, Kind::Set) => {
                header(out, SET, KEY_LENGTH, 8, KEY_LENGTH + 8 + keys.value_size(), self.first);
                out.extend_from_slice(&[0; 8]);
                out.extend_from_slice(keys.name(self.first));
                out.extend_from_slice(keys.value(self.first));
            }
        }
    }

    fn numbers(&self, keys: &Keys) -> impl Iterator<Item = u32> + use<> {
        let (first, count) = (self.first, keys.count());
        (0..self.count).map(move |step| (first + step) % count)
    }

    /// Notes that the value of key `number` has come. False: it was not asked for, or came before.
    pub fn see(&mut self, number: u32, keys: &Keys) -> bool {
        let step = (number + keys.count() - self.first) % keys.count();
        let is_wanted = self.kind == Kind::Get && step < self.count && self.seen >> step & 1 == 0;
        if is_wanted {
            self.seen |= 1 << step;
        }
        is_wanted
    }

    /// Whether all of its values have come.
    pub fn is_complete(&self) -> bool {
        self.seen.count_ones() == self.count
    }
}

fn header(out: &mut Vec<u8>, opcode: u8, key: usize, extras: u8, body: usize, opaque: u32) {
    out.extend_from_slice(&[MAGIC, opcode, 0, key as u8, extras, 0, 0, 0]);
    out.extend_from_slice(&(body as u32).to_be_bytes());
    out.extend_from_slice(&opaque.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
}
