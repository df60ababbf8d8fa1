//! What clients and events share: the configurations, how servers are, and what was measured.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use super::figures::{Event, Sample, Table};
use super::map::{Bucket, Map, SERVERS, Servers};
use super::plan::{BUSY, Plan, WELL};

/// How a server is.
#[derive(Debug, Default)]
struct Health {
    /// Counts its processes.
    generation: AtomicU64,
    is_troubled: AtomicBool,
    /// When its last trouble was over, in milliseconds.
    well_since: AtomicU64,
}

/// What is shared.
#[derive(Debug)]
pub struct World {
    began: Instant,
    /// All configurations there have been.
    maps: RwLock<Vec<Arc<Map>>>,
    /// How many of them have been told.
    published: AtomicUsize,
    /// The newest one that all workers have.
    confirmed: AtomicUsize,
    servers: [Health; SERVERS],
    /// Requests per second; 0 as long as it is not known.
    pub rate: AtomicU64,
    /// The clients are to stop.
    pub is_over: AtomicBool,
    /// The process that serves.
    pub process: AtomicU32,
    /// Until when this machine was too busy, in milliseconds.
    busy: AtomicU64,
    /// How often it was.
    pub busy_times: AtomicU64,
    pub events: Mutex<Vec<Event>>,
    pub samples: Mutex<Vec<Sample>>,
    tables: Mutex<[Table; 2]>,
    pub port: u16,
}

/// The circumstances under which a request was sent.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The oldest configuration that it may meet.
    map: usize,
    at: Instant,
    /// Which process of each server it may meet, if none is killed.
    pub generations: [u64; SERVERS],
}

impl Moment {
    /// When that was.
    pub fn at(&self) -> Instant {
        self.at
    }
}

impl World {
    /// A world before its first configuration.
    pub fn new(plan: &Plan) -> World {
        let table = |name, head| Table::new(name, plan.is_long, head);
        let tables = [table("soak.csv", Sample::HEAD), table("soak-events.csv", "second,event,milliseconds")];
        World {
            began: Instant::now(),
            maps: RwLock::default(),
            published: AtomicUsize::new(0),
            confirmed: AtomicUsize::new(0),
            servers: Default::default(),
            rate: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            process: AtomicU32::new(0),
            busy: AtomicU64::new(0),
            busy_times: AtomicU64::new(0),
            events: Mutex::default(),
            samples: Mutex::default(),
            tables: Mutex::new(tables),
            port: super::launch::free_port(),
        }
    }

    /// Time since the beginning.
    pub fn time(&self) -> Duration {
        self.began.elapsed()
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_millis() as u64
    }

    /// What the cluster manager says now.
    pub fn map(&self) -> Arc<Map> {
        Arc::clone(self.maps.read().expect("no panics").last().expect("a configuration"))
    }

    /// How many configurations there have been.
    pub fn maps(&self) -> usize {
        self.published.load(Ordering::SeqCst)
    }

    /// The cluster manager says this from now on: requests may meet it.
    pub fn publish(&self, map: Map) {
        let mut maps = self.maps.write().expect("no panics");
        assert_eq!(map.number, maps.len());
        maps.push(Arc::new(map));
        self.published.store(maps.len(), Ordering::SeqCst);
    }

    /// All workers have the newest configuration: new requests meet no other.
    pub fn confirm(&self) {
        self.confirmed.store(self.maps() - 1, Ordering::SeqCst);
    }

    /// Now.
    pub fn moment(&self) -> Moment {
        Moment { map: self.confirmed.load(Ordering::SeqCst), at: Instant::now(), generations: self.generations() }
    }

    /// The servers' processes.
    pub fn generations(&self) -> [u64; SERVERS] {
        std::array::from_fn(|server| self.servers[server].generation.load(Ordering::SeqCst))
    }

    /// Whose the key has been since `moment`.
    pub fn owners(&self, bucket: Bucket, key: &[u8], moment: &Moment) -> Servers {
        let maps = self.maps.read().expect("no panics");
        maps[moment.map..].iter().fold(0, |owners, map| owners | 1 << map.owner(bucket, key))
    }

    /// One of these servers has had trouble since `moment`, or shortly before.
    pub fn had_trouble(&self, servers: Servers, moment: &Moment) -> bool {
        let sent = self.milliseconds(moment.at);
        self.servers.iter().enumerate().filter(|(server, _)| servers >> server & 1 == 1).any(|(_, health)| {
            let recovered = health.well_since.load(Ordering::SeqCst);
            health.is_troubled.load(Ordering::SeqCst) || recovered > 0 && recovered + WELL.as_millis() as u64 >= sent
        })
    }

    /// Trouble begins at a server; if it `dies`, all that it has stored is lost.
    pub fn begin_trouble(&self, server: usize, dies: bool) {
        let health = &self.servers[server];
        health.is_troubled.store(true, Ordering::SeqCst);
        if dies {
            health.generation.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// It is over.
    pub fn end_trouble(&self, server: usize) {
        let health = &self.servers[server];
        health.well_since.store(self.milliseconds(Instant::now()).max(1), Ordering::SeqCst);
        health.is_troubled.store(false, Ordering::SeqCst);
    }

    /// A thread has come to its turn so late. What has piled up meanwhile takes as long again.
    pub fn was_late(&self, late: Duration) {
        if late > BUSY {
            self.busy.fetch_max(self.milliseconds(Instant::now() + late), Ordering::SeqCst);
            self.busy_times.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whether that was so since `moment`, or shortly before.
    pub fn was_busy(&self, moment: &Moment) -> bool {
        let busy = self.busy.load(Ordering::SeqCst);
        busy > 0 && busy + WELL.as_millis() as u64 > self.milliseconds(moment.at)
    }

    /// Looks all the time whether the machine has time for a thread that needs nearly none.
    pub fn feel_pulse(&self) {
        let pause = Duration::from_millis(20);
        while !self.is_over.load(Ordering::SeqCst) {
            let before = Instant::now();
            std::thread::sleep(pause);
            self.was_late(before.elapsed() - pause);
        }
    }

    /// Notes an event that began at this time.
    pub fn note(&self, kind: &'static str, at: Duration) {
        let took = (self.time() - at).as_millis();
        self.tables.lock().expect("no panics")[1].add(&format!("{:.1},{kind},{took}", at.as_secs_f64()));
        self.events.lock().expect("no panics").push(Event { at, kind });
    }

    /// Notes what was measured.
    pub fn sample(&self, sample: Sample) {
        self.tables.lock().expect("no panics")[0].add(&sample.line());
        self.samples.lock().expect("no panics").push(sample);
    }
}
