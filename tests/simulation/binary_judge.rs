//! Whether a binary answer is one that its request may get.

use moxi::protocol::StoreVerb;
use moxi::protocol::binary::opcode;
use moxi::protocol::binary::packet::Packet;
use moxi::protocol::op::answered;

use super::binary_client::{Batch, Closing, Item, is_unspeakable};
use super::eras::{Owner, Owners};
use super::history::{Place, Seen};
use super::judge::{Context, Floors, Known, Value};
use super::op::{Key, Op, Outcome};

/// The status that a client gets for an outcome.
pub fn status(op: &Op, outcome: &Outcome, binary: bool) -> u16 {
    match (op, outcome) {
        (Op::Store { verb: StoreVerb::Add, .. }, Outcome::NotStored) => 0x02,
        (Op::Store { verb: StoreVerb::Replace, .. }, Outcome::NotStored) => 0x01,
        (_, Outcome::Temporary) if !binary => 0x84,
        (_, Outcome::Values(values)) if values.is_empty() => 0x01,
        _ => outcome.status().0,
    }
}

impl Context<'_> {
    /// Takes a packet of the answer to `batch`; `true` if it is the last one.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn judge_packet(&mut self, batch: &mut Batch, packet: &Packet<'_>) -> Result<bool, String> {
        let name = (packet.header.opcode, packet.header.opaque);
        if name != batch.closing.name() {
            self.judge_quiet(&mut batch.quiet, packet)?;
            return Ok(false);
        }
        let code = packet.header.vbucket_or_status;
        if let Closing::All { opcode: opcode::STAT, .. } = &batch.closing
            && !packet.key.is_empty()
        {
            let stat = [b"STAT ", packet.key, b" ", &packet.value].concat();
            batch.stats.push(String::from_utf8_lossy(&stat).into_owned());
            return Ok(false);
        }
        // What was silent came before: the closing packet may have changed what it asked for.
        // And so may quiet ones that were answered: what the client knows by now does not count.
        self.judge_silence(&batch.quiet)?;
        match &batch.closing {
            Closing::Keyed(item) => self.judge_item(item, Some(packet))?,
            Closing::Own { status, .. } if *status == code => {}
            Closing::Own { status, .. } => return Err(format!("expected {status:#x}")),
            Closing::All { opcode, .. } => self.judge_all(*opcode, &batch.stats, packet)?,
        }
        Ok(true)
    }

    /// All answers to these quiet packets have come.
    ///
    /// # Errors
    /// Says what is wrong with not getting any for the others.
    pub fn judge_silence<'i>(&mut self, quiet: impl IntoIterator<Item = &'i Item>) -> Result<(), String> {
        let mut before = Floors::new();
        let mut silent = Context {
            truth: self.truth,
            client: self.client,
            bucket: self.bucket,
            issued: self.issued,
            floors: &mut before,
        };
        for item in quiet.into_iter().filter(|item| !item.is_answered) {
            silent.issued = item.issued;
            silent.judge_item(item, None).map_err(|error| format!("silence about {:?}: {error}", item.op))?;
        }
        Ok(())
    }

    /// Takes the answer to one of these quiet packets.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn judge_quiet<'i>(
        &mut self,
        quiet: impl IntoIterator<Item = &'i mut Item>,
        packet: &Packet<'_>,
    ) -> Result<(), String> {
        let name = (packet.header.opcode, packet.header.opaque);
        let mut quiet: Vec<_> = quiet.into_iter().collect();
        let is_it = |item: &&mut Item| (item.opcode, item.opaque) == name && !item.is_answered;
        let at = quiet.iter().position(is_it).ok_or("an answer to nothing")?;
        // What has to be sent again is answered later.
        if self.truth.scenario.exact && quiet[at..].iter().any(|later| later.is_answered) {
            return Err("an answer behind that of a later request".to_owned());
        }
        let item = &mut quiet[at];
        item.is_answered = true;
        self.issued = item.issued;
        self.judge_item(item, Some(packet))
    }

    fn judge_item(&mut self, item: &Item, packet: Option<&Packet<'_>>) -> Result<(), String> {
        let place = self.judge_answer(item, packet)?;
        if !matches!(item.op, Op::Get { .. } | Op::Getl { .. }) {
            let seen = |packet: &Packet<'_>| Seen::of_packet(&item.op, packet.header.vbucket_or_status, &packet.value);
            self.told(&item.op, packet.map_or(Seen::Nothing, seen), place);
        }
        Ok(())
    }

    /// Judges the answer, or that there is none, and tells whose item it speaks of.
    fn judge_answer(&mut self, item: &Item, packet: Option<&Packet<'_>>) -> Result<Place, String> {
        let (key, place) = (item.op.keys().first().ok_or("no key")?, Place::In(self.bucket));
        let owners = self.owners(key);
        if packet.is_some_and(|packet| self.is_failure_packet(packet, &owners)) {
            return Ok(place);
        }
        if let Some(verdict) = self.judge_refused(item, key, &owners, packet) {
            return verdict.map(|()| place);
        }
        if matches!(item.op, Op::Get { .. } | Op::Getl { .. }) {
            return self.judge_get(item, key, &owners, packet).map(|()| place);
        }
        let exact = item.exact.as_ref();
        let is_done =
            |outcome: &Outcome| owners.all.iter().any(|owner| status(&item.op, outcome, owner.is_binary) == 0);
        let Some(packet) = packet else {
            // Silence is success, or the request was given up.
            let fits = exact.is_none_or(is_done);
            return if fits { Ok(place) } else { Err(format!("expected {exact:?}")) };
        };
        if answered(item.opcode).is_quiet() && packet.header.vbucket_or_status == 0 {
            return Err("a quiet request is told of its success".to_owned());
        }
        let code = packet.header.vbucket_or_status;
        let is_it = |outcome: &Outcome, binary: bool| {
            let number = match outcome {
                Outcome::Number(number) => number.to_be_bytes().to_vec(),
                _ => packet.value.to_vec(),
            };
            // It may have been asked in lines all the same, where those of a client are that has gone, say.
            [binary, false].iter().any(|binary| status(&item.op, outcome, *binary) == code)
                && packet.value.bytes == number
        };
        let is_ever = |outcome: &Outcome| owners.all.iter().any(|owner| is_it(outcome, owner.is_binary));
        if let Some(exact) = exact {
            return if is_ever(exact) { Ok(place) } else { Err(format!("expected {exact:?}")) };
        }
        if owners.all.is_empty() {
            return Err("an answer although there is no server".to_owned());
        }
        let is_lying = self.is_lying(&owners);
        let Some(id) = item.op.id() else {
            let fits = [Outcome::Deleted, Outcome::NotFound].iter().any(is_ever)
                || self.truth.scenario.faults.errors && is_ever(&Outcome::Temporary)
                || packet.header.vbucket_or_status == 0x07 && self.is_exhausted(key)
                || is_lying;
            return if fits { Ok(place) } else { Err("not an answer to a delete".to_owned()) };
        };
        let is_unknown = owners.all.iter().any(|owner| !owner.is_binary && is_it(&Outcome::Unknown, false));
        match self.execution((id, key), &owners, is_it).cloned() {
            Some(execution) => Ok(self.learn(key, id, &execution)),
            None if is_lying || is_unknown => Ok(place),
            None => Err(format!("request {id} was executed as {:?}", self.truth.log.of(id))),
        }
    }

    /// Judges the answer to a request that the proxy itself may have to refuse; `None`: it need not have been.
    fn judge_refused(
        &self,
        item: &Item,
        key: &Key,
        owners: &Owners,
        packet: Option<&Packet<'_>>,
    ) -> Option<Result<(), String>> {
        let has_status = |known: &[u16]| packet.is_some_and(|packet| known.contains(&packet.header.vbucket_or_status));
        let of_owners = |is_it: &dyn Fn(&Owner) -> bool| {
            let is_any = owners.all.iter().any(is_it);
            (is_any, is_any && !owners.may_be_nobody && owners.all.iter().all(is_it))
        };
        let (may_be, is_sure) = of_owners(&|owner| is_unspeakable(self.truth, *owner, key));
        if may_be && !self.is_lying(owners) {
            // (Or the batch was given up.)
            if has_status(&[0x04, 0x81]) || packet.is_none() && !self.truth.scenario.exact {
                return Some(Ok(()));
            }
            // It was written in a meta command behind the question whether the server knows any (04 §10).
            if has_status(&[0x84]) && self.truth.scenario.faults.lose_connections() {
                return Some(Ok(()));
            }
            if is_sure {
                return Some(Err("expected that it is refused".to_owned()));
            }
        }
        if matches!(item.op, Op::Getl { .. } | Op::Unl { .. }) {
            // The proxy knows that ASCII servers do not know it.
            let (may_be, is_sure) = of_owners(&|owner| !owner.is_binary);
            if may_be && has_status(&[0x81, 0x83]) {
                return Some(Ok(()));
            }
            if is_sure {
                return Some(Err("expected that it is unknown".to_owned()));
            }
        }
        None
    }

    fn judge_get(
        &mut self,
        item: &Item,
        key: &Key,
        owners: &Owners,
        packet: Option<&Packet<'_>>,
    ) -> Result<(), String> {
        let value = packet.filter(|packet| packet.header.vbucket_or_status == 0);
        if let Some(packet) = packet
            && value.is_none()
        {
            let is_exhausted = packet.header.vbucket_or_status == 0x07 && self.is_exhausted(key);
            let known = matches!(packet.header.vbucket_or_status, 0x01 | 0x81 | 0x84 | 0x86) || is_exhausted;
            if !known && !self.truth.lying.contains(&true) {
                return Err("not an answer to a get".to_owned());
            }
            if packet.header.vbucket_or_status == 0x01 && answered(item.opcode).is_quiet() {
                return Err("a quiet get is told of its miss".to_owned());
            }
            if self.truth.scenario.exact && packet.header.vbucket_or_status > 0x01 && !is_exhausted {
                let fits = item.exact.as_ref().is_none_or(|exact| *exact == Outcome::Unknown)
                    && matches!(item.op, Op::Getl { .. });
                return if fits { Ok(()) } else { Err(format!("expected {:?}", item.exact)) };
            }
        }
        let wants_key = matches!(item.opcode, opcode::GETK | opcode::GETKQ | opcode::GATK | opcode::GATKQ);
        let exact = match &item.exact {
            Some(Outcome::Values(values)) => Some(values.first().map(|(_, item)| item.clone())),
            Some(_) => Some(None),
            None => None,
        };
        if owners.all.iter().any(|owner| !owner.is_binary && self.truth.is_lying(owner.server)) {
            return Ok(()); // a meta command's answer does not say whose it is
        }
        let known = Known { exact: exact.as_ref(), cas: true };
        let Some(packet) = value else { return self.value(&item.op, key, owners, None, known) };
        if packet.key != if wants_key { &key[..] } else { &[][..] } && !self.truth.lying.contains(&true) {
            return Err("the key is there or not, against the request".to_owned());
        }
        let flags = packet.extras.first_chunk::<4>().map_or(0, |flags| u32::from_be_bytes(*flags));
        let value = Value { key, flags, cas: Some(packet.header.cas), data: &packet.value };
        self.value(&item.op, key, owners, Some(&value), known)
    }

    fn judge_all(&self, code: u8, stats: &[String], packet: &Packet<'_>) -> Result<(), String> {
        let counts: Vec<usize> = self.server_counts().collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        let line = stats.iter().find_map(|stat| stat.strip_prefix("STAT one "));
        let sum: usize = line.and_then(|number| number.parse().ok()).unwrap_or(0);
        let exact = self.truth.scenario.exact;
        if sum > most || exact && code == opcode::STAT && !counts.contains(&sum) {
            return Err(format!("{sum} of {most} servers counted"));
        }
        let status = packet.header.vbucket_or_status;
        if code == opcode::FLUSH && status == 0 {
            self.all_flushed()?;
        }
        let errors = self.truth.scenario.faults.errors;
        let fits = status == 0
            || self.truth.lying.contains(&true)
            || (!exact || self.may_be_gone()) && matches!(status, 0x84 | 0x85)
            || errors && matches!(status, 0x83 | 0x86);
        if fits { Ok(()) } else { Err("not an answer of all servers".to_owned()) }
    }

    /// Whether a packet says that the proxy could not have the request executed.
    fn is_failure_packet(&self, packet: &Packet<'_>, owners: &Owners) -> bool {
        let line = str::from_utf8(&packet.value).unwrap_or_default().trim_end();
        let Ok(line) = self.unnamed(line) else { return false };
        let fits = match packet.header.vbucket_or_status {
            // A quiet flush has failed, whatever the reason.
            0x84 if line.len() < packet.value.trim_ascii_end().len() => self.is_nameless_failure(line),
            0x84 => ["write to downstream", "closed", "out of downstreams"].iter().any(|text| line.contains(text)),
            0x85 => line.contains("timeout"),
            _ => false,
        };
        fits && (self.is_failure(line, owners) || self.is_lying(owners))
    }
}
