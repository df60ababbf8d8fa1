//! A setting that says where to listen: a port of this machine's own address, or an address and a port.

use std::ops::RangeInclusive;

use super::setting::{Accepted, Kind, Setting};
use crate::config::address::{Address, is_path, port};

/// The address of a port that stands alone: nobody else's machine can reach it.
const LOOPBACK: &str = "127.0.0.1";

/// Where to listen; nowhere by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint(Option<Address>);

impl Endpoint {
    /// The address; `None`: nothing is to be opened.
    pub fn address(&self) -> Option<&Address> {
        self.0.as_ref()
    }
}

/// What `text` says; `None`: it says nothing that could be.
fn parse(text: &str) -> Option<Endpoint> {
    if text.is_empty() || text == "0" {
        return Some(Endpoint::default());
    }
    if let Some(port) = port(text) {
        return Some(Endpoint(Some(Address { host: LOOPBACK.to_owned(), port })));
    }
    (!is_path(text)).then(|| Address::parse(text).ok().map(|address| Endpoint(Some(address))))?
}

impl Setting for Endpoint {
    const KIND: Kind = Kind::Endpoint;

    fn set(&mut self, text: &str, _limit: &RangeInclusive<u64>) -> Accepted {
        parse(text).map(|endpoint| *self = endpoint).is_some().into()
    }

    fn show(&self) -> String {
        self.0.as_ref().map(Address::to_string).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_or_an_address_and_a_port() {
        for (text, want) in [
            ("", Some("")),
            ("0", Some("")),
            ("9150", Some("127.0.0.1:9150")),
            ("0.0.0.0:9150", Some("0.0.0.0:9150")),
            ("proxy.example:9150", Some("proxy.example:9150")),
            ("[::1]:9150", Some("[::1]:9150")),
            ("65536", None),
            ("9150x", None),
            ("host", None),
            ("host:0", None),
            ("host:65536", None),
            (":9150", None),
            ("a b:9150", None),
            ("/run/metrics.sock", None),
        ] {
            let before = Endpoint(Some(Address { host: "old".to_owned(), port: 1 }));
            let mut endpoint = before.clone();
            let accepted = endpoint.set(text, &(0..=u64::MAX));
            assert_eq!(accepted, want.is_some().into(), "{text}");
            assert_eq!(endpoint.show(), want.unwrap_or("old:1"), "{text}");
        }
    }
}
