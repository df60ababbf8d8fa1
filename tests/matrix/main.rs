//! Every command in every combination: ASCII and binary clients, ASCII and binary servers, one server and four, and
//! every way to choose one. The same requests go to a memcached directly, and what the two clients get is compared.
//!
//! | file | what it proves |
//! |---|---|
//! | `cells`, `side` | the combinations; one of the two clients whose replies are compared |
//! | `ascii`, `binary` | every command of ASCII and of binary clients |
//! | `words` | ASCII commands with a wrong word in every place: nothing acts on a line that memcached refuses |
//! | `odd` | packets that no client should send, or only some servers understand |
//! | `keys` | binary clients' keys that are no words |
//! | `expiry` | every boundary of an expiry, by every command that takes one |
//! | `meta`, `meta_random` | meta commands, asked of the built-in server and of memcacheds behind the proxy: one by one and at once; at random |
//! | `meta_older` | the same of servers that know no meta commands |
//! | `fuzz` | all of that with some bytes changed ends nothing and holds up nobody |
//!
//! CAS ids are compared as "there is one", versions not at all. Differences that are meant to be stand in the tests
//! as what moxi must answer.

mod ascii;
mod binary;
mod cells;
mod expiry;
mod fuzz;
mod keys;
mod meta;
mod meta_older;
mod meta_random;
mod odd;
mod side;
mod words;
