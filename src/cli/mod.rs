//! The command line (01 §2, §3, §8, §15): from words to checked [`Options`].
//!
//! | file | holds |
//! |---|---|
//! | [`flags`] | the one table of flags: letter, argument, default, help, and what it sets |
//! | [`argument`] | checked conversions of a flag's argument |
//! | [`parse`](mod@parse) | the walk over the words, and what is only known at their end |
//! | [`help`] | the text of `-h`, from the table |
//! | [`completion`] | what shells complete, from the table |
//! | [`licence`] | the text of `-i` |

use std::path::PathBuf;

use crate::config::address::Address;
use crate::protocol::Protocol;

pub mod argument;
pub mod completion;
pub mod flags;
pub mod help;
pub mod licence;
pub mod parse;

pub use parse::{Command, parse};

/// The version that `-h`, `-i` and `-V` print and that clients are told.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What can be built in, whether it is, and what it is for.
pub const FEATURES: &[(&str, bool, &str)] = &[("tls", cfg!(feature = "tls"), "https:// URLs of a cluster manager")];

/// Which features are built in, one line: part of what `-V` and `-h` print.
pub fn features() -> String {
    let list = |wanted: bool| {
        let names = FEATURES.iter().filter(|(_, is_in, _)| *is_in == wanted);
        let names: Vec<String> = names.map(|(name, _, use_)| format!("{name} ({use_})")).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    format!("built in: {}; left out: {}", list(true), list(false))
}

/// A port of the built-in memcached server, `-p` and `-U` (01 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPort {
    /// 0: no such listener.
    Off,
    /// -1: any free port, chosen by the system.
    Ephemeral,
    /// This port.
    Fixed(u16),
}

impl ServerPort {
    /// Whether a listener is wanted at all.
    pub fn is_on(self) -> bool {
        self != ServerPort::Off
    }
}

/// How far `--check` goes. Each does what the one before it does, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// `--check=config`: the texts and the user, as forgiving as a start is.
    Config,
    /// `--check`: what a start needs of this machine, too, and nothing in the texts is forgiven.
    Start,
    /// `--check=deep`: also whoever moxi would connect to.
    Deep,
}

/// Everything the command line says, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// `-s`: path of the unix socket, as typed.
    pub socket: Option<PathBuf>,
    /// `-a`: permission bits of the unix socket, at most 0777.
    pub socket_mode: u32,
    /// `-b`: length of the queue of connections that wait to be accepted.
    pub backlog: i32,
    /// `-B`: the protocol that clients must speak; `None`: either, as their first byte tells.
    pub binding: Option<Protocol>,
    /// `-c`: how many descriptors the process asks for.
    pub connections: u32,
    /// Whether items of the built-in server carry CAS ids; `-C` turns it off.
    pub cas: bool,
    /// `--check`: only say whether all this can be used.
    pub check: Option<Depth>,
    /// `--check-alive`: only ask whether somebody answers there.
    pub check_alive: Option<Address>,
    /// `-d`: run in the background.
    pub daemon: bool,
    /// `-D`: delimiter of key prefixes; `Some` also turns the detailed statistics on.
    pub prefix_delimiter: Option<u8>,
    /// `-f`: growth factor of slab classes, above 1.
    pub growth_factor: f64,
    /// `-k`: lock all memory.
    pub lock_memory: bool,
    /// `-l`: host name or address that all listeners use; `None`: all addresses.
    pub listen: Option<String>,
    /// `-L`: use large memory pages where the system has them.
    pub large_pages: bool,
    /// `-m`: memory for items, in bytes; 0: no limit.
    pub memory: u64,
    /// Whether old items make room for new ones; `-M` turns it off.
    pub evict: bool,
    /// `-n`: smallest item space of a slab class, in bytes.
    pub chunk_size: u32,
    /// `-O`: log file, as typed; `None`: standard error.
    pub log_file: Option<PathBuf>,
    /// `-p`: TCP port of the built-in server; `None`: not given.
    pub tcp_port: Option<ServerPort>,
    /// `-P`: pid file, as typed; written only together with `-d`.
    pub pid_file: Option<PathBuf>,
    /// `--print-config`: only show what all this comes to.
    pub print_config: bool,
    /// `-r`: allow core files, and stay in the starting directory.
    pub core_files: bool,
    /// `-R`: requests served per connection before others have their turn, above 0.
    pub requests_per_turn: u32,
    /// `-t`: worker threads, above 0.
    pub threads: u32,
    /// `-u`: the user to become.
    pub user: Option<String>,
    /// `-U`: UDP port of the built-in server; `None`: not given.
    pub udp_port: Option<ServerPort>,
    /// `-v`: how much is logged.
    pub verbosity: u8,
    /// `-X`: mcmux mode.
    pub mcmux: bool,
    /// `-Y y`: stop when standard input has a line end or ends.
    pub watch_stdin: bool,
    /// `-z`, or the operand that stands for it: cluster configuration.
    pub cluster: Option<String>,
    /// `-Z`: proxy behaviour.
    pub behavior: Option<String>,
    /// Each flag that was given, as [`flags::Flag::form`] has it, with its argument, in their order. May hold secrets.
    pub typed: Vec<(String, String)>,
    /// Whether an operand was given that is not used. Its text may hold a password.
    pub stray_operand: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            socket: None,
            socket_mode: 0o700,
            backlog: 1024,
            binding: None,
            connections: 1024,
            cas: true,
            check: None,
            check_alive: None,
            daemon: false,
            prefix_delimiter: None,
            growth_factor: 1.25,
            lock_memory: false,
            listen: None,
            large_pages: false,
            memory: 64 << 20,
            evict: true,
            chunk_size: 48,
            log_file: None,
            tcp_port: None,
            pid_file: None,
            print_config: false,
            core_files: false,
            requests_per_turn: 20,
            threads: 4,
            user: None,
            udp_port: None,
            verbosity: 0,
            mcmux: false,
            watch_stdin: false,
            cluster: None,
            behavior: None,
            typed: Vec::new(),
            stray_operand: false,
        }
    }
}
