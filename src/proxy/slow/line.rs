//! What became of a request, and the line about it.

use std::fmt::{self, Display};

use super::note::{Note, Word};
use crate::metrics::keys::text::Shown;
use crate::protocol::ascii::meta::request::Verb;

use crate::proxy::request::error::Failure;
use crate::proxy::request::phases::Phases;
use crate::proxy::request::{self, Work};
use crate::proxy::timers::{Micros, Owner};
use crate::proxy::upstream::ClientId;
use crate::proxy::{Action, Engine};

/// What became of a request.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// It was answered, and is no get.
    Answered,
    /// So many of so many keys had a value.
    Values(u64, u64),
    Failed(Failure),
    /// Its client did not wait for the answer.
    Left,
}

/// A request that has ended, and may get a line.
pub(in crate::proxy) struct Ended {
    note: Box<Note>,
    client: ClientId,
    bucket: usize,
    phases: Phases,
    outcome: Outcome,
}

impl request::Request {
    /// It has been answered, or has failed.
    #[inline]
    pub(in crate::proxy) fn end(&mut self, now: Micros) -> Option<Ended> {
        let note = self.note.take()?;
        Some(self.ended(note, now))
    }

    /// Its client has gone.
    pub(in crate::proxy) fn left(&mut self, now: Micros) -> Option<Ended> {
        let ended = self.end(now)?;
        Some(Ended { outcome: Outcome::Left, ..ended })
    }

    #[cold]
    fn ended(&self, mut note: Box<Note>, now: Micros) -> Ended {
        note.retries += self.refusals;
        note.server = note.server.or(self.target);
        let keys = match &self.work {
            Work::Get { .. } => Some(1),
            Work::Meta(asked) if asked.verb() == Verb::Get => Some(1),
            Work::MultiGet(multiget) => Some(multiget.key_count()),
            _ => None,
        };
        let outcome = match (note.failure.or(self.failure), keys) {
            (Some(failure), _) => Outcome::Failed(failure),
            (None, Some(keys)) => Outcome::Values(u64::from(self.hits), keys),
            (None, None) => Outcome::Answered,
        };
        Ended { note, client: self.client, bucket: self.bucket, phases: self.phases(now), outcome }
    }
}

impl Engine {
    /// Writes the line about a request, if there is to be one.
    #[cold]
    pub(in crate::proxy) fn tell_ended(&mut self, ended: Ended) {
        let now = self.now;
        let slow = self.buckets.get_mut(ended.bucket).and_then(|bucket| bucket.watch.as_mut()?.slow());
        if let Some(slow) = slow {
            let is_sample = slow.is_sample();
            let is_slow = slow.after.is_some_and(|after| ended.phases.total > after);
            let (word, budget) = match is_slow {
                true => ("slow", &mut slow.slow),
                false => ("sample", &mut slow.samples),
            };
            if is_slow || is_sample {
                let is_first = budget.left_out == 0;
                if budget.take(now) {
                    let line = format!("{word} {}", self.described(&ended));
                    self.actions.push(Action::Slow(Some(ended.client), line));
                } else if is_first {
                    let until = budget.until;
                    self.timers.add(until, Owner::LeftOut(ended.bucket));
                }
            }
        }
        self.flight.notes.give(ended.note);
    }

    fn described(&self, ended: &Ended) -> String {
        let Ended { note, bucket, phases, outcome, .. } = ended;
        let server = note.server.and_then(|host| self.downstream.hosts.get(host));
        let server = server.map_or_else(|| "-".to_owned(), |host| host.server.to_string());
        let bucket = self.buckets.get(*bucket).map(|bucket| &bucket.config);
        let (port, name) = bucket.map_or((0, ""), |config| (config.port, config.name.as_str()));
        let key = note.key.get(..note.length).filter(|key| !key.is_empty()).unwrap_or(b"-");
        let command = match note.word {
            Word::Text(word) => word.to_owned(),
            Word::Opcode(opcode) => format!("0x{opcode:02x}"),
        };
        let more = if note.more > 0 { format!(" more={}", note.more) } else { String::new() };
        format!(
            "total_ms={} queue_ms={} server_ms={} command={command} key={}{more} bucket={port}:{} server={server} \
             retries={} outcome={outcome} protocol={}",
            Millis(phases.total),
            Millis(phases.queue),
            phases.server.map_or_else(|| "-".to_owned(), |server| Millis(server).to_string()),
            Shown(key),
            Shown(name.as_bytes()),
            note.retries,
            note.protocol,
        )
    }

    /// Tells how many lines were left out.
    pub(in crate::proxy) fn tell_left_out(&mut self, bucket: usize) {
        let slow = self.buckets.get_mut(bucket).and_then(|bucket| bucket.watch.as_mut()?.slow());
        let Some(slow) = slow else { return };
        for (word, budget) in [("slow", &mut slow.slow), ("sample", &mut slow.samples)] {
            let left_out = std::mem::take(&mut budget.left_out);
            if left_out > 0 {
                self.actions.push(Action::Slow(None, format!("{word} left_out={left_out}")));
            }
        }
    }
}

/// Milliseconds, to the microsecond.
struct Millis(Micros);

impl Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Outcome::Answered => "answered",
            Outcome::Values(0, _) => "miss",
            Outcome::Values(hits, keys) if hits == keys => "hit",
            Outcome::Values(hits, keys) => return write!(f, "hit:{hits}/{keys}"),
            Outcome::Left => "client_left",
            Outcome::Failed(failure) => match failure {
                Failure::WaitQueue => "wait_queue_timeout",
                Failure::ConnQueue => "conn_queue_timeout",
                Failure::Timeout => "timeout",
                Failure::Connect => "connect_failed",
                Failure::NoServer => "no_server",
                Failure::Closed => "connection_lost",
                Failure::NoDownstreams => "no_servers",
                Failure::NullBucket => "unauthorized",
            },
        };
        f.write_str(word)
    }
}
