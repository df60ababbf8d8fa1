//! `-X`: clients name the server of each request (01 §16, 03 §15, 04 §14).
//!
//! The server that was named goes with the request, as a part of its [`Caller`]; so everything else is as usual.

pub(in crate::proxy) mod destination;

use crate::buffer::Input;
use crate::config::mcmux::named_server;
use crate::protocol::ascii::{meta, request};
use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;
use crate::proxy::upstream::Caller;
use crate::proxy::upstream::pump::Progress;

use crate::sums::sum;
use destination::{Allowed, Prefix};

impl Engine {
    /// Handles one line of a client that names the server; `false` when nothing more can be done now.
    pub(in crate::proxy) fn step_named(&mut self, caller: &Caller, input: &mut Input, value_max: u64) -> bool {
        let (skip, named, allowed) = match destination::prefix(input.data()) {
            Prefix::Incomplete => {
                input.expect(sum([input.len(), 1]), &mut self.upstream.buffers);
                return false;
            }
            Prefix::None => (0, None, Allowed::Local),
            Prefix::Malformed(skip) => (skip, None, Allowed::None),
            Prefix::Named { text, len } => match self.named_host(caller.bucket, text) {
                Some(host) => (len, Some(host), Allowed::All),
                None => (len, None, Allowed::None),
            },
        };
        if allowed == Allowed::None {
            // The C program says so at any verbosity; clients could fill the disk.
            self.log(1, "Malformed request line".to_owned());
        }
        let caller = Caller { named, ..*caller };
        let all = input.value();
        let text = all.with(all.bytes.get(skip..).unwrap_or_default());
        let (mut scanned, mut room) = (input.scanned.saturating_sub(skip), meta::key::KeyRoom::default());
        let progress = match meta::request::parse(text, &mut room, &mut scanned, value_max) {
            Some(parsed) => self.carry_out_meta(&caller, &text, allowed.only_meta(parsed)),
            None => {
                let parsed = request::parse(text, &mut scanned, value_max);
                self.carry_out(&caller, &text, allowed.only(parsed))
            }
        };
        let progress = match progress {
            Progress::Taken(len) => Progress::Taken(sum([len, skip])),
            Progress::Short(need) => Progress::Short(need.saturating_add(skip)),
            Progress::Waits => Progress::Waits,
        };
        self.advance(&caller, input, sum([scanned, skip]), progress)
    }

    /// The worker's record of the server that `text` names.
    fn named_host(&mut self, bucket_id: usize, text: &[u8]) -> Option<HostId> {
        if let Some(id) = self.downstream.known(text) {
            return Some(id);
        }
        let (protocol, host, port) = destination::server(text)?;
        let bucket = &self.buckets[bucket_id].config;
        let server = named_server(protocol, host, port, &bucket.behavior);
        Some(self.downstream.learn_name(text, &server, bucket_id, bucket))
    }
}
