//! The lines that tell of a run in any log: what has started, and why it has stopped.

use std::path::Path;

use crate::builtin::Sockets;
use crate::cli::{Options, VERSION};
use crate::config::{Loaded, Section, changes, url};

/// The line of a start: the version, where clients connect and where their requests go, the workers.
pub fn started(options: &Options, loaded: &Loaded, sockets: Option<&Sockets>) -> String {
    let mut parts = Vec::new();
    match &options.socket {
        // One socket leads to one section, the last one (01 §5).
        Some(path) => parts.extend(loaded.sections.last().map(|section| proxy(&on(path), section, options, loaded))),
        None => parts.extend(loaded.sections.iter().map(|section| {
            let place = place(options, "port", section.port);
            proxy(&place, section, options, loaded)
        })),
    }
    for agent in &loaded.agents {
        let urls: Vec<String> = agent.urls.iter().map(|text| url::shown(text)).collect();
        let port = loaded.config.dynamic.as_ref().map_or(0, |dynamic| dynamic.port);
        let place = options.socket.as_deref().map_or_else(|| place(options, "port", port), on);
        parts.push(format!("{place} for the buckets of {}", urls.join("|")));
    }
    parts.extend(sockets.and_then(|sockets| server(options, sockets)));
    parts.extend(loaded.behavior.metrics.address().map(|address| format!("metrics on {address}")));
    parts.push(match options.threads {
        1 => "1 worker".to_owned(),
        count => format!("{count} workers"),
    });
    format!("moxi {VERSION} started: {}", parts.join("; "))
}

/// The line of a stop.
pub fn stopped(reason: &str) -> String {
    format!("moxi {VERSION} stopped: {reason}")
}

fn proxy(place: &str, section: &Section, options: &Options, loaded: &Loaded) -> String {
    if options.mcmux {
        return format!("{place} for clients that name their server");
    }
    let list = loaded.config.buckets.get(section.bucket).map_or(&[][..], |bucket| &bucket.servers);
    format!("{place} to {}", changes::servers(list.iter().map(AsRef::as_ref)))
}

/// The built-in server's places.
fn server(options: &Options, sockets: &Sockets) -> Option<String> {
    let tcp = sockets.listeners.iter().filter_map(|listener| listener.address());
    let udp = sockets.udp.iter().filter_map(|socket| socket.local_addr().ok());
    let mut places: Vec<String> = tcp.map(|address| place(options, "port", address.port())).collect();
    places.extend(udp.map(|address| place(options, "UDP port", address.port())));
    // IPv4 and IPv6 have a socket each.
    places.dedup();
    if let (true, Some(path)) = (places.is_empty(), &options.socket) {
        places.push(on(path));
    }
    (!places.is_empty()).then(|| format!("memcached server on {}", places.join(", ")))
}

fn place(options: &Options, kind: &str, port: u16) -> String {
    match &options.listen {
        Some(host) => format!("{kind} {port} of {host}"),
        None => format!("{kind} {port}"),
    }
}

fn on(path: &Path) -> String {
    format!("socket {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{load, mcmux};
    use crate::net::inherited::Inherited;
    use crate::net::listener::{self, Door};
    use crate::upgrade::Role;

    fn line(options: &Options, z: &str, sockets: Option<&Sockets>) -> String {
        let loaded = load(z, None, &|_| None).unwrap();
        let line = started(options, &loaded, sockets);
        line.strip_prefix(&format!("moxi {VERSION} started: ")).expect(z).to_owned()
    }

    #[test]
    fn what_has_started() {
        let all = Options::default();
        let one = Options { listen: Some("localhost".into()), threads: 1, ..Options::default() };
        let socket = Options { socket: Some("/run/moxi.sock".into()), ..Options::default() };
        for (options, z, want) in [
            (&all, "1=a;2=b,c:5", "port 1 to a:11211; port 2 to b:11211, c:5; 4 workers"),
            (&one, "1=a", "port 1 of localhost to a:11211; 1 worker"),
            (&socket, "1=a;2=b", "socket /run/moxi.sock to b:11211; 4 workers"),
            (
                &all,
                "1=a,b,c,d,e,f,g,h,i,j",
                "port 1 to a:11211, b:11211, c:11211, d:11211, e:11211, f:11211, g:11211, h:11211, 2 more; 4 workers",
            ),
            (
                &all,
                "http://fred:sesame@a.example:8091/p,http://b.example/;url=http://c.example/",
                "port 11211 for the buckets of http://a.example:8091/p|http://b.example/; \
                 port 11211 for the buckets of http://c.example/; 4 workers",
            ),
            (&all, "", "4 workers"),
        ] {
            assert_eq!(line(options, z, None), want, "{z}");
        }
    }

    #[test]
    fn the_built_in_server() {
        let inherited = Inherited::default();
        let door = Door { role: Role::Memcached, backlog: 1, inherited: &inherited };
        let listeners = listener::tcp(None, 0, door).unwrap();
        let port = listeners[0].address().unwrap().port();
        let udp = listener::udp(Some("127.0.0.1"), 0, &inherited).unwrap();
        let datagrams = udp[0].local_addr().unwrap().port();
        let sockets = Sockets { listeners, udp, file: None };
        let want = format!("memcached server on port {port}, UDP port {datagrams}; 4 workers");
        assert_eq!(line(&Options::default(), "", Some(&sockets)), want);
        let socket = Options { socket: Some("s".into()), ..Options::default() };
        assert_eq!(line(&socket, "", Some(&Sockets::default())), "memcached server on socket s; 4 workers");
    }

    #[test]
    fn servers_that_clients_name() {
        let options = Options { mcmux: true, ..Options::default() };
        let loaded = mcmux::load_mcmux(11_311, None, &|_| None).unwrap();
        assert_eq!(Arc::strong_count(&loaded.config), 1);
        let line = started(&options, &loaded, None);
        assert_eq!(line, format!("moxi {VERSION} started: port 11311 for clients that name their server; 4 workers"));
    }
}
