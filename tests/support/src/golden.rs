//! Golden exchanges: what the client sends, what the servers must see and answer, what the client must get;
//! and the driver that replays each of them whole and at every byte split.

use std::time::Duration;

use crate::mock::Mock;
use crate::moxi::{Moxi, MoxiBuilder};
use crate::packet::{Packet, op};
use crate::wire::Wire;

/// What one server sees and says.
#[derive(Clone, Debug, Default)]
pub struct Part {
    sees: Vec<u8>,
    says: Vec<u8>,
    dropped: bool,
}

/// One exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    name: String,
    sends: Vec<u8>,
    parts: Vec<(usize, Part)>,
    gets: Vec<u8>,
    closed: bool,
    several: bool,
}

impl Exchange {
    /// An exchange in which the client sends `sends`, no server hears of it, and nothing is answered.
    pub fn new(name: impl Into<String>, sends: impl AsRef<[u8]>) -> Exchange {
        Exchange {
            name: name.into(),
            sends: sends.as_ref().to_vec(),
            parts: Vec::new(),
            gets: Vec::new(),
            closed: false,
            several: false,
        }
    }

    /// The first server must see `sees` and answers `says`.
    pub fn server(self, sees: impl AsRef<[u8]>, says: impl AsRef<[u8]>) -> Exchange {
        self.server_at(0, sees, says)
    }

    /// The server with this index must see `sees` and answers `says`. Servers answer in the order in which
    /// they are given here.
    pub fn server_at(mut self, index: usize, sees: impl AsRef<[u8]>, says: impl AsRef<[u8]>) -> Exchange {
        let part = Part { sees: sees.as_ref().to_vec(), says: says.as_ref().to_vec(), dropped: false };
        self.parts.push((index, part));
        self
    }

    /// The client must get `gets`, and nothing else.
    pub fn gets(mut self, gets: impl AsRef<[u8]>) -> Exchange {
        self.gets = gets.as_ref().to_vec();
        self
    }

    /// The client's connection is closed after that.
    pub fn closed(mut self) -> Exchange {
        self.closed = true;
        self
    }

    /// The connection of the server given last is closed after that.
    pub fn dropped(mut self) -> Exchange {
        if let Some((_, part)) = self.parts.last_mut() {
            part.dropped = true;
        }
        self
    }

    /// There are several requests, which may travel in as many pieces.
    pub fn several(mut self) -> Exchange {
        self.several = true;
        self
    }

    /// Whether each side must get its bytes with one `recv`.
    fn pieces(&self) -> bool {
        const ONE_READ: usize = 16_384;
        !self.several && self.gets.len() < ONE_READ && self.parts.iter().all(|(_, part)| part.sees.len() < ONE_READ)
    }
}

/// How the bytes of an exchange are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Everything at once; replies and requests must come in one piece, too.
    Whole,
    /// The client's bytes in two pieces.
    Client(usize),
    /// The servers' bytes in two pieces.
    Server(usize),
    /// Every byte alone.
    Drip,
}

/// One moxi with one worker between a client and scripted servers, for any number of exchanges.
#[derive(Debug)]
pub struct Stage {
    moxi: Moxi,
    mocks: Vec<Mock>,
    lines: Vec<Option<Wire>>,
    client: Option<Wire>,
    control: Wire,
    ascii: bool,
    version: Vec<u8>,
}

impl Stage {
    /// Starts moxi with ASCII servers.
    pub fn ascii(builder: MoxiBuilder, version: &str, mocks: Vec<Mock>) -> Stage {
        Stage::new(builder.ascii(), version, mocks, true)
    }

    /// Starts moxi with binary servers.
    pub fn binary(builder: MoxiBuilder, version: &str, mocks: Vec<Mock>) -> Stage {
        Stage::new(builder.binary(), version, mocks, false)
    }

    fn new(builder: MoxiBuilder, version: &str, mocks: Vec<Mock>, ascii: bool) -> Stage {
        // One connection to each server, and no gets of one client joined: what the servers see is exact then.
        let moxi = builder.threads(1).set("downstream_conn_max=1").set("join_gets=0").start();
        let control = moxi.client();
        let lines = mocks.iter().map(|_| None).collect();
        let version = format!("VERSION {version}\r\n").into_bytes();
        Stage { moxi, mocks, lines, client: None, control, ascii, version }
    }

    /// Runs every exchange whole, byte by byte, and at every split of either side.
    pub fn run_all(&mut self, exchanges: &[Exchange]) {
        self.run_whole(exchanges);
        for exchange in exchanges {
            self.run(exchange, Cut::Drip);
            for at in 1..exchange.sends.len() {
                self.run(exchange, Cut::Client(at));
            }
            let longest = exchange.parts.iter().map(|(_, part)| part.says.len()).max();
            for at in 1..longest.unwrap_or(0) {
                self.run(exchange, Cut::Server(at));
            }
        }
        self.check_quiet();
    }

    /// Runs every exchange whole.
    pub fn run_whole(&mut self, exchanges: &[Exchange]) {
        for exchange in exchanges {
            self.run(exchange, Cut::Whole);
        }
        self.check_quiet();
    }

    fn run(&mut self, exchange: &Exchange, cut: Cut) {
        let label = format!("{} [{cut:?}]", exchange.name);
        let mut client = self.client.take().unwrap_or_else(|| self.moxi.client());
        client.rename(format!("{label} client"));
        let pieces = cut == Cut::Whole && exchange.pieces();

        let cuts = match cut {
            Cut::Client(at) => Some(at),
            Cut::Drip => None,
            _ => Some(0),
        };
        self.send(&mut client, &exchange.sends, cuts);

        for (index, part) in &exchange.parts {
            let line = self.lines[*index].get_or_insert_with(|| self.mocks[*index].accept());
            line.rename(format!("{label} server {index}"));
            if pieces {
                line.expect_piece(&part.sees);
            } else {
                line.expect(&part.sees);
            }
        }
        for (index, part) in &exchange.parts {
            let cuts = match cut {
                Cut::Server(at) => Some(at),
                Cut::Drip => None,
                _ => Some(0),
            };
            if let Some(mut line) = self.lines[*index].take() {
                if part.dropped && cut == Cut::Drip {
                    // It may be dropped before the last byte.
                    for byte in &part.says {
                        line.send_into_the_dark([*byte]);
                        self.turn();
                    }
                } else {
                    self.send(&mut line, &part.says, cuts);
                }
                if part.dropped {
                    line.expect_closed();
                } else {
                    self.lines[*index] = Some(line);
                }
            }
        }

        if !exchange.gets.is_empty() {
            if pieces && !exchange.closed {
                client.expect_piece(&exchange.gets);
            } else {
                client.expect(&exchange.gets);
            }
        }
        if exchange.closed {
            client.expect_closed();
        } else {
            self.sentinel(&mut client);
            self.client = Some(client);
        }
    }

    /// Sends `bytes` in two pieces cut at `at`, or one by one, with a turn of moxi's loop between them.
    fn send(&mut self, wire: &mut Wire, bytes: &[u8], at: Option<usize>) {
        match at {
            Some(at) if at > 0 && at < bytes.len() => {
                wire.send(&bytes[..at]);
                self.turn();
                wire.send(&bytes[at..]);
            }
            Some(_) => wire.send(bytes),
            None => {
                for byte in bytes {
                    wire.send([*byte]);
                    self.turn();
                }
            }
        }
    }

    /// Lets the only worker take what has been sent so far: loopback delivers in the call that sends, and
    /// a request that moxi answers itself, on another connection, is answered in a later turn or the same.
    fn turn(&mut self) {
        self.control.send("version\r\n");
        self.control.expect(&self.version);
    }

    /// A get on the same client connection: it fails if anything superfluous was sent to either side before.
    fn sentinel(&mut self, client: &mut Wire) {
        let line = self.lines.iter_mut().flatten().next();
        match line {
            // Only with one server is it known where the key goes.
            Some(line) if self.mocks.len() == 1 => {
                client.send("get zz\r\n");
                if self.ascii {
                    line.expect("get zz\r\n");
                    line.send("END\r\n");
                } else {
                    let asked = line.packet();
                    // Vbucket and opaque depend on the map.
                    let bare = Packet { status: 0, opaque: 0, ..asked.clone() };
                    assert_eq!(bare, Packet::request(op::GETK).key("zz"), "sentinel");
                    line.send(Packet { magic: 0x81, status: 1, ..asked }.bytes());
                }
                client.expect("END\r\n");
            }
            _ => {
                client.send("version\r\n");
                client.expect(&self.version);
            }
        }
    }

    /// Requires that nothing has been sent or connected that no exchange asked for.
    fn check_quiet(&mut self) {
        self.turn();
        for line in self.lines.iter_mut().flatten() {
            line.expect_nothing(Duration::from_millis(5));
        }
        for mock in &self.mocks {
            mock.expect_no_connection(Duration::from_millis(5));
        }
    }
}
