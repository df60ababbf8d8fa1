//! `-z`: the cluster configuration (05 §2), from its text to sections or agents.
//!
//! ```text
//! config  := section { ";" section }
//! section := PORT "=" ( server list | JSON document )
//! ```

use super::agent;
use super::error::{ConfigError, Place};

/// What a text is, by its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Sections for ports.
    Static,
    /// URLs to fetch the configuration from.
    Agents,
}

/// One section of a static configuration, not yet read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSection<'a> {
    /// Its number and port.
    pub place: Place,
    /// A server list, or a JSON document if it begins with `{`; trimmed, not empty.
    pub body: &'a str,
}

/// Tells the forms apart. What begins with `digits =`, or with a bare document, is static, whatever it contains.
pub fn form(text: &str) -> Form {
    let text = text.trim();
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_section = rest.len() < text.len() && rest.trim_start().starts_with('=');
    if !is_section && !text.starts_with('{') && agent::is_agent(text) { Form::Agents } else { Form::Static }
}

/// Whether a text without any `=` was probably meant to be the path of a file, but does not begin like one.
pub(super) fn may_be_path(text: &str) -> bool {
    !text.contains(['=', '{']) && text.contains(|c: char| c.is_ascii_alphabetic())
}

/// The sections of a static configuration, at least one, no two with the same port. An empty last one is ignored.
///
/// # Errors
/// The first mistake in the text.
pub fn sections(text: &str) -> Result<Vec<RawSection<'_>>, ConfigError> {
    let mut sections: Vec<RawSection<'_>> = Vec::new();
    let mut rest = text.trim();
    loop {
        let (text, after) = split_section(rest);
        let section = section(sections.len().saturating_add(1), text)?;
        if let Some(first) = sections.iter().find(|other| other.place.port == section.place.port) {
            return Err(ConfigError::DuplicatePort {
                port: section.place.port,
                first: first.place.section,
                second: section.place.section,
            });
        }
        sections.push(section);
        rest = after.trim();
        if rest.is_empty() {
            return Ok(sections);
        }
    }
}

fn section(number: usize, text: &str) -> Result<RawSection<'_>, ConfigError> {
    let text = text.trim();
    let missing_equals = ConfigError::MissingEquals { section: number };
    if text.starts_with('{') {
        return Err(missing_equals);
    }
    let (port, body) = text.split_once('=').ok_or(missing_equals)?;
    let place = Place { section: number, port: self::port(number, port.trim())? };
    match body.trim() {
        "" => Err(ConfigError::EmptySection { place }),
        body => Ok(RawSection { place, body }),
    }
}

fn port(section: usize, text: &str) -> Result<u16, ConfigError> {
    let digits = text.strip_prefix('+').unwrap_or(text).trim_start_matches('0');
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ConfigError::MissingPort { section });
    }
    digits.parse().map_err(|_| ConfigError::PortRange { section, port: digits.to_owned() })
}

/// Splits at the first `;` that is not inside a JSON document. A document is what begins with `{` right after the
/// section's first `=`; it ends with the brace that closes the first.
fn split_section(text: &str) -> (&str, &str) {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut body = Body::NotYet;
    for (at, byte) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match (body, byte) {
            (Body::NotYet, b'=') => body = Body::Begins,
            (Body::Begins, b'{') => (body, depth) = (Body::Document, 1),
            (Body::Document, b'\\') if in_string => escaped = true,
            (Body::Document, b'"') => in_string = !in_string,
            (Body::Document, _) if in_string => {}
            (Body::Document, b'{') => depth = depth.saturating_add(1),
            (Body::Document, b'}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    body = Body::Rest;
                }
            }
            (Body::Document, _) => {}
            (_, b';') => {
                let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
                return (before, rest.strip_prefix(';').unwrap_or(rest));
            }
            (Body::Begins, byte) if !byte.is_ascii_whitespace() => body = Body::Rest,
            _ => {}
        }
    }
    (text, "")
}

/// How far [`split_section`] has come.
#[derive(Clone, Copy)]
enum Body {
    NotYet,
    Begins,
    Document,
    Rest,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> Vec<(u16, &str)> {
        let sections = sections(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        sections.into_iter().map(|section| (section.place.port, section.body)).collect()
    }

    fn refused(text: &str) -> String {
        sections(text).expect_err(text).to_string()
    }

    #[test]
    fn forms() {
        for text in [
            "11211=a",
            " 11211 \n = {\"couchApiBase\":\"http://a/\"}",
            "11211={\"otpNode\":\"ns_1@127.0.0.1\"}",
            "",
            "conf/x.cfg",
            "host1:11211",
            "foo=bar",
            "{\"uri\":\"http://a/\"}",
        ] {
            assert_eq!(form(text), Form::Static, "{text}");
        }
        for text in [
            "http://a/",
            "\nHTTPS://a/",
            "url=https://a/",
            "url = a",
            "auth=x%y",
            "apikey=x",
            "fred@host%sesame",
            "cfg=http://a",
        ] {
            assert_eq!(form(text), Form::Agents, "{text}");
        }
    }

    #[test]
    fn server_lists() {
        assert_eq!(plain("11211=a:1,b:2"), [(11211, "a:1,b:2")]);
        assert_eq!(plain("\n 11211 =\n a ;\t22122=b;\n"), [(11211, "a"), (22122, "b")]);
        assert_eq!(plain("+0011211=a;"), [(11211, "a")]);
        assert_eq!(plain("1=a=b"), [(1, "a=b")]);
    }

    #[test]
    fn documents() {
        let document = r#"{"a":"x;}\"{;","b":{"c":[";"]}}"#;
        let two = format!("1 = {document};2={document} ; 3=a");
        assert_eq!(plain(&two), [(1, document), (2, document), (3, "a")]);
        assert_eq!(plain(r#"1={"a":[[0]]}";2={}"#), [(1, r#"{"a":[[0]]}""#), (2, "{}")]);
        assert_eq!(plain("1={bad json;2=a"), [(1, "{bad json;2=a")]);
        assert_eq!(plain("1=a{;2=b}"), [(1, "a{"), (2, "b}")]);
    }

    #[test]
    fn refusals() {
        for (text, want) in [
            ("", "bad moxi config, missing = (section 1)"),
            ("conf/x.cfg", "bad moxi config, missing = (section 1)"),
            ("1=a;;2=b", "bad moxi config, missing = (section 2)"),
            ("1=a;b", "bad moxi config, missing = (section 2)"),
            ("{\"a\":\"=\"}", "bad moxi config, missing = (section 1)"),
            ("=a", "missing proxy port (section 1)"),
            ("0=a", "missing proxy port (section 1)"),
            ("-1=a", "missing proxy port (section 1)"),
            ("1=a;x=b", "missing proxy port (section 2)"),
            ("11211x=a", "missing proxy port (section 1)"),
            ("70000=a", "bad moxi config, port 70000 is above 65535 (section 1)"),
            ("1=a;2=b;01=c", "bad moxi config, port 1 is used twice (sections 1 and 3)"),
            ("1=", "bad moxi config, no servers (section 1, port 1)"),
            ("1=a; 2 = ;3=c", "bad moxi config, no servers (section 2, port 2)"),
        ] {
            assert_eq!(refused(text), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", likely in "([0-9]|=|;|\"|\\\\|[{}a é]){0,40}") {
            for text in [text, likely] {
                form(&text);
                if let Ok(sections) = sections(&text) {
                    prop_assert!(sections.iter().all(|section| !section.body.is_empty()));
                }
            }
        }
    }
}
