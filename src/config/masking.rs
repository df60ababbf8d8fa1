//! Configuration texts as they may be shown: one line, no passwords (05 §5.9, 06 §3.5).

/// What stands in the place of a password, whatever its length.
const MASK: &str = "XXXXXX";

/// What is shown of a password; nothing if there is none.
pub fn secret(is_set: bool) -> &'static str {
    if is_set { MASK } else { "" }
}

/// `text` without line ends, and with the value of every JSON member whose name ends in `password` replaced.
///
/// The text need not be good JSON. The value of such a member that is not a string is shown.
pub fn shown(text: &str) -> String {
    let mut out = masked(text.trim());
    out.retain(|c| !matches!(c, '\r' | '\n'));
    out
}

/// The same with its line ends.
pub fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut secret_next = false;
    while let Some((before, inside)) = rest.split_once('"') {
        out.push_str(before);
        let (string, after) = end_of_string(inside);
        // Between a name and its value there is nothing but a colon and blanks.
        let is_value = before.trim() == ":";
        out.push('"');
        out.push_str(if secret_next && is_value && !string.is_empty() { MASK } else { string });
        out.extend(after.is_some().then_some('"'));
        secret_next = string.to_ascii_lowercase().ends_with("password") && !(secret_next && is_value);
        rest = after.unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// The contents of a string, and what follows its closing quote if it has one. A quote may be escaped.
fn end_of_string(inside: &str) -> (&str, Option<&str>) {
    let mut escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let (string, after) = inside.split_at_checked(at).unwrap_or((inside, ""));
                return (string, after.strip_prefix('"'));
            }
            _ => {}
        }
    }
    (inside, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn passwords_are_masked() {
        for (text, want) in [
            (r#"{"saslPassword": "sesame"}"#, r#"{"saslPassword": "XXXXXX"}"#),
            (r#"{"saslPassword":"se\"same","name":"x"}"#, r#"{"saslPassword":"XXXXXX","name":"x"}"#),
            (r#"{"password":"p","a":1}"#, r#"{"password":"XXXXXX","a":1}"#),
            (r#"{"saslPassword":"","a":1}"#, r#"{"saslPassword":"","a":1}"#),
            (r#"{"saslPassword":null,"name":"x"}"#, r#"{"saslPassword":null,"name":"x"}"#),
            (r#"{"saslPassword":"password","name":"x"}"#, r#"{"saslPassword":"XXXXXX","name":"x"}"#),
            (r#"{"x":"password","name":"x"}"#, r#"{"x":"password","name":"x"}"#),
            (r#"{"saslPassword":"no end"#, r#"{"saslPassword":"XXXXXX"#),
            (r#"{"a":"b"}""#, r#"{"a":"b"}""#),
            (" a:1,\r\n\tb:2\n", "a:1,\tb:2"),
        ] {
            assert_eq!(shown(text), want);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", likely in "(\"|\\\\|:|password|[{} \n]){0,30}") {
            shown(&text);
            shown(&likely);
        }
    }
}
