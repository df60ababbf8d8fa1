//! Asks a moxi for its statistics, over a connection that is opened again when it is lost.

use std::time::{Duration, Instant};

use super::sample::Sample;
use crate::alive::{Conn, odd, reach};
use crate::config::address::Address;

/// How long the answers of one sample may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer in bytes: that of some thousand buckets.
const LONGEST: usize = 64 << 20;

/// A moxi that is asked again and again.
pub struct Server {
    address: Address,
    conn: Option<Conn>,
    start: Instant,
}

impl Server {
    /// Nothing is asked yet.
    pub fn new(address: Address) -> Server {
        Server { address, conn: None, start: Instant::now() }
    }

    /// Its statistics now.
    ///
    /// # Errors
    /// Why there are none. The next call connects again.
    pub fn ask(&mut self) -> Result<Sample, String> {
        let sample = self.sample();
        if sample.is_err() {
            self.conn = None;
        }
        sample.map_err(|why| format!("{}: {why}", self.address))
    }

    fn sample(&mut self) -> Result<Sample, String> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => reach(&self.address, Conn::open)?,
        };
        conn.until = Instant::now() + PATIENCE;
        let reply = reply(&mut conn, "stats proxy\r\n")?;
        let mut sample = Sample::parse(self.start.elapsed(), &reply)?;
        if sample.has_timings() {
            sample.add_timings(&self::reply(&mut conn, "stats proxy timings\r\n")?)?;
        }
        for word in ["latency", "servers"] {
            if sample.is_ours() {
                sample.add(&self::reply(&mut conn, &format!("stats proxy {word}\r\n"))?)?;
            }
        }
        self.conn = Some(conn);
        Ok(sample)
    }
}

fn reply(conn: &mut Conn, request: &str) -> Result<Vec<u8>, String> {
    conn.send(request.as_bytes())?;
    let mut reply = Vec::new();
    conn.receive(&mut reply, |bytes| is_over(bytes) || bytes.len() > LONGEST)?;
    match reply.is_empty() {
        true => Err(odd(&[], "stats proxy")),
        false => Ok(reply),
    }
}

/// Whether the last line is complete, and is no `STAT` line.
fn is_over(reply: &[u8]) -> bool {
    let Some(lines) = reply.strip_suffix(b"\n") else { return false };
    let start = memchr::memrchr(b'\n', lines).map_or(0, |end| end + 1);
    lines.get(start..).is_some_and(|line| !line.starts_with(b"STAT "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_answer_ends() {
        for whole in ["END\r\n", "STAT a 1\r\nEND\r\n", "ERROR\r\n", "\r\n", "STAT END\r\nCLIENT_ERROR x\r\n"] {
            assert!(is_over(whole.as_bytes()), "{whole:?}");
        }
        for part in ["", "E", "END\r", "STAT a 1\r\n", "STAT a 1\r\nEND", "END\r\nSTAT a 1\r\n", "STAT END\r\n"] {
            assert!(!is_over(part.as_bytes()), "{part:?}");
        }
    }
}
