//! What has broken other proxies and memcached itself does not break moxi: `docs/PEERS.md` has the list, with where each
//! comes from. Of them nothing is here but what was sent.
//!
//! | file | what it proves |
//! |---|---|
//! | `requests` | lines of clients, to the proxy and to the built-in server |
//! | `packets` | the same for packets |
//! | `replies` | what servers say, however odd, reaches nobody whom it does not concern, and costs no memory |
//! | `servers` | servers that cannot be found, go away, or answer too late |
//! | `dumps` | lists of keys of memcached from 1.6.43 on |
//! | `datagrams` | UDP, which only the built-in server has |
//! | `list` | the list names tests that there are |

mod datagrams;
mod dumps;
mod list;
mod packets;
mod replies;
mod requests;
mod servers;

use moxi_test_support::ports::Port;
use moxi_test_support::{Memcached, Moxi, Wire, moxi};

/// Whatever answers clients: the proxy before ASCII servers and before binary ones, and the built-in server.
struct Targets {
    servers: Vec<Memcached>,
    proxies: [(&'static str, Moxi); 2],
    /// Whose process is that of the first proxy.
    built_in: Port,
}

impl Targets {
    fn start() -> Targets {
        let servers = Memcached::several(2, &[]);
        let built_in = Port::reserve();
        let before = |protocol| moxi!().servers(servers.iter().map(Memcached::port)).speaking(protocol);
        let with = before("ascii").argument("-p").argument(built_in.number().to_string()).start();
        let proxies = [("ascii servers", with), ("binary servers", before("binary").start())];
        Targets { servers, proxies, built_in }
    }

    /// A new connection to each, one after the other, by the name of what answers there. Nothing is stored then.
    fn clients(&self) -> impl Iterator<Item = (&'static str, Wire)> {
        let proxies = self.proxies.iter().map(|(name, moxi)| (*name, moxi.port()));
        proxies.chain([("the built-in server", self.built_in.number())]).map(|(name, port)| {
            for server in &self.servers {
                server.client().ask("flush_all\r\n", "OK\r\n");
            }
            self.built_in().ask("flush_all\r\n", "OK\r\n");
            (name, Wire::connect(name, port))
        })
    }

    /// A new connection to the built-in server.
    fn built_in(&self) -> Wire {
        Wire::connect("built-in server", self.built_in.number())
    }
}

/// A line that shows that the connection is in step, and the answer.
const VERSION: &str = "version\r\n";
const VERSION_IS: &str = concat!("VERSION ", env!("CARGO_PKG_VERSION"), "\r\n");
