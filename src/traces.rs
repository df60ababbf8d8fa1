//! The files that a running moxi leaves for others to find: they go when it ends (01 §12).

use crate::daemon::PidFile;
use crate::net::listener::SocketFile;

/// The files. They are removed when this is dropped, if they are this process's.
#[derive(Debug, Default)]
pub struct Traces {
    /// The pid file.
    pub pid: Option<PidFile>,
    /// That of the unix socket.
    pub socket: Option<SocketFile>,
    /// Another process uses them, not yet or no more this one.
    pub are_others: bool,
}

impl Drop for Traces {
    fn drop(&mut self) {
        if self.are_others {
            return;
        }
        if let Some(file) = self.pid.take() {
            file.remove();
        }
        if let Some(file) = self.socket.take() {
            file.remove();
        }
    }
}
