//! What became of a request, and the line about it.

use std::fmt::{self, Display};

use super::note::{Note, NoteId, Word};
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

/// How a request has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    client: ClientId,
    bucket: usize,
    phases: Phases,
    outcome: Outcome,
}

impl Note {
    /// The request that the note is about has been answered, or has failed.
    pub(in crate::proxy) fn settle(&mut self, request: &request::Request, now: Micros) {
        self.retries = self.retries.saturating_add(request.refusals().into());
        self.server = self.server.or(request.target());
        let keys = match &request.work {
            Work::Get { .. } => Some(1),
            Work::Meta(asked) if asked.verb() == Verb::Get => Some(1),
            Work::MultiGet(multiget) => Some(multiget.key_count()),
            _ => None,
        };
        let outcome = match (self.failure.or(request.failure()), keys) {
            (Some(failure), _) => Outcome::Failed(failure),
            (None, Some(keys)) => Outcome::Values(u64::from(request.hits()), keys),
            (None, None) => Outcome::Answered,
        };
        let (client, bucket) = (request.client, request.bucket);
        self.end = Some(End { client, bucket, phases: request.phases(now), outcome });
    }

    /// The client has gone.
    pub(in crate::proxy) fn leave(&mut self) {
        if let Some(end) = &mut self.end {
            end.outcome = Outcome::Left;
        }
    }
}

impl Engine {
    /// Writes the line about a request that has ended, if there is to be one, and takes its note back.
    #[cold]
    pub(in crate::proxy) fn tell_end(&mut self, id: NoteId) {
        let end = self.flight.notes.get(id).and_then(|note| note.end);
        if let Some(end) = end
            && let Some(word) = self.has_line(&end)
            && let Some(note) = self.flight.notes.get(id)
        {
            let line = format!("{word} {}", self.described(note, &end));
            self.actions.push(Action::Slow(Some(end.client), line));
        }
        self.flight.notes.give(id);
    }

    /// The word that the line begins with, if there is to be one.
    fn has_line(&mut self, end: &End) -> Option<&'static str> {
        let slow = self.buckets[end.bucket].watch.as_mut()?.slow()?;
        let is_sample = slow.is_sample();
        let (word, budget) = match slow.after.is_some_and(|after| end.phases.total > after) {
            true => ("slow", &mut slow.slow),
            false if is_sample => ("sample", &mut slow.samples),
            false => return None,
        };
        let was_told = budget.left_out == 0;
        if budget.take(self.now) {
            return Some(word);
        }
        if was_told {
            let until = budget.until;
            self.timers.add(until, Owner::LeftOut(end.bucket));
        }
        None
    }

    fn described(&self, note: &Note, end: &End) -> String {
        let End { bucket, phases, outcome, .. } = end;
        let server = note.server.and_then(|host| self.downstream.server(host));
        let server = server.map_or_else(|| "-".to_owned(), |server| server.to_string());
        let config = &self.buckets[*bucket].config;
        let (port, name) = (config.port, config.name.as_str());
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
        let slow = self.buckets[bucket].watch.as_mut().and_then(|watch| watch.slow());
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
