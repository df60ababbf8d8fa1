//! moxi in front of the cluster, its manager, and the load on it.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use moxi_test_support::load::{self, Plan, Report};
use moxi_test_support::{Manager, Wire};

use super::cluster::{Body, Cluster};
use super::launch::{Running, free_port, wait_for};
use super::server;

/// Workers of moxi.
pub const WORKERS: usize = 2;

/// A busy machine is no error here.
const PATIENT: &str = "connect_timeout=0,downstream_timeout=0,downstream_conn_queue_timeout=0,wait_queue_timeout=0";

/// The parts of a scenario.
pub struct Bench {
    pub cluster: Arc<Cluster>,
    moxi: Option<Running>,
    port: u16,
    news: Arc<News>,
    /// A client of each worker.
    watchers: Mutex<Vec<Wire>>,
}

/// What the cluster manager has to say.
#[derive(Default)]
struct News {
    document: Mutex<String>,
    /// Counts the documents.
    number: AtomicU64,
    is_over: AtomicBool,
}

impl Bench {
    /// Starts `servers` servers, of which the first `active` have all vbuckets and are in the first document.
    pub fn start(servers: usize, active: usize, body: Body) -> Bench {
        let listeners: Vec<_> = (0..servers).map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a port")).collect();
        let ports = listeners.iter().map(|listener| listener.local_addr().expect("bound").port()).collect();
        let cluster = Arc::new(Cluster::new(ports, active, body));
        for (number, listener) in listeners.into_iter().enumerate() {
            server::serve(listener, number, &cluster);
        }
        let news = Arc::new(News::default());
        let order: Vec<_> = (0..active).collect();
        news.publish(cluster.document(&order, None));
        let manager = Manager::new();
        let url = format!("url={}", manager.url("pools/default/bucketsStreaming/default"));
        thread::spawn({
            let news = Arc::clone(&news);
            move || manage(&manager, &news)
        });
        let port = free_port();
        let behavior = format!("port_listen={port},{PATIENT}");
        let workers = WORKERS.to_string();
        let moxi = Running::listening(port, &["-z", &url, "-Z", &behavior, "-p", "0", "-t", &workers]);
        let watchers = (0..WORKERS).map(|_| Wire::connect("watcher", port)).collect();
        Bench { cluster, moxi: Some(moxi), port, news, watchers: Mutex::new(watchers) }
    }

    /// The cluster manager has a new document.
    pub fn publish(&self, document: String) {
        self.news.publish(document);
    }

    /// The cluster manager has a new document, and all workers have it.
    pub fn publish_and_wait(&self, document: String) {
        let shown = format!("STAT {}::config {document}\r\n", self.port);
        self.publish(document);
        for watcher in self.watchers.lock().expect("no panics").iter_mut() {
            wait_for("the document to be in force", || {
                watcher.send("stats proxy config\r\n");
                let line = watcher.line();
                watcher.expect("END\r\n");
                line == shown.as_bytes()
            });
        }
    }

    /// moxi's process.
    pub fn process(&self) -> u32 {
        self.moxi.as_ref().expect("it runs").id()
    }

    /// How many documents there were.
    pub fn documents(&self) -> u64 {
        self.news.number.load(Ordering::SeqCst)
    }

    /// Repeats `step` until it says that it was the last one, under load all the time. The error is a reply that is not
    /// what it must be.
    pub fn under_load(&self, plan: Plan, mut step: impl FnMut() -> bool) -> Result<Report, String> {
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut total = Report::default();
                let mut seed = plan.seed;
                while !is_done.load(Ordering::SeqCst) {
                    total.add(load::run(self.port, Plan { seed, ..plan })?);
                    // The next clients expect that there is nothing.
                    self.cluster.clear();
                    seed += 1;
                }
                Ok(total)
            });
            while !load.is_finished() && step() {}
            is_done.store(true, Ordering::SeqCst);
            load.join().expect("the load")
        })
    }

    /// Ends moxi. What it has to say is shown if the test has failed.
    pub fn end(mut self, result: Result<Report, String>) -> Report {
        let moxi = self.moxi.take().expect("it runs");
        moxi.signal("TERM");
        let finished = moxi.finish();
        let report = result.unwrap_or_else(|error| panic!("{error}\nmoxi: {}", finished.stderr));
        assert_eq!((finished.code, finished.complaints().as_str()), (Some(0), ""));
        report
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.news.is_over.store(true, Ordering::SeqCst);
    }
}

impl News {
    fn publish(&self, document: String) {
        *self.document.lock().expect("no panics") = document;
        self.number.fetch_add(1, Ordering::SeqCst);
    }

    fn latest(&self) -> (u64, String) {
        // The number first: a document that comes in between is sent twice rather than never.
        let number = self.number.load(Ordering::SeqCst);
        (number, self.document.lock().expect("no panics").clone())
    }
}

/// Streams the newest document to moxi, which may ask again at any time.
fn manage(manager: &Manager, news: &News) {
    let mut stream = None;
    let mut sent = 0;
    while !news.is_over.load(Ordering::SeqCst) {
        if let Some(mut exchange) = manager.try_accept(Duration::from_millis(2)) {
            exchange.begin_stream();
            (stream, sent) = (Some(exchange), 0);
        }
        let (number, document) = news.latest();
        if let Some(stream) = stream.as_mut().filter(|_| sent < number) {
            stream.document(&document);
            sent = number;
        }
    }
}
