//! Expiry: what a client's number means to memcached, and how the same is said in the other protocol.
//!
//! memcached keeps the number of an ASCII command in 32 bits with a sign: what is larger loses its upper bits, so that
//! 2^31 and 2^32 - 1 are negative, which is over at once, 2^32 is 0, which is never, and 99999999999 is a day of
//! 2008. (Of what is too small it makes a positive number, too; here every negative number is over, 02 §8.) The number
//! of a packet has 32 bits without a sign: there 2^31 is a day of 2038. A delay of `flush_all` is read in the same way.

/// An absolute time that is past for every server, however young it is: the second after the 30 days that would count
/// from now (02 §8), a day of 1970. memcached itself puts it in the place of negative numbers.
pub const EXPIRED: u32 = 60 * 60 * 24 * 30 + 1;

/// The last number of an ASCII command that is not negative.
const LAST: u32 = i32::MAX as u32;

/// What memcached makes of the number in an ASCII command.
pub fn read(exptime: i64) -> i32 {
    // Its upper bits are dropped, as in C.
    exptime.max(i32::MIN.into()) as i32
}

/// The expiry of an ASCII command, for a packet.
pub fn to_packet(exptime: i64) -> u32 {
    u32::try_from(read(exptime)).unwrap_or(EXPIRED)
}

/// The expiry of a packet, for an ASCII command. What this cannot say is many years away: never.
pub fn to_line(exptime: u32) -> u32 {
    if exptime > LAST { 0 } else { exptime }
}

/// The delay of an ASCII `flush_all`, for a packet: a negative one is none.
pub fn delay_to_packet(delay: i64) -> u32 {
    u32::try_from(read(delay)).unwrap_or(0)
}

/// The delay in a packet, for an ASCII `flush_all`. What this cannot say is many years away: the last that it can.
pub fn delay_to_line(delay: u32) -> u32 {
    delay.min(LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: u32 = 2_592_000;

    /// What the command says; what memcached reads; expiry and delay in a packet.
    #[test]
    fn numbers_of_ascii_commands() {
        let table: [(i64, i32, u32, u32); 17] = [
            (0, 0, 0, 0),
            (1, 1, 1, 1),
            (2_592_000, 2_592_000, MONTH, MONTH),
            (2_592_001, 2_592_001, MONTH + 1, MONTH + 1),
            ((1 << 31) - 1, i32::MAX, LAST, LAST),
            (1 << 31, i32::MIN, MONTH + 1, 0),
            ((1 << 32) - 1, -1, MONTH + 1, 0),
            (1 << 32, 0, 0, 0),
            ((1 << 32) + 1, 1, 1, 1),
            (99_999_999_999, 1_215_752_191, 1_215_752_191, 1_215_752_191),
            (i64::MAX, -1, MONTH + 1, 0),
            (-1, -1, MONTH + 1, 0),
            (-20, -20, MONTH + 1, 0),
            (-(1 << 31), i32::MIN, MONTH + 1, 0),
            (-(1 << 31) - 1, i32::MIN, MONTH + 1, 0),
            (-(1 << 32), i32::MIN, MONTH + 1, 0),
            (i64::MIN, i32::MIN, MONTH + 1, 0),
        ];
        for (said, meant, packet, delay) in table {
            assert_eq!((read(said), to_packet(said), delay_to_packet(said)), (meant, packet, delay), "{said}");
        }
    }

    /// What the packet says; expiry and delay in a command.
    #[test]
    fn numbers_of_packets() {
        let table: [(u32, u32, u32); 7] = [
            (0, 0, 0),
            (1, 1, 1),
            (MONTH, MONTH, MONTH),
            (MONTH + 1, MONTH + 1, MONTH + 1),
            (LAST, LAST, LAST),
            (LAST + 1, 0, LAST),
            (u32::MAX, 0, LAST),
        ];
        for (said, line, delay) in table {
            assert_eq!((to_line(said), delay_to_line(said)), (line, delay), "{said}");
        }
    }
}
