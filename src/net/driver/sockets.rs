//! What both kinds of sockets have in common.

use std::io::{self, ErrorKind, Write};

use super::PIECES;
use crate::buffer::Output;

/// What became of an attempt to read or write.
pub(super) fn would_block(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

/// Writes as much as one system call takes. The second value is how much it was offered; nothing is written, and it
/// is 0, if there is nothing.
pub(super) fn write(stream: &mut impl Write, output: &Output, limit: u64) -> (io::Result<usize>, usize) {
    if let Some(bytes) = output.contiguous(limit) {
        if bytes.is_empty() {
            return (Ok(0), 0);
        }
        return (stream.write(bytes), bytes.len());
    }
    let slices = output.slices(limit, PIECES);
    let wanted = slices.iter().map(|slice| slice.len()).sum();
    if wanted == 0 {
        return (Ok(0), 0);
    }
    (stream.write_vectored(&slices), wanted)
}

/// Puts `value` into place `index`, making room for it.
pub(super) fn put<T>(table: &mut Vec<Option<T>>, index: usize, value: T) {
    if table.len() <= index {
        table.resize_with(index, || None);
        table.push(Some(value));
    } else if let Some(place) = table.get_mut(index) {
        *place = Some(value);
    }
}

/// Drops what is in place `index`.
pub(super) fn drop_at<T>(table: &mut [Option<T>], index: usize) {
    if let Some(place) = table.get_mut(index) {
        *place = None;
    }
}
