//! Measures one program under one workload.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::keys::Keys;
use super::load::{Group, Load};
use super::plan::WARM_UP;
use super::process::{Counter, Process, cpu};
use super::programs::{Program, Server};
use super::request::{Kind, Protocol, Request};
use super::results::{Cell, Sample};
use super::workload::Workload;

/// How long a program may take to answer one simple thing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a program that does not speak the binary protocol may remain silent.
const PROBE: Duration = Duration::from_millis(500);
/// How much is stored at once.
const CHUNK: usize = 64 * 1024;

/// A program that is up, with servers of its own.
pub struct Subject {
    process: Process,
    /// Where it listens.
    address: SocketAddr,
    servers: Vec<Server>,
    groups: Vec<Group>,
    /// Open as long as the program runs.
    idle: Vec<TcpStream>,
    /// What is known so far.
    pub cell: Cell,
}

impl Subject {
    /// Starts `program` for `workload` and stores all values. `None`: it cannot do what the workload asks for.
    ///
    /// # Errors
    /// When it does not work.
    pub fn start(program: &Program, workload: &Workload, directory: &Path) -> Result<Option<Subject>, String> {
        if program.is_echo() && !workload.suits_echo() {
            return Ok(None);
        }
        let count = if program.is_echo() || program.is_server() { 0 } else { workload.servers };
        let servers = (0..count).map(|_| program.start_server(directory)).collect::<Result<Vec<_>, _>>()?;
        let (process, address) = program.start(&servers, directory)?;
        if !program.is_echo() && !speaks(workload.protocol, address) {
            return Ok(None);
        }
        let groups = workload.groups(program.is_echo());
        if !program.is_echo() {
            for group in &groups {
                fill(address, &group.keys).map_err(|error| format!("storing values: {error}"))?;
            }
        }
        let mut subject = Subject { process, address, servers, groups, idle: Vec::new(), cell: Cell::default() };
        subject.open_idle(workload.idle).map_err(|error| format!("idle connections: {error}"))?;
        Ok(Some(subject))
    }

    /// Opens idle connections, each of which has made one request.
    fn open_idle(&mut self, count: usize) -> std::io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let before = self.process.resident();
        for _ in 0..count {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"get none\r\n")?;
            stream.read_exact(&mut [0; 5])?;
            self.idle.push(stream);
        }
        let grown = self.process.resident().saturating_sub(before);
        self.cell.idle_kib = Some(grown as f64 / count as f64);
        Ok(())
    }

    /// Measures once more.
    ///
    /// # Errors
    /// When an answer is wrong or does not come.
    pub fn sample(&mut self, time: Duration, keys_per_request: u32) -> Result<(), String> {
        let mut load = Load::connect(self.address, &self.groups).map_err(|error| error.to_string())?;
        let (process, servers) = (&self.process, &self.servers);
        let result = load.run(WARM_UP, time, || {
            let behind: Duration = servers.iter().map(|server| server.process.cpu()).sum();
            (process.cpu(), behind, cpu("self"))
        })?;
        if result.answers == 0 {
            return Err("nothing was answered".to_owned());
        }
        let [before, after] = result.observed;
        let units = result.answers as f64 * f64::from(keys_per_request);
        let cost = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() * 1e6 / units;
        let own = cost(before.0, after.0);
        self.cell.samples.push(Sample {
            cpu: own,
            tier: own + cost(before.1, after.1),
            client: cost(before.2, after.2),
            rate: result.answers as f64 / result.time.as_secs_f64(),
            p50: result.latency.quantile(0.5),
            p99: result.latency.quantile(0.99),
        });
        self.cell.resident_kib = self.cell.resident_kib.max(self.process.resident());
        Ok(())
    }

    /// Counts system calls per request, or per key.
    ///
    /// # Errors
    /// When an answer is wrong or does not come.
    pub fn count_calls(
        &mut self,
        counter: Counter,
        time: Duration,
        keys_per_request: u32,
        directory: &Path,
    ) -> Result<(), String> {
        let mut load = Load::connect(self.address, &self.groups).map_err(|error| error.to_string())?;
        load.run(Duration::ZERO, WARM_UP, || ())?;
        let Ok(counting) = self.process.count_calls(counter, &directory.join("calls")) else { return Ok(()) };
        let result = load.run(Duration::ZERO, time, || ());
        let calls = counting.finish();
        let units = result?.all_answers as f64 * f64::from(keys_per_request);
        self.cell.calls = calls.map(|calls| calls as f64 / units);
        Ok(())
    }
}

/// Whether the program at `address` speaks that, besides classic ASCII: it answers the command that does nothing.
fn speaks(protocol: Protocol, address: SocketAddr) -> bool {
    let mut noop = [0; 24];
    (noop[0], noop[1]) = (0x80, 0x0a);
    let (question, answer): (&[u8], &[u8]) = match protocol {
        Protocol::Ascii | Protocol::Echo => return true,
        Protocol::Meta => (b"mn\r\n", b"MN\r\n"),
        Protocol::Binary => (&noop, &[0x81]),
    };
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PROBE))?;
        stream.write_all(question)?;
        let mut said = vec![0; answer.len()];
        stream.read_exact(&mut said)?;
        Ok(said == answer)
    };
    ask().unwrap_or(false)
}

/// Stores the value of every key.
fn fill(address: SocketAddr, keys: &Keys) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let (mut out, mut owed) = (Vec::new(), 0);
    for number in 0..keys.count() {
        let since = std::time::Instant::now();
        let request = Request { kind: Kind::Set, first: number, count: 1, since, seen: 0 };
        request.write(Protocol::Ascii, keys, &mut out);
        owed += 1;
        if out.len() >= CHUNK || number + 1 == keys.count() {
            stream.write_all(&out)?;
            out.clear();
            for _ in 0..std::mem::take(&mut owed) {
                let mut line = String::new();
                answers.read_line(&mut line)?;
                if line != "STORED\r\n" {
                    return Err(std::io::Error::other(format!("a set is answered with {line:?}")));
                }
            }
        }
    }
    Ok(())
}
