//! The entry points.
//!
//! | file | what arrives |
//! |---|---|
//! | [`ascii_requests`] | lines and values of clients |
//! | [`ascii_replies`] | lines and values of servers, classic and of meta commands |
//! | [`meta_requests`], [`meta_replies`] | meta commands of clients, and what becomes of them and of their answers |
//! | [`binary_requests`], [`binary_replies`] | packets |
//! | [`http`] | the response of a cluster manager, and the documents in it |
//! | [`documents`] | one of these documents |
//! | [`cluster_texts`], [`behavior_texts`] | `-z`, `-Z` |
//! | [`urls`] | where a cluster manager is |
//! | [`datagrams`] | UDP, for the built-in server |
//! | [`builtin`] | a client of the built-in server |
//! | [`engine`] | clients, servers, time and configurations, for the engine and its event loop |

pub mod ascii_replies;
pub mod ascii_requests;
pub mod behavior_texts;
pub mod binary_replies;
pub mod binary_requests;
pub mod builtin;
pub mod cluster_texts;
pub mod datagrams;
pub mod documents;
pub mod engine;
pub mod http;
pub mod meta_replies;
pub mod meta_requests;
mod served;
pub mod urls;

/// An entry point.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its file, of its seeds, of its dictionary, and of the target of libFuzzer.
    pub name: &'static str,
    /// Panics if something is wrong.
    pub run: fn(&[u8]),
}

/// All entry points.
pub const TARGETS: &[Target] = &[
    Target { name: "ascii_requests", run: ascii_requests::target },
    Target { name: "ascii_replies", run: ascii_replies::target },
    Target { name: "meta_requests", run: meta_requests::target },
    Target { name: "meta_replies", run: meta_replies::target },
    Target { name: "binary_requests", run: binary_requests::target },
    Target { name: "binary_replies", run: binary_replies::target },
    Target { name: "http", run: http::target },
    Target { name: "documents", run: documents::target },
    Target { name: "cluster_texts", run: cluster_texts::target },
    Target { name: "behavior_texts", run: behavior_texts::target },
    Target { name: "urls", run: urls::target },
    Target { name: "datagrams", run: datagrams::target },
    Target { name: "builtin", run: builtin::target },
    Target { name: "engine", run: engine::target },
];
