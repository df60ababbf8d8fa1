//! Why a configuration is refused at start: the messages of 05 §2.8, with the place.

use std::fmt;

use super::document::DocumentError;
use super::files::Unreadable;
use super::server_list::ListError;
use super::url;

/// A configuration that cannot be used. The program logs the text and exits with status 1.
///
/// No text repeats more of the configuration than a server list's item, so no password is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A `-z` file cannot be read, is empty, or is not a plain file with UTF-8 text.
    UnreadableCluster(Unreadable),
    /// The same for a `-Z` file.
    UnreadableBehavior(Unreadable),
    /// The text stands in a file.
    InFile {
        /// As written.
        path: String,
        /// What is wrong with the text.
        error: Box<ConfigError>,
    },
    /// There is no `=` in a static configuration at all: it was probably meant to be the path of a file.
    NotAPath,
    /// `-Z` says `strict=1`, and something in the texts was not understood.
    Strict {
        /// Each has a line.
        complaints: Vec<String>,
    },
    /// A section of a static configuration has no `=`.
    MissingEquals {
        /// Which, from 1.
        section: usize,
    },
    /// What stands before the `=` is not a number above 0.
    MissingPort {
        /// Which section, from 1.
        section: usize,
    },
    /// The port is above 65535.
    PortRange {
        /// Which section, from 1.
        section: usize,
        /// The port as written.
        port: String,
    },
    /// Two sections have the same port.
    DuplicatePort {
        /// The port.
        port: u16,
        /// The first section that has it, from 1.
        first: usize,
        /// The second one.
        second: usize,
    },
    /// Nothing follows the `=`.
    EmptySection {
        /// Where.
        place: Place,
    },
    /// An item of a server list cannot be used.
    List {
        /// Where.
        place: Place,
        /// What.
        error: ListError,
    },
    /// A section's JSON document cannot be used.
    Document {
        /// Where.
        place: Place,
        /// What.
        error: DocumentError,
    },
    /// A configuration for the REST client has no URL.
    MissingUrl,
    /// No URL of an agent can be asked.
    BadUrl {
        /// The first of them, without credentials.
        url: String,
    },
    /// All URLs of an agent are `https://`, which this build cannot do.
    NoTls,
    /// A static configuration that is read again has become URLs, or a document without a port.
    NotStatic,
    /// `port_listen` is no port, but buckets that come over REST need one.
    PortListen {
        /// The value.
        port: i32,
    },
}

/// A section of a static configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, from 1.
    pub section: usize,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "section {}, port {}", self.section, self.port)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::UnreadableCluster(Unreadable { path, reason }) => {
                write!(f, "ERROR: could not read cfg file: {path} ({reason})")
            }
            ConfigError::UnreadableBehavior(Unreadable { path, reason }) => {
                write!(f, "ERROR: could not read behavior file: {path} ({reason})")
            }
            ConfigError::InFile { path, error } => write!(f, "{error} in {path}"),
            ConfigError::NotAPath => {
                f.write_str("bad moxi config, missing = (section 1); the path of a file begins with ./ or /")
            }
            ConfigError::Strict { complaints } => {
                complaints.iter().try_for_each(|complaint| writeln!(f, "{complaint}"))?;
                f.write_str("ERROR: strict=1 in -Z: what is not understood is not ignored")
            }
            ConfigError::MissingEquals { section } => {
                write!(f, "bad moxi config, missing = (section {section})")
            }
            ConfigError::MissingPort { section } => {
                write!(f, "missing proxy port (section {section})")
            }
            ConfigError::PortRange { section, port } => {
                write!(f, "bad moxi config, port {port} is above 65535 (section {section})")
            }
            ConfigError::DuplicatePort { port, first, second } => {
                write!(f, "bad moxi config, port {port} is used twice (sections {first} and {second})")
            }
            ConfigError::EmptySection { place } => {
                write!(f, "bad moxi config, no servers ({place})")
            }
            ConfigError::List { place, error } => write!(f, "bad moxi config, {error} ({place})"),
            ConfigError::Document { place, error } => {
                write!(f, "bad moxi config, {error} ({place}")?;
                if let DocumentError::NotJson { line, column } = error {
                    write!(f, ", line {line} column {column} of the document")?;
                }
                f.write_str(")")
            }
            ConfigError::MissingUrl => f.write_str("ERROR: missing -z configuration for url/host"),
            ConfigError::BadUrl { url } => write!(f, "ERROR: bad -z configuration, {}: {url}", url::FORM),
            ConfigError::NoTls => f.write_str("ERROR: https:// URLs need a build of moxi with TLS, which this is not"),
            ConfigError::NotStatic => f.write_str("bad moxi config, no PORT=SERVERS any more (URLs need a restart)"),
            ConfigError::PortListen { port } => {
                write!(f, "ERROR: bad port_listen in -Z: {port} is not a port from 1 to 65535")
            }
        }
    }
}

impl std::error::Error for ConfigError {}
