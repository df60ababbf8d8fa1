//! The combinations.
//!
//! Two things are left out of all comparisons, because memcached itself does not answer them alike each time:
//!
//! * Counting on from a stored number of 2^63 or above. memcached 1.6.18 then looks for a minus sign up to the next zero
//!   byte, which may be far behind the item; what it finds there depends on what the memory has held and on where it is.
//! * An expiry of a second or two. The clock goes by seconds, each server's by its own, so that such an item may be gone at
//!   once, and at one of the two only.

use moxi_test_support::ports::Port;
use moxi_test_support::{Memcached, Moxi, MoxiBuilder, Wire, moxi};

/// One combination of servers.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// `ascii` or `binary`: what moxi speaks to the servers.
    pub protocol: &'static str,
    /// How many servers.
    pub servers: usize,
    /// How keys find their server.
    pub hash: &'static str,
}

/// All of them.
pub fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for protocol in ["ascii", "binary"] {
        for servers in [1, 4] {
            for hash in ["vbucket", "ketama", "modula"] {
                cells.push(Cell { protocol, servers, hash });
            }
        }
    }
    cells
}

/// Real servers: one for the client that needs no proxy, four to stand behind moxi.
#[derive(Debug)]
pub struct Servers {
    direct: Memcached,
    behind: Vec<Memcached>,
}

impl Servers {
    /// Starts them.
    pub fn start() -> Servers {
        Servers { direct: Memcached::start(&["-m", "64"]), behind: Memcached::several(4, &["-m", "64"]) }
    }

    /// A client that speaks to a memcached directly.
    pub fn direct(&self) -> Wire {
        self.direct.client()
    }

    /// A client that speaks to the first of those behind moxi.
    pub fn behind(&self) -> Wire {
        self.behind[0].client()
    }

    /// Starts a moxi in front of the servers of this cell, all of them empty.
    pub fn moxi(&self, cell: Cell) -> Moxi {
        for server in self.behind.iter().chain([&self.direct]) {
            let mut client = server.client();
            client.send("flush_all\r\n");
            client.expect("OK\r\n");
        }
        self.builder(cell).start()
    }

    /// The same, to be configured further.
    pub fn builder(&self, cell: Cell) -> MoxiBuilder {
        let ports = self.behind.iter().take(cell.servers).map(Memcached::port);
        // The machine may be busy: no time limit is to be the reason for a difference.
        let builder = moxi!()
            .speaking(cell.protocol)
            .set("wait_queue_timeout=0,downstream_conn_queue_timeout=0,connect_timeout=0");
        match cell.hash {
            "vbucket" => {
                let masters: Vec<_> = (0..64).map(|vbucket| vbucket % cell.servers as i32).collect();
                builder.vbuckets(ports, &masters)
            }
            hash => builder.servers(ports).set(format!("mcs_opts=distribution:{hash}")),
        }
    }
}

/// A moxi with its built-in server, at this port, and its proxy in front of it.
pub fn built_in(protocol: &str) -> (Moxi, Port) {
    let port = Port::reserve();
    let number = port.number();
    let builder = moxi!().servers([number]).speaking(protocol);
    (builder.argument("-p").argument(number.to_string()).start(), port)
}
