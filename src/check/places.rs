//! What a start needs of this machine: ports, socket, user, limits, files (01 §5, §13).

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use crate::builtin;
use crate::cli::{Options, ServerPort};
use crate::config::Loaded;
use crate::config::address::Address;
use crate::config::snapshot::Config;
use crate::daemon;
use crate::failure::reason;
use crate::net::descriptors::{self, Budget, Need};
use crate::net::inherited::Inherited;
use crate::net::listener::{self, Origin};

/// Looks whether all of it is there. Without `loaded` nothing is known of the proxy's ports.
pub(super) fn look(options: &Options, loaded: Option<&Loaded>, problems: &mut Vec<String>) {
    let failures = [
        options.user.as_deref().and_then(|name| daemon::user(name).err()),
        // The limits are this process's own, which ends with the check.
        daemon::raise_open_files(u64::from(options.connections)).err(),
        options.core_files.then(daemon::allow_core_files).and_then(Result::err),
    ];
    problems.extend(failures.into_iter().flatten().map(|failure| failure.to_string()));
    match &options.socket {
        Some(path) => problems.extend(
            socket(path)
                .map_err(|why| {
                    let path = path.display();
                    format!("failed to listen on UNIX socket: {path}: {why}")
                })
                .err(),
        ),
        None => ports(options, loaded, problems),
    }
    if let Some(address) = loaded.and_then(|loaded| loaded.behavior.metrics.address()) {
        metrics(options, loaded, address, problems);
    }
    if let Some(path) = &options.log_file {
        problems.extend(file(path).err().map(|why| format!("cannot write the log {}: {why}", path.display())));
    }
    let slow_log = loaded.map(|loaded| Path::new(&loaded.behavior.slow_log_file));
    if let Some(path) = slow_log.filter(|path| !path.as_os_str().is_empty()) {
        problems.extend(file(path).err().map(|why| format!("cannot write the slow log {}: {why}", path.display())));
    }
    if let Some(path) = options.pid_file.as_ref().filter(|_| options.daemon) {
        let told = |why| format!("Could not open the pid file {} for writing: {why}", path.display());
        problems.extend(file(path).err().map(told));
    }
}

/// The TCP ports of the proxy, from the start or later, and what to change if one cannot be had.
fn wanted(options: &Options, loaded: Option<&Loaded>) -> Vec<(u16, &'static str)> {
    let own = match options.tcp_port.filter(|_| !options.mcmux) {
        Some(ServerPort::Fixed(port)) => Some((port, Origin::Flag.hint())),
        Some(ServerPort::Ephemeral) => Some((0, Origin::Flag.hint())),
        Some(ServerPort::Off) | None => None,
    };
    let origin = if options.mcmux { Origin::Flag } else { Origin::Section };
    let sections = loaded.into_iter().flat_map(|loaded| &loaded.sections);
    let sections = sections.map(|section| (section.port, origin.hint()));
    let cluster = loaded.and_then(|loaded| loaded.config.dynamic.as_ref());
    own.into_iter().chain(sections).chain(cluster.map(|it| (it.port, Origin::PortListen.hint()))).collect()
}

fn ports(options: &Options, loaded: Option<&Loaded>, problems: &mut Vec<String>) {
    let host = options.listen.as_deref();
    let wanted = wanted(options, loaded);
    let inherited = Inherited::take().and_then(|inherited| {
        let ports: Vec<u16> = wanted.iter().map(|(port, _)| *port).collect();
        inherited.check(&ports, None).map(|()| inherited)
    });
    let inherited = inherited.map_err(|failure| problems.push(failure.to_string())).unwrap_or_default();
    let mut seen = HashSet::new();
    for (port, hint) in wanted {
        if port != 0 && !seen.insert(port) {
            problems.push(format!("ERROR: port {port} is wanted twice. {hint}"));
        } else if inherited.for_port(port).is_ok_and(|listeners| listeners.is_empty())
            && let Err(why) = listener::is_free(host, port)
        {
            problems.push(format!("ERROR: could not listen on port {port}. {why}. {hint}"));
        }
    }
    let datagrams = match options.udp_port {
        Some(ServerPort::Fixed(port)) => port,
        Some(ServerPort::Ephemeral) => 0,
        Some(ServerPort::Off) | None => return,
    };
    if let Err(why) = listener::udp(host, datagrams, &inherited) {
        problems.push(format!("failed to listen on UDP port {datagrams}: {why}"));
    }
}

/// The port of `-Z metrics`.
fn metrics(options: &Options, loaded: Option<&Loaded>, address: &Address, problems: &mut Vec<String>) {
    let hint = Origin::Metrics.hint();
    let is_same_host = options.listen.as_ref().is_none_or(|host| *host == address.host);
    let is_taken = || wanted(options, loaded).iter().any(|(port, _)| *port == address.port);
    if options.socket.is_none() && is_same_host && is_taken() {
        problems.push(format!("ERROR: port {} is wanted twice. {hint}", address.port));
    } else if let Err(why) = listener::is_free(Some(&address.host), address.port) {
        problems.push(format!("ERROR: could not listen on {address}. {why}. {hint}"));
    }
}

/// Whether there are descriptors enough for servers and clients.
pub(super) fn descriptors(options: &Options, config: &Config, problems: &mut Vec<String>) {
    let clients = u64::from(options.connections);
    let workers = u64::from(options.threads);
    let connections = config.connections_most().map(|most| most.saturating_mul(workers));
    let has_memcached = builtin::is_wanted(options, !config.buckets.is_empty() || config.dynamic.is_some());
    let need = Need { connections, has_memcached };
    // What is open all the time is not known before it is: three for each thread and as many for each port.
    let used = 3 * (workers + 2 + config.buckets.len() as u64);
    descriptors::raise(clients, used, need);
    let budget = descriptors::limit().map(|limit| Budget::new(limit, used, need));
    problems.extend(budget.and_then(|budget| budget.warning()));
}

/// Whether the unix socket could be had. One that is there is replaced, other files are not.
fn socket(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err("Address already in use".to_owned()),
        Ok(_) => directory(path),
        Err(error) if error.kind() == ErrorKind::NotFound => directory(path),
        Err(error) => Err(reason(&error)),
    }
}

/// Whether a file could be written, or made. It is not opened: that could wait, or make it.
fn file(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err("Is a directory".to_owned()),
        Ok(_) => may(path, AccessFlags::W_OK),
        Err(error) if error.kind() == ErrorKind::NotFound => directory(path),
        Err(error) => Err(reason(&error)),
    }
}

/// Whether files can be made beside `path`.
fn directory(path: &Path) -> Result<(), String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    may(parent, AccessFlags::W_OK | AccessFlags::X_OK)
}

fn may(path: &Path, what: AccessFlags) -> Result<(), String> {
    access(path, what).map_err(|errno| errno.desc().to_owned())
}
