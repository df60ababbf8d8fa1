//! Numbers in text, parsed and printed without allocation.
//!
//! Parsing follows 02 §7: leading white space and a sign are accepted; the number must be followed by white
//! space or the end. No hexadecimal, no decimals. Out of range is an error, never a truncation (04 §3).

/// An unsigned number of at most 64 bits; `None` if the text is not one.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let (negative, magnitude) = signed_magnitude(text)?;
    (!negative || magnitude == 0).then_some(magnitude)
}

/// An unsigned number of at most 32 bits; `None` if the text is not one.
pub fn parse_u32(text: &[u8]) -> Option<u32> {
    parse_u64(text)?.try_into().ok()
}

/// A signed number of at most 64 bits; `None` if the text is not one.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, magnitude) = signed_magnitude(text)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() }
}

/// Appends `number` in decimal.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, number: u64) {
    match number {
        // Most flags and expiry times are 0.
        0..=9 => out.push(b'0' | number as u8),
        _ => push_digits(out, number),
    }
}

fn push_digits(out: &mut Vec<u8>, mut number: u64) {
    // 2^64 - 1 has 20 digits.
    let mut digits = [0u8; 20];
    let mut first = 0;
    for (at, slot) in digits.iter_mut().enumerate().rev() {
        // The remainder is a single digit, so the cast loses nothing.
        *slot = b'0' | (number % 10) as u8;
        number /= 10;
        first = at;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// How many digits `number` has.
pub fn digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0).saturating_add(1) as usize
}

/// Appends `number` in decimal, with a minus sign if it is negative.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_u64(out, number.unsigned_abs());
}

/// Sign and magnitude of the number that `text` begins with.
fn signed_magnitude(text: &[u8]) -> Option<(bool, u64)> {
    let start = text.iter().position(|byte| !is_space(*byte))?;
    let (negative, digits) = match text.get(start..)? {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let mut magnitude: u64 = 0;
    for &byte in digits {
        match byte {
            b'0'..=b'9' => magnitude = magnitude.checked_mul(10)?.checked_add(u64::from(byte & 0x0f))?,
            _ if is_space(byte) => break,
            _ => return None,
        }
    }
    Some((negative, magnitude))
}

/// What C's `isspace` accepts, which unlike [`u8::is_ascii_whitespace`] includes the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_signs_and_surrounding_white_space() {
        assert_eq!(parse_u64(b"0"), Some(0));
        assert_eq!(parse_u64(b" \t42"), Some(42));
        assert_eq!(parse_u64(b"+7"), Some(7));
        assert_eq!(parse_u64(b"7 rest"), Some(7));
        assert_eq!(parse_u64(b"7\r"), Some(7));
        assert_eq!(parse_i64(b"-7"), Some(-7));
        assert_eq!(parse_u64(b"-0"), Some(0));
    }

    #[test]
    fn refuses_what_is_not_a_number() {
        for text in [&b""[..], b" ", b"-", b"+", b"x", b"1x", b"0x10", b"1.5", b"--1", b"- 1", b"1,2", b"1\0"] {
            assert_eq!(parse_u64(text), None, "{text:?}");
            assert_eq!(parse_i64(text), None, "{text:?}");
        }
        assert_eq!(parse_u64(b"-1"), None);
        assert_eq!(parse_u32(b"-1"), None);
    }

    #[test]
    fn refuses_what_is_out_of_range_instead_of_truncating_it() {
        assert_eq!(parse_u32(b"4294967295"), Some(u32::MAX));
        assert_eq!(parse_u32(b"4294967296"), None);
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_i64(b"9223372036854775808"), None);
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"-9223372036854775809"), None);
        assert_eq!(parse_u64(&[b'9'; 400]), None);
    }

    proptest! {
        #[test]
        fn prints_what_the_standard_library_prints(unsigned: u64, signed: i64) {
            let mut out = Vec::new();
            push_u64(&mut out, unsigned);
            out.push(b' ');
            push_i64(&mut out, signed);
            prop_assert_eq!(out, format!("{unsigned} {signed}").into_bytes());
        }

        #[test]
        fn reads_back_what_it_prints(unsigned: u64, signed: i64) {
            let mut out = Vec::new();
            push_u64(&mut out, unsigned);
            prop_assert_eq!(parse_u64(&out), Some(unsigned));
            out.clear();
            push_i64(&mut out, signed);
            prop_assert_eq!(parse_i64(&out), Some(signed));
        }

        #[test]
        fn survives_any_text(text: Vec<u8>) {
            let _ = (parse_u32(&text), parse_u64(&text), parse_i64(&text));
        }
    }
}
