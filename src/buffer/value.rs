//! Bytes that may be shared instead of copied.

use std::ops::Deref;
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

impl<'a> Value<'a> {
    /// Other bytes of the same buffer.
    #[inline]
    pub fn with(self, bytes: &'a [u8]) -> Value<'a> {
        Value { bytes, ..self }
    }
}

impl Deref for Value<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Value<'a> {
        Value { bytes, owner: None }
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(bytes: &'a Vec<u8>) -> Value<'a> {
        Value { bytes, owner: None }
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Value<'a> {
        Value { bytes, owner: None }
    }
}

/// Where they lie makes no difference.
impl PartialEq for Value<'_> {
    fn eq(&self, other: &Value<'_>) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Value<'_> {}
