//! The one table of flags. Parser, `-h`, and the manual page (`make man`) are driven by it.
//!
//! Its order is the order of `-h` (01 §15).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::argument::Argument;
use super::{Depth, Options, ServerPort, completion, help, licence};
use crate::config::address::{Address, SOCKET_PATH_MAX};
use crate::failure::{Failure, USAGE};
use crate::protocol::Protocol;

/// One flag.
#[derive(Debug)]
pub struct Flag {
    /// Its letter; `-` if it has none, only a name. See [`Flag::short`].
    pub letter: char,
    /// Its long name, if it has one.
    pub name: Option<&'static str>,
    /// What it does.
    pub action: Action,
    /// Its default as shown to people; empty if there is nothing to say.
    pub default: &'static str,
    /// What it is for, one paragraph, for `-h`; the manual page begins with it, too.
    pub help: &'static str,
    /// What the manual page says besides, in the notation of `tests/documents/roff.rs`.
    pub more: &'static str,
    /// Further spellings that deserve a line of their own in `-h`.
    pub also: &'static [(&'static str, &'static str)],
    /// Whether it remains for old command lines only.
    pub deprecated: bool,
}

/// What a flag does.
#[derive(Debug)]
pub enum Action {
    /// Has no argument.
    Switch(fn(&mut Options)),
    /// Has an argument of this name.
    Value(&'static str, Setter),
    /// May have an argument of this name, behind `=`.
    Optional(&'static str, OptionalSetter),
    /// Prints a text and ends the program.
    Print(fn() -> String),
    /// Has an argument of this name, prints the text for it and ends the program.
    PrintFor(&'static str, fn(&OsStr) -> Result<String, Failure>),
}

impl Flag {
    /// Its letter, if it has one.
    pub fn short(&self) -> Option<char> {
        (self.letter != '-').then_some(self.letter)
    }

    /// How it is written: `-z`, or `--check` if it has only a name.
    pub fn form(&self) -> String {
        match self.short() {
            Some(letter) => format!("-{letter}"),
            None => format!("--{}", self.name.unwrap_or_default()),
        }
    }

    /// The name of its argument, and whether it must be there; `None` if it cannot be.
    pub fn argument(&self) -> Option<(&'static str, bool)> {
        match self.action {
            Action::Value(name, _) | Action::PrintFor(name, _) => Some((name, true)),
            Action::Optional(name, _) => Some((name, false)),
            Action::Switch(_) | Action::Print(_) => None,
        }
    }
}

/// Checks an argument and notes it in the options.
pub type Setter = fn(&mut Options, &Argument<'_>) -> Result<(), Failure>;

/// The same for an argument that may be missing.
pub type OptionalSetter = fn(&mut Options, Option<&Argument<'_>>) -> Result<(), Failure>;

/// The flag with this letter.
pub fn by_letter(letter: char) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.short() == Some(letter))
}

/// The flag with this long name.
pub fn by_name(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == Some(name))
}

/// Values of the common case; entries of the table name what differs.
const FLAG: Flag = Flag {
    letter: '-',
    name: None,
    action: Action::Switch(|_| {}),
    default: "",
    help: "",
    more: "",
    also: &[],
    deprecated: false,
};

/// All flags, in the order of `-h`.
pub static FLAGS: &[Flag] = &[
    Flag {
        letter: 'z',
        action: Action::Value("config", |options, argument| {
            options.cluster = Some(argument.text()?.to_owned());
            Ok(())
        }),
        help: "cluster configuration: where the servers are",
        ..FLAG
    },
    Flag {
        letter: 'Z',
        action: Action::Value("key=value[,...]", |options, argument| {
            options.behavior = Some(argument.text()?.to_owned());
            Ok(())
        }),
        help: "proxy behaviour: how servers and clients are treated; text that begins with / or . is the path of a \
               file that holds it",
        ..FLAG
    },
    Flag {
        letter: 'u',
        action: Action::Value("username", |options, argument| {
            options.user = Some(argument.text()?.to_owned());
            Ok(())
        }),
        help: "become this user once all ports are open and the pid file is written (only when started as root)",
        more: "With the groups of this user and no others. For anybody but root the flag has no effect. A port \
               that a cluster manager or `SIGHUP` adds later is opened as this user. From then on \
               this user reads the file of `-z` and opens the log when `SIGHUP` comes, and removes the pid file: see \
               `RUNNING AS A DAEMON`.",
        ..FLAG
    },
    Flag {
        letter: 'c',
        action: Action::Value("num", |options, argument| {
            options.connections = unsigned(argument.number(0..=i64::from(i32::MAX))?);
            Ok(())
        }),
        default: "1024",
        help: "clients that are to be possible at a time: the limit of open files is raised to this number",
        more: "If that cannot be done the program does not start; and beyond it the limit is raised, if the system \
               allows that, by what connections to servers need. A higher limit is left as it is, and there can be as \
               many clients as it allows.\n\nDescriptors for all connections that workers may have to servers \
               (`downstream_conn_max` for each worker and server), for log files and reloads, at least 64, are kept \
               from clients. When the rest is used up no more clients are accepted until one leaves: they wait in the \
               queue of `-b`. The log tells when that begins and ends, and at the start if the limit is so low that \
               clients can only be left half of it. With `downstream_conn_max=0` half of it is kept.",
        ..FLAG
    },
    Flag {
        letter: 'v',
        action: Action::Switch(|options| options.verbosity = options.verbosity.saturating_add(1)),
        help: "log more: errors, warnings and what happens to connections",
        also: &[
            (
                "-vv",
                "also the ports that are opened, and what clients send and get: the first line of each request and \
                 reply, or opcode and key of each packet, never a value or a password",
            ),
            ("-vvv", "also the configuration documents, without their passwords"),
        ],
        ..FLAG
    },
    Flag {
        letter: 'h',
        name: Some("help"),
        action: Action::Print(help::text),
        help: "print this help and exit",
        ..FLAG
    },
    Flag {
        letter: 'i',
        action: Action::Print(licence::text),
        help: "print the licences of the program and of the libraries in it, and exit",
        ..FLAG
    },
    Flag {
        letter: 'V',
        name: Some("version"),
        action: Action::Print(|| format!("moxi {}\n{}\n", super::VERSION, super::features())),
        help: "print the version and the features that are built in, and exit",
        ..FLAG
    },
    Flag {
        name: Some("check"),
        action: Action::Optional("depth", |options, argument| {
            options.check = Some(argument.map_or(Ok(Depth::Start), depth)?);
            Ok(())
        }),
        help: "only check the other flags, the files that they name, ports, user and limits, with --check=deep also \
               servers and cluster managers, say what would be served and what is wrong, and exit, with 1 if anything \
               is",
        more: "Standard output has a table of what would be served, standard error a line for each mistake. Nothing is \
               started, written, or left behind. It is strict: an unknown key of `-Z` or a number with a unit, which a \
               start only warns of, is a mistake. Ports are bound for a moment, so those of a moxi that runs are taken; \
               whether `-P`, `-O` and `-s` can be had is looked at, not tried.\n\nWith `--check=deep` each server is asked \
               for its version, after authentication where there is any, and each URL of a cluster manager for one document, \
               within 5 seconds each. What that names is in the table, and is asked, too. Servers that this moxi would \
               itself be are left out.\n\n`--check=config` looks at flags, texts and the user alone, as a start does: with its \
               messages, its patience and its exit code. It is for a moxi that runs, before `SIGHUP`.",
        ..FLAG
    },
    Flag {
        name: Some("print-config"),
        action: Action::Switch(|options| options.print_config = true),
        help: "only print every setting that a start with the other flags would have, with its value and where that comes \
               from, and exit",
        more: "Flags, keys of `-Z`, cluster managers and servers, a line each. A value comes from the command line, \
               `-Z`, `-z`, a file, a JSON document in one of them, the environment, or is the default. Passwords are shown \
               as `XXXXXX`. Cluster managers are not asked: that does `--check=deep`.",
        ..FLAG
    },
    Flag {
        name: Some("check-alive"),
        action: Action::Value("address", |options, argument| {
            let wanted = "HOST:PORT, [IPV6]:PORT, or the absolute path of a unix socket";
            let address = Address::parse(argument.text()?).map_err(|_| argument.refuse(wanted))?;
            options.check_alive = Some(address);
            Ok(())
        }),
        help: "only ask for the version at this HOST:PORT or unix socket, in ASCII and then in binary, or in the \
               protocol of -B, and exit, with 0 if it is told within 5 seconds, otherwise with 1",
        more: "Standard error says why it is not. The look-up of the name is included in that time. moxi answers by \
               itself: that its servers can be reached is not asked. No configuration is needed; this is the health check \
               of containers.",
        ..FLAG
    },
    Flag {
        name: Some("completion"),
        action: Action::PrintFor("shell", completion::text),
        help: "print the completion of this command line for bash, zsh, or fish, and exit",
        ..FLAG
    },
    Flag {
        letter: 'a',
        action: Action::Value("mask", |options, argument| {
            options.socket_mode = argument.mode()?;
            Ok(())
        }),
        default: "0700",
        help: "permission bits of the unix socket, in octal",
        ..FLAG
    },
    Flag {
        letter: 'l',
        action: Action::Value("ip_addr", |options, argument| {
            options.listen = Some(argument.text()?.to_owned());
            Ok(())
        }),
        default: "all addresses",
        help: "address or host name to listen on, for every port",
        more: "The default means IPv4 and IPv6, as far as the system has them. A port that another program has on one \
               of the addresses is an error: clients would reach the wrong program. Ask for the other kind alone with \
               `-l 0.0.0.0` or `-l ::`.",
        ..FLAG
    },
    Flag {
        letter: 'd',
        action: Action::Switch(|options| options.daemon = true),
        help: "run in the background, once configuration and ports have proved good",
        more: "The command returns when the daemon is ready for clients, with exit code 0, or when it could not start, \
               with its exit code and its message on standard error, whatever `-O` says. Relative paths start in the \
               directory that the command was started in, also those that `SIGHUP` reads again, and those that stand \
               in files. The daemon goes to the directory / unless `-r` is given, and has no standard streams unless \
               `-v` is given. With a \
               cluster manager the command does not wait for its answer: the port of such a configuration is opened when \
               it has come, and if the port is taken by then, or the password is refused, the daemon ends and the log \
               says why.",
        ..FLAG
    },
    Flag {
        letter: 'P',
        action: Action::Value("file", |options, argument| {
            options.pid_file = Some(argument.path()?);
            Ok(())
        }),
        help: "write the process id of the daemon to this file",
        more: "Without `-d` it is not written. It is opened before the process goes into the background: if that fails \
               the command ends with exit code 1. When the daemon is stopped it is removed, or emptied where the user \
               of `-u` may not remove it.",
        ..FLAG
    },
    Flag {
        letter: 't',
        action: Action::Value("num", |options, argument| {
            let message = "Number of threads must be greater than 0";
            options.threads = argument.positive(1024, message)?;
            Ok(())
        }),
        default: "4",
        help: "worker threads",
        ..FLAG
    },
    Flag {
        letter: 'R',
        action: Action::Value("num", |options, argument| {
            let message = "Number of requests per event must be greater than 0";
            options.requests_per_turn = argument.positive(i32::MAX as u32, message)?;
            Ok(())
        }),
        default: "20",
        help: "requests served per connection before others have their turn",
        ..FLAG
    },
    Flag {
        letter: 'b',
        action: Action::Value("num", |options, argument| {
            options.backlog = i32::try_from(argument.number(0..=i64::from(i32::MAX))?).unwrap_or(i32::MAX);
            Ok(())
        }),
        default: "1024",
        help: "length of the queue of connections that wait to be accepted",
        ..FLAG
    },
    Flag {
        letter: 'B',
        action: Action::Value("protocol", |options, argument| {
            options.binding = binding(argument)?;
            Ok(())
        }),
        default: "auto",
        help: "protocol that clients must speak: one of ascii, binary, or auto, which goes by a \
               client's first byte",
        ..FLAG
    },
    Flag {
        letter: 'Y',
        action: Action::Value("y|n", |options, argument| {
            options.watch_stdin = argument.value.as_bytes().first() == Some(&b'y');
            Ok(())
        }),
        default: "n",
        help: "exit when standard input has a line end or is closed",
        more: "Not of use together with `-d`.",
        ..FLAG
    },
    Flag {
        letter: 's',
        action: Action::Value("file", |options, argument| {
            options.socket = Some(argument.path()?);
            if argument.value.len() > SOCKET_PATH_MAX {
                return Err(argument.refuse(&format!("a path of at most {SOCKET_PATH_MAX} bytes")));
            }
            Ok(())
        }),
        help: "unix socket to listen on, and on no port",
        more: "If the cluster configuration has several sections, clients reach the last one. A socket that is there \
               already is replaced. The path has at most 107 bytes.",
        ..FLAG
    },
    Flag {
        letter: 'p',
        action: Action::Value("num", |options, argument| {
            options.tcp_port = Some(port(argument)?);
            Ok(())
        }),
        help: "TCP port of the built-in memcached server, 0 is off, -1 is any free port; for the \
               port of the proxy use -Z port_listen=NUM",
        more: "The server may be the only thing that moxi serves, or stand beside a cluster configuration, which may \
               name it as one of its servers. The ports of the proxy are said by `-z` and by the key `port_listen`.",
        deprecated: true,
        ..FLAG
    },
    Flag {
        letter: 'U',
        action: Action::Value("num", |options, argument| {
            options.udp_port = Some(port(argument)?);
            Ok(())
        }),
        help: "UDP port of the built-in memcached server, 0 is off, -1 is any free port",
        deprecated: true,
        ..FLAG
    },
    Flag {
        letter: 'k',
        action: Action::Switch(|options| options.lock_memory = true),
        help: "lock all memory, so that it is never paged out",
        deprecated: true,
        ..FLAG
    },
    Flag {
        letter: 'm',
        action: Action::Value("num", |options, argument| {
            // 2^44 - 1 megabytes are the most whose bytes fit in 64 bits.
            options.memory = unsigned64(argument.number(0..=0xfff_ffff_ffff)?) << 20;
            Ok(())
        }),
        default: "64 MB",
        help: "memory for items of the built-in server, in megabytes; 0 is no limit",
        deprecated: true,
        ..FLAG
    },
    Flag {
        letter: 'M',
        action: Action::Switch(|options| options.evict = false),
        help: "return an error when that memory is full, rather than remove items",
        deprecated: true,
        ..FLAG
    },
    Flag {
        letter: 'r',
        action: Action::Switch(|options| options.core_files = true),
        help: "allow core files as large as they get; also keeps a daemon in its starting \
               directory instead of /",
        ..FLAG
    },
    Flag {
        letter: 'f',
        action: Action::Value("factor", |options, argument| {
            options.growth_factor = argument.factor("Factor must be greater than 1")?;
            Ok(())
        }),
        default: "1.25",
        help: "chunk size growth factor of the built-in server",
        more: "It is above 1.",
        deprecated: true,
        ..FLAG
    },
    Flag {
        letter: 'n',
        action: Action::Value("bytes", |options, argument| {
            let message = "Chunk size must be greater than 0";
            options.chunk_size = argument.positive(1 << 20, message)?;
            Ok(())
        }),
        default: "48",
        help: "minimum space of the built-in server for key, value and flags",
        deprecated: true,
        ..FLAG
    },
    Flag {
        letter: 'L',
        action: Action::Switch(|options| options.large_pages = true),
        help: "use large memory pages, where the system supports it",
        more: "Elsewhere it has no effect.",
        deprecated: true,
        ..FLAG
    },
    Flag {
        letter: 'D',
        action: Action::Value("char", |options, argument| {
            let Some(&first) = argument.value.as_bytes().first() else {
                return Err(argument.fail("No delimiter specified"));
            };
            options.prefix_delimiter = Some(first);
            Ok(())
        }),
        default: ":",
        help: "delimiter between key prefixes and ids, for statistics by prefix; if given, their \
               collection is turned on, otherwise `stats detail on` does that",
        deprecated: true,
        ..FLAG
    },
    Flag {
        letter: 'C',
        action: Action::Switch(|options| options.cas = false),
        help: "disable CAS in the built-in server",
        more: "What clients send to other servers is not changed.",
        deprecated: true,
        ..FLAG
    },
    Flag {
        letter: 'O',
        action: Action::Value("path", |options, argument| {
            // Both spellings mean standard error (01 §2).
            options.log_file = match argument.value.as_bytes() {
                b"" | b"stderr" => None,
                _ => Some(argument.path()?),
            };
            Ok(())
        }),
        default: "stderr",
        help: "log file; SIGHUP opens it again, after a rotation",
        more: "An empty path or the word stderr is standard error. If the file cannot be opened at the start, a daemon \
               logs to `syslog`(3), and a process in the foreground to standard error; if it cannot be opened again by \
               `SIGHUP`, the reason goes there and to the old file, which stays in use. A log file that `moxi` makes \
               as root belongs to the user of `-u`.",
        ..FLAG
    },
    Flag {
        letter: 'X',
        action: Action::Switch(|options| options.mcmux = true),
        help: "clients name the server of each request (mcmux mode); listens on -p or -s",
        more: "ASCII clients write the server in front of each request, as in\n\n\tA:cache1.example:11211 get \
               KEY\n\tB:cache2.example:11211 get KEY\n\nA stands for a server that is to be spoken to in the ASCII \
               protocol, B for one in the binary protocol, with user, password and bucket of `-Z`. An IPv6 address \
               stands in brackets. Without a server, only `version`, `verbosity`, `quit` and `stats proxy` are obeyed; \
               everything else is answered `ERROR`. A get that fails is answered with the error, not with a \
               miss.\n\nClients come to `-p` or `-s`, one of which is needed; there is no built-in server then, and \
               `-z` has no effect.",
        ..FLAG
    },
];

/// The word behind `--check=`.
fn depth(argument: &Argument<'_>) -> Result<Depth, Failure> {
    match argument.value.to_str() {
        Some("config") => Ok(Depth::Config),
        Some("deep") => Ok(Depth::Deep),
        _ => Err(argument.refuse("config, deep, or nothing")),
    }
}

fn binding(argument: &Argument<'_>) -> Result<Option<Protocol>, Failure> {
    match argument.value.as_bytes() {
        b"auto" => Ok(None),
        b"binary" => Ok(Some(Protocol::Binary)),
        b"ascii" => Ok(Some(Protocol::Ascii)),
        _ => Err(Failure::new(
            USAGE,
            format!(
                "Invalid value for binding protocol: {} (-B)\n \
                 -- should be one of auto, binary, or ascii\n",
                argument.value.to_string_lossy()
            ),
        )),
    }
}

fn port(argument: &Argument<'_>) -> Result<ServerPort, Failure> {
    Ok(match argument.number(-1..=65535)? {
        0 => ServerPort::Off,
        number => u16::try_from(number).map_or(ServerPort::Ephemeral, ServerPort::Fixed),
    })
}

/// A number that its range has already limited to what fits.
fn unsigned(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn unsigned64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::GENERAL;
    use std::ffi::OsStr;

    fn set(letter: char, value: &str) -> Result<Options, Failure> {
        let mut options = Options::default();
        match by_letter(letter).expect("known flag").action {
            Action::Value(_, set) => {
                set(&mut options, &Argument { flag: &format!("-{letter}"), value: OsStr::new(value) })?;
            }
            _ => panic!("-{letter} has no argument"),
        }
        Ok(options)
    }

    #[test]
    fn letters_are_those_of_the_c_program_and_one_more() {
        let mut letters: Vec<char> = FLAGS.iter().filter_map(Flag::short).collect();
        letters.sort_unstable();
        let mut expected: Vec<char> = "apsUmMckhirvdluPfntDLRCbzZBYOXV".chars().collect();
        expected.sort_unstable();
        assert_eq!(letters, expected);
    }

    #[test]
    fn stated_defaults_are_the_real_ones() {
        let defaults = Options::default();
        for flag in FLAGS {
            // Setting a numeric flag to its stated default must change nothing.
            let value = flag.default.trim_end_matches(" MB");
            if !value.is_empty() && !matches!(flag.letter, 'l' | 'D') {
                assert_eq!(set(flag.letter, value).as_ref(), Ok(&defaults), "-{}", flag.letter);
            }
        }
    }

    #[test]
    fn messages_of_the_c_program() {
        for (letter, value, message) in [
            ('R', "0", "Number of requests per event must be greater than 0 (-R)\n"),
            ('R', "-1", "Number of requests per event must be greater than 0 (-R)\n"),
            ('t', "0", "Number of threads must be greater than 0 (-t)\n"),
            ('f', "1.0", "Factor must be greater than 1 (-f)\n"),
            ('n', "0", "Chunk size must be greater than 0 (-n)\n"),
            ('D', "", "No delimiter specified (-D)\n"),
        ] {
            assert_eq!(set(letter, value), Err(Failure::new(GENERAL, message)));
        }
    }

    #[test]
    fn ports() {
        assert_eq!(set('p', "0").unwrap().tcp_port, Some(ServerPort::Off));
        assert_eq!(set('U', "-1").unwrap().udp_port, Some(ServerPort::Ephemeral));
        assert_eq!(set('p', "65535").unwrap().tcp_port, Some(ServerPort::Fixed(65535)));
        for bad in ["65536", "99999", "-2", "abc", ""] {
            assert_eq!(set('p', bad).unwrap_err().code, USAGE);
        }
    }

    #[test]
    fn log_file_words_for_standard_error() {
        assert_eq!(set('O', "").unwrap().log_file, None);
        assert_eq!(set('O', "stderr").unwrap().log_file, None);
        assert_eq!(set('O', "x.log").unwrap().log_file, Some("x.log".into()));
    }

    #[test]
    fn largest_memory_does_not_overflow() {
        assert_eq!(set('m', "17592186044415").unwrap().memory, 0xffff_ffff_fff0_0000);
        assert_eq!(set('m', "17592186044416").unwrap_err().code, USAGE);
        assert_eq!(set('m', "-1").unwrap_err().code, USAGE);
    }

    #[test]
    fn socket_path_must_fit() {
        assert!(set('s', &"x".repeat(SOCKET_PATH_MAX)).is_ok());
        assert_eq!(set('s', &"x".repeat(SOCKET_PATH_MAX + 1)).unwrap_err().code, USAGE);
        assert_eq!(set('s', "").unwrap_err().code, USAGE);
    }

    #[test]
    fn only_the_first_letter_of_the_watch_counts() {
        assert!(set('Y', "y").unwrap().watch_stdin);
        assert!(set('Y', "yes").unwrap().watch_stdin);
        for no in ["n", "Y", ""] {
            assert!(!set('Y', no).unwrap().watch_stdin);
        }
    }
}
