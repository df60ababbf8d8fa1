//! Flags, as memcached reads them.

use super::*;

fn read(flags: &str) -> Result<Options, String> {
    let (key, mut room) = (Key::plain(b"Zm9v").unwrap(), KeyRoom::default());
    match Options::read(&Flags::new(flags.as_bytes()), key, &mut room) {
        Ok((options, _)) => Ok(options),
        Err(reply) => Err(String::from_utf8_lossy(reply).trim_end().replace("CLIENT_ERROR ", "")),
    }
}

#[test]
fn letters_and_tokens_keep_their_order() {
    let flags = Flags::new(b"  t  Oabc k O v ");
    let all: Vec<_> = flags.iter().map(|(letter, token)| (letter as char, token)).collect();
    assert_eq!(all, [('t', &b""[..]), ('O', b"abc"), ('k', b""), ('O', b""), ('v', b"")]);
}

#[test]
fn letters_are_there_or_not() {
    let letters = Letters::of(b"aaZ~");
    for (letter, expected) in [(b'a', true), (b'Z', true), (b'~', true), (b'b', false), (b'!', false), (0xe1, false)] {
        assert_eq!(letters.has(letter), expected, "{letter}");
    }
    assert!(letters.has_any(Letters::of(b"xZ")) && !letters.has_any(Letters::of(b"xz")));
}

/// The others are taken one by one.
#[test]
fn flags_that_may_be_wrong() {
    for right in ["", "v", "k v t f c", " Oabc  q "] {
        assert!(!Flags::new(right.as_bytes()).may_be_wrong(), "{right}");
    }
    for wrong in ["v v", "v k v", "S", "v !", "\x7f"] {
        assert!(Flags::new(wrong.as_bytes()).may_be_wrong(), "{wrong}");
    }
}

#[test]
fn numbers_and_switches() {
    let options = Options { vivify: Some(30), expiry: Some(-1), recache: Some(0), ..Options::default() };
    assert_eq!(read("N30 T-1 R0"), Ok(options));
    // 32 bits of it count, as in classic commands.
    assert_eq!(read("T4294967295").unwrap().expiry, Some(-1));
    let options = Options { cas: Some(u64::MAX), new_cas: Some(0), client_flags: u32::MAX, ..Options::default() };
    assert_eq!(read("C18446744073709551615 E0 F4294967295"), Ok(options));
    let options = Options { mode: Some(b'+'), initial: 7, delta: 0, ..Options::default() };
    assert_eq!(read("M+ J7 D0"), Ok(options));
    let options = Options {
        is_quiet: true,
        is_unnoticed: true,
        wants_value: true,
        invalidates: true,
        empties: true,
        ..Options::default()
    };
    assert_eq!(read("q u v I x"), Ok(options));
    assert_eq!(read("k s t c f l h Oaque P L/path"), Ok(Options::default()));
    assert_eq!(read(""), Ok(Options::default()));
}

#[test]
fn mistakes() {
    for (flags, reply) in [
        ("v v", "duplicate flag"),
        ("Oa Ob", "duplicate flag"),
        ("\x7f", "duplicate flag"),
        ("é", "duplicate flag"),
        ("v !", "invalid flag"),
        ("S5", "invalid flag"),
        ("\t", "invalid flag"),
        ("T", "bad token in command line format"),
        ("Tx", "bad token in command line format"),
        ("N1.5", "bad token in command line format"),
        ("R", "bad token in command line format"),
        ("C-1", "bad token in command line format"),
        ("E18446744073709551616", "bad token in command line format"),
        ("Fx", "bad command line format"),
        ("F4294967296", "bad command line format"),
        ("Jx", "invalid numeric initial value"),
        ("D", "invalid numeric delta value"),
        ("M", "incorrect length for M token"),
        ("MSS", "incorrect length for M token"),
        // The last one counts, but that of `F` only alone, and a flag that is none ends it all.
        ("Tx Jx", "invalid numeric initial value"),
        ("Jx Tx", "bad token in command line format"),
        ("Tx Fx", "bad token in command line format"),
        ("Fx Tx", "bad token in command line format"),
        ("Tx Jx !", "invalid flag"),
        ("Tx v v", "duplicate flag"),
    ] {
        assert_eq!(read(flags), Err(reply.to_owned()), "{flags}");
    }
}

#[test]
fn nineteen_words_are_the_most() {
    let flags = "a ".repeat(17);
    assert!(Flags::new(flags.as_bytes()).are_few(2));
    assert!(!Flags::new(flags.as_bytes()).are_few(3));
    assert!(!Flags::new("a ".repeat(500).as_bytes()).are_few(2));
}
