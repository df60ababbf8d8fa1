//! What a client must not do: its connection is closed for it.

/// What is wrong with what a client has sent. Written to the log, for binary packets in the C program's words
/// (06 §11.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// It begins with this byte.
    Magic(u8),
    /// Its body has this many bytes, more than [`BODY_MAX`](super::packet::BODY_MAX).
    TooBig(u32),
    /// Key and extras are longer than the body.
    Overfull {
        /// Bytes of key and extras.
        content: u32,
        /// Bytes of the body.
        body: u32,
    },
    /// Its parts are not those of this opcode.
    Shape(u8),
    /// An ASCII line is one of HTTP.
    Http,
}

impl Breach {
    /// The line for the log; `descriptor` is the connection's.
    pub fn line(self, descriptor: i32) -> String {
        match self {
            Breach::Magic(byte) => format!("Invalid magic:  {byte:x}"),
            Breach::TooBig(bytes) => format!("Packet too big: 0x{bytes:x}"),
            Breach::Overfull { content, body } => {
                format!("Content of packet bigger than encoded body: 0x{content:x} > 0x{body:x}")
            }
            Breach::Shape(opcode) => format!("Protocol error (opcode {opcode:02x}), close connection {descriptor}"),
            Breach::Http => format!("{descriptor}: HTTP instead of a command, close connection"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_the_c_programs_words() {
        for (breach, line) in [
            (Breach::Magic(b'g'), "Invalid magic:  67"),
            (Breach::TooBig(22_020_097), "Packet too big: 0x1500001"),
            (Breach::Overfull { content: 11, body: 10 }, "Content of packet bigger than encoded body: 0xb > 0xa"),
            (Breach::Shape(0x0a), "Protocol error (opcode 0a), close connection 7"),
            (Breach::Http, "7: HTTP instead of a command, close connection"),
        ] {
            assert_eq!(breach.line(7), line);
        }
    }
}
