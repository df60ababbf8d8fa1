//! The response of a cluster manager.

use moxi::control::rest::documents::Documents;
use moxi::control::rest::response::Response;

use crate::choices::{Choices, cuttings};

/// What has become of a response.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    status: Option<u16>,
    /// What was wrong with it.
    error: Option<String>,
    /// It was complete before the connection was closed.
    is_done: bool,
    leaves_connection: bool,
    has_length: bool,
    body: Vec<u8>,
}

/// A response means the same however it arrives, and so do the documents of its body: the newest is the same, and so is
/// what is left. No document has a delimiter in it, or blanks around it.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let at = choices.short();
    let text = choices.rest();
    let whole = read(&[text]);
    assert!(!whole.leaves_connection || whole.is_done);
    for pieces in cuttings(text, at) {
        assert_eq!(read(&pieces), whole, "in {} pieces", pieces.len());
    }
    // The bytes are a body, too, so that there are bodies without a head that is right.
    for body in [&whole.body[..], text] {
        let at_once = cut(&[body]);
        for pieces in cuttings(body, at) {
            assert_eq!(cut(&pieces), at_once, "in {} pieces", pieces.len());
        }
    }
}

fn read(pieces: &[&[u8]]) -> Read {
    let (mut response, mut body, mut error) = (Response::default(), Vec::new(), None);
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        error = response.feed(piece, &mut body).err();
        assert!(!response.is_empty() || error.is_some(), "what has come is forgotten");
        if error.is_some() {
            break;
        }
    }
    let (is_done, leaves_connection) = (response.is_done(), response.leaves_connection());
    if error.is_none() {
        error = response.end().err();
        assert_eq!(error.is_none(), response.is_done());
    }
    Read {
        status: response.status(),
        error: error.map(|error| error.to_string()),
        is_done,
        leaves_connection,
        has_length: response.has_length(),
        body,
    }
}

/// The last document of a body, and what is left behind it.
fn cut(pieces: &[&[u8]]) -> (Option<Vec<u8>>, Vec<u8>) {
    let (mut documents, mut newest) = (Documents::default(), None);
    for piece in pieces {
        documents.text.extend_from_slice(piece);
        if let Some(document) = documents.newest() {
            assert!(!document.is_empty() && document.trim_ascii() == document);
            newest = Some(document);
        }
    }
    (newest, documents.rest().trim_ascii().to_vec())
}
