//! Attacks: whatever one sends, memory stays within what is said here, and others are served as before.
//!
//! | file | who attacks |
//! |---|---|
//! | `clients` | clients that send too little, too much, or do not read |
//! | `clusters` | managers of clusters, and names with very many addresses |
//! | `others` | scrapers of metrics, and senders of datagrams |
//! | `field` | one attack: somebody else's requests are timed before it and while it lasts, and memory is watched |
//!
//! `cargo test` tries each for a moment, in a small number, and looks at the memory and that nobody else is refused. With
//! `MOXI_ATTACKS=full`, in release, the numbers are those of `docs/EVIDENCE.md`, the times are judged, and a table is shown:
//!
//! ```text
//! make attacks
//! ```

mod clients;
mod clusters;
mod field;
mod others;
