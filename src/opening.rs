//! What a start opens before the process gives up its privileges (01 §4, §5).

use std::path::Path;

use crate::builtin::{self, Sockets};
use crate::cli::Options;
use crate::config::Loaded;
use crate::failure::{Failure, GENERAL, reason};
use crate::log;
use crate::net::acceptor::Target;
use crate::net::listener::{self, Listener, Origin, Place, SocketFile};
use crate::net::scrapers;
use crate::net::worker::Service;

/// What is open.
#[derive(Debug, Default)]
pub struct Opened {
    /// For clients of the proxy.
    pub listeners: Listeners,
    /// For clients of the built-in server, if there is one.
    pub sockets: Option<Sockets>,
    /// For scrapers.
    pub metrics: Vec<Listener>,
    /// The file of the unix socket.
    pub file: Option<SocketFile>,
}

impl Opened {
    /// Opens everything that the options ask for.
    ///
    /// # Errors
    /// When something cannot be had.
    pub fn open(options: &Options, loaded: &Loaded, place: &Place) -> Result<Opened, Failure> {
        let mut opened = Opened::default();
        let has_proxy = !loaded.sections.is_empty() || !loaded.agents.is_empty() || options.mcmux;
        // First: whoever finds clients' ports open finds this one open, too.
        if let Some(address) = loaded.behavior.metrics.address() {
            opened.metrics = scrapers::bind(address, &place.inherited)?;
        }
        if builtin::is_wanted(options, has_proxy) {
            let mut sockets = builtin::bind(options, &place.inherited)?;
            opened.file = sockets.file.take();
            opened.sockets = Some(sockets);
        }
        if has_proxy {
            let (bound, file) = listen(options, loaded, place)?;
            (opened.listeners, opened.file) = (bound, file.or(opened.file));
        }
        place.inherited.check(&proxy_ports(options, loaded), options.socket.as_deref())?;
        if let (Some(sockets), Some(path)) = (&opened.sockets, std::env::var_os(builtin::PORT_FILE))
            && options.socket.is_none()
        {
            builtin::write_ports(sockets, Path::new(&path));
        }
        Ok(opened)
    }
}

/// The listeners, each with whose clients connect there.
pub type Listeners = Vec<(Listener, Target)>;

/// Binds everything that clients connect to from the start: a port per section, or the one of a cluster's buckets if
/// there is a null bucket already, or instead of all the one unix socket.
fn listen(options: &Options, loaded: &Loaded, place: &Place) -> Result<(Listeners, Option<SocketFile>), Failure> {
    if let Some(path) = &options.socket {
        return listen_unix(options, loaded, place, path);
    }
    let mut listeners = Vec::new();
    let origin = if options.mcmux { Origin::Flag } else { Origin::Section };
    let sections = loaded.sections.iter();
    let sections = sections.map(|section| (section.port, Target::Known(Service::Bucket(section.bucket)), origin));
    let cluster = loaded.config.dynamic.as_ref().filter(|_| !loaded.config.buckets.is_empty());
    let cluster = cluster.map(|cluster| (cluster.port, Target::Cluster, Origin::PortListen));
    for (port, target, origin) in sections.chain(cluster) {
        let bound = listener::proxy(place, port, origin)?;
        listeners.extend(bound.into_iter().map(|listener| (listener, target)));
    }
    Ok((listeners, None))
}

/// One socket cannot lead to several sections: clients reach the last one (01 §5).
fn listen_unix(
    options: &Options,
    loaded: &Loaded,
    place: &Place,
    path: &Path,
) -> Result<(Listeners, Option<SocketFile>), Failure> {
    let name = path.display();
    let (listener, file) = match place.inherited.for_path(path) {
        // Whoever has made its file removes it.
        Ok(Some(listener)) => (listener, None),
        Ok(None) => builtin::unix(options, path, &place.inherited).map(|(listener, file)| (listener, Some(file)))?,
        Err(error) => return Err(Failure::new(GENERAL, format!("ERROR: cannot listen: {}", reason(&error)))),
    };
    let section = loaded.sections.last();
    if let (Some(section), true) = (section, loaded.sections.len() > 1) {
        log!(0, "WARNING: clients of {name} reach the section of port {}, the last one", section.port);
    }
    log!(2, "moxi listening on {name} with 1 conns");
    let target = section.map_or(Target::Cluster, |section| Target::Known(Service::Bucket(section.bucket)));
    Ok((vec![(listener, target)], file))
}

/// The ports that clients of the proxy may come to, from the start or later. With a unix socket there are none.
fn proxy_ports(options: &Options, loaded: &Loaded) -> Vec<u16> {
    if options.socket.is_some() {
        return Vec::new();
    }
    let cluster = loaded.config.dynamic.as_ref().map(|cluster| cluster.port);
    loaded.sections.iter().map(|section| section.port).chain(cluster).collect()
}
