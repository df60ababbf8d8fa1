//! Bytes as text that a person can read in a failed test.

/// `bytes` with escapes, cut in the middle when long.
pub fn show(bytes: &[u8]) -> String {
    const HEAD: usize = 400;
    const TAIL: usize = 100;
    match (bytes.get(..HEAD), bytes.len().checked_sub(TAIL)) {
        (Some(head), Some(tail)) if tail > HEAD => {
            format!("\"{}\" …{} more… \"{}\"", head.escape_ascii(), tail - HEAD, bytes[tail..].escape_ascii())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// A panic message for bytes that differ, naming the first difference.
pub fn difference(expected: &[u8], got: &[u8]) -> String {
    let at = expected.iter().zip(got).take_while(|(a, b)| a == b).count();
    format!(
        "first difference at byte {at}\n  expected ({} bytes): {}\n  got      ({} bytes): {}",
        expected.len(),
        show(expected),
        got.len(),
        show(got)
    )
}
