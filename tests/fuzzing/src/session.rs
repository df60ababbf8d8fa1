//! Any parser of the protocols, fed in pieces as a connection feeds it.

/// What a parser says of the beginning of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It needs so many bytes in all.
    Incomplete(usize),
    /// It has understood something.
    Piece {
        /// What.
        meaning: String,
        /// How many bytes that takes.
        len: usize,
        /// How many of the bytes behind it are dropped.
        swallow: u64,
    },
    /// The connection is closed, for this reason.
    Closed(String),
}

/// What arrives in `pieces` means: everything that `parse` tells, and how many bytes are left in the end.
///
/// `parse` is asked after each piece although it may have said how much it needs: it must then say so again, and may not
/// ask for less than before. Its second argument is its own: it is 0 when something has been consumed.
pub fn meaning(pieces: &[&[u8]], parse: &mut dyn FnMut(&[u8], &mut usize) -> Told) -> Vec<String> {
    let (mut told, mut buf, mut scanned, mut need, mut swallow) = (Vec::new(), Vec::new(), 0, 0, 0);
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            let dropped = usize::try_from(swallow).unwrap_or(usize::MAX).min(buf.len());
            buf.drain(..dropped);
            swallow -= dropped as u64;
            if buf.is_empty() {
                break;
            }
            match parse(&buf, &mut scanned) {
                Told::Incomplete(more) => {
                    assert!(more > buf.len(), "{more} bytes are needed, and {} are there", buf.len());
                    assert!(more >= need, "{need} bytes were needed, and now it is {more}");
                    need = more;
                    break;
                }
                Told::Piece { meaning, len, swallow: more } => {
                    assert!(len > 0 && len <= buf.len(), "{len} of {} bytes are consumed", buf.len());
                    assert!(buf.len() >= need, "{need} bytes were needed, and {} were enough", buf.len());
                    told.push(meaning);
                    buf.drain(..len);
                    (scanned, need, swallow) = (0, 0, more);
                }
                Told::Closed(why) => {
                    told.push(why);
                    return told;
                }
            }
        }
    }
    told.push(format!("{} bytes left, {swallow} to drop", buf.len()));
    told
}

/// Panics if `text` does not mean the same in pieces as in one.
pub fn check(text: &[u8], at: u16, parse: &mut dyn FnMut(&[u8], &mut usize) -> Told) -> Vec<String> {
    let whole = meaning(&[text], parse);
    for pieces in crate::choices::cuttings(text, at) {
        assert_eq!(meaning(&pieces, parse), whole, "in {} pieces", pieces.len());
    }
    whole
}
