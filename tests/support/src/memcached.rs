//! Real memcached servers (the Debian package).

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::moxi::wait_until;
use crate::ports::Port;
use crate::process::Process;
use crate::wait::wait_for;
use crate::wire::Wire;

/// A running memcached on 127.0.0.1; stopped when dropped.
#[derive(Debug)]
pub struct Memcached {
    process: Process,
    port: Port,
}

impl Memcached {
    /// Starts one with further arguments and waits until it accepts.
    pub fn start(arguments: &[&str]) -> Memcached {
        Memcached::on(Port::reserve(), arguments)
    }

    fn on(port: Port, arguments: &[&str]) -> Memcached {
        let mut command = Command::new("memcached");
        command
            .args(["-l", "127.0.0.1", "-U", "0", "-t", "1", "-u", "root"])
            .args(["-p", &port.number().to_string()])
            .args(arguments);
        // Asked politely it takes a second to go.
        let mut process = Process::start("memcached", &mut command).end_with(Signal::SIGKILL);
        wait_until(&mut process, || Wire::try_connect("probe", port.number()).is_ok());
        Memcached { process, port }
    }

    /// Several of them.
    pub fn several(count: usize, arguments: &[&str]) -> Vec<Memcached> {
        (0..count).map(|_| Memcached::start(arguments)).collect()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// A direct connection to it.
    pub fn client(&self) -> Wire {
        Wire::connect("memcached", self.port())
    }

    /// Waits until it has this value for the key, or none. `what` is for the message.
    #[track_caller]
    pub fn wait_for_value(&self, key: &str, value: Option<&str>, what: &str) {
        let wanted = value.map_or_else(String::new, |value| format!("VALUE {key} 0 {}\r\n{value}\r\n", value.len()));
        let wanted = wanted + "END\r\n";
        let mut reader = self.client();
        let mut seen = String::new();
        wait_for(&format!("{what}: {key} to be {value:?}"), || {
            reader.send(format!("get {key}\r\n"));
            seen.clear();
            while !seen.ends_with("END\r\n") {
                seen.push_str(&String::from_utf8_lossy(&reader.line()));
            }
            seen == wanted
        });
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it; its port stays reserved.
    pub fn kill(mut self) -> Port {
        self.process.kill();
        self.port
    }

    /// Starts it again on the port it had.
    pub fn revive(port: Port, arguments: &[&str]) -> Memcached {
        Memcached::on(port, arguments)
    }
}

/// A running memcached on a unix socket; stopped when dropped.
#[derive(Debug)]
pub struct SocketMemcached {
    _process: Process,
}

impl SocketMemcached {
    /// Starts one and waits until it accepts.
    pub fn start(path: &Path) -> SocketMemcached {
        let mut command = Command::new("memcached");
        command.args(["-t", "1", "-u", "root", "-s"]).arg(path);
        let mut process = Process::start("memcached", &mut command).end_with(Signal::SIGKILL);
        wait_until(&mut process, || UnixStream::connect(path).is_ok());
        SocketMemcached { _process: process }
    }
}
