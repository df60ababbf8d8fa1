//! Whether a failure is one that the proxy may tell of.

use moxi::config::behavior::Behavior;

use super::eras::Owners;
use super::judge::Context;
use super::store::Tick;

impl Context<'_> {
    /// The same for a request for all servers.
    pub fn is_nameless_failure(&self, line: &str) -> bool {
        self.is_failure(line, &Owners::nobody()) || line == "SERVER_ERROR proxy downstream closed"
    }

    /// Whether the bucket may have had no servers.
    pub fn may_be_gone(&self) -> bool {
        self.truth.eras.bucket(self.bucket, self.issued, Tick::MAX).any(|bucket| !bucket.is_live())
    }

    /// Whether `line` says that the proxy could not have the request executed by any of these servers, and that may be so.
    pub fn is_failure(&self, line: &str, owners: &Owners) -> bool {
        let scenario = &self.truth.scenario;
        let is_strict = self.truth.is_strict(self.issued);
        // (Who has been too slow for a limit may be left alone.)
        if line == "SERVER_ERROR proxy write to downstream" && (owners.may_be_nobody || !is_strict) {
            return true;
        }
        if line == "SERVER_ERROR proxy out of downstreams" && self.may_be_gone() {
            return true;
        }
        if is_strict && !self.is_lying(owners) {
            return false;
        }
        let may_be_lost = scenario.faults.lose_connections() || self.behaviors().any(times_out);
        let named = owners.all.iter().find_map(|owner| line.strip_suffix(&scenario.servers[owner.server].host[..]));
        match named {
            Some("SERVER_ERROR proxy downstream timeout ") => {
                self.behaviors().any(|behavior| behavior.downstream_timeout > 0)
            }
            Some("SERVER_ERROR proxy write to downstream " | "SERVER_ERROR proxy downstream closed ") => may_be_lost,
            _ => match line {
                "SERVER_ERROR proxy wait queue timeout" => {
                    self.behaviors().any(|behavior| behavior.wait_queue_timeout > 0 && behavior.downstream_max > 0)
                }
                "SERVER_ERROR proxy downstream timeout" => self.behaviors().any(times_out),
                _ => self.is_lying(owners) && line.contains("GARBAGE"),
            },
        }
    }
}

fn times_out(behavior: &Behavior) -> bool {
    behavior.downstream_timeout > 0
        || behavior.downstream_conn_queue_timeout > 0
        || behavior.connect_timeout > 0
        || behavior.auth_timeout > 0
}
