//! How a `-Z` text falls into items (05 §3.1, §3.4).
//!
//! Items are separated by commas. In files they may also stand one on a line: a line begins a new item if it begins
//! with `name =` (the sign may be on a later line). Any other line continues the item before it, because the C
//! program takes line ends for blanks and texts like `downstream_max\n=\n1` are in use. A line, or what follows a comma,
//! that begins with `#` is a comment up to the end of the line. For the C program it ended at the next comma: what begins
//! with `name =` behind one still counts.

/// One item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// What stands before the first `=`, or the whole item; trimmed.
    pub key: &'a str,
    /// What stands after the first `=`, trimmed; `None` without one.
    pub value: Option<&'a str>,
}

/// All items of `text`, in order. Comments and empty items are left out.
pub fn split(text: &str) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    // Whether the comma before the part stood in a comment.
    let mut in_comment = false;
    for part in text.split(',') {
        let mut pending = 0;
        let mut offset = 0usize;
        for line in part.split_inclusive('\n') {
            let end = offset.saturating_add(line.len());
            if line.trim_start().starts_with('#') || in_comment && !begins_item(line) {
                items.extend(item(part.get(pending..offset)));
                pending = end;
                in_comment = !line.ends_with('\n');
            } else {
                if part.get(offset..).is_some_and(begins_item) {
                    items.extend(item(part.get(pending..offset)));
                    pending = offset;
                }
                in_comment = false;
            }
            offset = end;
        }
        items.extend(item(part.get(pending..)));
    }
    items
}

/// Whether `text` begins with a name and, after any blanks and line ends, `=`.
fn begins_item(text: &str) -> bool {
    let text = text.trim_start_matches([' ', '\t', '\r']);
    let rest = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    rest.len() < text.len() && text.starts_with(|c: char| !c.is_ascii_digit()) && rest.trim_start().starts_with('=')
}

fn item(text: Option<&str>) -> Option<Item<'_>> {
    let text = text?.trim();
    if text.is_empty() {
        return None;
    }
    Some(match text.split_once('=') {
        Some((key, value)) => Item { key: key.trim(), value: Some(value.trim()) },
        None => Item { key: text, value: None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items as `key=value`, those without a value as `key`.
    fn plain(text: &str) -> Vec<String> {
        split(text)
            .into_iter()
            .map(|item| item.value.map_or(item.key.to_owned(), |value| format!("{}={value}", item.key)))
            .collect()
    }

    #[test]
    fn commas() {
        assert_eq!(plain("a=1,b=2"), ["a=1", "b=2"]);
        assert_eq!(plain(" a = 1 , ,, b=x=y ,"), ["a=1", "b=x=y"]);
        assert_eq!(plain("a,=5,b="), ["a", "=5", "b="]);
        assert_eq!(plain(""), [""; 0]);
    }

    #[test]
    fn lines() {
        assert_eq!(plain("cycle=200\nusr=x"), ["cycle=200", "usr=x"]);
        assert_eq!(plain("cycle=200,\r\nusr=x,\r\n"), ["cycle=200", "usr=x"]);
        assert_eq!(plain("cycle=200\n\n  usr = x\n"), ["cycle=200", "usr=x"]);
    }

    #[test]
    fn a_line_without_name_and_sign_continues_the_item() {
        assert_eq!(plain("downstream_max\n\r\n =\n\n  1\n 11"), ["downstream_max=1\n 11"]);
        assert_eq!(plain("cycle=\n5\nport\n=\n7"), ["cycle=5", "port=7"]);
        assert_eq!(plain("optimize_set=a|\n1=2"), ["optimize_set=a|\n1=2"]);
    }

    #[test]
    fn comments() {
        assert_eq!(plain("# usr=A,cycle=5"), ["cycle=5"]);
        assert_eq!(plain("# note\nport_listen=1,"), ["port_listen=1"]);
        assert_eq!(plain("cycle=5\n#usr=x\nport=1\n  # end"), ["cycle=5", "port=1"]);
        assert_eq!(plain("#default_bucket_name=default,\n\n# usr=A,\ncycle=5,\n"), ["cycle=5"]);
        assert_eq!(plain("pwd=a#b, # c"), ["pwd=a#b"]);
        assert_eq!(plain("# one, two,, three\ncycle=5"), ["cycle=5"]);
        assert_eq!(plain("# one, two"), [""; 0]);
        assert_eq!(plain("cycle=5, # one, two\nfrob, x"), ["cycle=5", "frob", "x"]);
        assert_eq!(plain("# usr=A, note,cycle=5, note\nport=1"), ["cycle=5", "note", "port=1"]);
    }
}
