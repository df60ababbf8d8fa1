//! When a client hears of what it has asked for: a line with `noreply`, a meta command with `q` and a quiet packet are one
//! idea. The codecs say which it is; who writes an answer asks whether it is said.

/// When a request is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answered {
    /// Whatever comes of it.
    #[default]
    Always,
    /// Unless there is no such item: a quiet get.
    OnHit,
    /// Unless it is done: another quiet command.
    OnError,
    /// Not even of an error: `noreply`.
    Never,
}

impl Answered {
    /// When a command is answered that is quiet, in a packet or by the flag `q`.
    pub fn quietly(is_get: bool) -> Answered {
        if is_get { Answered::OnHit } else { Answered::OnError }
    }

    /// Whether nothing may be said of it.
    pub fn is_quiet(self) -> bool {
        self != Answered::Always
    }

    /// Whether anything is said of it, an error at least. Then it has its turn among the replies to its client.
    #[inline]
    pub fn says_anything(self) -> bool {
        self != Answered::Never
    }

    /// Whether it is said that it is done; of a get, what the value is.
    pub fn says_done(self) -> bool {
        matches!(self, Answered::Always | Answered::OnHit)
    }

    /// Whether it is said that there is no such item.
    pub fn says_missing(self) -> bool {
        matches!(self, Answered::Always | Answered::OnError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said() {
        for (answered, quiet, turn, done, missing) in [
            (Answered::Always, false, true, true, true),
            (Answered::quietly(true), true, true, true, false),
            (Answered::quietly(false), true, true, false, true),
            (Answered::Never, true, false, false, false),
        ] {
            assert_eq!((answered.is_quiet(), answered.says_anything()), (quiet, turn), "{answered:?}");
            assert_eq!((answered.says_done(), answered.says_missing()), (done, missing), "{answered:?}");
        }
    }
}
