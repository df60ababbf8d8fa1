use super::*;

fn content(output: &Output) -> Vec<u8> {
    output.slices(u64::MAX, 100).iter().flat_map(|slice| slice.to_vec()).collect()
}

#[test]
fn keeps_what_is_not_released() {
    let mut output = Output::default();
    output.tail().extend_from_slice(b"get a\r\n");
    output.advance(5);
    assert_eq!(output.contiguous(u64::MAX), Some(&b"\r\n"[..]));
    output.advance(2);
    assert!(output.is_sent());
    let mut again = Output::default();
    again.copy_from(&output, 0..7);
    assert_eq!(content(&again), b"get a\r\n");
    output.release(7);
    output.tail().extend_from_slice(b"get b\r\n");
    assert_eq!((output.end(), output.unsent()), (14, 7));
    assert_eq!(output.slice(11..12), Some(&b"b"[..]));
    assert_eq!(output.slice(3..5), None);
}

#[test]
fn shares_large_parts() {
    let owner = Arc::new(vec![7u8; 3 * SHARE_MIN]);
    let mut output = Output::default();
    output.tail().extend_from_slice(b"head");
    output.push(Value { bytes: &owner[SHARE_MIN..2 * SHARE_MIN], owner: Some(&owner) });
    output.tail().extend_from_slice(b"\r\n");
    assert_eq!(Arc::strong_count(&owner), 2);
    assert!(output.contiguous(u64::MAX).is_none());
    assert_eq!(content(&output).len(), 4 + SHARE_MIN + 2);
    let mut copy = Output::default();
    copy.copy_from(&output, 2..output.end() - 1);
    assert_eq!(content(&copy).len(), 2 + SHARE_MIN + 1);
    output.advance(4 + SHARE_MIN);
    assert_eq!(content(&output), b"\r\n");
    output.release_sent();
    assert_eq!(Arc::strong_count(&owner), 2, "the copy still holds it");
    let mut all = Output::default();
    all.append(&mut copy);
    assert_eq!(all.unsent(), 2 + SHARE_MIN as u64 + 1);
    assert_eq!(copy.unsent(), 0);
}

#[test]
fn what_is_taken_out_is_never_seen() {
    let owner = Arc::new((0..2 * SHARE_MIN).map(|at| at as u8).collect::<Vec<u8>>());
    let mut output = Output::default();
    output.tail().extend_from_slice(b"sent,head");
    output.push(Value { bytes: &owner, owner: Some(&owner) });
    output.tail().extend_from_slice(b"between");
    output.push(Value { bytes: &owner[SHARE_MIN..], owner: Some(&owner) });
    output.tail().extend_from_slice(b"tail");
    output.advance(5);
    let whole = content(&output);
    let length = whole.len();
    // From within any piece to within any other, one byte or all of it.
    let edges = [0, 2, 4, 5, 4 + SHARE_MIN, 4 + 2 * SHARE_MIN, 10 + 2 * SHARE_MIN, length - 6, length - 2, length];
    for (from, to) in edges.iter().flat_map(|from| edges.iter().map(move |to| (*from, *to))) {
        if from > to {
            continue;
        }
        let mut changed = Output::default();
        changed.copy_from(&output, 0..output.end());
        changed.advance(5);
        changed.remove(5 + from as u64..5 + to as u64);
        let expected = [&whole[..from], &whole[to..]].concat();
        assert_eq!((content(&changed), changed.end()), (expected, output.end() - (to - from) as u64));
        changed.advance(usize::MAX);
        changed.release_sent();
        assert_eq!((changed.unsent(), changed.pieces.len()), (0, 0));
    }
    drop(output);
    assert_eq!(Arc::strong_count(&owner), 1);
}

#[test]
fn a_limit_stops_the_flush() {
    let mut output = Output::default();
    output.tail().extend_from_slice(b"abcdef");
    assert_eq!(output.contiguous(4), Some(&b"abcd"[..]));
    output.advance(4);
    assert_eq!(output.contiguous(4), Some(&b""[..]));
}
