//! One bucket's JSON document: its servers, how keys map to them, and its credentials (05 §5).
//!
//! The checks are libvbucket's, in its order and with its texts, so that a document is refused for the reason that
//! operators know. The JSON itself is read strictly, with three things taken over because documents in use rely on
//! them: names of members are compared without case, fractions are cut off, and whatever follows the first value is
//! ignored.

pub mod api_base;
mod error;
mod ketama;
pub mod nodes;
mod vbucket;

pub use error::DocumentError;

use serde_json::Value;

use super::address::{Address, AddressError, bracketed};
use super::behavior::Behavior;
use super::snapshot::{Revision, Secret};
use crate::routing::Router;

/// What `$HOST` stands for in documents from files (05 §5.6).
pub const LOCAL_HOST: &str = "localhost";

/// A bucket as its document describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// `name`, if it is there.
    pub name: Option<String>,
    /// `saslPassword`, if it is there.
    pub password: Option<Secret>,
    /// The servers, in the order of the router's indexes. One may be there several times.
    pub servers: Vec<Address>,
    /// Key to index into `servers`.
    pub router: Router,
    /// How new it is.
    pub revision: Revision,
}

impl Document {
    /// Reads a vbucket map: that of a bucket document, or a bare one. Name and password are left to the caller.
    ///
    /// # Errors
    /// When the document is none, or its map does not fit its servers.
    pub fn vbucket(document: &Value, host: &str) -> Result<Document, DocumentError> {
        vbucket::parse(document, host)
    }

    /// Reads a bucket document, or a bare vbucket map. `host` takes the place of `$HOST`.
    ///
    /// # Errors
    /// When the text is not JSON, or the document cannot be used.
    pub fn parse(text: &str, host: &str) -> Result<Document, DocumentError> {
        let document = first_value(text)?;
        let mut out = match locator(&document)? {
            Locator::Vbucket => vbucket::parse(&document, host)?,
            Locator::Ketama => ketama::parse(&document, host)?,
        };
        out.name = string(&document, "name").map(str::to_owned);
        out.password = string(&document, "saslPassword").map(Secret::new);
        Ok(out)
    }

    /// User and password for the servers of a static section (05 §9): the document's, except that a bucket named
    /// `default` or not at all goes by `-Z usr`, and one without a password by `-Z pwd`.
    pub fn credentials(&self, base: &Behavior) -> (String, Secret) {
        let user = self.name.clone().filter(|name| name != "default");
        (user.unwrap_or_else(|| base.usr.clone()), self.password.clone().unwrap_or_else(|| base.pwd.clone()))
    }
}

/// How a bucket's keys are to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locator {
    /// By a vbucket map; also if the document does not say.
    Vbucket,
    /// By a ring.
    Ketama,
}

/// The `nodeLocator` of a document.
///
/// # Errors
/// When it is one that is not known.
pub fn locator(document: &Value) -> Result<Locator, DocumentError> {
    match member(document, "nodeLocator") {
        None => Ok(Locator::Vbucket),
        Some(Value::String(name)) => match name.as_str() {
            "vbucket" => Ok(Locator::Vbucket),
            "ketama" => Ok(Locator::Ketama),
            _ => Err(DocumentError::UnknownLocator),
        },
        Some(_) => Err(DocumentError::LocatorType),
    }
}

/// The first complete JSON value of `text`.
///
/// # Errors
/// When the text does not begin with one.
pub fn first_value(text: &str) -> Result<Value, DocumentError> {
    match serde_json::Deserializer::from_str(text).into_iter::<Value>().next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(DocumentError::NotJson { line: error.line(), column: error.column() }),
        None => Err(DocumentError::NotJson { line: 1, column: 1 }),
    }
}

/// The member called `name`, with or without regard to case.
pub fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let object = object.as_object()?;
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// The member called `name` if it is a string.
pub fn string<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    member(object, name).and_then(Value::as_str)
}

/// How new a document is.
pub fn revision(document: &Value) -> Revision {
    let number = |name| member(document, name).and_then(Value::as_u64).unwrap_or(0);
    Revision { epoch: number("revEpoch"), number: number("rev") }
}

/// A number without its fraction.
fn whole(value: &Value) -> Option<f64> {
    value.as_f64().map(f64::trunc)
}

/// The server number `server` from its text.
fn address(server: usize, text: &str, host: &str) -> Result<Address, DocumentError> {
    Address::parse(&with_host(text, host)).map_err(|problem: AddressError| DocumentError::Address { server, problem })
}

/// `text` with `$HOST`, where it is first found, replaced by `host` as it stands before a port or in a URL.
fn with_host(text: &str, host: &str) -> String {
    let marker = if text.contains("[$HOST]") { "[$HOST]" } else { "$HOST" };
    text.replacen(marker, &bracketed(host), 1)
}

#[cfg(test)]
mod tests;
