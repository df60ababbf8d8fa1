//! Bytes that may be shared instead of copied.

use std::sync::Arc;

/// Bytes, and the buffer that they lie in if it is one of their own: an [`Output`](super::Output) shares that instead of
/// copying the bytes where they are many.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The buffer; `None`: they can only be copied.
    pub owner: Option<&'a Arc<Vec<u8>>>,
}
