//! What becomes of a request: the bytes that a server must see, and those that the client must get.
//!
//! | file | what it proves |
//! |---|---|
//! | `ascii_over_ascii` | ASCII clients, ASCII servers: the exact bytes, whole and at every split |
//! | `ascii_over_binary` | ASCII clients, binary servers: the same |
//! | `binary_over_ascii` | binary clients, ASCII servers, with and without meta commands |
//! | `binary_over_binary` | binary clients, binary servers |
//! | `quiet` | quiet packets are sent when they come, and what comes of them is told in order |
//! | `several_servers` | gets of several keys, and requests to all servers, end as one answer |
//! | `orders` | what all servers must do is done by all, or those are named that have not |
//! | `dumps` | lists of keys, by hand and by memcached's own tools |
//! | `joined_gets` | gets of one turn for one server leave as one request |
//! | `front_cache` | what is answered without a server, and never for longer than it is true |
//! | `memcached` | every command against real servers, one to four of them, every way to choose one |
//! | `meta` | meta commands, for servers that know them and for others |
//! | `meta_beside` | meta commands for servers with which moxi speaks binary, on connections beside the others |
//! | `load` | many clients and requests, every reply checked |

mod ascii_over_ascii;
mod ascii_over_binary;
mod binary_over_ascii;
mod binary_over_binary;
mod dumps;
mod front_cache;
mod joined_gets;
mod load;
mod memcached;
mod meta;
mod meta_beside;
mod orders;
mod quiet;
mod several_servers;
