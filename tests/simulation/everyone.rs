//! Whether the answer to a request for all servers is one that it may get.

use std::sync::Arc;

use moxi::config::snapshot::{BucketConfig, Server};

use super::eras::index_of;
use super::judge::{Answer, Context};
use super::op::Op;
use super::store::Tick;

impl Context<'_> {
    /// Judges the answer to a request for all servers.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn all(&mut self, op: &Op, answer: &Answer<'_>) -> Result<(), String> {
        let faults = self.truth.scenario.faults;
        let is_order = matches!(op, Op::Flush { .. } | Op::Stats { args: "reset" });
        let line = if is_order { self.unnamed(answer.line)? } else { answer.line };
        let failed = self.may_be_gone()
            || (!self.truth.is_strict(self.issued) || self.truth.lying.contains(&true))
                && self.is_nameless_failure(line);
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
        let is_single = matches!(op, Op::Stats { args: "settings" | "conns" });
        let counts: Vec<usize> = self.server_counts().map(|count| if is_single { 1 } else { count }).collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        if lines.len() > 1 || sum > most || is_sum && self.truth.scenario.exact && !counts.contains(&sum) {
            return Err(format!("{sum} of {most} servers counted"));
        }
        Ok(())
    }

    /// How many servers the bucket may have had.
    pub fn server_counts(&self) -> impl Iterator<Item = usize> {
        self.truth.eras.bucket(self.bucket, self.issued, Tick::MAX).map(|bucket| bucket.servers.len())
    }

    /// A flush was confirmed: every server of the bucket must have done one since.
    ///
    /// # Errors
    /// Names one that has not.
    pub fn all_flushed(&self) -> Result<(), String> {
        let truth = self.truth;
        if truth.lying.contains(&true) {
            return Ok(());
        }
        let is_done = |server: &Arc<Server>| truth.flushed(index_of(server)) >= self.issued;
        let left = |bucket: &BucketConfig| bucket.servers.iter().find(|server| !is_done(server)).cloned();
        let left: Vec<_> = truth.eras.bucket(self.bucket, self.issued, Tick::MAX).map(left).collect();
        match left.iter().all(Option::is_some) {
            false => Ok(()),
            true => Err(format!("these were not flushed: {left:?}")),
        }
    }

    /// The line without the names of the servers that have not confirmed, which must be the bucket's.
    ///
    /// # Errors
    /// Names one that is not.
    pub fn unnamed<'a>(&self, line: &'a str) -> Result<&'a str, String> {
        let Some((why, names)) = line.split_once(": not confirmed by ") else { return Ok(line) };
        let mut servers = self.truth.eras.bucket(self.bucket, self.issued, Tick::MAX).map(|bucket| &bucket.servers);
        let all_known = |servers: &Vec<Arc<Server>>| {
            names.split(", ").all(|name| servers.iter().any(|server| server.to_string() == name))
        };
        if servers.any(all_known) { Ok(why) } else { Err(format!("not servers of this bucket: {names}")) }
    }
}
