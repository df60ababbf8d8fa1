//! One attack: somebody else's requests are timed before it and while it lasts, and memory is watched.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use moxi_test_support::{Moxi, Wire, wait_for};

/// How much memory may be taken beside what an attack is allowed: what serving others costs, and fragments.
const SLACK: u64 = 24 << 20;

/// Others may wait twice as long as without the attack; below this no difference is measured on a machine that does
/// something else, too.
const NO_DIFFERENCE: Duration = Duration::from_millis(10);

/// Where it took so long before the attack, somebody else needs the processors, and nothing is judged.
const BUSY: Duration = Duration::from_millis(1);

/// One attack at a time: they would be measured with each other.
static TURN: Mutex<()> = Mutex::new(());

/// Whether the numbers are those for the figures.
pub fn is_full() -> bool {
    std::env::var("MOXI_ATTACKS").is_ok_and(|value| value == "full")
}

/// How many, by whether it is for the figures.
pub fn scale(short: usize, full: usize) -> usize {
    if is_full() { full } else { short }
}

/// What an attacker knows.
#[derive(Debug, Default)]
pub struct Signals {
    /// It is under way.
    begun: AtomicBool,
    /// It has to end.
    over: AtomicBool,
}

impl Signals {
    /// Tells that the attack is under way.
    pub fn begin(&self) {
        self.begun.store(true, Relaxed);
    }

    /// Whether it has to end.
    pub fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Waits until it has to end.
    pub fn hold(&self) {
        self.begin();
        while !self.is_over() {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Ends an attack, also when what is measured meanwhile fails.
struct End<'a>(&'a Signals);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Relaxed);
    }
}

/// One attack.
pub struct Attack {
    /// What it is, with its numbers.
    pub name: String,
    /// How much memory it may cost, in bytes.
    pub allowed: u64,
    /// Who is attacked.
    pub moxi: Moxi,
}

impl Attack {
    /// Lets `attacker` attack, and judges. It returns when it is told to.
    pub fn judge(mut self, attacker: impl FnOnce(&Signals) + Send) {
        let _turn = turn();
        let mut client = self.moxi.client();
        client.ask("set other 0 0 100\r\n".to_owned() + &"v".repeat(100) + "\r\n", "STORED\r\n");
        let span = if is_full() { Duration::from_secs(3) } else { Duration::from_millis(150) };
        let quiet = percentile(&mut client, span);
        let before = self.moxi.process().memory();
        let (process, signals) = (self.moxi.process().id(), Signals::default());
        let (under, peak) = thread::scope(|scope| {
            let end = End(&signals);
            let attack = scope.spawn(|| attacker(&signals));
            let watch = scope.spawn(|| most_memory(process, &signals));
            wait_for("the attack to be under way", || signals.begun.load(Relaxed) || attack.is_finished());
            let under = percentile(&mut client, span);
            drop(end);
            attack.join().expect("the attacker");
            (under, watch.join().expect("the watch"))
        });
        // It lives, and others are served.
        assert!(self.moxi.process().ended().is_none(), "it has ended");
        client.ask("delete other\r\n", "DELETED\r\n");
        let taken = peak.saturating_sub(before);
        self.tell(taken, quiet, under);
        assert!(taken <= self.allowed + SLACK, "{}: {taken} bytes, allowed are {}", self.name, self.allowed);
        let most = (2 * quiet).max(NO_DIFFERENCE);
        assert!(!is_full() || quiet > BUSY || under <= most, "{}: others wait {under:?}, before {quiet:?}", self.name);
    }

    fn tell(&self, taken: u64, quiet: Duration, under: Duration) {
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1_048_576.0);
        let micros = |time: Duration| time.as_micros();
        let row = format!(
            "| {} | {} | {} | {} | {} |",
            self.name,
            megabytes(taken),
            megabytes(self.allowed),
            micros(quiet),
            micros(under)
        );
        println!("{row}");
        if let Ok(path) = std::env::var("MOXI_ATTACKS_TABLE") {
            let table = OpenOptions::new().append(true).create(true).open(path);
            table.and_then(|mut table| writeln!(table, "{row}")).expect("the table");
        }
    }
}

/// Whose turn it is.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What 99 % of the requests of this client do not exceed, one after the other, for so long.
fn percentile(client: &mut Wire, span: Duration) -> Duration {
    let (end, mut times) = (Instant::now() + span, Vec::new());
    let found = format!("VALUE other 0 100\r\n{}\r\nEND\r\n", "v".repeat(100));
    while Instant::now() < end || times.len() < 20 {
        let start = Instant::now();
        client.ask("get other\r\n", &found);
        times.push(start.elapsed());
        // Somebody who asks now and then, and has to be woken.
        thread::sleep(Duration::from_micros(200));
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// The most memory that process number `process` has until the attack is over.
fn most_memory(process: u32, signals: &Signals) -> u64 {
    let mut most = 0;
    while !signals.is_over() {
        most = most.max(memory(process));
        thread::sleep(Duration::from_millis(2));
    }
    most.max(memory(process))
}

fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kilobytes| kilobytes * 1024)
}
