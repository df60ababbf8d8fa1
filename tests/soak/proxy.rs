//! moxi: its processes, its cluster manager, and its log.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use moxi_test_support::manager::Exchange;
use moxi_test_support::{Manager, Memcached, Wire, wait_for};

use super::figures::Use;
use super::launch::{self, Daemon};
use super::map::{MARKS, Map, SERVERS};
use super::plan::{CONNS, LIMIT, Plan, WORKERS};
use super::service::{self, Service};
use super::world::World;

/// A client that does not read is not read from when it has so much in store.
const OUTPUT_MOST: usize = 2 << 20;

/// moxi, and what is around it.
pub struct Proxy {
    service: Service,
    port: u16,
    /// How often its log was rotated.
    rotations: usize,
    /// How often another process has taken over.
    upgrades: usize,
    /// The process before, which may not have ended.
    old: Option<Daemon>,
    has_map: bool,
    news: Arc<News>,
    /// The servers, and where those are that are not there just now.
    pub servers: Vec<Option<Memcached>>,
}

/// What the cluster manager has to say.
#[derive(Default)]
struct News {
    /// How many documents there have been, and the newest.
    document: std::sync::Mutex<(usize, String)>,
    is_over: std::sync::atomic::AtomicBool,
}

impl Proxy {
    /// Starts servers, a cluster manager, and moxi with its first configuration.
    pub fn start(plan: &Plan, world: &World) -> Proxy {
        let servers = Memcached::several(SERVERS, &["-m", "256"]);
        let ports = std::array::from_fn(|server| servers[server].port());
        let (manager, news) = (Manager::new(), Arc::new(News::default()));
        let url = format!("url={}", manager.url("pools/default/saslBucketsStreaming"));
        thread::spawn({
            let news = Arc::clone(&news);
            move || manage(&manager, &news)
        });
        let directory = tempfile::tempdir().expect("a directory");
        let program = service::copy(directory.path());
        // A server that does not answer is not to use up a limit that all servers share: what is with others shows.
        let behavior = format!(
            "port_listen={},downstream_protocol={},downstream_conn_max={CONNS},upstream_output_max={OUTPUT_MOST},\
             wait_queue_timeout={LIMIT},downstream_conn_queue_timeout={LIMIT},connect_timeout={LIMIT},\
             downstream_timeout={LIMIT},downstream_max=0,connect_retry_interval=1000",
            world.port, plan.protocol
        );
        let workers = WORKERS.to_string();
        let template = launch::moxi(&["-p", "0", "-U", "0", "-t", &workers, "-Z", &behavior, "-z", &url]);
        let mut command = Command::new(program);
        command.args(template.get_args());
        for (name, value) in template.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        for name in ["http_proxy", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        let service = Service::start_as(directory, &mut command);
        let servers = servers.into_iter().map(Some).collect();
        let has_map = plan.has_map();
        let mut proxy =
            Proxy { service, port: world.port, rotations: 0, upgrades: 0, old: None, has_map, news, servers };
        world.process.store(proxy.service.current().id, Ordering::SeqCst);
        proxy.publish(Map::first(ports), world);
        wait_for("the port", || Wire::try_connect("probe", world.port).is_ok());
        proxy.confirm(world);
        proxy
    }

    /// The cluster manager has another document.
    pub fn publish(&mut self, map: Map, world: &World) {
        let document = map.document(self.has_map);
        // From now on requests may meet it.
        world.publish(map);
        let mut news = self.news.document.lock().expect("no panics");
        *news = (news.0 + 1, document);
    }

    /// Waits until all workers have the newest document.
    pub fn confirm(&self, world: &World) {
        let shown = format!("STAT {}:{}:config ", self.port, world.map().mark());
        // They get clients in turn.
        for _ in 0..2 * WORKERS {
            let mut watcher = Wire::connect("watcher", self.port);
            wait_for("the document to be in force", || {
                watcher.send("stats proxy config\r\n");
                let mut is_shown = false;
                loop {
                    let line = watcher.line();
                    if line == b"END\r\n" {
                        return is_shown;
                    }
                    is_shown |= line.starts_with(shown.as_bytes());
                }
            });
        }
        world.confirm();
    }

    /// Another process takes over.
    pub fn upgrade(&mut self, world: &World) {
        self.old = Some(self.service.upgrade());
        world.process.store(self.service.current().id, Ordering::SeqCst);
        self.upgrades += 1;
    }

    /// Waits until the one before has ended. It does not as long as it has clients that are never between two requests, such
    /// as those that wait for a server which does not answer.
    pub fn wait_upgraded(&mut self, world: &World) {
        if let Some(old) = self.old.take() {
            old.wait_gone();
            self.confirm(world);
        }
    }

    /// What the threads of the serving process do, for messages.
    pub fn threads(&self) -> String {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.service.current().id)).into_iter().flatten().flatten();
        let told = tasks.map(|task| {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let state = read("stat").rsplit_once(") ").map_or(String::new(), |(_, rest)| rest[..1].to_owned());
            format!("{} {state} {}", read("comm").trim(), read("wchan"))
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// What the serving process uses.
    pub fn used(&self) -> Use {
        Use::of(self.service.current().id)
    }

    /// How many descriptors it has without clients: those that have just left may be there for a moment.
    pub fn bare(&self) -> usize {
        let look = |_| {
            thread::sleep(Duration::from_millis(5));
            self.descriptors()
        };
        (0..20).map(look).min().unwrap_or_default()
    }

    /// Waits until it has so few descriptors, and gives how many it has.
    pub fn settled(&self, most: usize) -> usize {
        let limit = Instant::now() + moxi_test_support::LIMIT;
        while self.descriptors() > most && Instant::now() < limit {
            thread::sleep(Duration::from_millis(20));
        }
        self.descriptors()
    }

    /// How many descriptors it has.
    fn descriptors(&self) -> usize {
        self.used().descriptors
    }

    /// A new log, as those do who rotate logs.
    pub fn rotate(&mut self) {
        let log = self.service.path("log");
        fs::rename(&log, self.rotated(self.rotations)).expect("renamed");
        self.rotations += 1;
        self.service.current().signal("HUP");
        self.service.wait_to_log("Log Cycled");
    }

    fn rotated(&self, number: usize) -> PathBuf {
        self.service.path(&format!("log.{number}"))
    }

    /// Ends it: all its processes are gone, and no line of its logs is missing.
    pub fn end(mut self, world: &World) {
        let process = self.service.current().id;
        assert_eq!(children(process), Vec::<u32>::new(), "children that nobody has waited for");
        self.service.stop();
        assert_eq!(self.service.first_code(), Some(0));
        let log = self.service.path("log");
        let name = log.as_os_str().as_encoded_bytes();
        assert_eq!(processes_with(name), Vec::<u32>::new(), "processes of moxi that are left");
        let logs: Vec<PathBuf> = (0..self.rotations).map(|number| self.rotated(number)).chain([log]).collect();
        let logs: Vec<String> = logs.iter().map(|path| fs::read_to_string(path).expect("a log")).collect();
        self.check_ends(&logs);
        self.check_documents(&logs.concat(), world.maps());
    }

    /// Each log ends with a whole line, and says that there is another one.
    fn check_ends(&self, logs: &[String]) {
        for (number, log) in logs.iter().enumerate() {
            assert!(log.is_empty() || log.ends_with('\n'), "log {number} ends within a line");
            let is_last = number + 1 == logs.len();
            assert_eq!(log.matches("About to cycle log").count(), usize::from(!is_last), "log {number}:\n{log}");
            assert_eq!(log.matches("Log Cycled").count(), usize::from(number > 0), "log {number}:\n{log}");
        }
        let count = |words: &str| logs.iter().map(|log| log.matches(words).count()).sum::<usize>();
        assert_eq!((count(" started: "), count(" stopped: ")), (self.upgrades + 1, self.upgrades + 1));
        assert_eq!(count(" has taken over\n"), self.upgrades);
    }

    /// Each process has logged each document that it has got, once and in their order. They number themselves.
    fn check_documents(&self, log: &str, maps: usize) {
        let lines = log.lines().filter(|line| line.contains(") configuration from "));
        let number = |line: &str| {
            let mark = line.split("bucket mark-").skip(1).find(|rest| rest.split(' ').nth(1) == Some("added,"));
            mark.and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok()).expect("a number")
        };
        let numbers: Vec<usize> = lines.map(number).collect();
        let repeated = numbers.windows(2).filter(|pair| pair[0] == pair[1]).count();
        let mut distinct = numbers.clone();
        distinct.dedup();
        let expected: Vec<usize> = (0..maps).map(|map| map % MARKS).collect();
        assert_eq!(distinct, expected, "documents in the log");
        // What a new process gets first is what the one before had.
        assert_eq!(repeated, self.upgrades, "processes that have got documents");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.news.is_over.store(true, Ordering::SeqCst);
    }
}

/// The processes whose parent this is, dead ones as well.
fn children(process: u32) -> Vec<u32> {
    let parent = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok())
    };
    processes().into_iter().filter(|id| parent(id) == Some(process)).collect()
}

/// The processes that have this word on their command line.
fn processes_with(word: &[u8]) -> Vec<u32> {
    let has_it = |id: &u32| {
        let words = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|other| other == word)
    };
    processes().into_iter().filter(has_it).collect()
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("processes");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Streams the newest document to each process that asks.
fn manage(manager: &Manager, news: &News) {
    let mut streams: Vec<(Exchange, usize)> = Vec::new();
    while !news.is_over.load(Ordering::SeqCst) {
        if let Some(mut exchange) = manager.try_accept(Duration::from_millis(2)) {
            exchange.begin_stream();
            // Those of processes that have ended.
            streams.retain_mut(|(exchange, _)| !exchange.is_closed());
            streams.push((exchange, 0));
        }
        let (number, document) = news.document.lock().expect("no panics").clone();
        for (exchange, sent) in streams.iter_mut().filter(|(_, sent)| *sent < number) {
            exchange.document(&document);
            *sent = number;
        }
    }
}
