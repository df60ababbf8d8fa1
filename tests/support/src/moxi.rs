//! The binary under test.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::ports::Port;
use crate::process::Process;
use crate::wait::wait_for;
use crate::wire::Wire;

/// A running moxi; stopped with SIGINT when dropped. That it died before is a failure of the test.
#[derive(Debug)]
pub struct Moxi {
    process: Process,
    port: Port,
}

impl Moxi {
    /// The port of its proxy.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// A new client connection.
    pub fn client(&self) -> Wire {
        Wire::connect("client", self.port())
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Has it find in one turn what `send` sends: it is stopped meanwhile.
    pub fn at_once(&mut self, send: impl FnOnce()) {
        self.process.signal(Signal::SIGSTOP);
        send();
        self.process.signal(Signal::SIGCONT);
    }

    /// Lets its only worker take what has been sent to it before, by whomever: this request, on a connection of its own,
    /// is answered in the same turn or a later one.
    pub fn turn(&self) {
        let mut control = self.client();
        control.send("version\r\n");
        control.line();
    }

    /// The number behind `NAME` in `stats proxy`, of the only bucket or the first; a statistic that is missing fails the
    /// test.
    pub fn counter(&self, name: &str) -> u64 {
        let mut client = self.client();
        client.send("stats proxy\r\n");
        let mut found = None;
        loop {
            let line = String::from_utf8(client.line()).expect("text");
            if line == "END\r\n" {
                return found.unwrap_or_else(|| panic!("no {name}"));
            }
            if let Some((_, number)) = line.trim_end().split_once(&format!(":{name} ")) {
                found = found.or(Some(number.parse().expect("a number")));
            }
        }
    }

    /// Stops it now.
    pub fn stop(mut self) {
        self.process.stop(Signal::SIGINT);
    }
}

/// How to start a moxi.
#[derive(Clone, Debug)]
pub struct MoxiBuilder {
    binary: PathBuf,
    cluster: String,
    behavior: Vec<String>,
    threads: usize,
    arguments: Vec<OsString>,
    unix: Option<PathBuf>,
    mcmux: bool,
    manager: Option<String>,
    open_files: Option<u32>,
    before: Vec<OsString>,
}

impl MoxiBuilder {
    /// One worker, no servers yet. Use the macro [`crate::moxi!`].
    pub fn new(binary: impl Into<PathBuf>) -> MoxiBuilder {
        MoxiBuilder {
            binary: binary.into(),
            cluster: String::new(),
            behavior: Vec::new(),
            threads: 1,
            arguments: Vec::new(),
            unix: None,
            mcmux: false,
            manager: None,
            open_files: None,
            before: Vec::new(),
        }
    }

    /// A static server list (ketama unless `mcs_opts` says otherwise).
    pub fn servers(mut self, ports: impl IntoIterator<Item = u16>) -> MoxiBuilder {
        self.cluster = ports.into_iter().map(address).collect::<Vec<_>>().join(",");
        self
    }

    /// A static vbucket map with one row for each of `masters`, an index into `ports` or -1.
    pub fn vbuckets(mut self, ports: impl IntoIterator<Item = u16>, masters: &[i32]) -> MoxiBuilder {
        let list: Vec<_> = ports.into_iter().map(|port| format!("\"{}\"", address(port))).collect();
        let map: Vec<_> = masters.iter().map(|master| format!("[{master}]")).collect();
        self.cluster = format!(
            "{{\"hashAlgorithm\":\"CRC\",\"numReplicas\":0,\"serverList\":[{}],\"vBucketMap\":[{}]}}",
            list.join(","),
            map.join(",")
        );
        self
    }

    /// What stands behind `PORT=` in `-z`.
    pub fn cluster(mut self, body: impl Into<String>) -> MoxiBuilder {
        self.cluster = body.into();
        self
    }

    /// ASCII servers.
    pub fn ascii(self) -> MoxiBuilder {
        self.set("downstream_protocol=ascii")
    }

    /// Binary servers.
    pub fn binary(self) -> MoxiBuilder {
        self.set("downstream_protocol=binary")
    }

    /// Servers of this protocol, one of [`crate::PROTOCOLS`].
    pub fn speaking(self, protocol: &str) -> MoxiBuilder {
        self.set(format!("downstream_protocol={protocol}"))
    }

    /// Adds `key=value` to `-Z`.
    pub fn set(mut self, pair: impl Into<String>) -> MoxiBuilder {
        self.behavior.push(pair.into());
        self
    }

    /// The number of workers.
    pub fn threads(mut self, count: usize) -> MoxiBuilder {
        self.threads = count;
        self
    }

    /// Adds an argument.
    pub fn argument(mut self, argument: impl Into<OsString>) -> MoxiBuilder {
        self.arguments.push(argument.into());
        self
    }

    /// Clients come to a unix socket: wait for that one.
    pub fn unix(mut self, path: &Path) -> MoxiBuilder {
        self.unix = Some(path.to_path_buf());
        self.argument("-s").argument(path)
    }

    /// Clients name the server of each request (`-X`); there is no cluster.
    pub fn mcmux(mut self) -> MoxiBuilder {
        self.mcmux = true;
        self
    }

    /// Its buckets come from this URL of a cluster manager. It has started when a bucket can be connected to.
    pub fn managed(mut self, url: impl Into<String>) -> MoxiBuilder {
        self.manager = Some(url.into());
        self
    }

    /// What stands before the program on its command line, and runs it in its own place.
    pub fn before<S: Into<OsString>>(mut self, words: impl IntoIterator<Item = S>) -> MoxiBuilder {
        self.before = words.into_iter().map(Into::into).collect();
        self
    }

    /// It may have so many descriptors open, and does not try for more.
    pub fn open_files(mut self, count: u32) -> MoxiBuilder {
        self.open_files = Some(count);
        self
    }

    /// Starts it and waits until it accepts.
    pub fn start(self) -> Moxi {
        let port = Port::reserve();
        let mut command = match (self.open_files, self.before.split_first()) {
            (None, None) => Command::new(&self.binary),
            (None, Some((first, words))) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.binary);
                command
            }
            (Some(count), _) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {count} && exec \"$0\" \"$@\"")]).arg(&self.binary);
                shell
            }
        };
        let number = port.number().to_string();
        let mut behavior = self.behavior.clone();
        match (self.mcmux, &self.unix, &self.manager) {
            (true, None, _) => command.args(["-X", "-p", &number]),
            (true, Some(_), _) => command.arg("-X"),
            (false, _, None) => command.arg("-z").arg(format!("{number}={}", self.cluster)).args(["-p", "0"]),
            (false, _, Some(url)) => {
                behavior.push(format!("port_listen={number}"));
                for name in ["http_proxy", "all_proxy", "ALL_PROXY"] {
                    command.env_remove(name);
                }
                command.arg("-z").arg(format!("url={url}")).args(["-p", "0"])
            }
        };
        if self.open_files.is_some() {
            // Else the limit would be raised.
            command.args(["-c", "0"]);
        }
        command.args(["-U", "0", "-t", &self.threads.to_string()]).args(&self.arguments);
        if !behavior.is_empty() {
            command.arg("-Z").arg(behavior.join(","));
        }
        let mut process = Process::start("moxi", &mut command);
        wait_until(&mut process, || match &self.unix {
            Some(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
            None => Wire::try_connect("probe", port.number()).is_ok(),
        });
        Moxi { process, port }
    }
}

/// Waits until `ready` holds, or fails the test when `process` ends before or the time limit has passed.
pub fn wait_until(process: &mut Process, ready: impl Fn() -> bool) {
    wait_for("connections to be accepted", || {
        // Its end is reported with its messages when it is dropped.
        assert!(process.ended().is_none(), "it ended while starting");
        ready()
    });
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
