//! Meta commands for servers that do not know them: in classic commands, or in packets (04 §20).
//!
//! What an older server cannot do exactly is refused with the letter of the flag: no answer is wrong, and none is a guess.
//! What it answers becomes the client's answer in [`Asked`](super::ascii::meta::asked::Asked).

use super::ascii::meta::is_word;
use super::ascii::meta::request::{Meta, Verb};
use super::keyed::Keyed;
use super::{Arith, Create, Protocol, Store, StoreVerb, expiry};

/// A CAS id that no item has, for one that would mean "any".
const NO_SUCH_CAS: u64 = u64::MAX;

/// What older servers cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The flag with this letter.
    Flag(u8),
    /// The command as a whole: `me`.
    Command,
}

impl Misfit {
    /// Appends the answer to it.
    pub fn refuse(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"CLIENT_ERROR unsupported ");
        match self {
            Misfit::Flag(letter) => {
                out.extend_from_slice(b"flag ");
                out.push(letter);
            }
            Misfit::Command => out.extend_from_slice(b"command me"),
        }
        out.extend_from_slice(b" with these servers\r\n");
    }
}

/// What a server of this protocol, without meta commands, cannot do: the command, or the first flag of which that is so.
/// Flags that say nothing to this command are passed over, as memcached does.
pub fn misfit(meta: &Meta<'_>, speak: Protocol) -> Option<Misfit> {
    let is_classic = speak == Protocol::Ascii;
    if meta.verb == Verb::Debug {
        return Some(Misfit::Command);
    }
    if is_classic && !is_word(meta.key.name()) {
        return Some(Misfit::Flag(b'b'));
    }
    let options = &meta.options;
    let marks = options.invalidates || options.empties;
    let first = meta.flags.iter().map(|(letter, _)| letter).find(|letter| match meta.verb {
        Verb::Noop | Verb::Debug => false,
        Verb::Get => match letter {
            b't' | b'l' | b'h' | b'N' | b'R' => true,
            b'E' => options.vivify.is_some(),
            _ => false,
        },
        Verb::Store(verb) => {
            let adds = matches!(verb, StoreVerb::Append | StoreVerb::Prepend);
            match letter {
                b'I' | b'E' => true,
                b'N' | b's' => adds,
                b'c' => is_classic,
                // An `add` takes no heed of it.
                b'C' => is_classic && !matches!(verb, StoreVerb::Set | StoreVerb::Add),
                _ => false,
            }
        }
        Verb::Delete => match letter {
            b'I' | b'x' => true,
            b'T' | b'E' => marks,
            b'C' => is_classic,
            _ => false,
        },
        Verb::Arith { .. } => match letter {
            b'T' | b't' | b'E' => true,
            b'N' | b'C' | b'c' => is_classic,
            _ => false,
        },
    });
    first.map(Misfit::Flag)
}

/// How an older server is told `meta`, which has no [`misfit`]. `None`: it is a get without an expiry, which travels as any other, or
/// asks for nothing that such a server could do.
pub fn keyed<'a>(meta: &'a Meta<'_>) -> Option<Keyed<'a>> {
    let (key, options) = (meta.key.name(), &meta.options);
    // Which means any to these.
    let cas = match options.cas {
        None => 0,
        Some(0) => NO_SUCH_CAS,
        Some(cas) => cas,
    };
    Some(match meta.verb {
        Verb::Noop | Verb::Debug => return None,
        Verb::Get => match options.expiry {
            None => return None,
            Some(exptime) if meta.needs_item() => Keyed::Gat { key, exptime: exptime.into(), cas: true },
            Some(exptime) => Keyed::Touch { key, exptime: exptime.into() },
        },
        Verb::Store(verb) => Keyed::Store(Store {
            verb,
            key,
            flags: options.client_flags,
            exptime: options.expiry.unwrap_or(0).into(),
            cas: match verb {
                StoreVerb::Set | StoreVerb::Replace => options.cas,
                StoreVerb::Add => None,
                StoreVerb::Append | StoreVerb::Prepend => options.cas.filter(|cas| *cas != 0),
            },
            value: meta.value,
        }),
        Verb::Delete => Keyed::Delete { key, cas },
        Verb::Arith { decr } => Keyed::Arith(Arith {
            key,
            delta: options.delta,
            decr,
            cas: options.cas.unwrap_or(0),
            create: options
                .vivify
                .map(|exptime| Create { initial: options.initial, exptime: expiry::to_packet(exptime.into()) }),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::ascii::meta::key::KeyRoom;
    use super::super::ascii::meta::request::{Parsed, parse};
    use super::super::binary::{opcode, packet};
    use super::*;
    use crate::buffer::Output;
    use crate::protocol::Protocol::{Ascii, Binary};

    fn with<R>(line: &str, then: impl FnOnce(&Meta<'_>) -> R) -> R {
        let (text, mut room) = (line.replace('|', "\r\n") + "\r\n", KeyRoom::default());
        let Some(Parsed::Request { meta, .. }) = parse(text.as_bytes(), &mut room, &mut 0, 100) else {
            panic!("{line}")
        };
        then(&meta)
    }

    #[test]
    fn what_cannot_be_said() {
        for (line, classic, binary) in [
            ("mg k v f c k O1 q s u C5 T30", None, None),
            ("mg k t", Some('t'), Some('t')),
            ("mg k v h", Some('h'), Some('h')),
            ("mg k l", Some('l'), Some('l')),
            ("mg k N30", Some('N'), Some('N')),
            ("mg k R30", Some('R'), Some('R')),
            ("mg k E5", None, None),
            ("mg k E5 N30", Some('E'), Some('E')),
            ("mg k I x D3 J1 MI F7", None, None),
            ("mg YSBi b v", Some('b'), None),
            ("mg Zm9v b v", None, None),
            ("ms k 1 F5 T30 s|a", None, None),
            ("ms k 1 c|a", Some('c'), None),
            ("ms k 1 C5|a", None, None),
            ("ms k 1 C5 ME|a", None, None),
            ("ms k 1 C5 MR|a", Some('C'), None),
            ("ms k 1 C5 MA|a", Some('C'), None),
            ("ms k 1 I C5|a", Some('I'), Some('I')),
            ("ms k 1 E5|a", Some('E'), Some('E')),
            ("ms k 1 MA s|a", Some('s'), Some('s')),
            ("ms k 1 MA N0|a", Some('N'), Some('N')),
            ("ms k 1 N0|a", None, None),
            ("md k T30 E5", None, None),
            ("md k C5", Some('C'), None),
            ("md k I", Some('I'), Some('I')),
            ("md k x", Some('x'), Some('x')),
            ("md k T30 I", Some('T'), Some('T')),
            ("ma k v D5 MD J3", None, None),
            ("ma k N0", Some('N'), None),
            ("ma k c", Some('c'), None),
            ("ma k C5", Some('C'), None),
            ("ma k t", Some('t'), Some('t')),
            ("ma k T5", Some('T'), Some('T')),
        ] {
            let found = |speak| with(line, |meta| misfit(meta, speak));
            let flag = |letter: Option<char>| letter.map(|letter| Misfit::Flag(letter as u8));
            assert_eq!((found(Ascii), found(Binary)), (flag(classic), flag(binary)), "{line}");
        }
    }

    #[test]
    fn lines() {
        for (line, expected) in [
            ("mg k v T30", "gats 30 k|"),
            ("mg k T-1", "touch k -1|"),
            ("mg k T30 k q O1", "touch k 30|"),
            ("ms k 1|a", "set k 0 0 1|a|"),
            ("ms k 1 F5 T30 C9|a", "cas k 5 30 1 9|a|"),
            ("ms k 1 C0|a", "cas k 0 0 1 0|a|"),
            ("ms k 1 ME C9|a", "add k 0 0 1|a|"),
            ("ms k 1 MP|a", "prepend k 0 0 1|a|"),
            ("md k q", "delete k|"),
            ("ma k D7 MD", "decr k 7|"),
        ] {
            let text = with(line, |meta| {
                let mut out = Output::default();
                keyed(meta).expect("a command").write(Ascii, &mut out, 7);
                String::from_utf8(out.contiguous(u64::MAX).unwrap_or_default().to_vec()).expect("text")
            });
            assert_eq!(text.replace("\r\n", "|"), expected, "{line}");
        }
        for line in ["mg k v", "me k", "mn"] {
            assert!(with(line, |meta| keyed(meta).is_none()), "{line}");
        }
    }

    #[test]
    fn packets() {
        let numbers = |first: u64, second: u64, third: u32| {
            [&first.to_be_bytes()[..], &second.to_be_bytes(), &third.to_be_bytes()].concat()
        };
        let pair = |first: u32, second: u32| [first.to_be_bytes(), second.to_be_bytes()].concat();
        for (line, opcode, cas, extras, value) in [
            ("mg k v T30", opcode::GATK, 0, vec![0, 0, 0, 30], ""),
            ("mg k T30", opcode::TOUCH, 0, vec![0, 0, 0, 30], ""),
            ("ms k 1 F5 T30 C9|a", opcode::SET, 9, pair(5, 30), "a"),
            ("ms k 1 MR C0|a", opcode::REPLACE, NO_SUCH_CAS, pair(0, 0), "a"),
            ("ms k 1 ME C9|a", opcode::ADD, 0, pair(0, 0), "a"),
            ("ms k 1 MA C9|a", opcode::APPEND, 9, vec![], "a"),
            ("ms k 1 MA C0|a", opcode::APPEND, 0, vec![], "a"),
            ("md k C9", opcode::DELETE, 9, vec![], ""),
            ("md k C0", opcode::DELETE, NO_SUCH_CAS, vec![], ""),
            ("ma k", opcode::INCREMENT, 0, numbers(1, 0, u32::MAX), ""),
            ("ma k MD D3 N30 J8 C4", opcode::DECREMENT, 4, numbers(3, 8, 30), ""),
            ("ma k N-1", opcode::INCREMENT, 0, numbers(1, 0, expiry::EXPIRED), ""),
        ] {
            with(line, |meta| {
                let mut out = Output::default();
                let command = keyed(meta).expect("a command");
                command.write(Binary, &mut out, 7);
                let bytes = out.contiguous(u64::MAX).unwrap_or_default();
                let packet::Parsed::Packet { packet, len } = packet::parse_request(bytes) else { panic!("{line}") };
                let header = packet.header;
                assert_eq!((header.opcode, header.cas, header.vbucket_or_status, len), (opcode, cas, 7, bytes.len()));
                assert_eq!((packet.extras, packet.key), (&extras[..], &b"k"[..]), "{line}");
                assert_eq!((packet.value.bytes, command.opcode()), (value.as_bytes(), opcode), "{line}");
            });
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        let refusal = |misfit: Misfit| {
            let mut out = Vec::new();
            misfit.refuse(&mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(refusal(Misfit::Flag(b't')), "CLIENT_ERROR unsupported flag t with these servers\r\n");
        assert_eq!(with("me k", |meta| misfit(meta, Binary)), Some(Misfit::Command));
        assert_eq!(refusal(Misfit::Command), "CLIENT_ERROR unsupported command me with these servers\r\n");
    }
}
