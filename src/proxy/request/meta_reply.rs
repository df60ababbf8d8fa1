//! A server's answer to a meta command that it got as it is (04 §20).

use crate::protocol::Reply;
use crate::protocol::ascii::meta::asked::Status;
use crate::protocol::ascii::meta::reply::Said;
use crate::protocol::numbers::parse_u32;

use crate::proxy::Engine;
use crate::proxy::downstream::ConnId;
use crate::proxy::downstream::connection::Unfit;
use crate::proxy::request::caching::Caching;
use crate::proxy::request::{Request, RequestId, Work};
use crate::proxy::upstream::answered::Hit;

impl Engine {
    /// The answer to the meta command at the head of the connection's expected replies, which had this number with it.
    pub(in crate::proxy) fn meta_reply(
        &mut self,
        id: ConnId,
        opaque: Option<u32>,
        reply: &Reply<'_>,
    ) -> Result<(), Unfit> {
        let said = Said::of(reply).ok_or(Unfit)?;
        if !opaque.is_none_or(|opaque| said.belongs_to(opaque)) || !self.fits_meta(id, &said) {
            return Err(Unfit);
        }
        let hit = match said {
            Said::Status(Status::Done, _, value) => Some(Hit::of(value.map_or(0, |value| value.len()))),
            Said::Status(..) | Said::Line(_) => None,
        };
        if let Some(request) = self.unlink(id, 0) {
            self.keep_meta(request, &said);
            self.reply(request, hit, |out, work| {
                if let Work::Meta(asked) = work {
                    asked.pass(out, &said);
                }
            });
        }
        self.pop_head(id);
        Ok(())
    }

    /// Whether that can be said to the meta command at the head. (Of one that was given up nothing is known any more.)
    fn fits_meta(&self, id: ConnId, said: &Said<'_>) -> bool {
        let Said::Status(status, ..) = said else { return true };
        let asked = self.downstream.conns.must(id).and_then(|conn| conn.entry(0)).map(|entry| entry.request);
        match asked.and_then(|request| self.flight.requests.get(request)).map(|request| &request.work) {
            Some(Work::Meta(asked)) => status.fits(asked.class()),
            _ => true,
        }
    }

    /// Keeps the value of a get that the front cache covers, unless the server has marked it.
    fn keep_meta(&self, id: RequestId, said: &Said<'_>) {
        let Said::Status(Status::Done, words, Some(value)) = said else { return };
        let Some(Request { work: Work::Meta(asked), caching: Caching::Keep(_), .. }) = self.flight.requests.must(id)
        else {
            return;
        };
        // Without its flags a value is of no use to others.
        let flags = words.token(b'f').and_then(parse_u32);
        if let Some(flags) = flags.filter(|_| words.marks().next().is_none()) {
            self.keep_value(id, asked.key(), flags, value);
        }
    }
}
