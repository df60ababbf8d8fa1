//! Opcode and status numbers (04 §8.2, 02 §9.2, memcached's `protocol_binary.txt`). What is known of each opcode is in
//! [`crate::protocol::op`].

/// Get: a value without its key.
pub const GET: u8 = 0x00;
/// Store unconditionally, or if the CAS id matches.
pub const SET: u8 = 0x01;
/// Store only if missing.
pub const ADD: u8 = 0x02;
/// Store only if present.
pub const REPLACE: u8 = 0x03;
/// Delete.
pub const DELETE: u8 = 0x04;
/// Add to a number.
pub const INCREMENT: u8 = 0x05;
/// Subtract from a number.
pub const DECREMENT: u8 = 0x06;
/// Close the connection.
pub const QUIT: u8 = 0x07;
/// Drop all items.
pub const FLUSH: u8 = 0x08;
/// [`GET`], silent on a miss.
pub const GETQ: u8 = 0x09;
/// Nothing; its reply says that everything before has been answered.
pub const NOOP: u8 = 0x0a;
/// The server's version.
pub const VERSION: u8 = 0x0b;
/// Get: a value with its key.
pub const GETK: u8 = 0x0c;
/// [`GETK`], silent on a miss.
pub const GETKQ: u8 = 0x0d;
/// Add after the present value.
pub const APPEND: u8 = 0x0e;
/// Add before the present value.
pub const PREPEND: u8 = 0x0f;
/// Statistics, one packet each.
pub const STAT: u8 = 0x10;
/// [`SET`], silent on success.
pub const SETQ: u8 = 0x11;
/// [`ADD`], silent on success.
pub const ADDQ: u8 = 0x12;
/// [`REPLACE`], silent on success.
pub const REPLACEQ: u8 = 0x13;
/// [`DELETE`], silent on success.
pub const DELETEQ: u8 = 0x14;
/// [`INCREMENT`], silent on success.
pub const INCREMENTQ: u8 = 0x15;
/// [`DECREMENT`], silent on success.
pub const DECREMENTQ: u8 = 0x16;
/// [`QUIT`] without an answer.
pub const QUITQ: u8 = 0x17;
/// [`FLUSH`], silent on success.
pub const FLUSHQ: u8 = 0x18;
/// [`APPEND`], silent on success.
pub const APPENDQ: u8 = 0x19;
/// [`PREPEND`], silent on success.
pub const PREPENDQ: u8 = 0x1a;
/// Sets the log level; memcached does not know it.
pub const VERBOSITY: u8 = 0x1b;
/// Sets an item's expiry.
pub const TOUCH: u8 = 0x1c;
/// Get and touch, without the key.
pub const GAT: u8 = 0x1d;
/// [`GAT`], silent on a miss.
pub const GATQ: u8 = 0x1e;
/// Negotiates features (Couchbase).
pub const HELLO: u8 = 0x1f;
/// Which SASL mechanisms there are.
pub const SASL_LIST_MECHS: u8 = 0x20;
/// Begins an authentication.
pub const SASL_AUTH: u8 = 0x21;
/// Goes on with an authentication.
pub const SASL_STEP: u8 = 0x22;
/// Get and touch, with the key.
pub const GATK: u8 = 0x23;
/// [`GATK`], silent on a miss.
pub const GATKQ: u8 = 0x24;
/// Chooses a bucket on a server of moxi's own time (04 §11.5).
pub const BUCKET: u8 = 0x2a;
/// Opens a TAP stream (Membase).
pub const TAP_CONNECT: u8 = 0x40;
/// Opens a DCP stream (Couchbase).
pub const DCP_OPEN: u8 = 0x50;
/// Chooses a bucket (Couchbase).
pub const SELECT_BUCKET: u8 = 0x89;
/// Asks where a key is stored (Couchbase).
pub const OBSERVE: u8 = 0x92;
/// Throws a value out of memory (Membase).
pub const EVICT: u8 = 0x93;
/// Get and lock (Membase).
pub const GETL: u8 = 0x94;
/// Unlock (Membase).
pub const UNL: u8 = 0x95;
/// Waits for persistence (Membase).
pub const SYNC: u8 = 0x96;

/// Status numbers of replies. Their texts are in [`crate::protocol::status`].
pub mod status {
    /// Done.
    pub const SUCCESS: u16 = 0x00;
    /// No such key.
    pub const KEY_NOT_FOUND: u16 = 0x01;
    /// The key exists, or has another CAS id.
    pub const KEY_EXISTS: u16 = 0x02;
    /// The value is too large.
    pub const TOO_LARGE: u16 = 0x03;
    /// The packet has the wrong shape.
    pub const INVALID: u16 = 0x04;
    /// A condition was not met.
    pub const NOT_STORED: u16 = 0x05;
    /// The value is not a number.
    pub const DELTA_BAD_VALUE: u16 = 0x06;
    /// The server is not the master of this vbucket.
    pub const NOT_MY_VBUCKET: u16 = 0x07;
    /// Not authenticated.
    pub const AUTH_ERROR: u16 = 0x20;
    /// One more step of authentication is needed.
    pub const AUTH_CONTINUE: u16 = 0x21;
    /// Unknown opcode.
    pub const UNKNOWN_COMMAND: u16 = 0x81;
    /// Out of memory.
    pub const OUT_OF_MEMORY: u16 = 0x82;
    /// Known, but not possible here.
    pub const NOT_SUPPORTED: u16 = 0x83;
    /// Something is broken.
    pub const INTERNAL: u16 = 0x84;
    /// Too busy.
    pub const BUSY: u16 = 0x85;
    /// Try again later.
    pub const TEMPORARY_FAILURE: u16 = 0x86;
}
