//! The old process, for the new one.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use super::channel::Channel;
use super::{Message, Role, VARIABLE};
use crate::failure::{Failure, GENERAL, reason};
use crate::log;

/// What it hands over at the beginning.
#[derive(Debug, Default)]
pub struct Estate {
    /// Listening sockets of the service manager, and their names.
    pub inherited: Vec<(Option<String>, OwnedFd)>,
    /// Other sockets.
    pub sockets: Vec<(Role, OwnedFd)>,
    /// The listener of `-s`, its path, and device and number of the file.
    pub path: Option<(PathBuf, (u64, u64), OwnedFd)>,
    /// The pid file, which may be in a directory that this process may not open it in.
    pub pid_file: Option<(PathBuf, File)>,
}

/// The process that this one was started by, to take its place.
#[derive(Debug)]
pub struct Predecessor {
    channel: Channel,
    id: u32,
}

impl Predecessor {
    /// The one that the environment names, and what it hands over. Standard input becomes `/dev/null`. `None`: this is a
    /// start like any other.
    ///
    /// # Errors
    /// When the other process ends, or cannot be understood.
    pub fn receive() -> Result<Option<(Predecessor, Estate)>, Failure> {
        let failed = |error: io::Error| {
            Failure::new(GENERAL, format!("ERROR: the process to be replaced hands nothing over: {}", reason(&error)))
        };
        let id = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
        let Some(id) = id else { return Ok(None) };
        let Some(channel) = Channel::from_descriptor(io::stdin().as_fd()).map_err(failed)? else { return Ok(None) };
        let nothing = File::open("/dev/null").map_err(failed)?;
        nix::unistd::dup2_stdin(nothing).map_err(|errno| failed(errno.into()))?;
        channel.set_nonblocking(false).map_err(failed)?;
        let mut estate = Estate::default();
        while let (message, Some(descriptor)) = channel.receive().map_err(failed)? {
            match message {
                Message::Inherited(name) => {
                    let name = Some(name).filter(|name| !name.is_empty());
                    estate.inherited.push((name, descriptor));
                }
                Message::Socket(role) => estate.sockets.push((role, descriptor)),
                Message::Path { identity, path } => estate.path = Some((path, identity, descriptor)),
                Message::PidFile(path) => estate.pid_file = Some((path, File::from(descriptor))),
                // They have no descriptors, and do not come now.
                Message::End | Message::Ready { .. } | Message::Reread | Message::Go | Message::Client(..) => break,
            }
        }
        channel.set_nonblocking(true).map_err(failed)?;
        Ok(Some((Predecessor { channel, id }, estate)))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What is to be watched.
    pub fn descriptor(&self) -> RawFd {
        self.channel.as_fd().as_raw_fd()
    }

    /// Says that this process can serve.
    pub fn ready(&self) {
        if let Err(error) = self.channel.send(&Message::Ready { takes_clients: true }, None) {
            // Then it has gone, which is noticed next.
            log!(1, "process {}, to be replaced: {}", self.id, reason(&error));
        }
    }

    /// What it says next; `None`: nothing for now.
    ///
    /// # Errors
    /// When it has gone, or nothing can be understood any more.
    pub fn hear(&self) -> io::Result<Option<(Message, Option<OwnedFd>)>> {
        match self.channel.receive() {
            Ok(said) => Ok(Some(said)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
