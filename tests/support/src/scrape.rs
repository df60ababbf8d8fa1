//! A client of `-Z metrics`.

use crate::exposition::Exposition;
use crate::wire::Wire;

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The fields of the head, their names in small letters.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Response {
    /// Reads the next one. `has_body`: not one to HEAD.
    ///
    /// # Panics
    /// When it is not as HTTP/1.1 has it.
    pub fn read(wire: &mut Wire, has_body: bool) -> Response {
        let mut line = || {
            let line = String::from_utf8(wire.line()).expect("text");
            line.strip_suffix("\r\n").unwrap_or_else(|| panic!("no line end: {line:?}")).to_owned()
        };
        let first = line();
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let mut fields = Vec::new();
        loop {
            let line = line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line}"));
            fields.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut response = Response { status: status.expect("a status"), fields, body: String::new() };
        if has_body {
            let length = response.field("content-length").expect("a length").parse().expect("a number");
            response.body = String::from_utf8(wire.take(length)).expect("text");
        }
        response
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// The head of a GET.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: moxi\r\n\r\n")
}

/// Asks on a connection of its own.
pub fn ask(port: u16, path: &str) -> Response {
    ask_on(&mut Wire::connect("scraper", port), path)
}

/// Asks on a connection that is kept.
pub fn ask_on(wire: &mut Wire, path: &str) -> Response {
    wire.send(get(path));
    Response::read(wire, true)
}

/// The metrics of a moxi.
pub fn metrics(port: u16) -> Exposition {
    let response = ask(port, "/metrics");
    assert_eq!(response.status, 200);
    assert_eq!(response.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Exposition::parse(&response.body)
}
