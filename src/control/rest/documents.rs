//! Where documents begin and end in the body of a response (05 §6.3).

use memchr::memmem;

/// What stands after each document of a stream.
const DELIMITER: &[u8] = b"\n\n\n\n";

/// The body as it comes in, cut into documents. It is the same wherever the pieces of the body begin and end.
#[derive(Debug, Default)]
pub struct Documents {
    /// What has come after the last delimiter.
    pub text: Vec<u8>,
    /// Up to here there is no delimiter in `text`.
    searched: usize,
}

impl Documents {
    /// The newest complete document, without blanks around it, of those that have come since the last call. Older
    /// ones are dropped: they are out of date. Delimiters with nothing between them are no documents.
    pub fn newest(&mut self) -> Option<Vec<u8>> {
        // A delimiter may have begun in what was searched before.
        let from = self.searched.saturating_sub(DELIMITER.len());
        let found = memmem::rfind(self.text.get(from..)?, DELIMITER).map(|at| from.saturating_add(at));
        let Some(mut end) = found else {
            self.searched = self.text.len();
            return None;
        };
        let rest = self.text.split_off(end.saturating_add(DELIMITER.len()));
        let complete = std::mem::replace(&mut self.text, rest);
        self.searched = self.text.len();
        loop {
            let before = complete.get(..end)?;
            let start = memmem::rfind(before, DELIMITER);
            let document = before.get(start.map_or(0, |at| at.saturating_add(DELIMITER.len()))..)?.trim_ascii();
            if !document.is_empty() {
                return Some(document.to_vec());
            }
            end = start?;
        }
    }

    /// What has come after the last delimiter, once the body has ended.
    pub fn rest(&mut self) -> Vec<u8> {
        self.searched = 0;
        std::mem::take(&mut self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The documents that come out when the body arrives in these pieces, and what is left.
    fn fed(pieces: &[&[u8]]) -> (Vec<String>, String) {
        let mut documents = Documents::default();
        let mut out = Vec::new();
        for piece in pieces {
            documents.text.extend_from_slice(piece);
            out.extend(documents.newest().map(|document| String::from_utf8(document).unwrap()));
        }
        (out, String::from_utf8(documents.rest()).unwrap())
    }

    #[test]
    fn documents_and_their_delimiters() {
        for (pieces, want, rest) in [
            (&["{1}", "\n\n\n\n"][..], &["{1}"][..], ""),
            (&["{1}\n\n\n\n{2}\n\n\n\n"], &["{2}"], ""),
            (&["{1}\n\n\n\n{2}\n\n"], &["{1}"], "{2}\n\n"),
            (&["{1}\n", "\n", "\n", "\n{2}"], &["{1}"], "{2}"),
            (&["{1}\n\n\n\n", "\n\n\n\n", "\n\n\n\n{2}\n\n\n\n\n\n\n\n\n"], &["{1}", "{2}"], "\n"),
            (&["\n\n\n\n\n\n\n\n"], &[], ""),
            (&["{\n\n\n}"], &[], "{\n\n\n}"),
        ] {
            let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            let (documents, left) = fed(&pieces);
            assert_eq!(
                (documents.as_slice(), left.trim_end_matches('\n')),
                (&want.iter().map(|s| s.to_string()).collect::<Vec<_>>()[..], rest.trim_end_matches('\n')),
                "{pieces:?}"
            );
        }
    }

    proptest! {
        /// However the body is cut, the last document is the same, and what is left is too.
        #[test]
        fn pieces_do_not_matter(body in "([ab]{1,3}|\n{1,9}){0,8}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let body = body.as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            places.extend([0, body.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            let (cut, cut_rest) = fed(&pieces);
            let (whole, whole_rest) = fed(&[body]);
            prop_assert_eq!(cut.last(), whole.last());
            prop_assert_eq!(cut_rest.trim(), whole_rest.trim());
        }
    }
}
