//! Modula: Bob Jenkins' one-at-a-time hash modulo the number of servers (05 §10.2).

/// Index of the server for `key`; `None` when there are no servers.
pub fn server(key: &[u8], servers: usize) -> Option<usize> {
    let servers = u64::try_from(servers).ok()?;
    usize::try_from(u64::from(one_at_a_time(key)).checked_rem(servers)?).ok()
}

/// The key hash. Bytes count as *signed*, as on the machines whose key placement must be kept: those
/// from 0x80 up are sign-extended.
fn one_at_a_time(key: &[u8]) -> u32 {
    let mut hash = 0u32;
    for &byte in key {
        let signed = i32::from(byte.cast_signed());
        hash = hash.wrapping_add(signed.cast_unsigned());
        hash = hash.wrapping_add(hash << 10);
        hash ^= hash >> 6;
    }
    hash = hash.wrapping_add(hash << 3);
    hash ^= hash >> 11;
    hash.wrapping_add(hash << 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Example E of 05 §10.2: key, hash, server of three.
    #[test]
    fn example_e() {
        let table: [(&[u8], u32, usize); 10] = [
            (b"foo", 596015325, 0),
            (b"bar", 2151715081, 1),
            (b"a", 3392050242, 0),
            (b"b", 14385563, 2),
            (b"hello", 3372029979, 0),
            (b"user:1234", 2238198699, 0),
            (b"key_1", 3621110121, 0),
            (b"another key", 257172530, 2),
            (b"00000000", 126525282, 0),
            (b"\xc3\xa9t\xc3\xa9", 2144029493, 2),
        ];
        for (key, hash, index) in table {
            assert_eq!(one_at_a_time(key), hash, "{key:?}");
            assert_eq!(server(key, 3), Some(index), "{key:?}");
        }
    }

    #[test]
    fn no_servers() {
        assert_eq!(server(b"foo", 0), None);
    }
}
