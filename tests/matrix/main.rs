//! Every command in every combination: ASCII and binary clients, ASCII and binary servers, one server and four, and
//! every way to choose one. The same requests go to a memcached directly, and what the two clients get is compared.
//!
//! CAS ids are compared as "there is one", versions not at all. Differences that are meant to be stand in the tests
//! as what moxi must answer.

mod ascii;
mod binary;
mod cells;
mod expiry;
mod fuzz;
mod keys;
mod odd;
mod side;
mod words;
