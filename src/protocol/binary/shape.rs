//! Which parts the packets of each opcode have (02 §9.2).
//!
//! A server closes the connection when it gets a packet of a known opcode with the wrong parts, and with it what
//! other clients have in flight there. So shapes are checked before anything is forwarded (04 §8.6).

use super::opcode::*;
use super::packet::Packet;
use crate::protocol::KEY_MAX;

/// What a server would make of a request's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As it should be.
    Good,
    /// Answer 0x04 and close, as memcached does; do not forward.
    Wrong,
    /// An opcode that memcached does not know. It may be forwarded, but has to travel alone: memcached gets out of
    /// step when such a packet has extras or a key.
    Foreign,
}

/// Judges a request.
pub fn check(packet: &Packet<'_>) -> Shape {
    let (extras, key, value) = (packet.extras.len(), packet.key.len(), packet.value.len());
    let has_key = (1..=KEY_MAX).contains(&key);
    let good = match packet.header.opcode {
        GET | GETQ | GETK | GETKQ | DELETE | DELETEQ => extras == 0 && has_key && value == 0,
        SET | SETQ | ADD | ADDQ | REPLACE | REPLACEQ => extras == 8 && has_key,
        APPEND | APPENDQ | PREPEND | PREPENDQ => extras == 0 && has_key,
        INCREMENT | INCREMENTQ | DECREMENT | DECREMENTQ => extras == 20 && has_key && value == 0,
        TOUCH | GAT | GATQ | GATK | GATKQ => extras == 4 && has_key && value == 0,
        FLUSH | FLUSHQ => matches!(extras, 0 | 4) && key == 0 && value == 0,
        QUIT | QUITQ | NOOP | VERSION | SASL_LIST_MECHS => extras == 0 && key == 0 && value == 0,
        STAT => extras == 0 && key <= KEY_MAX && value == 0,
        SASL_AUTH | SASL_STEP => extras == 0 && has_key,
        GETL => return foreign(matches!(extras, 0 | 4) && has_key && value == 0),
        UNL => return foreign(extras == 0 && has_key && value == 0),
        _ => return foreign(key <= KEY_MAX),
    };
    if good { Shape::Good } else { Shape::Wrong }
}

fn foreign(good: bool) -> Shape {
    if good { Shape::Foreign } else { Shape::Wrong }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::binary::packet::lengths;

    fn shape(opcode: u8, extras: usize, key: usize, value: usize) -> Shape {
        let zeros = [0; 300];
        check(&Packet {
            header: crate::protocol::binary::packet::Header { opcode, ..lengths(extras, key, value) },
            extras: &zeros[..extras],
            key: &zeros[..key],
            value: &zeros[..value],
            raw: &[],
        })
    }

    #[test]
    fn each_opcode_has_one_shape() {
        // Opcodes, then extras, whether there is a key, and whether there may be a value.
        let table: [(&[u8], usize, bool, bool); 8] = [
            (&[0x00, 0x09, 0x0c, 0x0d, 0x04, 0x14], 0, true, false),
            (&[0x01, 0x11, 0x02, 0x12, 0x03, 0x13], 8, true, true),
            (&[0x0e, 0x19, 0x0f, 0x1a], 0, true, true),
            (&[0x05, 0x15, 0x06, 0x16], 20, true, false),
            (&[0x1c, 0x1d, 0x1e, 0x23, 0x24], 4, true, false),
            (&[0x08, 0x18], 4, false, false),
            (&[0x07, 0x17, 0x0a, 0x0b, 0x20], 0, false, false),
            (&[0x21, 0x22], 0, true, true),
        ];
        for (opcodes, extras, key, value) in table {
            for &opcode in opcodes {
                let is_key = usize::from(key);
                let either = |good| if good { Shape::Good } else { Shape::Wrong };
                assert_eq!(shape(opcode, extras, is_key, 0), Shape::Good, "{opcode:#x}");
                assert_eq!(shape(opcode, extras + 1, is_key, 0), Shape::Wrong, "{opcode:#x}");
                assert_eq!(shape(opcode, extras, 1 - is_key, 0), Shape::Wrong, "{opcode:#x}");
                assert_eq!(shape(opcode, extras, is_key, 9), either(value), "{opcode:#x}");
                assert_eq!(shape(opcode, extras, is_key * 250, 0), Shape::Good, "{opcode:#x}");
                assert_eq!(shape(opcode, extras, 251, 0), Shape::Wrong, "{opcode:#x}");
            }
        }
        assert_eq!(shape(FLUSH, 0, 0, 0), Shape::Good);
        assert_eq!(shape(STAT, 0, 0, 0), Shape::Good);
        assert_eq!(shape(STAT, 0, 5, 0), Shape::Good);
        assert_eq!(shape(STAT, 0, 5, 1), Shape::Wrong);
    }

    #[test]
    fn what_memcached_does_not_know_is_foreign() {
        assert_eq!(shape(GETL, 4, 1, 0), Shape::Foreign);
        assert_eq!(shape(GETL, 0, 1, 0), Shape::Foreign);
        assert_eq!(shape(GETL, 3, 1, 0), Shape::Wrong);
        assert_eq!(shape(UNL, 0, 1, 0), Shape::Foreign);
        assert_eq!(shape(UNL, 0, 0, 0), Shape::Wrong);
        assert_eq!(shape(HELLO, 2, 5, 7), Shape::Foreign);
        assert_eq!(shape(0xee, 0, 251, 0), Shape::Wrong);
    }
}
