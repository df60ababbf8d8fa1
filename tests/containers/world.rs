//! A command line of an example, brought to this machine: names and ports become servers that are started here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use moxi_test_support::manager::{Exchange, Manager};
use moxi_test_support::{Memcached, SocketMemcached, Wire};
use tempfile::TempDir;

use crate::gate;
use crate::launch::{Running, connect, finish, free_port, moxi, text, wait_for};

/// The port of cluster managers in examples.
const MANAGER: &str = "8091";

/// What stands on this machine for what the examples name.
pub struct World {
    folder: TempDir,
    /// Shipped files, by their paths in the examples.
    files: BTreeMap<String, String>,
    /// Arguments of memcached servers.
    arguments: Vec<String>,
    servers: BTreeMap<String, Memcached>,
    sockets: BTreeMap<PathBuf, SocketMemcached>,
    managers: BTreeMap<String, Manager>,
    ports: BTreeMap<String, u16>,
    /// The socket of `-s`.
    own: Option<PathBuf>,
}

impl World {
    /// A world in which these files are, and memcached servers have these arguments.
    pub fn new(files: BTreeMap<String, String>, arguments: &[String]) -> World {
        World {
            folder: tempfile::tempdir().unwrap(),
            files,
            arguments: arguments.to_vec(),
            servers: BTreeMap::new(),
            sockets: BTreeMap::new(),
            managers: BTreeMap::new(),
            ports: BTreeMap::new(),
            own: None,
        }
    }

    /// Runs moxi with these words and uses it; then asks for its health by each of these commands, and stops it. Nothing
    /// may be complained about.
    pub fn try_out(&mut self, words: &[String], checks: &[Vec<String>]) {
        if let Some(at) = words.iter().position(|word| word == "-s") {
            self.own = Some(self.path(&words[at + 1]));
        }
        let words: Vec<String> = words.iter().map(|word| self.here(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let running = Running::start(&mut moxi(&words));
        let _streams: Vec<Exchange> = self.managers.values().take(1).map(|manager| self.tell(manager)).collect();
        match self.own.clone() {
            Some(path) => {
                wait_for("the socket", || UnixStream::connect(&path).is_ok());
                exercise(&mut Wire::connect_unix("client", &path));
            }
            None => {
                assert!(!self.ports.is_empty(), "{words:?}: there is a port");
                for port in self.ports.values() {
                    drop(connect(*port));
                    exercise(&mut Wire::connect("client", *port));
                }
            }
        }
        for check in checks {
            assert_eq!(check.first().map(String::as_str), Some("/usr/bin/moxi"), "where the image has it");
            let check: Vec<String> = check.iter().skip(1).map(|word| self.here(word)).collect();
            let check: Vec<&str> = check.iter().map(String::as_str).collect();
            let finished = finish(&mut moxi(&check));
            assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{check:?}");
        }
        self.everyone_has_something();
        running.wait_started();
        running.signal("TERM");
        let finished = running.finish();
        assert_eq!((finished.code, finished.complaints().as_str()), (Some(0), ""), "{words:?}");
    }

    /// The hosts that have been named.
    pub fn hosts(&self) -> Vec<&str> {
        self.servers.keys().filter_map(|name| name.split(':').next()).collect()
    }

    /// Begins the stream of a bucket with two servers.
    fn tell(&self, manager: &Manager) -> Exchange {
        let nodes: Vec<String> = (self.servers.values())
            .map(|server| {
                format!(r#"{{"hostname":"127.0.0.1:8091","ports":{{"direct":{}}}}}"#, gate::open(server.port()))
            })
            .collect();
        let mut stream = manager.stream();
        stream.document(&format!(r#"{{"name":"default","nodeLocator":"ketama","nodes":[{}]}}"#, nodes.join(",")));
        stream
    }

    /// The path of this machine that stands for one of the examples. A shipped file is written there.
    fn path(&mut self, path: &str) -> PathBuf {
        let here = self.folder.path().join(path.trim_start_matches('/').replace('/', "-"));
        if let Some(content) = self.files.get(path).cloned() {
            let content: String = content.split_inclusive('\n').map(|line| self.line(line)).collect();
            fs::write(&here, content).unwrap();
        }
        here
    }

    fn line(&mut self, line: &str) -> String {
        if line.trim_start().starts_with('#') { line.to_owned() } else { self.here(line) }
    }

    /// The text with everything replaced that is not of this machine.
    fn here(&mut self, text: &str) -> String {
        let is_word = |character: char| character.is_ascii_alphanumeric() || "._-:/[]".contains(character);
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(is_word) {
            out.push_str(&rest[..start]);
            let word = &rest[start..];
            let (word, after) = word.split_at(word.find(|character| !is_word(character)).unwrap_or(word.len()));
            out.push_str(&self.word(word, &out, after));
            rest = after;
        }
        out + rest
    }

    fn word(&mut self, word: &str, before: &str, after: &str) -> String {
        if let Some(url) = word.strip_prefix("http://") {
            let (authority, path) = url.split_once('/').unwrap();
            return format!("http://{}/{path}", self.server(authority));
        }
        if word.starts_with('/') {
            let path = self.path(word);
            if word.ends_with(".sock") && self.own.as_ref() != Some(&path) {
                self.sockets.entry(path.clone()).or_insert_with(|| SocketMemcached::start(&path));
            }
            return text(&path).to_owned();
        }
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && (after.trim_start().starts_with('=') || before.ends_with("port_listen=")) {
            return self.port(word).to_string();
        }
        match word.split_once(':') {
            Some(("127.0.0.1", port)) => format!("127.0.0.1:{}", self.port(port)),
            Some((_, rest)) if rest.starts_with(|first: char| first.is_ascii_digit()) => self.server(word),
            _ => word.to_owned(),
        }
    }

    /// A port that moxi listens on.
    fn port(&mut self, number: &str) -> u16 {
        *self.ports.entry(number.to_owned()).or_insert_with(free_port)
    }

    /// `HOST:PORT` or `HOST:PORT:WEIGHT` of a server that is started here.
    fn server(&mut self, text: &str) -> String {
        let mut parts = text.splitn(3, ':');
        let (host, port) = (parts.next().unwrap(), parts.next().unwrap());
        let name = format!("{host}:{port}");
        if port == MANAGER {
            if self.managers.is_empty() {
                // The servers of its bucket.
                self.server("node1:11210");
                self.server("node2:11210");
            }
            return self.managers.entry(name).or_default().authority();
        }
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let server = self.servers.entry(name).or_insert_with(|| Memcached::start(&arguments));
        let weight = parts.next().map(|weight| format!(":{weight}")).unwrap_or_default();
        format!("127.0.0.1:{}{weight}", server.port())
    }

    fn everyone_has_something(&self) {
        let direct = self.servers.values().map(Memcached::client);
        let sockets = self.sockets.keys().map(|path| Wire::connect_unix("direct", path));
        let mut count = 0;
        for mut server in direct.chain(sockets) {
            server.send("stats\r\n");
            let mut items = 0;
            loop {
                let line = String::from_utf8(server.line()).unwrap();
                if let Some(number) = line.strip_prefix("STAT curr_items ") {
                    items = number.trim_end().parse().unwrap();
                }
                if line.trim_end() == "END" {
                    break;
                }
            }
            assert!(items > 0, "a server is not used");
            count += 1;
        }
        assert!(count > 1, "several servers");
    }
}

/// Keys enough for every server to have some.
fn exercise(client: &mut Wire) {
    for number in 0..100 {
        client.send(format!("set key-{number} 5 0 3\r\nabc\r\n"));
        client.expect("STORED\r\n");
        client.send(format!("get key-{number}\r\n"));
        client.expect(format!("VALUE key-{number} 5 3\r\nabc\r\nEND\r\n"));
    }
}
