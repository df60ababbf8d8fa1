//! Whether an answer is one that its request may get.

use std::collections::HashMap;
use std::rc::Rc;

use super::history::{Seen, Told};
use super::op::{Item, Key, Op};
use super::request::{Want, is_binary, server_of};
use super::store::Tick;
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

/// What a client may not see less of than it has seen: since when its keys have been as it knows them.
pub type Floors = HashMap<Key, Tick>;

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
                self.one(op, exact.as_deref(), answer.line)?;
                self.told(op, Seen::of_line(op, answer.line));
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
    pub fn told(&self, op: &Op, seen: Seen) {
        note(
            self.truth,
            self.bucket,
            Told { client: self.client, op: op.clone(), seen, call: self.issued, back: Some(self.truth.tick) },
        );
    }

    /// The history has a value, or that there is none, if that is true.
    fn told_value(&self, op: &Op, key: &Key, server: usize, value: Option<&Value<'_>>) {
        let seen = match value {
            Some(value) => {
                let data: Rc<[u8]> = Rc::from(value.data);
                let mut history = self.truth.history.borrow_mut();
                value.cas.into_iter().for_each(|cas| history.note_cas(server, cas, &data));
                Seen::Value { flags: value.flags, data }
            }
            None if self.truth.scenario.exact && !matches!(op, Op::Getl { .. }) => Seen::Absent,
            None => return,
        };
        let op = Op::Get { keys: vec![key.clone()], cas: false, touch: None };
        self.told(&op, seen);
    }

    fn is_lying(&self, server: Option<usize>) -> bool {
        server.is_some_and(|server| self.truth.lying[server])
    }

    fn one(&mut self, op: &Op, exact: Option<&str>, line: &str) -> Result<(), String> {
        let key = op.key().ok_or("no key")?;
        let server = server_of(self.truth, self.bucket, key);
        if let Some(exact) = exact {
            return if line == exact { Ok(()) } else { Err(format!("expected {exact}")) };
        }
        if self.is_failure(line, server) {
            return Ok(());
        }
        let server = server.ok_or("an answer although there is no server")?;
        let binary = is_binary(self.truth, server);
        let Some(id) = op.id() else {
            let fits = matches!(line, "DELETED" | "NOT_FOUND")
                || self.truth.scenario.faults.errors && line == "SERVER_ERROR temporary failure"
                || self.truth.lying[server];
            return if fits { Ok(()) } else { Err("not an answer to delete".to_owned()) };
        };
        let executions = self.truth.log.of(id);
        match executions.iter().find(|(_, outcome)| outcome.seen(op, binary) == line) {
            Some((tick, _)) => {
                let floor = self.floors.entry(key.clone()).or_default();
                *floor = (*floor).max(*tick);
                self.truth.acknowledge(key, id);
                Ok(())
            }
            None if self.truth.lying[server] => Ok(()),
            None => Err(format!("request {id} was executed as {executions:?}")),
        }
    }

    fn values(&mut self, op: &Op, exact: &[Option<Option<Item>>], answer: &Answer<'_>) -> Result<(), String> {
        let (keys, cas): (&[Key], bool) = match op {
            Op::Get { keys, cas, .. } => (keys, *cas),
            other => (other.key().map_or(&[], std::slice::from_ref), true),
        };
        let servers: Vec<Option<usize>> = keys.iter().map(|key| server_of(self.truth, self.bucket, key)).collect();
        // One server's values come as it sends them, unless a key is repeated.
        let mut asked = servers.iter().flatten();
        let first = asked.next();
        let is_repeated = (1..keys.len()).any(|index| keys[..index].contains(&keys[index]));
        let in_order = is_repeated || asked.any(|server| Some(server) != first);
        // Matches each value with a place in the request.
        let mut at: Vec<Option<&Value<'_>>> = vec![None; keys.len()];
        let mut next = 0;
        for value in &answer.values {
            let is_it = |index: &usize| *keys[*index] == *value.key && at[*index].is_none();
            let from = if in_order { next } else { 0 };
            let name = value.key.escape_ascii();
            let index = (from..keys.len()).find(is_it).ok_or(format!("a value of {name} that is out of place"))?;
            at[index] = Some(value);
            next = index + 1;
        }
        self.ending(op, keys.len(), &servers, answer)?;
        for ((key, server), (value, exact)) in keys.iter().zip(servers).zip(at.iter().zip(exact)) {
            self.value(op, key, server, *value, Known { exact: exact.as_ref(), cas })?;
        }
        Ok(())
    }

    /// Judges what ends values.
    fn ending(&self, op: &Op, count: usize, servers: &[Option<usize>], answer: &Answer<'_>) -> Result<(), String> {
        let bucket = &self.truth.scenario.config.buckets[self.bucket];
        let (get_errors, has_map) = (bucket.get_errors, bucket.router.vbucket_map().is_some());
        let is_lock = matches!(op, Op::Getl { .. });
        let lying = servers.iter().any(|server| self.is_lying(*server));
        let fits = match answer.line {
            "END" => true,
            "NOT_FOUND" | "LOCK_ERROR" => is_lock && answer.values.is_empty(),
            "SERVER_ERROR temporary failure" => {
                self.truth.scenario.faults.errors && has_map && count == 1 && answer.values.is_empty()
            }
            line if get_errors && count == 1 => {
                self.is_failure(line, servers[0]) && !line.starts_with("SERVER_ERROR proxy downstream closed")
            }
            line => get_errors && servers.iter().any(|server| self.is_failure(line, *server)),
        };
        // A line that was meant for another request may end a get, too.
        if fits || lying && (answer.line.contains("GARBAGE") || answer.line == "NOT_FOUND") {
            return Ok(());
        }
        Err(format!("{count} values cannot end like this"))
    }

    /// Judges what was said about one key: a value, or nothing.
    /// # Errors
    /// Says what is wrong with it.
    pub fn value(
        &mut self,
        op: &Op,
        key: &Key,
        server: Option<usize>,
        value: Option<&Value<'_>>,
        known: Known<'_>,
    ) -> Result<(), String> {
        let Some(server) = server else {
            let name = key.escape_ascii();
            return if value.is_none() { Ok(()) } else { Err(format!("a value of {name}, which has no server")) };
        };
        self.value_of(op, key, server, value, known)?;
        self.told_value(op, key, server, value);
        Ok(())
    }

    fn value_of(
        &mut self,
        op: &Op,
        key: &Key,
        server: usize,
        value: Option<&Value<'_>>,
        known: Known<'_>,
    ) -> Result<(), String> {
        let Known { exact, cas } = known;
        let name = key.escape_ascii();
        if let Some(value) = value
            && value.cas.is_some() != cas
            && !self.truth.lying[server]
        {
            return Err(format!("the CAS id of {name} is there or not, against the request"));
        }
        let is_it = |item: Option<&Item>| match (item, value) {
            (None, None) => true,
            (Some(item), Some(value)) => {
                item.flags == value.flags
                    && value.cas.is_none_or(|cas| cas == item.cas)
                    && item.value.as_ref() == value.data
            }
            _ => false,
        };
        let unlocked = !matches!(op, Op::Getl { .. }) || self.truth.scenario.knows_locks[server];
        if value.is_none() && (!self.truth.scenario.exact || !unlocked) {
            return Ok(()); // every failure is a miss
        }
        if let Some(exact) = exact {
            return if is_it(exact.as_ref()) { Ok(()) } else { Err(format!("{name} should have held {exact:?}")) };
        }
        let floor = self.floors.entry(key.clone()).or_default();
        let from = if self.truth.lying[server] { 0 } else { self.issued.max(*floor) };
        match self.truth.stores[server].held(key, from, is_it) {
            Some(since) if !self.truth.lying[server] => {
                *floor = (*floor).max(since);
                Ok(())
            }
            Some(_) => Ok(()),
            // A server that is out of step may say again what it has said before.
            None if self.truth.lying[server] && value.is_some_and(|value| has(value.data, key)) => Ok(()),
            None => Err(format!("{name} did not hold this after {from}")),
        }
    }

    fn all(&mut self, op: &Op, answer: &Answer<'_>) -> Result<(), String> {
        let bucket = &self.truth.scenario.config.buckets[self.bucket];
        let faults = self.truth.scenario.faults;
        let is_order = matches!(op, Op::Flush { .. } | Op::Stats { args: "reset" });
        let line = if is_order { self.unnamed(answer.line)? } else { answer.line };
        let failed = !self.truth.scenario.exact && self.is_nameless_failure(line);
        let garbage = self.truth.lying.contains(&true) && answer.line.contains("GARBAGE");
        let fits = match op {
            Op::Flush { .. } => {
                answer.stats.is_empty()
                    && (line == "OK"
                        || faults.errors
                            && matches!(
                                line,
                                "SERVER_ERROR flush_all not supported" | "SERVER_ERROR temporary failure"
                            )
                        || self.truth.lying.contains(&true)
                        || failed
                        || garbage)
            }
            Op::Stats { args: "reset" } => {
                let refused = faults.errors
                    && matches!(line, "SERVER_ERROR a2b not supported" | "SERVER_ERROR temporary failure");
                let lied = self.truth.lying.contains(&true);
                answer.stats.is_empty() && (line == "RESET" || refused || lied || failed || garbage)
            }
            _ => answer.line == "END" || answer.stats.is_empty() && failed,
        };
        if !fits {
            return Err("not an answer of all servers".to_owned());
        }
        if matches!(op, Op::Flush { .. }) && line == "OK" {
            self.all_flushed()?;
        }
        let lines: Vec<&&str> = answer.stats.iter().filter(|stat| stat.starts_with("STAT one ")).collect();
        let sum: usize = lines.first().and_then(|line| line["STAT one ".len()..].parse().ok()).unwrap_or(0);
        let is_sum = matches!(op, Op::Stats { args } if *args != "reset") && answer.line == "END";
        // Settings are no sums.
        let most = if matches!(op, Op::Stats { args: "settings" | "conns" }) { 1 } else { bucket.servers.len() };
        if lines.len() > 1 || sum > most || is_sum && self.truth.scenario.exact && sum != most {
            return Err(format!("{sum} of {most} servers counted"));
        }
        Ok(())
    }

    /// A flush was confirmed: every server of the bucket must have done one since.
    pub fn all_flushed(&self) -> Result<(), String> {
        let truth = self.truth;
        if truth.lying.contains(&true) {
            return Ok(());
        }
        for server in &truth.scenario.config.buckets[self.bucket].servers {
            let index = truth.scenario.servers.iter().position(|other| other == server);
            match index.and_then(|index| truth.stores.get(index)) {
                Some(store) if store.flushed() >= self.issued => {}
                _ => return Err(format!("{server} was not flushed")),
            }
        }
        Ok(())
    }

    /// The line without the names of the servers that have not confirmed, which must be the bucket's.
    pub fn unnamed<'a>(&self, line: &'a str) -> Result<&'a str, String> {
        let Some((why, names)) = line.split_once(": not confirmed by ") else { return Ok(line) };
        let servers = &self.truth.scenario.config.buckets[self.bucket].servers;
        let known: Vec<String> = servers.iter().map(|server| server.to_string()).collect();
        match names.split(", ").find(|name| !known.iter().any(|known| known == name)) {
            Some(stranger) => Err(format!("{stranger} is not a server of this bucket")),
            None => Ok(why),
        }
    }

    pub fn is_nameless_failure(&self, line: &str) -> bool {
        self.is_failure(line, None) || line == "SERVER_ERROR proxy downstream closed"
    }

    /// Whether `line` says that the proxy could not have the request executed by `server`, and that may be so.
    pub fn is_failure(&self, line: &str, server: Option<usize>) -> bool {
        let scenario = &self.truth.scenario;
        let behavior = &scenario.config.buckets[self.bucket].behavior;
        if line == "SERVER_ERROR proxy write to downstream" && (server.is_none() || !scenario.exact) {
            return true;
        }
        if scenario.exact {
            return false;
        }
        let host = server.map_or("", |server| scenario.servers[server].host.as_str());
        match line.strip_suffix(host).filter(|_| !host.is_empty()) {
            Some("SERVER_ERROR proxy downstream timeout ") => behavior.downstream_timeout > 0,
            Some("SERVER_ERROR proxy write to downstream ") => {
                scenario.faults.lose_connections() || times_out(behavior)
            }
            Some("SERVER_ERROR proxy downstream closed ") => scenario.faults.lose_connections() || times_out(behavior),
            _ => match line {
                "SERVER_ERROR proxy wait queue timeout" => {
                    behavior.wait_queue_timeout > 0 && behavior.downstream_max > 0
                }
                "SERVER_ERROR proxy downstream timeout" => times_out(behavior),
                _ => self.is_lying(server) && line.contains("GARBAGE"),
            },
        }
    }
}

/// The history has what a client was told of a request for one key.
pub fn note(truth: &Truth, bucket: usize, told: Told) {
    let key = match &told.op {
        Op::Get { keys, .. } => keys.first(),
        other => other.key(),
    };
    if let Some(key) = key.cloned()
        && let Some(server) = server_of(truth, bucket, &key)
    {
        truth.history.borrow_mut().note(server, &key, told);
    }
}

/// Whether a value names this key, as all values here do that are not numbers.
fn has(value: &[u8], key: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_digit) || value.windows(key.len()).any(|part| part == key)
}

fn times_out(behavior: &moxi::config::behavior::Behavior) -> bool {
    behavior.downstream_timeout > 0
        || behavior.downstream_conn_queue_timeout > 0
        || behavior.connect_timeout > 0
        || behavior.auth_timeout > 0
}
