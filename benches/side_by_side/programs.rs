//! The programs that are compared, and how each is started.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::process::{Process, free_port};

/// How a program is started.
#[derive(Clone, Debug)]
enum Start {
    /// moxi, speaking the named protocol to its servers.
    Moxi(&'static str),
    /// moxi, whose servers listen on unix sockets: a sidecar beside a local memcached.
    MoxiUnix,
    /// twemproxy.
    Twemproxy,
    /// A command line with `{listen}` and `{servers}` in it.
    Peer(String),
    /// moxi's own memcached server, without a proxy.
    Store,
    /// The first server itself.
    Memcached,
    /// This program, sending back what it reads.
    Echo,
}

/// A memcached behind one of the programs.
#[derive(Debug)]
pub struct Server {
    /// The program.
    pub process: Process,
    /// What a proxy calls it: `host:port`, or the path of a socket.
    pub name: String,
}

/// One column of the comparison.
#[derive(Clone, Debug)]
pub struct Program {
    /// What the table calls it.
    pub name: String,
    start: Start,
}

impl Program {
    /// All that can be compared here. `peers` has further ones, `name=command line` each, separated by line ends
    /// or by `;;`.
    ///
    /// # Errors
    /// When an entry of `peers` is not of that form.
    pub fn all(peers: &str) -> Result<Vec<Program>, String> {
        let program = |name: &str, start| Program { name: name.to_owned(), start };
        let mut all = vec![
            program("moxi", Start::Moxi("ascii")),
            program("moxi, binary servers", Start::Moxi("binary")),
            program("moxi, unix sockets", Start::MoxiUnix),
        ];
        if is_in_path("nutcracker") {
            all.push(program("twemproxy", Start::Twemproxy));
        }
        for entry in
            peers.split('\n').flat_map(|line| line.split(";;")).map(str::trim).filter(|entry| !entry.is_empty())
        {
            let (name, command) = entry.split_once('=').ok_or_else(|| format!("BENCH_PEERS: no name in {entry}"))?;
            all.push(program(name.trim(), Start::Peer(command.to_owned())));
        }
        all.push(program("built-in server", Start::Store));
        all.push(program("memcached alone", Start::Memcached));
        all.push(program("echo", Start::Echo));
        Ok(all)
    }

    /// Whether this is the echo.
    pub fn is_echo(&self) -> bool {
        matches!(self.start, Start::Echo)
    }

    /// Whether clients talk to the server itself.
    pub fn is_server(&self) -> bool {
        matches!(self.start, Start::Memcached | Start::Store)
    }

    /// Starts a memcached to be a server behind it.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_server(&self, directory: &Path) -> Result<Server, String> {
        let port = free_port().map_err(|error| error.to_string())?;
        let log = directory.join(format!("memcached-{port}.log"));
        if let Start::MoxiUnix = self.start {
            let path = directory.join(format!("{port}.sock"));
            let command = ["memcached", "-u", "root", "-t", "1", "-c", "10000", "-m", "1024", "-s"];
            let command =
                command.map(str::to_owned).into_iter().chain([path.display().to_string()]).collect::<Vec<_>>();
            let process = Process::start(&command, &|| UnixStream::connect(&path).is_ok(), &log)?;
            return Ok(Server { process, name: path.display().to_string() });
        }
        let address = local(port);
        let process = Process::start(&server("memcached".to_owned(), port), &|| accepts(address), &log)?;
        Ok(Server { process, name: address.to_string() })
    }

    /// Starts it in front of `servers`; its files go to `directory`. The address is where it listens.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&self, servers: &[Server], directory: &Path) -> Result<(Process, SocketAddr), String> {
        let port = free_port().map_err(|error| error.to_string())?;
        let list: Vec<&str> = servers.iter().map(|server| &server.name[..]).collect();
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let command = match &self.start {
            Start::Moxi(protocol) => moxi_before(port, &list, protocol),
            Start::MoxiUnix => moxi_before(port, &list, "ascii"),
            Start::Twemproxy => {
                let file = directory.join(format!("twemproxy-{port}.yml"));
                let mut text = format!(
                    "pool:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  distribution: ketama\n  \
                     preconnect: true\n  servers:\n"
                );
                for server in &list {
                    text.push_str(&format!("   - {server}:1\n"));
                }
                fs::write(&file, text).map_err(|error| error.to_string())?;
                let statistics = free_port().map_err(|error| error.to_string())?;
                words(&format!("nutcracker -v 0 -a 127.0.0.1 -i 3600000 -s {statistics} -c {}", file.display()))
            }
            Start::Peer(command) => {
                words(&command.replace("{listen}", &port.to_string()).replace("{servers}", &list.join(",")))
            }
            Start::Store => server(moxi(), port),
            Start::Memcached => server("memcached".to_owned(), port),
            Start::Echo => {
                let own = std::env::current_exe().map_err(|error| error.to_string())?;
                vec![own.display().to_string(), "--echo".to_owned(), port.to_string()]
            }
        };
        let address = local(port);
        let process = Process::start(&command, &|| accepts(address), &directory.join(format!("{port}.log")))?;
        Ok((process, address))
    }
}

/// The command line of moxi in front of servers of these names.
fn moxi_before(port: u16, servers: &[&str], protocol: &str) -> Vec<String> {
    let sections = format!("{port}={}", servers.join(","));
    let behavior = format!("downstream_protocol={protocol}");
    let options = ["-u", "root", "-t", "1", "-c", "10000", "-z", &sections, "-Z", &behavior];
    [moxi()].into_iter().chain(options.map(str::to_owned)).collect()
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// The moxi that is measured.
fn moxi() -> String {
    std::env::var("MOXI").unwrap_or_else(|_| env!("CARGO_BIN_EXE_moxi").to_owned())
}

/// One worker thread, as all proxies are given one: with more, their costs on one processor cannot be told apart.
fn server(program: String, port: u16) -> Vec<String> {
    let port = port.to_string();
    let options = ["-u", "root", "-l", "127.0.0.1", "-U", "0", "-t", "1", "-c", "10000", "-m", "1024", "-p", &port];
    std::iter::once(program).chain(options.map(str::to_owned)).collect()
}

/// Whether a program of this name is installed.
pub fn is_in_path(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}
