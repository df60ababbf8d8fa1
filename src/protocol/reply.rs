//! What a server says, in either protocol, before anybody asks in which words its client wants it.

use crate::buffer::Value;

/// One piece of a server's answer. [`ascii::reply`](super::ascii::reply) and [`binary::said`](super::binary::said) read
/// it; how a client is told is known to [`ascii::answer`](super::ascii::answer) for classic commands, to
/// [`Asked`](super::ascii::meta::asked::Asked) for meta commands, and to [`translate::answer`](super::translate::answer())
/// for packets. What goes to a client that speaks as the server does need not be taken apart: `raw`, and whole lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply<'a> {
    /// A value.
    Value {
        /// The key.
        key: &'a [u8],
        /// The client's flags.
        flags: u32,
        /// The CAS id, if the server tells it.
        cas: Option<u64>,
        /// The value.
        data: Value<'a>,
        /// The whole block as an ASCII server has sent it: line, value and line end.
        raw: Option<Value<'a>>,
    },
    /// There is no value, or no other one: `END`.
    End,
    /// A `STAT`, `ITEM` or `PREFIX` line.
    Stat {
        /// The line without its end.
        line: &'a [u8],
    },
    /// The value that a meta command gives (`VA`, memcached's `protocol.txt`).
    Meta {
        /// The flags of the line, each with its argument.
        flags: &'a [u8],
        /// The value.
        data: Value<'a>,
    },
    /// Any other line; never empty.
    Line {
        /// The line without its end.
        line: &'a [u8],
    },
    /// The number that a binary server has computed.
    Number {
        /// The number.
        number: u64,
        /// The CAS id that it has now.
        cas: u64,
    },
    /// What else a binary server says to what asks for no value.
    Status {
        /// What has become of it.
        code: u16,
        /// The CAS id of the item, if it is done.
        cas: u64,
        /// What is said with it.
        text: &'a [u8],
    },
    /// What a binary server says to a get, instead of a value.
    NoValue {
        /// Why.
        code: u16,
        /// The client is told if that passes, and takes it for a miss otherwise.
        tells: bool,
    },
}
