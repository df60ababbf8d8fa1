//! The new process, for the old one.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::channel::Channel;
use super::{Message, Program};
use crate::failure::reason;

/// How long a process that has closed the channel has time to end by itself: its exit code is to be told.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often it is asked for.
const LOOK: Duration = Duration::from_millis(5);

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is new.
    Waiting,
    /// It can serve.
    Ready,
    /// It cannot, for this reason. It has ended.
    Failed(String),
}

/// A process that was started to take the place of this one.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    channel: Channel,
    /// What did not go through the channel yet.
    outbox: VecDeque<(Message, Option<OwnedFd>)>,
    /// Until when it must be ready; `None`: any time.
    until: Option<Instant>,
    /// How long that was.
    patience: Duration,
    /// It has closed the channel.
    has_hung_up: bool,
    takes_clients: bool,
}

impl Successor {
    /// Starts `program`, which gets what is on the list. It must be ready within `patience`; none is for ever.
    ///
    /// # Errors
    /// When the system cannot start it.
    pub fn start(program: &Program, legacy: Vec<(Message, OwnedFd)>, patience: Duration) -> io::Result<Successor> {
        let (channel, other) = Channel::pair()?;
        channel.set_nonblocking(true)?;
        let child = program.start(other.into_descriptor())?;
        let mut outbox: VecDeque<_> = legacy.into_iter().map(|(message, it)| (message, Some(it))).collect();
        outbox.push_back((Message::End, None));
        let until = Instant::now().checked_add(patience).filter(|_| !patience.is_zero());
        Ok(Successor { child, channel, outbox, until, patience, has_hung_up: false, takes_clients: false })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What is to be watched.
    pub fn descriptor(&self) -> RawFd {
        self.channel.as_fd().as_raw_fd()
    }

    /// How long [`Successor::progress`] may be left alone without an event.
    pub fn patience(&self) -> Option<Duration> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        if self.has_hung_up { Some(left.unwrap_or(LOOK).min(LOOK)) } else { left }
    }

    /// Sends on what is to be sent, and looks what it says.
    pub fn progress(&mut self) -> Progress {
        if !self.has_hung_up {
            self.flush();
            match self.channel.receive() {
                Ok((Message::Ready { takes_clients }, _)) => {
                    self.takes_clients = takes_clients;
                    return Progress::Ready;
                }
                // Nothing else means anything now.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.has_hung_up = true,
            }
            if self.has_hung_up {
                self.until = [self.until, Instant::now().checked_add(FAREWELL)].into_iter().flatten().min();
            }
        }
        if self.has_hung_up
            && let Ok(Some(status)) = self.child.try_wait()
        {
            return Progress::Failed(format!("it has ended ({status})"));
        }
        if self.until.is_some_and(|until| until <= Instant::now()) {
            let why = match self.has_hung_up {
                true => "it has closed its standard input: it is no moxi, or an old one".to_owned(),
                false => format!("it was not ready within {} ms", self.patience.as_millis()),
            };
            self.end();
            return Progress::Failed(why);
        }
        Progress::Waiting
    }

    /// Ends it, at once: nobody knows of it yet.
    pub fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it takes over clients, too. Known when it is ready.
    pub fn takes_clients(&self) -> bool {
        self.takes_clients
    }

    /// Tells it something. `false`: it has gone.
    pub fn tell(&mut self, message: Message) -> bool {
        self.outbox.push_back((message, None));
        self.flush()
    }

    /// Tells it something with a descriptor, if that is possible now.
    ///
    /// # Errors
    /// When it has gone.
    pub fn offer(&mut self, message: &Message, descriptor: &OwnedFd) -> io::Result<bool> {
        Ok(self.outbox.is_empty() && self.send(message, Some(descriptor))?)
    }

    fn send(&self, message: &Message, descriptor: Option<&OwnedFd>) -> io::Result<bool> {
        match self.channel.send(message, descriptor.map(OwnedFd::as_fd)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            // Too many descriptors are under way, of all processes of this user: it takes them soon.
            Err(error) if error.raw_os_error() == Some(Errno::ETOOMANYREFS as i32) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends on what is to be sent. `false`: it has gone.
    pub fn flush(&mut self) -> bool {
        while let Some((message, descriptor)) = self.outbox.front() {
            match self.send(message, descriptor.as_ref()) {
                Ok(true) => drop(self.outbox.pop_front()),
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// Why it could not be started, for people.
    pub fn refusal(program: &Program, error: &io::Error) -> String {
        format!("{} cannot be started: {}", program.path().display(), reason(error))
    }
}
