//! Whether an answer is one that its request may get.

use std::collections::HashMap;

use moxi::config::behavior::Behavior;

use super::eras::Owners;
use super::history::{Place, Seen, Told};
use super::op::{Item, Key, Op, Outcome};
use super::request::Want;
use super::store::{Execution, Tick};
use super::truth::Truth;

/// A value as the client got it.
#[derive(Debug)]
pub struct Value<'a> {
    pub key: &'a [u8],
    pub flags: u32,
    pub cas: Option<u64>,
    pub data: &'a [u8],
}

/// A whole answer.
#[derive(Debug, Default)]
pub struct Answer<'a> {
    pub values: Vec<Value<'a>>,
    pub stats: Vec<&'a str>,
    /// What ends it.
    pub line: &'a str,
}

/// What is known of a value before it comes.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// In a predictable run: what the key holds.
    pub exact: Option<&'a Option<Item>>,
    /// Whether its CAS id is told.
    pub cas: bool,
}

/// What a client may not see less of than it has seen: since when its keys have been as it knows them, server by server.
pub type Floors = HashMap<(usize, Key), Tick>;

/// Who asked, and when.
pub struct Context<'a> {
    pub truth: &'a Truth,
    pub client: u64,
    pub bucket: usize,
    pub issued: Tick,
    pub floors: &'a mut Floors,
}

impl Context<'_> {
    /// Judges the answer to a request.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn judge(&mut self, want: &Want, answer: &Answer<'_>) -> Result<(), String> {
        let only_line = answer.values.is_empty() && answer.stats.is_empty();
        match want {
            Want::Line(line) if only_line && answer.line == *line => Ok(()),
            Want::Line(line) => Err(format!("expected {line}")),
            Want::Own if answer.values.is_empty() && answer.line == "END" => Ok(()),
            Want::Own => Err("expected statistics".to_owned()),
            Want::One { op, exact } if only_line => {
                let place = self.one(op, exact.as_deref(), answer.line)?;
                self.told(op, Seen::of_line(op, answer.line), place);
                Ok(())
            }
            Want::One { .. } => Err("expected one line".to_owned()),
            Want::Values { op, exact } if answer.stats.is_empty() => self.values(op, exact, answer),
            Want::Values { .. } => Err("expected values".to_owned()),
            Want::All(op) if answer.values.is_empty() => self.all(op, answer),
            Want::Meta(want, _) => self.judge(want, answer),
            Want::Batch(_) => Err("expected packets".to_owned()),
            Want::All(_) => Err("expected the answer of all servers".to_owned()),
        }
    }

    /// The history has one more answer to a request for one key.
    pub fn told(&self, op: &Op, seen: Seen, place: Place) {
        let (client, call, back) = (self.client, self.issued, Some(self.truth.tick));
        let told = Told { client, op: op.clone(), seen, call, back, place };
        self.truth.history.borrow_mut().note(told);
    }

    /// Who may have had the request for this key.
    pub fn owners(&self, key: &Key) -> Owners {
        self.truth.owners(self.bucket, key, self.issued)
    }

    /// The behaviours that may have applied to the request.
    pub fn behaviors(&self) -> impl Iterator<Item = &Behavior> {
        self.truth.eras.behaviors(self.bucket, self.issued)
    }

    /// Whether one of them has sent garbage.
    pub fn is_lying(&self, owners: &Owners) -> bool {
        owners.all.iter().any(|owner| self.truth.is_lying(owner.server))
    }

    /// Whether servers may have refused the key so often that the request was given up.
    pub fn is_exhausted(&self, key: &Key) -> bool {
        self.truth.may_be_exhausted(self.bucket, key, self.issued)
    }

    /// What a server did for the request with this id that looks like this, if there is such a thing. `is_it` is told whether
    /// the server speaks binary.
    pub fn execution(
        &self,
        (id, key): (u64, &Key),
        owners: &Owners,
        is_it: impl Fn(&Outcome, bool) -> bool,
    ) -> Option<&Execution> {
        let fits = |execution: &&Execution| {
            // That is no answer before nobody else is left.
            if matches!(execution.outcome, Outcome::NotMine(_)) && !self.is_exhausted(key) {
                return false;
            }
            let mut owners = owners.all.iter().filter(|owner| owner.server == execution.server);
            owners.any(|owner| is_it(&execution.outcome, owner.is_binary))
        };
        self.truth.log.of(id).iter().find(fits)
    }

    /// The client knows that this was done for its request with this id: it may not see less from now on.
    pub fn learn(&mut self, key: &Key, id: u64, Execution { at, server, .. }: &Execution) -> Place {
        let home = self.truth.home(*server);
        let floor = self.floors.entry((home, key.clone())).or_default();
        *floor = (*floor).max(*at);
        self.truth.acknowledge(*server, key, id);
        Place::At(home)
    }

    /// Judges the line for a request of one key, and tells whose item it speaks of.
    fn one(&mut self, op: &Op, exact: Option<&str>, line: &str) -> Result<Place, String> {
        let (key, place) = (op.key().ok_or("no key")?, Place::In(self.bucket));
        if let Some(exact) = exact {
            return if line == exact { Ok(place) } else { Err(format!("expected {exact}")) };
        }
        let owners = self.owners(key);
        if self.is_failure(line, &owners) {
            return Ok(place);
        }
        if owners.all.is_empty() {
            return Err("an answer although there is no server".to_owned());
        }
        let is_lying = self.is_lying(&owners);
        let Some(id) = op.id() else {
            let fits = matches!(line, "DELETED" | "NOT_FOUND")
                || self.truth.scenario.faults.errors && line == "SERVER_ERROR temporary failure"
                || line == "SERVER_ERROR a2b not_my_vbucket" && self.is_exhausted(key)
                || is_lying;
            return if fits { Ok(place) } else { Err("not an answer to delete".to_owned()) };
        };
        let truth = self.truth;
        // It may have been asked in lines all the same: for its meta commands, and for what follows them.
        let is_it =
            |outcome: &Outcome, binary: bool| [binary, false].iter().any(|binary| outcome.seen(op, *binary) == line);
        match self.execution((id, key), &owners, is_it).cloned() {
            Some(execution) => Ok(self.learn(key, id, &execution)),
            None if is_lying => Ok(place),
            None => Err(format!("request {id} was executed as {:?}", truth.log.of(id))),
        }
    }
}
